/* What a storage engine implements: sqlite.c and postgresql.c define one each; store.c picks by the
 * URL's scheme. */
#pragma once

#include "store/store.h"

typedef MUST_CHECK bool store_check_url_fn(const char *url, struct error *err);
typedef void store_list_files_fn(const char *url, store_file_fn *take, void *context);
typedef MUST_CHECK bool store_open_fn(const char *url, const struct store_options *options,
                                      struct store **store_out, struct error *err);
typedef void store_close_fn(struct store *store);
typedef int64_t store_now_fn(struct store *store);
typedef MUST_CHECK bool store_begin_fn(struct store *store, struct error *err);
typedef MUST_CHECK bool store_commit_fn(struct store *store, struct error *err);
typedef void store_rollback_fn(struct store *store);
typedef MUST_CHECK bool store_create_authorization_fn(struct store *store,
                                                      const struct new_authorization *new,
                                                      struct error *err);
typedef MUST_CHECK bool store_find_authorization_fn(struct store *store, const char *id,
                                                    struct open_authorization *found_out,
                                                    struct error *err);
typedef MUST_CHECK bool store_count_try_fn(struct store *store, const char *id, struct error *err);
typedef MUST_CHECK bool store_approve_fn(struct store *store, const struct approval *approval,
                                         struct approved_authorization *approved_out,
                                         struct error *err);
typedef MUST_CHECK bool store_find_code_fn(struct store *store, const struct digest *code,
                                           struct stored_code *code_out, struct error *err);
typedef MUST_CHECK bool store_send_redemption_fn(struct store *store,
                                                 const struct redemption *redemption, int64_t now_s,
                                                 struct error *err);
typedef MUST_CHECK bool store_redeem_fn(struct store *store, const struct redemption *redemption,
                                        int64_t now_s, struct error *err);
typedef MUST_CHECK bool store_has_redeemed_fn(struct store *store,
                                              const struct redemption *redemption,
                                              bool *redeemed_out, struct error *err);
typedef MUST_CHECK bool store_lock_tree_fn(struct store *store, const char *node, int64_t epoch,
                                           struct ledger_tree *tree_out, struct error *err);
typedef MUST_CHECK bool store_keep_tree_fn(struct store *store, const struct ledger_tree *tree,
                                           struct error *err);
typedef MUST_CHECK bool store_list_trees_fn(struct store *store, struct ledger_tree_list *list_out,
                                            struct error *err);
typedef MUST_CHECK bool store_append_entry_fn(struct store *store, const struct ledger_row *row,
                                              struct error *err);
typedef MUST_CHECK bool store_read_entries_fn(struct store *store, int64_t tree, int64_t index,
                                              int limit, store_entry_fn *take_row, void *context,
                                              struct error *err);
typedef MUST_CHECK bool store_find_entries_fn(struct store *store, const char *jti,
                                              store_entry_fn *take_row, void *context,
                                              struct error *err);
typedef MUST_CHECK bool store_delete_entries_fn(struct store *store, int64_t tree, int64_t index,
                                                struct error *err);
typedef MUST_CHECK bool store_add_checkpoint_fn(struct store *store,
                                                const struct stored_checkpoint *checkpoint,
                                                struct error *err);
typedef MUST_CHECK bool store_list_checkpoints_fn(struct store *store, int64_t tree, int64_t size,
                                                  int limit, struct checkpoint_list *list_out,
                                                  struct error *err);
typedef MUST_CHECK bool store_last_checkpoint_fn(struct store *store, int64_t tree,
                                                 struct stored_checkpoint *checkpoint_out,
                                                 struct error *err);
typedef MUST_CHECK bool store_read_raw_fn(struct store *store, const struct raw_range *range,
                                          store_raw_fn *take_row, void *context, struct error *err);
typedef MUST_CHECK bool store_revoke_token_fn(struct store *store, const char *jti,
                                              int64_t token_expires_s, int64_t now_s,
                                              bool *is_new_out, struct error *err);
typedef MUST_CHECK bool store_list_revoked_fn(struct store *store, int64_t now_s, int limit,
                                              struct revoked_list *list_out, struct error *err);
typedef MUST_CHECK bool store_cancel_all_fn(struct store *store, int64_t now_s,
                                            int64_t *cancelled_out, struct error *err);
