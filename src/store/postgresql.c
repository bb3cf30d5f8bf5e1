/*
 * The store in PostgreSQL, or what speaks its protocol: one writing connection (the committer's), a
 * few reading ones, each behind a mutex, made anew when they were lost.
 *
 * The fence: a server that lacks what this process committed, or whose timeline is older than that of
 * another, is an old primary that came back, or an older copy. No connection is made to it; the other
 * hosts of the URL are tried. An operator who accepts the older copy begins a new tree in it.
 */
#include "store/postgresql_store.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    CONNECT_MS = 1000, /* for one host */
    BEGIN_MS = 3000,   /* for all of them, and BEGIN */
    RETRY_MS = 250,    /* after none was to be had: who comes meanwhile need not wait */
    OPEN_MS = 10000,
    SNAPSHOT_MS = 60000,
};

static store_open_fn postgresql_open;
static store_check_url_fn postgresql_check_url;
static store_list_files_fn postgresql_list_files;
static store_close_fn postgresql_close;
static store_now_fn postgresql_now_ns;
static store_begin_fn postgresql_begin;
static store_commit_fn postgresql_commit;
static store_rollback_fn postgresql_rollback;
static store_heartbeat_fn postgresql_heartbeat;
static store_purge_fn postgresql_purge;

const struct store_driver postgresql_driver = {
    .check_url = postgresql_check_url,
    .list_files = postgresql_list_files,
    .open = postgresql_open,
    .close = postgresql_close,
    .now_ns = postgresql_now_ns,
    .begin = postgresql_begin,
    .commit = postgresql_commit,
    .rollback = postgresql_rollback,
    .create_authorization = postgresql_create_authorization,
    .find_authorization = postgresql_find_authorization,
    .count_try = postgresql_count_try,
    .approve = postgresql_approve,
    .find_code = postgresql_find_code,
    .send_redemption = postgresql_send_redemption,
    .redeem = postgresql_redeem,
    .has_redeemed = postgresql_has_redeemed,
    .lock_tree = postgresql_lock_tree,
    .keep_tree = postgresql_keep_tree,
    .list_trees = postgresql_list_trees,
    .append_entry = postgresql_append_entry,
    .read_entries = postgresql_read_entries,
    .find_entries = postgresql_find_entries,
    .delete_entries = postgresql_delete_entries,
    .add_checkpoint = postgresql_add_checkpoint,
    .list_checkpoints = postgresql_list_checkpoints,
    .last_checkpoint = postgresql_last_checkpoint,
    .read_raw = postgresql_read_raw,
    .revoke_token = postgresql_revoke_token,
    .list_revoked = postgresql_list_revoked,
    .cancel_all = postgresql_cancel_all,
    .list_authorizations = postgresql_list_authorizations,
    .describe_authorization = postgresql_describe_authorization,
    .cancel_authorization = postgresql_cancel_authorization,
    .list_keys = postgresql_list_keys,
    .note_key_use = postgresql_note_key_use,
    .add_key = postgresql_add_key,
    .change_key = postgresql_change_key,
    .heartbeat = postgresql_heartbeat,
    .purge = postgresql_purge,
};

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t from_now(int ms)
{
    return monotonic_ns() + ms * (int64_t)NS_PER_MS;
}

int64_t pg_answer_deadline(void)
{
    return from_now(PG_ANSWER_MS);
}

/* ---- the fence ---- */

static const struct ledger_tree *find_tree(const struct ledger_tree *trees, size_t count,
                                           const struct ledger_tree *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (trees[i].epoch == wanted->epoch && strcmp(trees[i].node, wanted->node) == 0) {
            return &trees[i];
        }
    }
    return NULL;
}

/* A tree that has grown may have done so in a transaction whose end we do not know. */
static bool has_all_of(const struct ledger_tree *found, const struct ledger_tree *committed)
{
    return found != NULL
        && (found->edge.size > committed->edge.size
            || (found->edge.size == committed->edge.size
                && memcmp(found->edge.roots, committed->edge.roots,
                          merkle_edge_count(found->edge.size) * sizeof(found->edge.roots[0]))
                       == 0));
}

