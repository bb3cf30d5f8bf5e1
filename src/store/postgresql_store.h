/*
 * What the PostgreSQL store's files share: where its URL leads, its connections, and the handling of
 * a statement. Nothing else includes it.
 */
#pragma once

#include "base/memory.h"
#include "store/statements.h"
#include "store/store_driver.h"

#include <pthread.h>
#include <stdatomic.h>

#include <libpq-fe.h>

enum {
    PG_READERS = 4,
    PG_HOSTS_MAX = 8,
    PG_ARGUMENTS_MAX = 9,
    PG_ANSWER_MS = 1500, /* for an answer, or a place in the queue for a connection */
};

/* This engine's own statement, after the shared ones: its clock in microseconds since 1970. */
enum { PG_CLOCK = STATEMENT_COUNT, PG_STATEMENT_COUNT };

/* ---- postgresql_url.c: where a URL leads ---- */

struct pg_host {
    const char *name;    /* NULL: libpq's default, a Unix socket */
    const char *address; /* NULL: by the name */
    const char *port;    /* NULL: libpq's default */
};

struct pg_target {
    PQconninfoOption *options; /* all that the URL says */
    char *names, *addresses, *ports;
    struct pg_host hosts[PG_HOSTS_MAX];
    size_t host_count;
    bool takes_any; /* host, also one that is read only, if the URL does not say otherwise */
};

/* Fails with ERROR_CONFIG, the message going on from "store.url". The caller clears *target_out. */
MUST_CHECK bool pg_target_parse(const char *url, struct pg_target *target_out, struct error *err);
void pg_target_clear(struct pg_target *target);

/* What the URL says under that name; NULL: nothing. */
const char *pg_target_option(const struct pg_target *target, const char *keyword);

/* Of one of its hosts, for messages. */
struct pg_host_name {
    char text[128];
};
struct pg_host_name pg_host_name(const struct pg_host *host);

/* ---- postgresql_connection.c: one connection ---- */

struct pg_connection {
    PGconn *conn; /* NULL: there is none */
    size_t host;  /* of the target's */
    int64_t
        timeline; /* of the server when we connected: a promotion begins the next; 0: not known */

    /* Statements that were sent and whose results nobody has read, in order. */
    int *unread;
    size_t unread_count;
    size_t unread_size;

    /* How many rows each redemption changed, of those that were read and not asked for yet. */
    int *redeemed;
    size_t redeemed_count;
    size_t redeemed_taken;

    bool has_warned; /* the server sent a WARNING */
    /* After a failure: the server said so, and that it did not run what was sent after it. */
    bool is_certain;
    bool is_read_only; /* the server is, unexpectedly */
};

/* Connects to a host of the target, at the latest at `deadline_ns` (monotonic), but for the time that
 * the system's resolver takes for a name. No statements are prepared yet. */
MUST_CHECK bool pg_connection_open(struct pg_connection *connection, const struct pg_target *target,
                                   size_t host, int64_t deadline_ns, struct error *err);

/* Prepares the statements and begins to pipeline. */
MUST_CHECK bool pg_connection_prepare(struct pg_connection *connection, int64_t deadline_ns,
                                      struct error *err);
void pg_connection_close(struct pg_connection *connection);

/* Runs SQL text, several statements if it has no argument ($1, a number): for the schema, before
 * pg_connection_prepare(). The caller clears *result_out, the last statement's; NULL: not wanted. */
MUST_CHECK bool pg_execute(struct pg_connection *connection, const char *sql,
                           const int64_t *argument, PGresult **result_out, int64_t deadline_ns,
                           struct error *err);

/* Arguments of a statement, in order. Texts and digests are borrowed until it is sent. */
struct pg_arguments {
    const char *values[PG_ARGUMENTS_MAX];
    int lengths[PG_ARGUMENTS_MAX];
    int formats[PG_ARGUMENTS_MAX];
    char numbers[PG_ARGUMENTS_MAX][24];
    int count;
};
void pg_add_number(struct pg_arguments *arguments, int64_t value);
void pg_add_text(struct pg_arguments *arguments, const char *value); /* NULL: SQL's NULL */
void pg_add_bytes(struct pg_arguments *arguments, const void *bytes, size_t length);
void pg_add_digest(struct pg_arguments *arguments, const struct digest *digest); /* likewise */

/* Sends a statement; what becomes of it is read by the next pg_finish() or pg_call(). NULL: it has no
 * arguments. */
MUST_CHECK bool pg_send(struct pg_connection *connection, int which,
                        const struct pg_arguments *arguments, struct error *err);

/* Reads the results of all that was sent; true if all of it went well. *result_out is the last
 * one's. A connection that was lost, or gave no answer in time, is closed. */
MUST_CHECK bool pg_finish(struct pg_connection *connection, PGresult **result_out,
                          int64_t deadline_ns, const char *what, struct error *err);

