#include "support/store_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <sqlite3.h>

#include "base/memory.h"

enum { BUSY_MS = 10000 };

static bool is_sqlite(const struct instance *instance)
{
    return strncmp(instance_store_url(instance), "sqlite:", strlen("sqlite:")) == 0;
}

/* ---- SQLite ---- */

static sqlite3 *sqlite_connect(const struct instance *instance)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(instance_store_path(instance), &db, SQLITE_OPEN_READWRITE, NULL)
            != SQLITE_OK
        || sqlite3_busy_timeout(db, BUSY_MS) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", instance_store_path(instance), sqlite3_errmsg(db));
    }
    return db;
}

static int64_t sqlite_number(const struct instance *instance, const char *sql, const char *first,
                             const char *second)
{
    const char *const values[] = { first, second };
    sqlite3 *db = sqlite_connect(instance);
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    bool good = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK;

    for (int i = 0; good && i < 2 && values[i] != NULL; i++) {
        good = sqlite3_bind_text(statement, i + 1, values[i], -1, SQLITE_STATIC) == SQLITE_OK;
    }
    if (good && sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    } else {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return number;
}

static bool sqlite_hold(const struct instance *instance, int ms)
{
    sqlite3 *db = sqlite_connect(instance);
    const bool held = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;

    (void)usleep((useconds_t)ms * 1000);
    (void)sqlite3_close(db);
    return held;
}

static bool sqlite_edit(const struct instance *instance, const char *sql)
{
    sqlite3 *db = sqlite_connect(instance);
    const bool edited = sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;

    (void)sqlite3_close(db);
    return edited;
}

/* ---- PostgreSQL ---- */

DEFINE_RELEASE(release_connection, PGconn, PQfinish)
DEFINE_RELEASE(release_result, PGresult, PQclear)

/* An entry is text there too, but the operator is one of json. */
static char *with_json(const char *sql)
{
    static const char before[] = "entry ->>";
    static const char after[] = "entry::json ->>";
    char *text = xcalloc(2 * strlen(sql) + 1, 1);

    for (const char *at; (at = strstr(sql, before)) != NULL; sql = at + strlen(before)) {
        (void)strncat(text, sql, (size_t)(at - sql));
        (void)strcat(text, after);
    }
    return strcat(text, sql);
}

static int64_t postgresql_number(const struct instance *instance, const char *sql,
                                 const char *first, const char *second)
{
    const char *const values[] = { first, second };
    const int count = (first != NULL) + (second != NULL);
    scoped(release_memory) char *text = with_json(sql);
    scoped(release_connection) PGconn *conn = PQconnectdb(instance_store_url(instance));
    scoped(release_result) PGresult *result =
        PQexecParams(conn, text, count, NULL, values, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
        fprintf(stderr, "%s: %s\n", text, PQerrorMessage(conn));
        return -1;
    }
    return strtoll(PQgetvalue(result, 0, 0), NULL, 10);
}

static bool postgresql_hold(const struct instance *instance, int ms)
{
    scoped(release_connection) PGconn *conn = PQconnectdb(instance_store_url(instance));
    scoped(release_result) PGresult *result =
        PQexec(conn, "BEGIN; LOCK TABLE authorizations IN EXCLUSIVE MODE");

    (void)usleep((useconds_t)ms * 1000);
    return PQresultStatus(result) == PGRES_COMMAND_OK;
}

static bool postgresql_edit(const struct instance *instance, const char *sql)
{
    scoped(release_connection) PGconn *conn = PQconnectdb(instance_store_url(instance));
    scoped(release_result) PGresult *result = PQexec(conn, sql);

    return PQresultStatus(result) == PGRES_COMMAND_OK;
}

/* ---- either ---- */

int64_t store_number(const struct instance *instance, const char *sql, const char *first,
                     const char *second)
{
    return is_sqlite(instance) ? sqlite_number(instance, sql, first, second)
                               : postgresql_number(instance, sql, first, second);
}

bool store_edit(const struct instance *instance, const char *sql)
{
    return is_sqlite(instance) ? sqlite_edit(instance, sql) : postgresql_edit(instance, sql);
}

bool store_hold(const struct instance *instance, int ms)
{
    return is_sqlite(instance) ? sqlite_hold(instance, ms) : postgresql_hold(instance, ms);
}
