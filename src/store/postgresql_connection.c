/*
 * A connection to PostgreSQL, in pipeline mode: statements are sent one after the other, and one wait
 * reads what became of all of them. No wait is without a deadline, here and in the server.
 */
#include "store/postgresql_store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash_point.h"

/* Where a row that another node has is passed over, which SQLite has no word for: there is one
 * writer. The heartbeat has a few rows, so that nodes do not wait for each other's. */
#define FREE_ROWS(key, table, condition)                                                           \
    ("DELETE FROM " table " WHERE " key " = ANY (ARRAY(SELECT " key " FROM " table                 \
     " WHERE " condition " LIMIT $2 FOR UPDATE SKIP LOCKED))")

static const char *const own_statements[PG_STATEMENT_COUNT] = {
    [PG_CLOCK] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    [HEARTBEAT] = ("UPDATE heartbeat SET time_s = $1"
                   " WHERE id = (SELECT id FROM heartbeat LIMIT 1 FOR UPDATE SKIP LOCKED)"),
    [PURGE_REVOKED] = FREE_ROWS("jti", "revoked_tokens", "token_expires_s <= $1"),
    [PURGE_OPEN] = FREE_ROWS("id", "authorizations", "keep_until_s <= $1 AND code_hash IS NULL"),
    [PURGE_DONE] =
        FREE_ROWS("id", "authorizations", "keep_until_s <= $1 AND code_hash IS NOT NULL"),
};

static const char *statement_text(int which)
{
    return own_statements[which] != NULL ? own_statements[which] : statements[which];
}

struct statement_name {
    char text[16];
};

static struct statement_name statement_name(int which)
{
    struct statement_name name;
    (void)snprintf(name.text, sizeof(name.text), "s%d", which);
    return name;
}

/* ---- errors ---- */

/* The error classes of a SQLSTATE (PostgreSQL, appendix A) that another transaction's precedence
 * explains. */
static bool is_conflict(const char *sqlstate)
{
    static const char *const states[] = {
        "40001", /* serialization_failure */
        "40P01", /* deadlock_detected */
        "23505", /* unique_violation */
    };
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if (strcmp(sqlstate, states[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);
    return text != NULL ? text : "";
}

MUST_CHECK static bool fail_lost(struct error *err, PGconn *conn, const char *what)
{
    const char *message = PQerrorMessage(conn);

    (void)!fail(err, ERROR_STORE_UNAVAILABLE, "%s", what);
    err->cause.library = "postgresql";
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%.*s", (int)strcspn(message, "\n"),
                   message);
    return false;
}

/* A message in full may quote values; its first line, the primary one, names things only. */
MUST_CHECK static bool fail_postgresql(struct error *err, const PGresult *result, const char *what)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE);
    const char *message =
        sqlstate[0] != '\0' ? field(result, PG_DIAG_MESSAGE_PRIMARY) : PQresultErrorMessage(result);

    (void)!fail(err, is_conflict(sqlstate) ? ERROR_STORE_CONFLICT : ERROR_STORE_UNAVAILABLE, "%s",
                what);
    err->cause.library = "postgresql";
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s%s%.*s", sqlstate,
                   sqlstate[0] != '\0' ? " " : "", (int)strcspn(message, "\n"), message);
    return false;
}

/* ---- waiting ---- */

static bool wait_for(PGconn *conn, short events, int64_t deadline_ns, const char *what,
                     struct error *err)
{
    struct pollfd socket = { .fd = PQsocket(conn), .events = events };
    int ready;

    do {
        const int64_t left_ns = deadline_ns - monotonic_ns();
        ready = left_ns <= 0 ? 0 : poll(&socket, 1, (int)(left_ns / NS_PER_MS) + 1);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0) {
        return fail_errno(err, ERROR_STORE_UNAVAILABLE, "wait for the database");
    }
    return ready > 0
        || fail(err, ERROR_STORE_UNAVAILABLE, "%s: the database gave no answer in time", what);
}