/* Whether the loss of it was accepted: the core finds the node's next tree by itself. */
static bool is_succeeded(const struct ledger_tree_list *list, const struct ledger_tree *committed)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->trees[i].epoch > committed->epoch
            && strcmp(list->trees[i].node, committed->node) == 0) {
            return true;
        }
    }
    return false;
}

static void copy_committed(struct pg_store *self, struct ledger_tree_list *copy)
{
    pthread_mutex_lock(&self->fence_lock);
    if (self->committed_count > 0) {
        copy->trees = xcalloc(self->committed_count, sizeof(*copy->trees));
        copy->count = self->committed_count;
        memcpy(copy->trees, self->committed, copy->count * sizeof(*copy->trees));
    }
    pthread_mutex_unlock(&self->fence_lock);
}

static bool compare_trees(const struct ledger_tree_list *wanted,
                          const struct ledger_tree_list *list, struct error *err)
{
    for (size_t i = 0; i < wanted->count; i++) {
        const struct ledger_tree *committed = &wanted->trees[i];
        const struct ledger_tree *found = find_tree(list->trees, list->count, committed);
        if (!has_all_of(found, committed) && !is_succeeded(list, committed)) {
            return fail(
                err, ERROR_STORE_ROLLED_BACK,
                "the ledger's tree %s/%lld has %lld entries there, and not the %lld that "
                "were committed: an old primary, or an older copy of the store; if there is "
                "no newer one: issuerctl ledger accept-restore",
                committed->node, (long long)committed->epoch,
                (long long)(found != NULL ? found->edge.size : 0), (long long)committed->edge.size);
        }
    }
    return true;
}

/* What another server may not say, or not in this way, counts for nothing. */
static void read_timeline(struct pg_connection *connection, int64_t deadline_ns)
{
    static const char sql[] =
        "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";
    scoped(pg_release_result) PGresult *timeline = NULL;
    struct error ignored;

    if (pg_execute(connection, sql, NULL, &timeline, deadline_ns, &ignored)) {
        connection->timeline = strtoll(PQgetvalue(timeline, 0, 0), NULL, 10);
    }
}

static bool is_outdated(struct pg_store *self, const struct pg_connection *connection)
{
    return connection->timeline != 0 && connection->timeline < atomic_load(&self->timeline);
}

static bool check_timeline(struct pg_store *self, struct pg_connection *connection,
                           int64_t deadline_ns, struct error *err)
{
    read_timeline(connection, deadline_ns);
    int64_t last = atomic_load(&self->timeline);
    while (connection->timeline > last
           && !atomic_compare_exchange_weak(&self->timeline, &last, connection->timeline)) {
    }
    return !is_outdated(self, connection)
        || fail(err, ERROR_STORE_UNAVAILABLE,
                "an old primary: its timeline is %lld, and %lld is the last",
                (long long)connection->timeline, (long long)atomic_load(&self->timeline));
}

/* What is committed while the server makes its list need not be on it. */
static bool check_trees(struct pg_store *self, struct pg_connection *connection,
                        int64_t deadline_ns, struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list committed = { .count = 0 };
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    scoped(pg_release_result) PGresult *trees = NULL;

    copy_committed(self, &committed);
    return pg_call(connection, LIST_TREES, NULL, &trees, deadline_ns, "list the ledger's trees",
                   err)
        && pg_trees(trees, &list, err) && compare_trees(&committed, &list, err);
}

/* Told once, until it is over. */
static void note_fenced(struct pg_store *self, size_t host, const struct error *err)
{
    const bool is_fenced = err != NULL;

    pthread_mutex_lock(&self->fence_lock);
    const bool is_news = is_fenced && !self->is_fenced[host];
    self->is_fenced[host] = is_fenced;
    pthread_mutex_unlock(&self->fence_lock);
    if (is_news) {
        log_error(LOG_LEVEL_ERROR, "store.fenced", err, "host=%s",
                  pg_host_name(&self->target.hosts[host]).text);
    }
}

