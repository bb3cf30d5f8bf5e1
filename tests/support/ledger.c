#include "support/ledger.h"

#include <stdio.h>

#include <sqlite3.h>

enum { BUSY_MS = 5000 };

static int64_t read_number(const struct instance *instance, const char *sql,
                           const struct digest *digest)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;

    if (sqlite3_open_v2(instance_store_path(instance), &db, SQLITE_OPEN_READWRITE, NULL)
            == SQLITE_OK
        && sqlite3_busy_timeout(db, BUSY_MS) == SQLITE_OK
        && sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK
        && (digest == NULL
            || sqlite3_bind_blob(statement, 1, digest->bytes, sizeof(digest->bytes), SQLITE_STATIC)
                   == SQLITE_OK)
        && sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    } else {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return number;
}

int64_t ledger_entries(const struct instance *instance)
{
    return read_number(instance, "SELECT count(*) FROM ledger WHERE kind = 'issued'", NULL);
}

int64_t ledger_entries_of(const struct instance *instance, const struct digest *token)
{
    return read_number(instance, "SELECT count(*) FROM ledger WHERE token_hash = $1", token);
}

int64_t ledger_doubles(const struct instance *instance)
{
    return read_number(instance, "SELECT count(*) - count(DISTINCT authorization_id) FROM ledger",
                       NULL);
}
