/*
 * The store in an SQLite file: WAL, synchronous=FULL, one writing connection (the committer's), a
 * few reading ones, each behind a mutex, and a thread that moves the WAL into the database file away
 * from the committer's path.
 */
#include "store/store_driver.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/statements.h"

enum {
    READERS = 4,
    BUSY_TIMEOUT_MS = 1000, /* another process, an operator's tool say, holds the lock */
    CHECKPOINT_PAGES = 1000,
    CHECKPOINT_INLINE_PAGES = 8 * CHECKPOINT_PAGES,
};

/* migrations[n] leads from version n to n + 1; PRAGMA user_version holds the version. */
static const char *const migrations[] = {
    "CREATE TABLE authorizations ("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"
    " pair_hash BLOB UNIQUE,"
    " state TEXT NOT NULL,"
    " nonce TEXT NOT NULL,"
    " presentation_definition TEXT,"
    " created_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL,"
    " keep_until_s INTEGER NOT NULL,"
    " holder_did TEXT,"
    " scope TEXT,"
    " code_hash BLOB UNIQUE,"
    " code_expires_s INTEGER,"
    " redeemed_s INTEGER,"
    " jti TEXT);"
    "CREATE INDEX authorizations_keep_until ON authorizations (keep_until_s);"
    "CREATE TABLE ledger ("
    " entry INTEGER PRIMARY KEY,"
    " kind TEXT NOT NULL,"
    " time_s INTEGER NOT NULL,"
    " jti TEXT NOT NULL,"
    " kid TEXT NOT NULL,"
    " authorization_id TEXT NOT NULL,"
    " token_hash BLOB NOT NULL,"
    " subject_hash BLOB NOT NULL,"
    " expires_s INTEGER NOT NULL);"
    "CREATE TABLE heartbeat (time_s INTEGER NOT NULL);"
    "INSERT INTO heartbeat VALUES (0);",

    "CREATE TABLE keys ("
    " kid TEXT PRIMARY KEY,"
    " signer TEXT NOT NULL,"
    " algorithm TEXT NOT NULL,"
    " jwk TEXT NOT NULL,"
    " description TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " since_s INTEGER NOT NULL,"
    " due_s INTEGER NOT NULL);"
    "CREATE TABLE key_changes ("
    " change INTEGER PRIMARY KEY,"
    " time_s INTEGER NOT NULL,"
    " kid TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " reason TEXT NOT NULL);",

    "ALTER TABLE authorizations ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE authorizations ADD COLUMN presentation_hash BLOB;"
    "ALTER TABLE authorizations ADD COLUMN cancelled_s INTEGER;"
    "CREATE UNIQUE INDEX authorizations_presentation ON authorizations (presentation_hash)"
    " WHERE presentation_hash IS NOT NULL;",
};

struct connection {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

struct reader {
    pthread_mutex_t lock;
    struct connection connection;
};

struct sqlite_store {
    struct store base;
    struct store_options options;
    char *path;
    struct connection writer;
    int64_t open_requests; /* the writer's alone, as is the next */
    int64_t data_version;  /* changes when another connection has written */

    struct reader readers[READERS];
    _Atomic unsigned next_reader;

    pthread_mutex_t checkpoint_lock;
    pthread_cond_t checkpoint_due;
    pthread_t checkpointer;
    bool has_checkpointer;
    bool is_due;
    bool stopping;
    int wal_pages;
};

static store_open_fn sqlite_open;
static store_close_fn sqlite_close;
static store_begin_fn sqlite_begin;
static store_commit_fn sqlite_commit;
static store_rollback_fn sqlite_rollback;
static store_create_authorization_fn sqlite_create_authorization;
static store_find_authorization_fn sqlite_find_authorization;
static store_count_try_fn sqlite_count_try;
static store_approve_fn sqlite_approve;
static store_find_code_fn sqlite_find_code;
static store_redeem_fn sqlite_redeem;
static store_list_authorizations_fn sqlite_list_authorizations;
static store_describe_authorization_fn sqlite_describe_authorization;
static store_cancel_authorization_fn sqlite_cancel_authorization;
static store_list_keys_fn sqlite_list_keys;
static store_last_expiry_fn sqlite_last_expiry;
static store_add_key_fn sqlite_add_key;
static store_change_key_fn sqlite_change_key;
static store_heartbeat_fn sqlite_heartbeat;
static store_purge_fn sqlite_purge;

const struct store_driver sqlite_driver = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .create_authorization = sqlite_create_authorization,
    .find_authorization = sqlite_find_authorization,
    .count_try = sqlite_count_try,
    .approve = sqlite_approve,
    .find_code = sqlite_find_code,
    .redeem = sqlite_redeem,
    .list_authorizations = sqlite_list_authorizations,
    .describe_authorization = sqlite_describe_authorization,
    .cancel_authorization = sqlite_cancel_authorization,
    .list_keys = sqlite_list_keys,
    .last_expiry = sqlite_last_expiry,
    .add_key = sqlite_add_key,
    .change_key = sqlite_change_key,
    .heartbeat = sqlite_heartbeat,
    .purge = sqlite_purge,
};