/* Sends what waits to be sent, reading meanwhile, so that neither side waits for the other. */
static bool flush(PGconn *conn, int64_t deadline_ns, const char *what, struct error *err)
{
    int waiting;

    while ((waiting = PQflush(conn)) == 1) {
        if (!wait_for(conn, POLLIN | POLLOUT, deadline_ns, what, err)) {
            return false;
        }
        if (PQconsumeInput(conn) == 0) {
            return fail_lost(err, conn, what);
        }
    }
    return waiting == 0 || fail_lost(err, conn, what);
}

/* *result_out is NULL where a statement's results end. */
static bool next_result(PGconn *conn, PGresult **result_out, int64_t deadline_ns, const char *what,
                        struct error *err)
{
    if (!flush(conn, deadline_ns, what, err)) {
        return false;
    }
    while (PQisBusy(conn)) {
        if (!wait_for(conn, POLLIN, deadline_ns, what, err)) {
            return false;
        }
        if (PQconsumeInput(conn) == 0) {
            return fail_lost(err, conn, what);
        }
    }
    *result_out = PQgetResult(conn);
    return true;
}

/* ---- connecting ---- */

enum { KEYWORDS_MAX = 64 };

struct keywords {
    const char *names[KEYWORDS_MAX];
    const char *values[KEYWORDS_MAX];
    size_t count;
};

static void add_keyword(struct keywords *keywords, const char *name, const char *value)
{
    assert(keywords->count < KEYWORDS_MAX - 1);
    if (value != NULL) {
        keywords->names[keywords->count] = name;
        keywords->values[keywords->count++] = value;
    }
}

/* The server's own deadlines, a little below PG_ANSWER_MS: who waits is told why. deadlock_timeout,
 * 1 s, comes before lock_timeout. A transaction whose client stands still is ended. */
static const char SESSION[] = " -c statement_timeout=1400 -c lock_timeout=1200"
                              " -c idle_in_transaction_session_timeout=5000"
                              " -c default_transaction_isolation=read\\ committed";

/* What is first given wins, but for what must be ours. */
static void fill_keywords(struct keywords *keywords, const struct pg_target *target,
                          const struct pg_host *host, const char *session)
{
    static const char *const ours[] = { "host", "hostaddr", "port", "options", "client_encoding" };
    const char *const presets[][2] = {
        { "application_name", "issuerd" },
        { "target_session_attrs", target->takes_any ? "any" : "read-write" },
        { "tcp_user_timeout", "3000" },
        { "keepalives_idle", "5" },
        { "keepalives_interval", "2" },
        { "keepalives_count", "3" },
    };

    add_keyword(keywords, "host", host->name);
    add_keyword(keywords, "hostaddr", host->address);
    add_keyword(keywords, "port", host->port);
    add_keyword(keywords, "options", session);
    add_keyword(keywords, "client_encoding", "UTF8");
    for (const PQconninfoOption *option = target->options; option->keyword != NULL; option++) {
        bool is_ours = false;
        for (size_t i = 0; i < COUNT_OF(ours); i++) {
            is_ours = is_ours || strcmp(option->keyword, ours[i]) == 0;
        }
        if (!is_ours) {
            add_keyword(keywords, option->keyword, option->val);
        }
    }
    for (size_t i = 0; i < COUNT_OF(presets); i++) {
        if (pg_target_option(target, presets[i][0]) == NULL) {
            add_keyword(keywords, presets[i][0], presets[i][1]);
        }
    }
}

static bool await_connection(PGconn *conn, int64_t deadline_ns, struct error *err)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status == PGRES_POLLING_WRITING || status == PGRES_POLLING_READING) {
        const short events = status == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
        if (!wait_for(conn, events, deadline_ns, "connect", err)) {
            return false;
        }
        status = PQconnectPoll(conn);
    }
    return status == PGRES_POLLING_OK || fail_lost(err, conn, "connect");
}