/* Prepares the statements between: before that SQL text can be run, after it no more. */
static bool check_fence(struct pg_store *self, struct pg_connection *connection,
                        int64_t deadline_ns, struct error *err)
{
    const bool is_current = check_timeline(self, connection, deadline_ns, err);

    if (is_current && !pg_connection_prepare(connection, deadline_ns, err)) {
        return false;
    }
    if (is_current && check_trees(self, connection, deadline_ns, err)) {
        note_fenced(self, connection->host, NULL);
        return true;
    }
    if (!is_current || err->code == ERROR_STORE_ROLLED_BACK) {
        note_fenced(self, connection->host, err);
    }
    return false;
}

static void note_committed(struct pg_store *self, const struct ledger_tree *tree)
{
    struct ledger_tree *known =
        (struct ledger_tree *)find_tree(self->committed, self->committed_count, tree);

    if (known == NULL) {
        self->committed =
            xrealloc(self->committed, (self->committed_count + 1) * sizeof(*self->committed));
        known = &self->committed[self->committed_count++];
    }
    *known = *tree;
}

/* ---- connections ---- */

static bool connect_host(struct pg_store *self, struct pg_connection *connection, size_t host,
                         int64_t deadline_ns, struct error *err)
{
    deadline_ns = earlier(deadline_ns, from_now(CONNECT_MS));
    if (!pg_connection_open(connection, &self->target, host, deadline_ns, err)) {
        return false;
    }
    if (!check_fence(self, connection, deadline_ns, err)) {
        pg_connection_close(connection);
        return false;
    }
    return true;
}

/* To the host that served last, or that comes after one that did not. Of several failures the first
 * is told, or what the fence says. */
static bool connect_any(struct pg_store *self, struct pg_connection *connection,
                        int64_t deadline_ns, struct error *err)
{
    const size_t first = atomic_load(&self->next_host);

    if (monotonic_ns() < atomic_load(&self->retry_ns)) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "no database server was to be had just now");
    }
    for (size_t i = 0; i < self->target.host_count; i++) {
        const size_t host = (first + i) % self->target.host_count;
        struct error reason;
        if (connect_host(self, connection, host, deadline_ns, &reason)) {
            atomic_store(&self->next_host, host);
            return true;
        }
        (void)!error_context(&reason, "%s", pg_host_name(&self->target.hosts[host]).text);
        if (i == 0 || reason.code == ERROR_STORE_ROLLED_BACK) {
            *err = reason;
        }
    }
    atomic_store(&self->retry_ns, from_now(RETRY_MS));
    return false;
}

/* Not to a server that another was promoted over meanwhile. */
static bool ensure_connected(struct pg_store *self, struct pg_connection *connection,
                             int64_t deadline_ns, struct error *err)
{
    if (connection->conn != NULL && is_outdated(self, connection)) {
        pg_connection_close(connection);
    }
    return connection->conn != NULL || connect_any(self, connection, deadline_ns, err);
}

/* The next connection is made to another host, if there is one: this one may be cut off from its
 * standby, and a client would never see that it is primary no more. */
static void drop(struct pg_store *self, struct pg_connection *connection)
{
    pg_connection_close(connection);
    atomic_store(&self->next_host, (connection->host + 1) % self->target.host_count);
}

/* ---- readers ---- */

/* One that is free, if any is. NULL: none became so in time. */
static struct pg_reader *lock_reader(struct pg_store *self, int64_t deadline_ns)
{
    const unsigned first = atomic_fetch_add_explicit(&self->next_reader, 1, memory_order_relaxed);
    const struct timespec deadline = timespec_from_ns(deadline_ns);

    for (unsigned i = 0; i < PG_READERS; i++) {
        struct pg_reader *reader = &self->readers[(first + i) % PG_READERS];
        if (pthread_mutex_trylock(&reader->lock) == 0) {
            return reader;
        }
    }
    struct pg_reader *reader = &self->readers[first % PG_READERS];
    return pthread_mutex_clocklock(&reader->lock, CLOCK_MONOTONIC, &deadline) == 0 ? reader : NULL;
}

static bool read_once(struct pg_store *self, struct pg_connection *connection, int which,
                      const struct pg_arguments *arguments, PGresult **result_out,
                      int64_t deadline_ns, const char *what, struct error *err)
{
    if (!ensure_connected(self, connection, deadline_ns, err)) {
        return false;
    }
    if (pg_call(connection, which, arguments, result_out, deadline_ns, what, err)) {
        return true;
    }
    if (connection->conn == NULL) {
        drop(self, connection);
    }
    return false;
}

