/*
 * What the SQLite store's files share: its connections, and the handling of a statement. Nothing
 * else includes it.
 */
#pragma once

#include "store/statements.h"
#include "store/store_driver.h"

#include <pthread.h>
#include <stdatomic.h>

#include <sqlite3.h>

enum { READERS = 4 };

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
    unsigned reader_count; /* one that stays in its transaction, if read only */
    _Atomic unsigned next_reader;

    pthread_mutex_t checkpoint_lock;
    pthread_cond_t checkpoint_due;
    pthread_t checkpointer;
    bool has_checkpointer;
    bool is_due;
    bool stopping;
    int wal_pages;
};

/* sqlite_authorizations.c */
store_create_authorization_fn sqlite_create_authorization;
store_find_authorization_fn sqlite_find_authorization;
store_count_try_fn sqlite_count_try;
store_approve_fn sqlite_approve;
store_find_code_fn sqlite_find_code;
store_send_redemption_fn sqlite_send_redemption;
store_redeem_fn sqlite_redeem;
store_has_redeemed_fn sqlite_has_redeemed;
store_list_authorizations_fn sqlite_list_authorizations;
store_describe_authorization_fn sqlite_describe_authorization;
store_cancel_authorization_fn sqlite_cancel_authorization;
store_cancel_all_fn sqlite_cancel_all;

/* sqlite_ledger.c */
store_lock_tree_fn sqlite_lock_tree;
store_keep_tree_fn sqlite_keep_tree;
store_list_trees_fn sqlite_list_trees;
store_append_entry_fn sqlite_append_entry;
store_read_entries_fn sqlite_read_entries;
store_find_entries_fn sqlite_find_entries;
store_delete_entries_fn sqlite_delete_entries;
store_add_checkpoint_fn sqlite_add_checkpoint;
store_list_checkpoints_fn sqlite_list_checkpoints;
store_last_checkpoint_fn sqlite_last_checkpoint;
store_revoke_token_fn sqlite_revoke_token;
store_list_revoked_fn sqlite_list_revoked;

/* sqlite_raw.c */
store_read_raw_fn sqlite_read_raw;

/* sqlite_keys.c */
store_list_keys_fn sqlite_list_keys;
store_note_key_use_fn sqlite_note_key_use;
store_add_key_fn sqlite_add_key;
store_change_key_fn sqlite_change_key;

/* ---- statements ---- */

/* The statement is ready; after its use release_statement() resets it, so that it holds no lock and
 * borrows no memory. */
static inline sqlite3_stmt *statement_of(struct connection *connection, enum statement which)
{
    return connection->statements[which];
}

void release_statement(sqlite3_stmt **statement);

/* Parameters count from 1; what is bound is borrowed until the statement is released. */
void bind_text(sqlite3_stmt *statement, int parameter, const char *value);
void bind_number(sqlite3_stmt *statement, int parameter, int64_t value);
void bind_digest(sqlite3_stmt *statement, int parameter, const struct digest *digest);

/* Runs a statement that gives no rows. */
MUST_CHECK bool run(struct connection *connection, sqlite3_stmt *statement, const char *what,
                    struct error *err);

/* The text of a column into a buffer that the row's writer bounded; NULL gives "". */
void column_text(sqlite3_stmt *statement, int column, char *out, size_t size);

/* The text of a column of any length; NULL stays NULL. The caller frees. */
char *column_copy(sqlite3_stmt *statement, int column);

MUST_CHECK bool fail_sqlite(struct error *err, sqlite3 *db, const char *what);

/* A reading connection, one that is free if any is. */
struct reader *lock_reader(struct sqlite_store *store);
void unlock_reader(struct reader *reader);