/* A cancelled wait for the synchronous standby is a WARNING, and no error, of COMMIT. */
static void on_notice(void *context, const PGresult *notice)
{
    struct pg_connection *connection = context;

    if (strcmp(field(notice, PG_DIAG_SEVERITY_NONLOCALIZED), "WARNING") == 0) {
        connection->has_warned = true;
    }
}

static bool check_encoding(PGconn *conn, struct error *err)
{
    const char *encoding = PQparameterStatus(conn, "server_encoding");

    return (encoding != NULL && strcmp(encoding, "UTF8") == 0)
        || fail(err, ERROR_CONFIG, "the database's encoding is %s: make one of UTF8",
                encoding != NULL ? encoding : "unknown");
}

static bool open_host(struct pg_connection *connection, const struct pg_target *target, size_t host,
                      int64_t deadline_ns, struct error *err)
{
    const char *options = pg_target_option(target, "options");
    char session[1024];
    struct keywords keywords = { .count = 0 };

    if (snprintf(session, sizeof(session), "%s%s", options != NULL ? options : "", SESSION)
        >= (int)sizeof(session)) {
        return fail(err, ERROR_CONFIG, "the options in store.url are too long");
    }
    fill_keywords(&keywords, target, &target->hosts[host], session);
    *connection =
        (struct pg_connection){ .conn = PQconnectStartParams(keywords.names, keywords.values, 0),
                                .host = host };
    if (connection->conn == NULL) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "out of memory");
    }
    if (PQstatus(connection->conn) == CONNECTION_BAD) {
        return fail_lost(err, connection->conn, "connect");
    }
    (void)PQsetNoticeReceiver(connection->conn, on_notice, connection);
    return await_connection(connection->conn, deadline_ns, err)
        && check_encoding(connection->conn, err)
        && (PQsetnonblocking(connection->conn, 1) == 0
            || fail_lost(err, connection->conn, "connect"));
}

bool pg_connection_open(struct pg_connection *connection, const struct pg_target *target,
                        size_t host, int64_t deadline_ns, struct error *err)
{
    if (open_host(connection, target, host, deadline_ns, err)) {
        return true;
    }
    pg_connection_close(connection);
    return false;
}

void pg_connection_close(struct pg_connection *connection)
{
    PQfinish(connection->conn);
    free(connection->unread);
    free(connection->redeemed);
    connection->conn = NULL;
    connection->unread = connection->redeemed = NULL;
    connection->unread_count = connection->unread_size = 0;
    connection->redeemed_count = connection->redeemed_taken = 0;
}

/* Whatever a role's or a database's settings say, a commit is on the disk when it returns. */
static const char SAFE_COMMITS[] =
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local')";

static bool send_preparations(struct pg_connection *connection)
{
    bool sent =
        PQenterPipelineMode(connection->conn) == 1
        && PQsendQueryParams(connection->conn, SAFE_COMMITS, 0, NULL, NULL, NULL, NULL, 0) == 1;

    for (int i = 0; sent && i < PG_STATEMENT_COUNT; i++) {
        sent = PQsendPrepare(connection->conn, statement_name(i).text, statement_text(i), 0, NULL)
            == 1;
    }
    return sent;
}

static void note_unread(struct pg_connection *connection, int which)
{
    if (connection->unread_count == connection->unread_size) {
        connection->unread_size = connection->unread_size * 2 + 16;
        connection->unread =
            xrealloc(connection->unread, connection->unread_size * sizeof(*connection->unread));
    }
    connection->unread[connection->unread_count++] = which;
}

bool pg_connection_prepare(struct pg_connection *connection, int64_t deadline_ns, struct error *err)
{
    if (!send_preparations(connection)) {
        (void)!fail_lost(err, connection->conn, "prepare the statements");
        pg_connection_close(connection);
        return false;
    }
    for (int i = 0; i < PG_STATEMENT_COUNT + 1; i++) {
        note_unread(connection, PG_CLOCK); /* any that is no redemption */
    }
    return pg_finish(connection, NULL, deadline_ns, "prepare the statements", err);
}