MUST_CHECK static bool fail_sqlite(struct error *err, sqlite3 *db, const char *what)
{
    (void)!fail(err, ERROR_STORE_UNAVAILABLE, "%s", what);
    err->cause.library = "sqlite";
    err->cause.number = (unsigned long)sqlite3_extended_errcode(db);
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s", sqlite3_errmsg(db));
    return false;
}

/* ---- statements ---- */

/* Resets a statement that was stepped, so that it holds no lock and borrows no memory. */
static void release_statement(sqlite3_stmt **statement)
{
    if (*statement != NULL) {
        (void)sqlite3_reset(*statement);
        (void)sqlite3_clear_bindings(*statement);
    }
}

static sqlite3_stmt *statement_of(struct connection *connection, enum statement which)
{
    return connection->statements[which];
}

static void bind_text(sqlite3_stmt *statement, int parameter, const char *value)
{
    (void)sqlite3_bind_text(statement, parameter, value, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int parameter, int64_t value)
{
    (void)sqlite3_bind_int64(statement, parameter, value);
}

static void bind_digest(sqlite3_stmt *statement, int parameter, const struct digest *digest)
{
    (void)sqlite3_bind_blob(statement, parameter, digest->bytes, sizeof(digest->bytes),
                            SQLITE_STATIC);
}

static bool run(struct connection *connection, sqlite3_stmt *statement, const char *what,
                struct error *err)
{
    return sqlite3_step(statement) == SQLITE_DONE || fail_sqlite(err, connection->db, what);
}

static bool run_plain(struct connection *connection, enum statement which, const char *what,
                      struct error *err)
{
    scoped(release_statement) sqlite3_stmt *statement = statement_of(connection, which);
    return run(connection, statement, what, err);
}

/* The text of a column into a buffer that the row's writer bounded; NULL gives "". */
static void column_text(sqlite3_stmt *statement, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    (void)snprintf(out, size, "%s", text != NULL ? (const char *)text : "");
}

/* ---- connections ---- */

static void connection_close(struct connection *connection)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(connection->statements[i]);
    }
    (void)sqlite3_close(connection->db);
    *connection = (struct connection){ .db = NULL };
}

static bool connection_open(const char *path, struct connection *connection, struct error *err)
{
    static const char settings[] = "PRAGMA journal_mode = WAL;"
                                   "PRAGMA synchronous = FULL;"
                                   "PRAGMA wal_autocheckpoint = 0;"
                                   "PRAGMA cache_size = -8192;"
                                   "PRAGMA temp_store = MEMORY;";
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    *connection = (struct connection){ .db = NULL };
    if (sqlite3_open_v2(path, &connection->db, flags, NULL) != SQLITE_OK
        || sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS) != SQLITE_OK
        || sqlite3_exec(connection->db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        (void)!fail_sqlite(err, connection->db, "open the database");
        connection_close(connection);
        return error_context(err, "%s", path);
    }
    return true;
}

static bool connection_prepare(struct connection *connection, struct error *err)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_stmt **statement = &connection->statements[i];
        if (sqlite3_prepare_v3(connection->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               statement, NULL)
            != SQLITE_OK) {
            return fail_sqlite(err, connection->db, statements[i]);
        }
        for (int parameter = 1; parameter <= sqlite3_bind_parameter_count(*statement);
             parameter++) {
            /* SQLite numbers "$n" by first appearance: see statements.h. */
            assert(strtol(sqlite3_bind_parameter_name(*statement, parameter) + 1, NULL, 10)
                   == parameter);
        }
    }
    return true;
}

