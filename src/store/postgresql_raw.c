/* Rows of the ledger's tables as they are. */
#include "store/postgresql_store.h"

/* PostgreSQL's own numbers of its types (pg_type.dat), which never change. */
enum { TYPE_BYTES = 17, TYPE_NUMBER = 20, TYPE_TEXT = 25 };

static struct raw_value read_value(const PGresult *result, int row, int column)
{
    struct raw_value value = { .type = RAW_OTHER };

    if (PQgetisnull(result, row, column)) {
        value.type = RAW_NULL;
        return value;
    }
    switch (PQftype(result, column)) {
    case TYPE_NUMBER:
        value.type = RAW_NUMBER;
        value.number = pg_number(result, row, column);
        break;
    case TYPE_TEXT:
    case TYPE_BYTES:
        value.type = PQftype(result, column) == TYPE_TEXT ? RAW_TEXT : RAW_BYTES;
        value.bytes = PQgetvalue(result, row, column);
        value.length = (size_t)PQgetlength(result, row, column);
        break;
    default:
        break;
    }
    return value;
}

static int fill_range(struct pg_arguments *arguments, const struct raw_range *range)
{
    int which = RAW_TREES;

    pg_add_number(arguments, range->first);
    switch (range->table) {
    case LEDGER_TREES:
        break;
    case LEDGER_ENTRIES:
        which = RAW_ENTRIES;
        pg_add_number(arguments, range->last);
        break;
    case LEDGER_CHECKPOINTS:
        which = RAW_CHECKPOINTS;
        pg_add_number(arguments, range->first_size);
        break;
    }
    pg_add_number(arguments, range->limit);
    return which;
}

bool postgresql_read_raw(struct store *store, const struct raw_range *range, store_raw_fn *take_row,
                         void *context, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    struct pg_arguments arguments = { .count = 0 };
    const int which = fill_range(&arguments, range);

    if (!pg_read((struct pg_store *)store, which, &arguments, &rows, "read the ledger", err)) {
        return false;
    }
    for (int i = 0; i < PQntuples(rows); i++) {
        struct raw_value row[RAW_COLUMNS_MAX];
        for (int column = 0; column < PQnfields(rows); column++) {
            row[column] = read_value(rows, i, column);
        }
        if (!take_row(context, row, err)) {
            return false;
        }
    }
    return true;
}
