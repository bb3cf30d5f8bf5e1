/* Rows of the ledger's tables as they are: in SQLite a column may hold anything. */
#include "store/sqlite_store.h"

#include "base/memory.h"

static void read_value(sqlite3_stmt *row, int column, struct raw_value *value_out)
{
    *value_out = (struct raw_value){ .type = RAW_OTHER };
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        value_out->type = RAW_NULL;
        break;
    case SQLITE_INTEGER:
        value_out->type = RAW_NUMBER;
        value_out->number = sqlite3_column_int64(row, column);
        break;
    case SQLITE_TEXT:
        value_out->type = RAW_TEXT;
        value_out->bytes = (const char *)sqlite3_column_text(row, column);
        value_out->length = (size_t)sqlite3_column_bytes(row, column);
        break;
    case SQLITE_BLOB:
        value_out->type = RAW_BYTES;
        value_out->bytes = sqlite3_column_blob(row, column);
        value_out->length = (size_t)sqlite3_column_bytes(row, column);
        break;
    default:
        break;
    }
}

static sqlite3_stmt *begin_range(struct connection *reader, const struct raw_range *range)
{
    sqlite3_stmt *rows = NULL;

    switch (range->table) {
    case LEDGER_TREES:
        rows = statement_of(reader, RAW_TREES);
        bind_number(rows, 1, range->first);
        bind_number(rows, 2, range->limit);
        break;
    case LEDGER_ENTRIES:
        rows = statement_of(reader, RAW_ENTRIES);
        bind_number(rows, 1, range->first);
        bind_number(rows, 2, range->last);
        bind_number(rows, 3, range->limit);
        break;
    case LEDGER_CHECKPOINTS:
        rows = statement_of(reader, RAW_CHECKPOINTS);
        bind_number(rows, 1, range->first);
        bind_number(rows, 2, range->first_size);
        bind_number(rows, 3, range->limit);
        break;
    }
    return rows;
}

static bool read_raw(struct connection *reader, const struct raw_range *range,
                     store_raw_fn *take_row, void *context, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = begin_range(reader, range);
    int result;

    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        struct raw_value row[RAW_COLUMNS_MAX];
        for (int i = 0; i < sqlite3_column_count(rows); i++) {
            read_value(rows, i, &row[i]);
        }
        if (!take_row(context, row, err)) {
            return false;
        }
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "read the ledger");
}

bool sqlite_read_raw(struct store *store, const struct raw_range *range, store_raw_fn *take_row,
                     void *context, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool good = read_raw(&reader->connection, range, take_row, context, err);

    unlock_reader(reader);
    return good;
}