static bool read_number(sqlite3 *db, const char *sql, int64_t *number_out, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    const bool good = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK
                   && sqlite3_step(statement) == SQLITE_ROW;
    *number_out = good ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_finalize(statement);
    return good || fail_sqlite(err, db, sql);
}

static bool migrate(struct connection *connection, struct error *err)
{
    const int64_t newest = COUNT_OF(migrations);
    int64_t version = 0;

    if (!read_number(connection->db, "PRAGMA user_version", &version, err)) {
        return false;
    }
    if (version > newest) {
        return fail(err, ERROR_CONFIG,
                    "the database has schema %" PRId64 ", this program knows %" PRId64
                    ": use a newer issuerd",
                    version, newest);
    }
    for (; version < newest; version++) {
        char bump[64];
        (void)snprintf(bump, sizeof(bump), "PRAGMA user_version = %" PRId64, version + 1);
        if (sqlite3_exec(connection->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK
            || sqlite3_exec(connection->db, migrations[version], NULL, NULL, NULL) != SQLITE_OK
            || sqlite3_exec(connection->db, bump, NULL, NULL, NULL) != SQLITE_OK
            || sqlite3_exec(connection->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
            return fail_sqlite(err, connection->db, "migrate the schema");
        }
        log_event(LOG_LEVEL_NOTICE, "store.migrated", "version=%" PRId64, version + 1);
    }
    return true;
}

/* One that is free, if any is. */
static struct reader *lock_reader(struct sqlite_store *self)
{
    const unsigned first = atomic_fetch_add_explicit(&self->next_reader, 1, memory_order_relaxed);

    for (unsigned i = 0; i < READERS; i++) {
        struct reader *reader = &self->readers[(first + i) % READERS];
        if (pthread_mutex_trylock(&reader->lock) == 0) {
            return reader;
        }
    }
    struct reader *reader = &self->readers[first % READERS];
    pthread_mutex_lock(&reader->lock);
    return reader;
}

/* ---- the WAL ---- */

static int note_wal_size(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct sqlite_store *)context)->wal_pages = pages;
    return SQLITE_OK;
}

static void *checkpointer_run(void *argument)
{
    struct sqlite_store *self = argument;
    struct connection connection;
    struct error err;

    if (!connection_open(self->path, &connection, &err)) {
        log_error(LOG_LEVEL_WARNING, "store.checkpointer_failed", &err, "%s", "");
        return NULL;
    }
    pthread_mutex_lock(&self->checkpoint_lock);
    while (!self->stopping) {
        if (!self->is_due) {
            pthread_cond_wait(&self->checkpoint_due, &self->checkpoint_lock);
            continue;
        }
        pthread_mutex_unlock(&self->checkpoint_lock);
        (void)sqlite3_wal_checkpoint_v2(connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        pthread_mutex_lock(&self->checkpoint_lock);
        self->is_due = false;
    }
    pthread_mutex_unlock(&self->checkpoint_lock);
    connection_close(&connection);
    return NULL;
}

/* The bulk is copied by the checkpointer while we go on. A WAL that grows all the same, since under
 * load it never quite catches up, is finished here: little is left then, and the next transaction
 * starts the WAL from its beginning. */
static void tend_wal(struct sqlite_store *self)
{
    if (self->wal_pages < CHECKPOINT_PAGES) {
        return;
    }
    pthread_mutex_lock(&self->checkpoint_lock);
    const bool is_idle = !self->is_due;
    if (is_idle && self->wal_pages < CHECKPOINT_INLINE_PAGES) {
        self->is_due = true;
        pthread_cond_signal(&self->checkpoint_due);
    }
    pthread_mutex_unlock(&self->checkpoint_lock);
    if (is_idle && self->wal_pages >= CHECKPOINT_INLINE_PAGES) {
        (void)sqlite3_wal_checkpoint_v2(self->writer.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                        NULL);
    }
}

/* ---- open and close ---- */

static bool writer_open(struct sqlite_store *self, struct error *err)
{
    if (!connection_open(self->path, &self->writer, err) || !migrate(&self->writer, err)
        || !connection_prepare(&self->writer, err)
        || !read_number(self->writer.db, statements[COUNT_OPEN], &self->open_requests, err)) {
        connection_close(&self->writer);
        return false;
    }
    (void)sqlite3_wal_hook(self->writer.db, note_wal_size, self);
    return true;
}

static bool readers_open(struct sqlite_store *self, struct error *err)
{
    for (size_t i = 0; i < READERS; i++) {
        struct connection *connection = &self->readers[i].connection;
        if (!connection_open(self->path, connection, err) || !connection_prepare(connection, err)) {
            return false;
        }
    }
    return true;
}

DEFINE_RELEASE(release_store, struct store, store_close)

static bool sqlite_open(const char *location, const struct store_options *options,
                        struct store **store_out, struct error *err)
{
    struct sqlite_store *self = xcalloc(1, sizeof(*self));
    scoped(release_store) struct store *store = &self->base;

    store->driver = &sqlite_driver;
    self->options = *options;
    self->path = xstrdup(location);
    for (size_t i = 0; i < READERS; i++) {
        pthread_mutex_init(&self->readers[i].lock, NULL);
    }
    pthread_mutex_init(&self->checkpoint_lock, NULL);
    pthread_cond_init(&self->checkpoint_due, NULL);
    if (options->must_exist && access(location, F_OK) != 0) {
        return fail(err, ERROR_NOT_FOUND, "sqlite:%s: not there: issuerd makes it when it starts",
                    location);
    }
    if (!writer_open(self, err) || !readers_open(self, err)) {
        return error_context(err, "sqlite:%s", location);
    }
    if (pthread_create(&self->checkpointer, NULL, checkpointer_run, self) != 0) {
        return fail(err, ERROR_INTERNAL, "start a thread");
    }
    self->has_checkpointer = true;
    *store_out = take(store);
    return true;
}

static void sqlite_close(struct store *store)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    if (self->has_checkpointer) {
        pthread_mutex_lock(&self->checkpoint_lock);
        self->stopping = true;
        pthread_cond_signal(&self->checkpoint_due);
        pthread_mutex_unlock(&self->checkpoint_lock);
        pthread_join(self->checkpointer, NULL);
    }
    for (size_t i = 0; i < READERS; i++) {
        connection_close(&self->readers[i].connection);
        pthread_mutex_destroy(&self->readers[i].lock);
    }
    connection_close(&self->writer);
    pthread_mutex_destroy(&self->checkpoint_lock);
    pthread_cond_destroy(&self->checkpoint_due);
    free(self->path);
    free(self);
}

