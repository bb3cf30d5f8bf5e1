/*
 * The store in an SQLite file: WAL, synchronous=FULL, one writing connection (the committer's), a
 * few reading ones, each behind a mutex, and a thread that moves the WAL into the database file away
 * from the committer's path.
 */
#include "store/sqlite_store.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

enum {
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

    /* What was entered before there were trees stays, in no tree. */
    "ALTER TABLE ledger RENAME TO ledger_before_trees;"
    "CREATE TABLE ledger_trees ("
    " number INTEGER PRIMARY KEY,"
    " node TEXT NOT NULL,"
    " epoch INTEGER NOT NULL,"
    " size INTEGER NOT NULL,"
    " edge BLOB NOT NULL,"
    " pruned INTEGER NOT NULL,"
    " pruned_edge BLOB NOT NULL,"
    " UNIQUE (node, epoch));"
    "CREATE TABLE ledger ("
    " id INTEGER PRIMARY KEY,"
    " jti TEXT,"
    " leaf BLOB NOT NULL,"
    " entry TEXT NOT NULL);"
    "CREATE INDEX ledger_jti ON ledger (jti) WHERE jti IS NOT NULL;"
    "CREATE TABLE checkpoints ("
    " tree INTEGER NOT NULL,"
    " size INTEGER NOT NULL,"
    " time_s INTEGER NOT NULL,"
    " note TEXT NOT NULL,"
    " jwk TEXT NOT NULL,"
    " PRIMARY KEY (tree, size));"
    "CREATE TABLE revoked_tokens ("
    " jti TEXT PRIMARY KEY,"
    " token_expires_s INTEGER NOT NULL,"
    " revoked_s INTEGER NOT NULL);"
    "CREATE INDEX revoked_tokens_expires ON revoked_tokens (token_expires_s);"
    "ALTER TABLE authorizations ADD COLUMN token_expires_s INTEGER;"
    "ALTER TABLE keys ADD COLUMN last_expiry_s INTEGER NOT NULL DEFAULT 0;",
};

static store_check_url_fn sqlite_check_url;
static store_list_files_fn sqlite_list_files;
static store_open_fn sqlite_open;
static store_close_fn sqlite_close;
static store_begin_fn sqlite_begin;
static store_commit_fn sqlite_commit;
static store_rollback_fn sqlite_rollback;
static store_heartbeat_fn sqlite_heartbeat;
static store_purge_fn sqlite_purge;

const struct store_driver sqlite_driver = {
    .check_url = sqlite_check_url,
    .list_files = sqlite_list_files,
    .open = sqlite_open,
    .close = sqlite_close,
    .now_ns = NULL, /* its nodes are processes of one machine */
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .create_authorization = sqlite_create_authorization,
    .find_authorization = sqlite_find_authorization,
    .count_try = sqlite_count_try,
    .approve = sqlite_approve,
    .find_code = sqlite_find_code,
    .send_redemption = sqlite_send_redemption,
    .redeem = sqlite_redeem,
    .has_redeemed = sqlite_has_redeemed,
    .lock_tree = sqlite_lock_tree,
    .keep_tree = sqlite_keep_tree,
    .list_trees = sqlite_list_trees,
    .append_entry = sqlite_append_entry,
    .read_entries = sqlite_read_entries,
    .find_entries = sqlite_find_entries,
    .delete_entries = sqlite_delete_entries,
    .add_checkpoint = sqlite_add_checkpoint,
    .list_checkpoints = sqlite_list_checkpoints,
    .last_checkpoint = sqlite_last_checkpoint,
    .read_raw = sqlite_read_raw,
    .revoke_token = sqlite_revoke_token,
    .list_revoked = sqlite_list_revoked,
    .cancel_all = sqlite_cancel_all,
    .list_authorizations = sqlite_list_authorizations,
    .describe_authorization = sqlite_describe_authorization,
    .cancel_authorization = sqlite_cancel_authorization,
    .list_keys = sqlite_list_keys,
    .note_key_use = sqlite_note_key_use,
    .add_key = sqlite_add_key,
    .change_key = sqlite_change_key,
    .heartbeat = sqlite_heartbeat,
    .purge = sqlite_purge,
};

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