/* Both. */
MUST_CHECK bool pg_call(struct pg_connection *connection, int which,
                        const struct pg_arguments *arguments, PGresult **result_out,
                        int64_t deadline_ns, const char *what, struct error *err);

DEFINE_RELEASE(pg_release_result, PGresult, PQclear)

/* Columns of a row, from 0. NULL is 0, "", NULL and no bytes. */
int64_t pg_number(const PGresult *result, int row, int column);
void pg_text(const PGresult *result, int row, int column, char *out, size_t size);
char *pg_copy(const PGresult *result, int row, int column); /* the caller frees */

/* Room for as many as there are rows; NULL if there are none. The caller frees. */
void *pg_list(const PGresult *result, size_t size);

/* How many rows the statement changed. */
int64_t pg_changed(PGresult *result);

/* ---- postgresql_schema.c ---- */

/* Brings the schema to this program's version, and refuses one that is not what it should be.
 * Fails with NOT_FOUND if there is none and `must_exist`. */
MUST_CHECK bool pg_schema_open(struct pg_connection *connection, bool must_exist,
                               struct error *err);

/* Fails unless it is of this program's version. */
MUST_CHECK bool pg_schema_check(struct pg_connection *connection, struct error *err);

/* ---- postgresql.c ---- */

int64_t pg_answer_deadline(void); /* from now */

struct pg_reader {
    pthread_mutex_t lock;
    struct pg_connection connection;
};

struct pg_store {
    struct store base;
    struct store_options options;
    struct pg_target target;
    struct pg_connection writer;
    struct pg_reader readers[PG_READERS];
    _Atomic unsigned next_reader;
    _Atomic size_t next_host;       /* to try first */
    _Atomic int64_t retry_ns;       /* no host is tried before: none was to be had */
    _Atomic int64_t clock_ahead_ns; /* of the server's clock, to the boot clock */

    /* The writer's alone. */
    int64_t open_requests;
    int64_t open_before;      /* the transaction */
    struct ledger_tree *kept; /* by the transaction */
    size_t kept_count;

    _Atomic int64_t timeline; /* the last that any server had */

    /* The trees as they were committed last, and the hosts that lack some of it. */
    pthread_mutex_t fence_lock;
    struct ledger_tree *committed;
    size_t committed_count;
    bool is_fenced[PG_HOSTS_MAX];
};

/* Runs a statement that reads, on a connection of the readers'. */
MUST_CHECK bool pg_read(struct pg_store *store, int which, const struct pg_arguments *arguments,
                        PGresult **result_out, const char *what, struct error *err);

/* Runs a statement of the transaction, and tells how many rows it changed (NULL: of no interest). */
MUST_CHECK bool pg_write(struct pg_store *store, int which, const struct pg_arguments *arguments,
                         int64_t *changed_out, const char *what, struct error *err);

/* The same of a statement that returns rows. */
MUST_CHECK bool pg_write_returning(struct pg_store *store, int which,
                                   const struct pg_arguments *arguments, PGresult **result_out,
                                   const char *what, struct error *err);

/* ---- postgresql_authorizations.c ---- */

store_create_authorization_fn postgresql_create_authorization;
store_find_authorization_fn postgresql_find_authorization;
store_count_try_fn postgresql_count_try;
store_approve_fn postgresql_approve;
store_find_code_fn postgresql_find_code;
store_send_redemption_fn postgresql_send_redemption;
store_redeem_fn postgresql_redeem;
store_has_redeemed_fn postgresql_has_redeemed;
store_list_authorizations_fn postgresql_list_authorizations;
store_describe_authorization_fn postgresql_describe_authorization;
store_cancel_authorization_fn postgresql_cancel_authorization;
store_cancel_all_fn postgresql_cancel_all;

/* ---- postgresql_ledger.c ---- */

store_lock_tree_fn postgresql_lock_tree;
store_keep_tree_fn postgresql_keep_tree;
store_list_trees_fn postgresql_list_trees;
store_append_entry_fn postgresql_append_entry;
store_read_entries_fn postgresql_read_entries;
store_find_entries_fn postgresql_find_entries;
store_delete_entries_fn postgresql_delete_entries;
store_add_checkpoint_fn postgresql_add_checkpoint;
store_list_checkpoints_fn postgresql_list_checkpoints;
store_last_checkpoint_fn postgresql_last_checkpoint;
store_read_raw_fn postgresql_read_raw;
store_revoke_token_fn postgresql_revoke_token;
store_list_revoked_fn postgresql_list_revoked;

/* The trees in the result of LIST_TREES. The caller clears *list_out. */
MUST_CHECK bool pg_trees(const PGresult *result, struct ledger_tree_list *list_out,
                         struct error *err);

/* ---- postgresql_keys.c ---- */

store_list_keys_fn postgresql_list_keys;
store_note_key_use_fn postgresql_note_key_use;
store_add_key_fn postgresql_add_key;
store_change_key_fn postgresql_change_key;