/* ---- transactions ---- */

static bool sqlite_begin(struct store *store, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    if (self->writer.db == NULL && !writer_open(self, err)) {
        return false;
    }
    return run_plain(&self->writer, BEGIN, "begin a transaction", err);
}

static void sqlite_rollback(struct store *store)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    struct error ignored;

    if (self->writer.db == NULL) {
        return;
    }
    if (sqlite3_get_autocommit(self->writer.db) == 0) {
        (void)!run_plain(&self->writer, ROLLBACK, "roll back", &ignored);
    }
    (void)!read_number(self->writer.db, statements[COUNT_OPEN], &self->open_requests, &ignored);
}

/* After a failed write or fsync nothing that this connection remembers can be trusted: it is made
 * afresh, which reads the WAL again from the disk. */
static bool sqlite_commit(struct store *store, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    if (sqlite3_get_autocommit(self->writer.db) != 0) {
        (void)!fail(err, ERROR_STORE_UNAVAILABLE, "the transaction was rolled back");
    } else if (run_plain(&self->writer, COMMIT, "commit", err)) {
        tend_wal(self);
        return true;
    }
    connection_close(&self->writer);
    return false;
}

/* ---- authorizations ---- */

static bool insert_authorization(struct connection *writer, const struct new_authorization *new,
                                 struct error *err)
{
    scoped(release_statement) sqlite3_stmt *insert = statement_of(writer, CREATE_AUTHORIZATION);

    bind_text(insert, 1, new->id);
    bind_text(insert, 2, new->state);
    bind_text(insert, 3, new->nonce);
    bind_text(insert, 4, new->presentation_definition);
    bind_digest(insert, 5, &new->pair);
    bind_number(insert, 6, new->created_s);
    bind_number(insert, 7, new->expires_s);
    if (sqlite3_step(insert) == SQLITE_DONE) {
        return true;
    }
    if (sqlite3_extended_errcode(writer->db) == SQLITE_CONSTRAINT_UNIQUE) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "state and nonce are those of another open request");
    }
    return fail_sqlite(err, writer->db, "create an authorization");
}