struct reader *lock_reader(struct sqlite_store *self)
{
    const unsigned first = atomic_fetch_add_explicit(&self->next_reader, 1, memory_order_relaxed);

    assert(self->reader_count > 0);
    for (unsigned i = 0; i < self->reader_count; i++) {
        struct reader *reader = &self->readers[(first + i) % self->reader_count];
        if (pthread_mutex_trylock(&reader->lock) == 0) {
            return reader;
        }
    }
    struct reader *reader = &self->readers[first % self->reader_count];
    pthread_mutex_lock(&reader->lock);
    return reader;
}

void unlock_reader(struct reader *reader)
{
    pthread_mutex_unlock(&reader->lock);
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
        CRASH_POINT(SQLITE_CHECKPOINT_BEGUN);
        (void)sqlite3_wal_checkpoint_v2(connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        CRASH_POINT(SQLITE_CHECKPOINTED);
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
    self->reader_count = READERS;
    for (size_t i = 0; i < READERS; i++) {
        struct connection *connection = &self->readers[i].connection;
        if (!connection_open(self->path, connection, err) || !connection_prepare(connection, err)) {
            return false;
        }
    }
    return true;
}

/* ---- reading only ---- */

static void print_uri(const char *path, bool is_immutable, struct text *uri)
{
    text_add(uri, "file:");
    for (; *path != '\0'; path++) {
        char escaped[4] = { *path };
        if (strchr("%?#", *path) != NULL) {
            (void)snprintf(escaped, sizeof(escaped), "%%%02X", (unsigned char)*path);
        }
        text_add(uri, escaped);
    }
    text_add(uri, is_immutable ? "?mode=ro&immutable=1" : "?mode=ro");
}

static bool is_beside(const char *path, const char *suffix, bool *is_empty_out)
{
    char beside[PATH_MAX];
    struct stat status;

    (void)snprintf(beside, sizeof(beside), "%s%s", path, suffix);
    const bool is_there = stat(beside, &status) == 0;
    *is_empty_out = !is_there || status.st_size == 0;
    return is_there;
}

static bool snapshot_begin(const char *path, bool is_immutable, struct connection *connection,
                           struct error *err)
{
    static const char settings[] = "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; BEGIN";
    const int64_t newest = COUNT_OF(migrations);
    int64_t version = 0;
    char buffer[4 * PATH_MAX];
    struct text uri = text_over(buffer, sizeof(buffer));

    print_uri(path, is_immutable, &uri);
    *connection = (struct connection){ .db = NULL };
    if (sqlite3_open_v2(buffer, &connection->db,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL)
            != SQLITE_OK
        || sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS) != SQLITE_OK
        || sqlite3_exec(connection->db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        return fail_sqlite(err, connection->db, "open the database to read it");
    }
    if (!read_number(connection->db, "PRAGMA user_version", &version, err)) {
        return false;
    }
    if (version != newest) {
        return fail(err, ERROR_CONFIG,
                    "the database has schema %" PRId64 ", this program reads %" PRId64 ": %s",
                    version, newest,
                    version < newest ? "issuerd brings it up to date when it starts"
                                     : "use a newer issuerctl");
    }
    return connection_prepare(connection, err);
}

/* A file that no program has open has no WAL beside it: then nothing is made beside it either, so that
 * it may lie where nobody can write. The same if the WAL is empty and its index cannot be made. */
static bool snapshot_open(struct sqlite_store *self, struct error *err)
{
    struct connection *connection = &self->readers[0].connection;
    bool is_empty = false;
    const bool has_wal = is_beside(self->path, "-wal", &is_empty);

    self->reader_count = 1;
    if (snapshot_begin(self->path, !has_wal, connection, err)) {
        return true;
    }
    connection_close(connection);
    return has_wal && is_empty && err->code != ERROR_CONFIG
        && snapshot_begin(self->path, true, connection, err);
}

static bool sqlite_check_url(const char *url, struct error *err)
{
    const char *path = url + strlen("sqlite:");
    struct stat status;

    if (path[0] != '/') {
        return fail(err, ERROR_CONFIG, "must be sqlite:/ABSOLUTE/PATH");
    }
    if (path[strlen(path) - 1] == '/' || (stat(path, &status) == 0 && !S_ISREG(status.st_mode))) {
        return fail(err, ERROR_CONFIG, "must name a file: %s is none", path);
    }
    scoped(release_memory) char *directory = xstrdup(path);
    strrchr(directory, '/')[1] = '\0';
    return (stat(directory, &status) == 0 && S_ISDIR(status.st_mode))
        || fail(err, ERROR_CONFIG, "is in the directory %s that is not there: make it", directory);
}

static void sqlite_list_files(const char *url, store_file_fn *take_file, void *context)
{
    take_file(context, url + strlen("sqlite:"), true);
}

DEFINE_RELEASE(release_store, struct store, store_close)

static bool start_checkpointer(struct sqlite_store *self, struct error *err)
{
    self->has_checkpointer = pthread_create(&self->checkpointer, NULL, checkpointer_run, self) == 0;
    return self->has_checkpointer || fail(err, ERROR_INTERNAL, "start a thread");
}

static bool sqlite_open(const char *url, const struct store_options *options,
                        struct store **store_out, struct error *err)
{
    const char *location = url + strlen("sqlite:");
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
    if ((options->must_exist || options->read_only) && access(location, F_OK) != 0) {
        return fail(err, ERROR_NOT_FOUND, "sqlite:%s: not there: issuerd makes it when it starts",
                    location);
    }
    if (options->read_only ? !snapshot_open(self, err)
                           : !writer_open(self, err) || !readers_open(self, err)
                                 || !start_checkpointer(self, err)) {
        return error_context(err, "sqlite:%s", location);
    }
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

static bool run_plain(struct connection *connection, enum statement which, const char *what,
                      struct error *err)
{
    scoped(release_statement) sqlite3_stmt *statement = statement_of(connection, which);
    return run(connection, statement, what, err);
}

static bool sqlite_begin(struct store *store, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    if (self->options.read_only) {
        return fail(err, ERROR_INTERNAL, "the store was opened to be read");
    }
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
    } else {
        err->code = ERROR_STORE_IN_DOUBT;
    }
    connection_close(&self->writer);
    return false;
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
                        int *purged_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *purge = statement_of(writer, which);

    bind_number(purge, 1, now_s);
    bind_number(purge, 2, limit);
    if (!run(writer, purge, "purge", err)) {
        return false;
    }
    *purged_out = sqlite3_changes(writer->db);
    return true;
}

/* An operator's tool approves requests too. */
static bool recount_open(struct sqlite_store *self, struct error *err)
{
    const int64_t before = self->data_version;

    return read_number(self->writer.db, "PRAGMA data_version", &self->data_version, err)
        && (self->data_version == before
            || read_number(self->writer.db, statements[COUNT_OPEN], &self->open_requests, err));
}

static bool sqlite_purge(struct store *store, int64_t now_s, int limit, bool *more_out,
                         struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    int open = 0;
    int done = 0;
    int revoked = 0;

    if (!purge_stage(&self->writer, PURGE_OPEN, now_s, limit, &open, err)) {
        return false;
    }
    self->open_requests -= open;
    if (!recount_open(self, err)
        || !purge_stage(&self->writer, PURGE_DONE, now_s, limit - open, &done, err)
        || !purge_stage(&self->writer, PURGE_REVOKED, now_s, limit, &revoked, err)) {
        return false;
    }
    *more_out = open + done == limit || revoked == limit;
    return true;
}