/* What is read only is read in the one transaction that began when it was opened. */
static bool read_snapshot(struct pg_store *self, int which, const struct pg_arguments *arguments,
                          PGresult **result_out, const char *what, struct error *err)
{
    struct pg_reader *reader = &self->readers[0];

    pthread_mutex_lock(&reader->lock);
    const bool good = pg_call(&reader->connection, which, arguments, result_out,
                              from_now(SNAPSHOT_MS), what, err);
    pthread_mutex_unlock(&reader->lock);
    return good;
}

bool pg_read(struct pg_store *self, int which, const struct pg_arguments *arguments,
             PGresult **result_out, const char *what, struct error *err)
{
    if (self->options.read_only) {
        return read_snapshot(self, which, arguments, result_out, what, err);
    }
    const int64_t deadline_ns = pg_answer_deadline();
    struct pg_reader *reader = lock_reader(self, deadline_ns);

    if (reader == NULL) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "%s: all connections to the database are at work",
                    what);
    }
    struct pg_connection *connection = &reader->connection;
    const bool was_open = connection->conn != NULL;
    bool good = read_once(self, connection, which, arguments, result_out, deadline_ns, what, err);
    /* A server that was restarted has closed what was open. */
    if (!good && was_open && connection->conn == NULL && monotonic_ns() < deadline_ns) {
        good = read_once(self, connection, which, arguments, result_out, deadline_ns, what, err);
    }
    pthread_mutex_unlock(&reader->lock);
    return good;
}

/* ---- open and close ---- */

/* To any host that is as the URL asks; no statements are prepared yet. */
static bool connect_plain(struct pg_store *self, struct pg_connection *connection,
                          struct error *err)
{
    for (size_t host = 0; host < self->target.host_count; host++) {
        const int64_t deadline_ns = from_now(CONNECT_MS);
        if (pg_connection_open(connection, &self->target, host, deadline_ns, err)) {
            if (check_timeline(self, connection, deadline_ns, err)) {
                return true;
            }
            pg_connection_close(connection);
        }
        (void)!error_context(err, "%s", pg_host_name(&self->target.hosts[host]).text);
    }
    return false;
}

static bool open_schema(struct pg_store *self, struct error *err)
{
    struct pg_connection connection = { .conn = NULL };
    const bool good = connect_plain(self, &connection, err)
                   && pg_schema_open(&connection, self->options.must_exist, err);

    pg_connection_close(&connection);
    return good;
}

/* Of several primaries the last that was promoted is the one: who was that before has no standby. */
static void survey_hosts(struct pg_store *self)
{
    struct error ignored;

    for (size_t host = 0; host < self->target.host_count && self->target.host_count > 1; host++) {
        struct pg_connection connection = { .conn = NULL };
        const int64_t deadline_ns = from_now(CONNECT_MS);
        if (pg_connection_open(&connection, &self->target, host, deadline_ns, &ignored)) {
            (void)!check_timeline(self, &connection, deadline_ns, &ignored);
            pg_connection_close(&connection);
        }
    }
}

static bool snapshot_open(struct pg_store *self, struct error *err)
{
    static const char begin[] = "SET statement_timeout = 0;"
                                "SET idle_in_transaction_session_timeout = 0;"
                                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    struct pg_connection *connection = &self->readers[0].connection;
    const int64_t deadline_ns = from_now(OPEN_MS);

    survey_hosts(self);
    return connect_plain(self, connection, err) && pg_schema_check(connection, err)
        && pg_execute(connection, begin, NULL, NULL, deadline_ns, err)
        && pg_connection_prepare(connection, deadline_ns, err);
}

static bool count_open(struct pg_store *self, struct error *err)
{
    scoped(pg_release_result) PGresult *count = NULL;

    if (!pg_write_returning(self, COUNT_OPEN, NULL, &count, "count the open requests", err)) {
        return false;
    }
    self->open_requests = pg_number(count, 0, 0);
    return true;
}

