/* The database of with_postgresql.sh, emptied, and looked into over a connection of its own. */
#include "contract/postgresql_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STANDBY_NOTICED_US = 200000 }; /* by every session */

static struct {
    PGconn *watch;
    PGconn *admin;
} database;

static PGconn *connect_to(const char *variable)
{
    const char *url = getenv(variable);
    PGconn *conn = url != NULL ? PQconnectdb(url) : NULL;

    if (conn == NULL || PQstatus(conn) != CONNECTION_OK) {
        (void)fprintf(stderr, "%s: %s\n", variable,
                      conn != NULL ? PQerrorMessage(conn) : "not set");
        PQfinish(conn);
        return NULL;
    }
    return conn;
}

static PGresult *execute(PGconn **conn, const char *variable, const char *sql,
                         const char *parameter)
{
    if (*conn == NULL) {
        *conn = connect_to(variable);
    }
    if (*conn == NULL) {
        return NULL;
    }
    return parameter == NULL ? PQexec(*conn, sql)
                             : PQexecParams(*conn, sql, 1, NULL, &parameter, NULL, NULL, 0);
}

static int64_t read_number(PGconn **conn, const char *variable, const char *sql,
                           const char *parameter)
{
    PGresult *result = execute(conn, variable, sql, parameter);

    /* A failure that is none of the server's: it was restarted meanwhile. */
    if (PQresultStatus(result) == PGRES_FATAL_ERROR
        && PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL) {
        PQclear(result);
        PQfinish(*conn);
        *conn = NULL;
        result = execute(conn, variable, sql, parameter);
    }
    const ExecStatusType status = PQresultStatus(result);
    int64_t number = -1;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        number = PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    } else {
        (void)fprintf(stderr, "%s: %s\n", sql, PQresultErrorMessage(result));
    }
    PQclear(result);
    return number;
}

int64_t postgresql_fixture_run(const char *sql)
{
    return read_number(&database.watch, "TEST_POSTGRESQL_URL", sql, NULL);
}

int64_t postgresql_fixture_run_as_superuser(const char *sql)
{
    return read_number(&database.admin, "TEST_POSTGRESQL_ADMIN", sql, NULL);
}

bool postgresql_fixture_wait_for_standby(const char *name)
{
    char sql[100];

    (void)snprintf(sql, sizeof(sql), "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    return postgresql_fixture_run_as_superuser(sql) >= 0
        && postgresql_fixture_run_as_superuser("SELECT pg_reload_conf()") >= 0
        && usleep(STANDBY_NOTICED_US) == 0;
}

/* In vain while a process that was killed is being cleared away: its locks are waited for. */
static bool empty(void)
{
    return postgresql_fixture_run("SET client_min_messages = warning; DROP OWNED BY CURRENT_USER")
        == 0;
}

const char *store_fixture_make(void)
{
    return empty() ? getenv("TEST_POSTGRESQL_URL") : NULL;
}

void store_fixture_remove(void)
{
    (void)empty();
    PQfinish(database.watch);
    PQfinish(database.admin);
    database.watch = database.admin = NULL;
}

int64_t store_fixture_ledger_entries(const char *jti)
{
    return jti == NULL ? postgresql_fixture_run("SELECT count(*) FROM ledger")
                       : read_number(&database.watch, "TEST_POSTGRESQL_URL",
                                     "SELECT count(*) FROM ledger WHERE jti = $1", jti);
}

int64_t store_fixture_authorizations(void)
{
    return postgresql_fixture_run("SELECT count(*) FROM authorizations");
}