typedef MUST_CHECK bool store_list_authorizations_fn(struct store *store,
                                                     const struct authorization_filter *filter,
                                                     struct authorization_list *list_out,
                                                     struct error *err);
typedef MUST_CHECK bool store_describe_authorization_fn(struct store *store, const char *beginning,
                                                        int64_t now_s,
                                                        struct stored_authorization *found_out,
                                                        struct error *err);
typedef MUST_CHECK bool store_cancel_authorization_fn(struct store *store, const char *id,
                                                      int64_t now_s, struct error *err);
typedef MUST_CHECK bool store_list_keys_fn(struct store *store, struct key_list *list_out,
                                           struct error *err);
typedef MUST_CHECK bool store_note_key_use_fn(struct store *store, const char *kid, int64_t until_s,
                                              struct error *err);
typedef MUST_CHECK bool store_add_key_fn(struct store *store, const struct stored_key *key,
                                         bool *is_new_out, struct error *err);
typedef MUST_CHECK bool store_change_key_fn(struct store *store, const struct key_change *change,
                                            struct error *err);
typedef MUST_CHECK bool store_heartbeat_fn(struct store *store, int64_t now_s, struct error *err);
typedef MUST_CHECK bool store_purge_fn(struct store *store, int64_t now_s, int limit,
                                       bool *more_out, struct error *err);

struct store_driver {
    store_check_url_fn *check_url;
    store_list_files_fn *list_files;
    store_open_fn *open;
    store_close_fn *close;
    store_now_fn *now_ns; /* as read at the last begin, run on; NULL: the machine's clock decides */
    store_begin_fn *begin;
    store_commit_fn *commit;
    store_rollback_fn *rollback;
    store_create_authorization_fn *create_authorization;
    store_find_authorization_fn *find_authorization;
    store_count_try_fn *count_try;
    store_approve_fn *approve;
    store_find_code_fn *find_code;
    store_send_redemption_fn *send_redemption;
    store_redeem_fn *redeem;
    store_has_redeemed_fn *has_redeemed;
    store_lock_tree_fn *lock_tree;
    store_keep_tree_fn *keep_tree;
    store_list_trees_fn *list_trees;
    store_append_entry_fn *append_entry;
    store_read_entries_fn *read_entries;
    store_find_entries_fn *find_entries;
    store_delete_entries_fn *delete_entries;
    store_add_checkpoint_fn *add_checkpoint;
    store_list_checkpoints_fn *list_checkpoints;
    store_last_checkpoint_fn *last_checkpoint;
    store_read_raw_fn *read_raw;
    store_revoke_token_fn *revoke_token;
    store_list_revoked_fn *list_revoked;
    store_cancel_all_fn *cancel_all;
    store_list_authorizations_fn *list_authorizations;
    store_describe_authorization_fn *describe_authorization;
    store_cancel_authorization_fn *cancel_authorization;
    store_list_keys_fn *list_keys;
    store_note_key_use_fn *note_key_use;
    store_add_key_fn *add_key;
    store_change_key_fn *change_key;
    store_heartbeat_fn *heartbeat;
    store_purge_fn *purge;
};

/* The first member of every engine's own store struct. */
struct store {
    const struct store_driver *driver;
    struct clock_guard clocks[STORE_CLOCKS_MAX];
    _Atomic int64_t max_open_requests; /* as store_options has them, or store_set_limits() last */
    _Atomic int64_t retention_s;
};

/* For engines: where an entry stands in the table `ledger`, and back. */
enum { LEDGER_INDEX_BITS = 40 };
int64_t ledger_entry_id(int64_t tree, int64_t index);
int64_t ledger_entry_tree(int64_t id);
int64_t ledger_entry_index(int64_t id);

/* For engines: the edge of so many leaves out of the bytes that are kept of it. False: they are not
 * as many as such an edge has. */
MUST_CHECK bool ledger_edge_from_bytes(int64_t size, const void *bytes, size_t length,
                                       struct merkle_edge *edge_out);

/* For engines: the state of that name, as key_state_name() gives it. False: none. */
MUST_CHECK bool key_state_from_name(const char *name, enum key_state *state_out);

extern const struct store_driver sqlite_driver;
extern const struct store_driver postgresql_driver;