static bool sqlite_create_authorization(struct store *store, const struct new_authorization *new,
                                        struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *release = statement_of(&self->writer, RELEASE_PAIR);

    if (self->open_requests >= self->options.max_open_requests) {
        return fail(err, ERROR_OVERLOADED, "%" PRId64 " authorization requests are open",
                    self->open_requests);
    }
    bind_digest(release, 1, &new->pair);
    bind_number(release, 2, new->created_s);
    if (!run(&self->writer, release, "release state and nonce", err)
        || !insert_authorization(&self->writer, new, err)) {
        return false;
    }
    self->open_requests++;
    return true;
}

/* The text of a column of any length; NULL stays NULL. The caller frees. */
static char *column_copy(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text != NULL ? xstrdup((const char *)text) : NULL;
}

static bool read_authorization(struct connection *reader, const char *id,
                               struct open_authorization *found_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *find = statement_of(reader, FIND_AUTHORIZATION);

    bind_text(find, 1, id);
    switch (sqlite3_step(find)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    default:
        return fail_sqlite(err, reader->db, "look an authorization up");
    }
    column_text(find, 0, found_out->state, sizeof(found_out->state));
    column_text(find, 1, found_out->nonce, sizeof(found_out->nonce));
    found_out->presentation_definition = column_copy(find, 2);
    found_out->expires_s = sqlite3_column_int64(find, 3);
    found_out->tries = sqlite3_column_int64(find, 4);
    found_out->has_code = sqlite3_column_int(find, 5) != 0;
    return true;
}

static bool sqlite_find_authorization(struct store *store, const char *id,
                                      struct open_authorization *found_out, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    struct reader *reader = lock_reader(self);
    const bool found = read_authorization(&reader->connection, id, found_out, err);

    pthread_mutex_unlock(&reader->lock);
    return found;
}

static bool sqlite_count_try(struct store *store, const char *id, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *count = statement_of(&self->writer, COUNT_TRY);

    bind_text(count, 1, id);
    return run(&self->writer, count, "count a try", err);
}

static int64_t tries_max(const struct approval *approval)
{
    return approval->presentation != NULL ? approval->presentation->tries_max : INT64_MAX;
}

/* Why no row was approved. */
static bool fail_approval(struct connection *writer, const struct approval *approval,
                          struct error *err)
{
    scoped(release_statement) sqlite3_stmt *status = statement_of(writer, AUTHORIZATION_STATUS);

    bind_number(status, 1, approval->now_s);
    bind_number(status, 2, tries_max(approval));
    bind_text(status, 3, approval->id);
    switch (sqlite3_step(status)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    default:
        return fail_sqlite(err, writer->db, "look an authorization up");
    }
    if (sqlite3_column_int(status, 0) != 0) {
        return fail(err, ERROR_CONFLICT, "the authorization request has its code already");
    }
    if (sqlite3_column_int(status, 1) == 0) {
        return fail(err, ERROR_NOT_FOUND, "the authorization request has expired");
    }
    return sqlite3_column_int(status, 2) == 0
             ? fail(err, ERROR_NOT_OPEN, "the authorization request was tried too often")
             : fail(err, ERROR_PRESENTATION, "the presentation was used for another request");
}

static void bind_approval(sqlite3_stmt *approve, const struct approval *approval,
                          int64_t retention_s)
{
    const struct used_presentation *presentation = approval->presentation;
    int64_t keep_until_s = approval->code_expires_s + retention_s;

    if (presentation != NULL && presentation->usable_until_s > keep_until_s) {
        keep_until_s = presentation->usable_until_s;
    }
    bind_text(approve, 1, approval->holder_did);
    bind_text(approve, 2, approval->scope);
    bind_digest(approve, 3, &approval->code);
    bind_number(approve, 4, approval->code_expires_s);
    bind_number(approve, 5, keep_until_s);
    if (presentation != NULL) {
        bind_digest(approve, 6, &presentation->identity);
    }
    bind_text(approve, 7, approval->id);
    bind_number(approve, 8, approval->now_s);
    bind_number(approve, 9, tries_max(approval));
}

static bool sqlite_approve(struct store *store, const struct approval *approval,
                           struct approved_authorization *approved_out, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *approve = statement_of(&self->writer, APPROVE);

    bind_approval(approve, approval, self->options.retention_s);
    switch (sqlite3_step(approve)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail_approval(&self->writer, approval, err);
    default:
        return fail_sqlite(err, self->writer.db, "approve an authorization");
    }
    approved_out->row = sqlite3_column_int64(approve, 0);
    column_text(approve, 1, approved_out->state, sizeof(approved_out->state));
    column_text(approve, 2, approved_out->nonce, sizeof(approved_out->nonce));
    approved_out->presentation_definition = column_copy(approve, 3);
    self->open_requests--;
    return true;
}

