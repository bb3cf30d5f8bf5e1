#include "ctl/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static const char *cell(const struct table *table, size_t index)
{
    const char *text = table->text[index];
    return index < table->columns && text[0] == '>' ? text + 1 : text;
}

static size_t width_of(const struct table *table, size_t column)
{
    size_t width = 0;

    for (size_t i = column; i < table->cells; i += table->columns) {
        const size_t length = strlen(cell(table, i));
        width = length > width ? length : width;
    }
    return width;
}

void table_begin(struct table *table, const char *const *head)
{
    table->columns = table->cells = 0;
    while (head[table->columns] != NULL && table->columns < TABLE_COLUMNS_MAX) {
        table_add(table, "%s", head[table->columns++]);
    }
}

void table_add(struct table *table, const char *format, ...)
{
    va_list args;

    if (table->cells < TABLE_ROWS_MAX * TABLE_COLUMNS_MAX) {
        va_start(args, format);
        (void)vsnprintf(table->text[table->cells++], TABLE_CELL_SIZE, format, args);
        va_end(args);
    }
}

void table_print(const struct table *table, FILE *out)
{
    for (size_t i = 0; i < table->cells; i++) {
        const size_t column = i % table->columns;
        const bool is_number = table->text[column][0] == '>';
        const bool is_last = column == table->columns - 1;
        const int width = (int)width_of(table, column);

        (void)fprintf(out, is_number ? "%s%*s%s" : "%s%-*s%s", column == 0 ? "  " : "",
                      is_last && !is_number ? 0 : width, cell(table, i), is_last ? "\n" : "  ");
    }
}