/* ---- statements ---- */

void pg_add_bytes(struct pg_arguments *arguments, const void *bytes, size_t length)
{
    assert(arguments->count < PG_ARGUMENTS_MAX);
    arguments->values[arguments->count] = bytes;
    arguments->lengths[arguments->count] = (int)length;
    arguments->formats[arguments->count++] = 1;
}

void pg_add_digest(struct pg_arguments *arguments, const struct digest *digest)
{
    pg_add_bytes(arguments, digest->bytes, sizeof(digest->bytes));
}

void pg_add_text(struct pg_arguments *arguments, const char *value)
{
    assert(arguments->count < PG_ARGUMENTS_MAX);
    arguments->values[arguments->count++] = value;
}

void pg_add_number(struct pg_arguments *arguments, int64_t value)
{
    char *text = arguments->numbers[arguments->count];

    (void)snprintf(text, sizeof(arguments->numbers[0]), "%" PRId64, value);
    pg_add_text(arguments, text);
}

bool pg_send(struct pg_connection *connection, int which, const struct pg_arguments *arguments,
             struct error *err)
{
    static const struct pg_arguments none = { .count = 0 };
    enum { BINARY = 1 };

    if (arguments == NULL) {
        arguments = &none;
    }
    if (connection->conn == NULL) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "the connection to the database was lost");
    }
    if (PQsendQueryPrepared(connection->conn, statement_name(which).text, arguments->count,
                            arguments->values, arguments->lengths, arguments->formats, BINARY)
        != 1) {
        (void)!fail_lost(err, connection->conn, "send a statement");
        pg_connection_close(connection);
        return false;
    }
    note_unread(connection, which);
    return true;
}

static void note_redemption(struct pg_connection *connection, int changed)
{
    connection->redeemed = xrealloc(connection->redeemed, (connection->redeemed_count + 1)
                                                              * sizeof(*connection->redeemed));
    connection->redeemed[connection->redeemed_count++] = changed;
}

/* Of a statement that failed. What the server says of it is certain, unless it is COMMIT that came
 * to a bad end: then it may have been done (40003 says so). */
static bool note_failure(struct pg_connection *connection, int which, const PGresult *result,
                         const char *what, struct error *err)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE);
    const bool is_error = strcmp(field(result, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR") == 0;

    connection->is_certain =
        sqlstate[0] != '\0' && strcmp(sqlstate, "40003") != 0 && (which != COMMIT || is_error);
    connection->is_read_only = strcmp(sqlstate, "25006") == 0;
    return fail_postgresql(err, result, what);
}

static bool judge(struct pg_connection *connection, int which, PGresult *result, const char *what,
                  struct error *err)
{
    const ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        return note_failure(connection, which, result, what, err);
    }
    if (which == REDEEM) {
        note_redemption(connection, (int)pg_changed(result));
    }
    return true;
}

/* The results of the `i`-th unread statement. False: the connection is lost. What fails after *good
 * became false is a consequence: the first failure is the one to tell. */
static bool read_one(struct pg_connection *connection, size_t i, PGresult **result_out, bool *good,
                     int64_t deadline_ns, const char *what, struct error *err)
{
    scoped(pg_release_result) PGresult *result = NULL;
    scoped(pg_release_result) PGresult *end = NULL;
    struct error later;

    if (!next_result(connection->conn, &result, deadline_ns, what, *good ? err : &later)) {
        return false;
    }
    *good = *good && judge(connection, connection->unread[i], result, what, err);
    if (!next_result(connection->conn, &end, deadline_ns, what, *good ? err : &later)) {
        return false;
    }
    *result_out = take(result);
    return end == NULL || fail_lost(*good ? err : &later, connection->conn, what);
}