/* ---- codes ---- */

static bool read_code(struct connection *reader, const struct digest *code,
                      struct stored_code *code_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *find = statement_of(reader, FIND_CODE);

    bind_digest(find, 1, code);
    switch (sqlite3_step(find)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail(err, ERROR_CODE_UNKNOWN, "no such authorization code");
    default:
        return fail_sqlite(err, reader->db, "look a code up");
    }
    code_out->row = sqlite3_column_int64(find, 0);
    column_text(find, 1, code_out->authorization_id, sizeof(code_out->authorization_id));
    column_text(find, 2, code_out->holder_did, sizeof(code_out->holder_did));
    column_text(find, 3, code_out->scope, sizeof(code_out->scope));
    code_out->expires_s = sqlite3_column_int64(find, 4);
    code_out->spent = sqlite3_column_int(find, 5) != 0;
    return true;
}

static bool sqlite_find_code(struct store *store, const struct digest *code,
                             struct stored_code *code_out, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    struct reader *reader = lock_reader(self);
    const bool found = read_code(&reader->connection, code, code_out, err);

    pthread_mutex_unlock(&reader->lock);
    return found;
}

static bool append_ledger(struct connection *writer, const struct redemption *redemption,
                          struct error *err)
{
    scoped(release_statement) sqlite3_stmt *append = statement_of(writer, APPEND_LEDGER);

    bind_number(append, 1, redemption->now_s);
    bind_text(append, 2, redemption->jti);
    bind_text(append, 3, redemption->kid);
    bind_text(append, 4, redemption->authorization_id);
    bind_digest(append, 5, &redemption->token);
    bind_digest(append, 6, &redemption->subject);
    bind_number(append, 7, redemption->expires_s);
    return run(writer, append, "append to the ledger", err);
}

static bool sqlite_redeem(struct store *store, const struct redemption *redemption,
                          struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *redeem = statement_of(&self->writer, REDEEM);

    bind_number(redeem, 1, redemption->now_s);
    bind_text(redeem, 2, redemption->jti);
    bind_number(redeem, 3, redemption->row);
    bind_digest(redeem, 4, &redemption->code);
    if (!run(&self->writer, redeem, "spend a code", err)) {
        return false;
    }
    if (sqlite3_changes(self->writer.db) != 1) {
        return fail(err, ERROR_CODE_SPENT, "the code was spent or expired meanwhile");
    }
    return append_ledger(&self->writer, redemption, err);
}

/* ---- authorizations as an operator sees them ---- */

static bool read_facts(sqlite3_stmt *row, struct stored_authorization *out, struct error *err)
{
    char stage[16];

    *out = (struct stored_authorization){ .row = sqlite3_column_int64(row, 0) };
    column_text(row, 1, out->id, sizeof(out->id));
    out->created_s = sqlite3_column_int64(row, 2);
    out->expires_s = sqlite3_column_int64(row, 3);
    column_text(row, 4, stage, sizeof(stage));
    out->redeemed_s = sqlite3_column_int64(row, 5);
    out->cancelled_s = sqlite3_column_int64(row, 6);
    column_text(row, 7, out->holder_did, sizeof(out->holder_did));
    column_text(row, 8, out->scope, sizeof(out->scope));
    column_text(row, 9, out->jti, sizeof(out->jti));
    return authorization_stage_from_name(stage, &out->stage)
        || fail(err, ERROR_INTERNAL, "authorization %s has no stage", out->id);
}

static bool read_authorizations(struct connection *reader,
                                const struct authorization_filter *filter,
                                struct authorization_list *list, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, LIST_AUTHORIZATIONS);
    int result;

    bind_number(rows, 1, filter->now_s);
    bind_text(rows, 2, filter->stage != NULL ? authorization_stage_name(*filter->stage) : "");
    bind_number(rows, 3, filter->before_row);
    bind_number(rows, 4, filter->limit);
    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        list->authorizations =
            xrealloc(list->authorizations, (list->count + 1) * sizeof(*list->authorizations));
        if (!read_facts(rows, &list->authorizations[list->count], err)) {
            return false;
        }
        list->count++;
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "list the authorizations");
}

