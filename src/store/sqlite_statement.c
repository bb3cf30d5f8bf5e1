/* Binding, running and reading a prepared statement. */
#include "store/sqlite_store.h"

#include <stdio.h>

#include "base/memory.h"

bool fail_sqlite(struct error *err, sqlite3 *db, const char *what)
{
    (void)!fail(err, ERROR_STORE_UNAVAILABLE, "%s", what);
    err->cause.library = "sqlite";
    err->cause.number = (unsigned long)sqlite3_extended_errcode(db);
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s", sqlite3_errmsg(db));
    return false;
}

void release_statement(sqlite3_stmt **statement)
{
    if (*statement != NULL) {
        (void)sqlite3_reset(*statement);
        (void)sqlite3_clear_bindings(*statement);
    }
}

void bind_text(sqlite3_stmt *statement, int parameter, const char *value)
{
    (void)sqlite3_bind_text(statement, parameter, value, -1, SQLITE_STATIC);
}

void bind_number(sqlite3_stmt *statement, int parameter, int64_t value)
{
    (void)sqlite3_bind_int64(statement, parameter, value);
}

void bind_digest(sqlite3_stmt *statement, int parameter, const struct digest *digest)
{
    (void)sqlite3_bind_blob(statement, parameter, digest->bytes, sizeof(digest->bytes),
                            SQLITE_STATIC);
}

bool run(struct connection *connection, sqlite3_stmt *statement, const char *what,
         struct error *err)
{
    return sqlite3_step(statement) == SQLITE_DONE || fail_sqlite(err, connection->db, what);
}

void column_text(sqlite3_stmt *statement, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    (void)snprintf(out, size, "%s", text != NULL ? (const char *)text : "");
}

char *column_copy(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text != NULL ? xstrdup((const char *)text) : NULL;
}