static bool read_all(struct pg_connection *connection, PGresult **last_out, bool *good,
                     int64_t deadline_ns, const char *what, struct error *err)
{
    scoped(pg_release_result) PGresult *last = NULL;
    scoped(pg_release_result) PGresult *sync = NULL;
    struct error later;

    CRASH_POINT(POSTGRESQL_SENT);
    for (size_t i = 0; i < connection->unread_count; i++) {
        PQclear(take(last));
        if (!read_one(connection, i, &last, good, deadline_ns, what, err)) {
            return false;
        }
    }
    connection->unread_count = 0;
    if (!next_result(connection->conn, &sync, deadline_ns, what, *good ? err : &later)) {
        return false;
    }
    *last_out = take(last);
    return PQresultStatus(sync) == PGRES_PIPELINE_SYNC
        || fail_lost(*good ? err : &later, connection->conn, what);
}

bool pg_finish(struct pg_connection *connection, PGresult **result_out, int64_t deadline_ns,
               const char *what, struct error *err)
{
    scoped(pg_release_result) PGresult *last = NULL;
    bool good = true;

    if (connection->conn == NULL) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "the connection to the database was lost");
    }
    connection->is_certain = false;
    if (PQpipelineSync(connection->conn) != 1) {
        good = fail_lost(err, connection->conn, what);
        pg_connection_close(connection);
    } else if (!read_all(connection, &last, &good, deadline_ns, what, err)) {
        good = false;
        pg_connection_close(connection);
    }
    if (good && result_out != NULL) {
        *result_out = take(last);
    }
    return good;
}

bool pg_call(struct pg_connection *connection, int which, const struct pg_arguments *arguments,
             PGresult **result_out, int64_t deadline_ns, const char *what, struct error *err)
{
    return pg_send(connection, which, arguments, err)
        && pg_finish(connection, result_out, deadline_ns, what, err);
}

/* ---- before the pipeline ---- */

static bool read_plain(struct pg_connection *connection, PGresult **result_out, int64_t deadline_ns,
                       struct error *err)
{
    scoped(pg_release_result) PGresult *last = NULL;
    PGresult *result = NULL;
    bool good = true;

    do {
        if (!next_result(connection->conn, &result, deadline_ns, "the schema", err)) {
            return false;
        }
        if (result != NULL) {
            PQclear(last);
            last = result;
            good = good && judge(connection, PG_CLOCK, last, "the schema", err);
        }
    } while (result != NULL);
    if (good && result_out != NULL) {
        *result_out = take(last);
    }
    return good;
}

bool pg_execute(struct pg_connection *connection, const char *sql, const int64_t *argument,
                PGresult **result_out, int64_t deadline_ns, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    if (argument == NULL) {
        return (PQsendQuery(connection->conn, sql) == 1
                || fail_lost(err, connection->conn, "the schema"))
            && read_plain(connection, result_out, deadline_ns, err);
    }
    pg_add_number(&arguments, *argument);
    return (PQsendQueryParams(connection->conn, sql, arguments.count, NULL, arguments.values,
                              arguments.lengths, arguments.formats, 0)
                == 1
            || fail_lost(err, connection->conn, "the schema"))
        && read_plain(connection, result_out, deadline_ns, err);
}

/* ---- results, in the binary format ---- */

int64_t pg_number(const PGresult *result, int row, int column)
{
    const char *bytes = PQgetvalue(result, row, column);
    uint64_t number = 0;

    for (int i = 0; i < PQgetlength(result, row, column); i++) {
        number = number << 8 | (uint8_t)bytes[i];
    }
    return (int64_t)number;
}

void pg_text(const PGresult *result, int row, int column, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", PQgetvalue(result, row, column));
}

char *pg_copy(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : xstrdup(PQgetvalue(result, row, column));
}

void *pg_list(const PGresult *result, size_t size)
{
    return PQntuples(result) > 0 ? xcalloc((size_t)PQntuples(result), size) : NULL;
}

int64_t pg_changed(PGresult *result)
{
    return strtoll(PQcmdTuples(result), NULL, 10);
}