static bool read_clock(struct pg_store *self, int64_t deadline_ns, struct error *err)
{
    scoped(pg_release_result) PGresult *clock = NULL;

    if (!pg_call(&self->writer, PG_CLOCK, NULL, &clock, deadline_ns, "read the database's clock",
                 err)) {
        return false;
    }
    atomic_store(&self->clock_ahead_ns, pg_number(clock, 0, 0) * 1000 - boot_ns());
    return true;
}

static bool writer_open(struct pg_store *self, struct error *err)
{
    survey_hosts(self);
    return open_schema(self, err) && ensure_connected(self, &self->writer, from_now(OPEN_MS), err)
        && read_clock(self, pg_answer_deadline(), err) && count_open(self, err);
}

static bool postgresql_check_url(const char *url, struct error *err)
{
    scoped(pg_target_clear) struct pg_target target = { .options = NULL };
    return pg_target_parse(url, &target, err);
}

static void take_from_home(const char *name, store_file_fn *take_file, void *context)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX];

    if (home != NULL && home[0] == '/'
        && snprintf(path, sizeof(path), "%s/%s", home, name) < (int)sizeof(path)) {
        take_file(context, path, false);
    }
}

/* What libpq reads at each connection, as it is told or by its defaults. */
static void postgresql_list_files(const char *url, store_file_fn *take_file, void *context)
{
    static const char *const keywords[] = { "passfile", "sslcert",   "sslkey",
                                            "sslcrl",   "sslcrldir", "sslrootcert" };
    scoped(pg_target_clear) struct pg_target target = { .options = NULL };
    struct error unused;

    if (!pg_target_parse(url, &target, &unused)) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        const char *path = pg_target_option(&target, keywords[i]);
        if (path != NULL && path[0] == '/') {
            take_file(context, path, false);
        }
    }
    take_from_home(".pgpass", take_file, context);
    take_from_home(".postgresql/root.crt", take_file, context);
}

DEFINE_RELEASE(release_store, struct store, store_close)

static bool postgresql_open(const char *url, const struct store_options *options,
                            struct store **store_out, struct error *err)
{
    struct pg_store *self = xcalloc(1, sizeof(*self));
    scoped(release_store) struct store *store = &self->base;

    store->driver = &postgresql_driver;
    self->options = *options;
    pthread_mutex_init(&self->fence_lock, NULL);
    for (size_t i = 0; i < PG_READERS; i++) {
        pthread_mutex_init(&self->readers[i].lock, NULL);
    }
    if (!pg_target_parse(url, &self->target, err)) {
        return error_context(err, "store.url");
    }
    self->target.takes_any = options->read_only;
    if (options->read_only ? !snapshot_open(self, err) : !writer_open(self, err)) {
        return false;
    }
    *store_out = take(store);
    return true;
}

static void postgresql_close(struct store *store)
{
    struct pg_store *self = (struct pg_store *)store;

    for (size_t i = 0; i < PG_READERS; i++) {
        pg_connection_close(&self->readers[i].connection);
        pthread_mutex_destroy(&self->readers[i].lock);
    }
    pg_connection_close(&self->writer);
    pthread_mutex_destroy(&self->fence_lock);
    pg_target_clear(&self->target);
    free(self->kept);
    free(self->committed);
    free(self);
}

/* ---- transactions ---- */

/* The database's: as measured last, and run on by the clock that nobody sets. */
static int64_t postgresql_now_ns(struct store *store)
{
    struct pg_store *self = (struct pg_store *)store;
    return boot_ns() + atomic_load(&self->clock_ahead_ns);
}

static bool begin_once(struct pg_store *self, int64_t deadline_ns, struct error *err)
{
    if (!ensure_connected(self, &self->writer, deadline_ns, err)) {
        return false;
    }
    self->writer.redeemed_count = self->writer.redeemed_taken = 0;
    if (pg_send(&self->writer, BEGIN, NULL, err)
        && read_clock(self, earlier(deadline_ns, pg_answer_deadline()), err)) {
        return true;
    }
    drop(self, &self->writer);
    return false;
}