static bool sqlite_list_authorizations(struct store *store,
                                       const struct authorization_filter *filter,
                                       struct authorization_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct authorization_list){ .count = 0 };
    const bool good = read_authorizations(&reader->connection, filter, list_out, err);
    pthread_mutex_unlock(&reader->lock);
    if (!good) {
        authorization_list_clear(list_out);
    }
    return good;
}

/* The ids that begin so: their alphabet, 0-9a-f and '-', ends before 'g'. */
static bool describe_authorization(struct connection *connection, const char *beginning,
                                   int64_t now_s, struct stored_authorization *found_out,
                                   struct error *err)
{
    scoped(release_statement) sqlite3_stmt *find = statement_of(connection, DESCRIBE_AUTHORIZATION);
    char end[AUTHORIZATION_ID_LENGTH + 2];

    (void)snprintf(end, sizeof(end), "%sg", beginning);
    bind_number(find, 1, now_s);
    bind_text(find, 2, beginning);
    bind_text(find, 3, end);
    int result = sqlite3_step(find);
    if (result == SQLITE_DONE) {
        return fail(err, ERROR_NOT_FOUND, "no authorization has an id that begins with \"%s\"",
                    beginning);
    }
    if (result != SQLITE_ROW) {
        return fail_sqlite(err, connection->db, "look an authorization up");
    }
    if (!read_facts(find, found_out, err)) {
        return false;
    }
    const char *definition = (const char *)sqlite3_column_text(find, 10);
    found_out->presentation_definition = definition != NULL ? xstrdup(definition) : NULL;
    result = sqlite3_step(find);
    if (result == SQLITE_DONE) {
        return true;
    }
    stored_authorization_clear(found_out);
    return result == SQLITE_ROW
             ? fail(err, ERROR_CONFLICT,
                    "\"%s\" begins the ids of several authorizations: write more of it", beginning)
             : fail_sqlite(err, connection->db, "look an authorization up");
}

static bool sqlite_describe_authorization(struct store *store, const char *beginning, int64_t now_s,
                                          struct stored_authorization *found_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool found =
        describe_authorization(&reader->connection, beginning, now_s, found_out, err);

    pthread_mutex_unlock(&reader->lock);
    return found;
}

/* Why no row was cancelled. */
static bool fail_cancellation(struct connection *writer, const char *id, int64_t now_s,
                              struct error *err)
{
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };

    if (!describe_authorization(writer, id, now_s, &found, err)) {
        return false;
    }
    return found.stage == AUTHORIZATION_REDEEMED
             ? fail(err, ERROR_CONFLICT,
                    "authorization %s is redeemed: what can be revoked is its token, jti %s", id,
                    found.jti)
             : fail(err, ERROR_CONFLICT, "authorization %s is %s already", id,
                    authorization_stage_name(found.stage));
}

static bool sqlite_cancel_authorization(struct store *store, const char *id, int64_t now_s,
                                        struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *cancel = statement_of(writer, CANCEL_AUTHORIZATION);

    bind_number(cancel, 1, now_s);
    bind_text(cancel, 2, id);
    return run(writer, cancel, "cancel an authorization", err)
        && (sqlite3_changes(writer->db) == 1 || fail_cancellation(writer, id, now_s, err));
}

/* ---- the keyring ---- */

static bool read_key(sqlite3_stmt *row, struct stored_key *key_out, struct error *err)
{
    char state[16];

    column_text(row, 0, key_out->kid, sizeof(key_out->kid));
    column_text(row, 1, key_out->signer, sizeof(key_out->signer));
    column_text(row, 2, key_out->algorithm, sizeof(key_out->algorithm));
    column_text(row, 3, key_out->jwk, sizeof(key_out->jwk));
    column_text(row, 4, key_out->description, sizeof(key_out->description));
    column_text(row, 5, state, sizeof(state));
    key_out->since_s = sqlite3_column_int64(row, 6);
    key_out->due_s = sqlite3_column_int64(row, 7);
    return key_state_from_name(state, &key_out->state)
        || fail(err, ERROR_STORE_UNAVAILABLE, "key %s has the unknown state \"%s\"", key_out->kid,
                state);
}

static bool read_keys(struct connection *reader, struct key_list *list, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, LIST_KEYS);
    int result;

    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        list->keys = xrealloc(list->keys, (list->count + 1) * sizeof(*list->keys));
        if (!read_key(rows, &list->keys[list->count], err)) {
            return false;
        }
        list->count++;
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "list the keys");
}

