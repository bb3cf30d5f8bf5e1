/* A table for people: columns as wide as what is in them, numbers to the right. Of bounded size: what
 * does not fit is cut. */
#pragma once

#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 10, TABLE_ROWS_MAX = 48, TABLE_CELL_SIZE = 64 };

struct table {
    size_t columns;
    size_t cells; /* so many, row by row; the first row is the head */
    char text[TABLE_ROWS_MAX * TABLE_COLUMNS_MAX][TABLE_CELL_SIZE];
};

/* Begins anew, with the head's cells, up to a NULL. One that begins with '>' is of a column of numbers. */
void table_begin(struct table *table, const char *const *head);

/* The next cell. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

void table_print(const struct table *table, FILE *out);