static bool postgresql_begin(struct store *store, struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    const int64_t deadline_ns = from_now(BEGIN_MS);
    const bool was_open = self->writer.conn != NULL;

    if (self->options.read_only) {
        return fail(err, ERROR_INTERNAL, "the store was opened to be read");
    }
    self->kept_count = 0;
    self->open_before = self->open_requests;
    /* A server that was restarted has closed what was open. */
    return begin_once(self, deadline_ns, err) || (was_open && begin_once(self, deadline_ns, err));
}

static void postgresql_rollback(struct store *store)
{
    struct pg_store *self = (struct pg_store *)store;
    struct error ignored;

    self->open_requests = self->open_before;
    if (self->writer.is_read_only
        || !pg_call(&self->writer, ROLLBACK, NULL, NULL, pg_answer_deadline(), "roll back",
                    &ignored)) {
        drop(self, &self->writer);
    }
}

/* COMMIT was answered, with or without a WARNING. */
static bool judge_commit(struct pg_store *self, PGresult *result, struct error *err)
{
    if (strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "the transaction was rolled back");
    }
    return !self->writer.has_warned
        || fail(err, ERROR_STORE_IN_DOUBT,
                "the wait for the standby was cancelled: it may not have the transaction");
}

static bool commit(struct pg_store *self, struct error *err)
{
    scoped(pg_release_result) PGresult *result = NULL;

    if (self->writer.conn == NULL) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "the connection to the database was lost");
    }
    self->writer.has_warned = self->writer.is_certain = false;
    if (pg_call(&self->writer, COMMIT, NULL, &result, pg_answer_deadline(), "commit", err)) {
        return judge_commit(self, result, err);
    }
    if (!self->writer.is_certain) {
        err->code = ERROR_STORE_IN_DOUBT;
    }
    return false;
}

static bool postgresql_commit(struct store *store, struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;

    if (!commit(self, err)) {
        drop(self, &self->writer);
        return false;
    }
    pthread_mutex_lock(&self->fence_lock);
    for (size_t i = 0; i < self->kept_count; i++) {
        note_committed(self, &self->kept[i]);
    }
    pthread_mutex_unlock(&self->fence_lock);
    return true;
}

bool pg_write_returning(struct pg_store *self, int which, const struct pg_arguments *arguments,
                        PGresult **result_out, const char *what, struct error *err)
{
    return pg_call(&self->writer, which, arguments, result_out, pg_answer_deadline(), what, err);
}

bool pg_write(struct pg_store *self, int which, const struct pg_arguments *arguments,
              int64_t *changed_out, const char *what, struct error *err)
{
    scoped(pg_release_result) PGresult *result = NULL;

    if (!pg_write_returning(self, which, arguments, &result, what, err)) {
        return false;
    }
    if (changed_out != NULL) {
        *changed_out = pg_changed(result);
    }
    return true;
}

/* ---- upkeep ---- */

static bool postgresql_heartbeat(struct store *store, int64_t now_s, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };
    int64_t written = 0;

    pg_add_number(&arguments, now_s);
    return pg_write((struct pg_store *)store, HEARTBEAT, &arguments, &written,
                    "write the heartbeat", err)
        && (written == 1
            || fail(err, ERROR_STORE_UNAVAILABLE, "write the heartbeat: no row of it is free"));
}

static bool purge_stage(struct pg_store *self, int which, int64_t now_s, int limit,
                        int64_t *purged_out, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, now_s);
    pg_add_number(&arguments, limit);
    return pg_write(self, which, &arguments, purged_out, "purge", err);
}

/* Other nodes create and approve requests too: they are counted again. */
static bool postgresql_purge(struct store *store, int64_t now_s, int limit, bool *more_out,
                             struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    int64_t open = 0;
    int64_t done = 0;
    int64_t revoked = 0;

    if (!purge_stage(self, PURGE_OPEN, now_s, limit, &open, err) || !count_open(self, err)
        || !purge_stage(self, PURGE_DONE, now_s, limit - (int)open, &done, err)
        || !purge_stage(self, PURGE_REVOKED, now_s, limit, &revoked, err)) {
        return false;
    }
    *more_out = open + done == limit || revoked == limit;
    return true;
}