static bool sqlite_list_keys(struct store *store, struct key_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct key_list){ .count = 0 };
    const bool good = read_keys(&reader->connection, list_out, err);
    pthread_mutex_unlock(&reader->lock);
    if (!good) {
        key_list_clear(list_out);
    }
    return good;
}

static bool read_last_expiry(struct connection *reader, const char *kid, int64_t *expires_s_out,
                             struct error *err)
{
    scoped(release_statement) sqlite3_stmt *last = statement_of(reader, LAST_EXPIRY);

    bind_text(last, 1, kid);
    if (sqlite3_step(last) != SQLITE_ROW) {
        return fail_sqlite(err, reader->db, "look for the key's last token");
    }
    *expires_s_out = sqlite3_column_int64(last, 0);
    return true;
}

static bool sqlite_last_expiry(struct store *store, const char *kid, int64_t *expires_s_out,
                               struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool good = read_last_expiry(&reader->connection, kid, expires_s_out, err);

    pthread_mutex_unlock(&reader->lock);
    return good;
}

static bool note_key_change(struct connection *writer, const char *kid, enum key_state state,
                            int64_t now_s, const char *reason, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *note = statement_of(writer, NOTE_KEY_CHANGE);

    bind_number(note, 1, now_s);
    bind_text(note, 2, kid);
    bind_text(note, 3, key_state_name(state));
    bind_text(note, 4, reason);
    return run(writer, note, "note a key's change", err);
}

static bool sqlite_add_key(struct store *store, const struct stored_key *key, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *add = statement_of(writer, ADD_KEY);

    bind_text(add, 1, key->kid);
    bind_text(add, 2, key->signer);
    bind_text(add, 3, key->algorithm);
    bind_text(add, 4, key->jwk);
    bind_text(add, 5, key->description);
    bind_text(add, 6, key_state_name(key->state));
    bind_number(add, 7, key->since_s);
    bind_number(add, 8, key->due_s);
    if (!run(writer, add, "enter a key", err)) {
        return false;
    }
    return sqlite3_changes(writer->db) == 0
        || note_key_change(writer, key->kid, key->state, key->since_s, "", err);
}

static bool sqlite_change_key(struct store *store, const struct key_change *change,
                              struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *update = statement_of(writer, CHANGE_KEY);

    bind_text(update, 1, key_state_name(change->to));
    bind_number(update, 2, change->now_s);
    bind_number(update, 3, change->due_s);
    bind_text(update, 4, change->kid);
    bind_text(update, 5, key_state_name(change->from));
    if (!run(writer, update, "change a key's state", err)) {
        return false;
    }
    if (sqlite3_changes(writer->db) != 1) {
        return fail(err, ERROR_CONFLICT, "key %s is not %s any more", change->kid,
                    key_state_name(change->from));
    }
    return note_key_change(writer, change->kid, change->to, change->now_s, change->reason, err);
}

/* ---- upkeep ---- */

static bool sqlite_heartbeat(struct store *store, int64_t now_s, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *beat = statement_of(&self->writer, HEARTBEAT);

    bind_number(beat, 1, now_s);
    return run(&self->writer, beat, "write the heartbeat", err);
}

static bool purge_stage(struct connection *writer, enum statement which, int64_t now_s, int limit,
                        struct error *err)
{
    scoped(release_statement) sqlite3_stmt *purge = statement_of(writer, which);

    bind_number(purge, 1, now_s);
    bind_number(purge, 2, limit);
    return run(writer, purge, "purge", err);
}

/* An operator's tool approves requests too. */
static bool recount_open(struct sqlite_store *self, struct error *err)
{
    const int64_t before = self->data_version;

    return read_number(self->writer.db, "PRAGMA data_version", &self->data_version, err)
        && (self->data_version == before
            || read_number(self->writer.db, statements[COUNT_OPEN], &self->open_requests, err));
}

static bool sqlite_purge(struct store *store, int64_t now_s, int limit, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    if (!purge_stage(&self->writer, PURGE_OPEN, now_s, limit, err)) {
        return false;
    }
    const int purged = sqlite3_changes(self->writer.db);
    self->open_requests -= purged;
    return recount_open(self, err)
        && purge_stage(&self->writer, PURGE_DONE, now_s, limit - purged, err);
}
