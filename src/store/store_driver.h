/* What a storage engine implements: sqlite.c defines one; store.c picks by the URL's scheme. */
#pragma once

#include "store/store.h"

typedef MUST_CHECK bool store_open_fn(const char *location, const struct store_options *options,
                                      struct store **store_out, struct error *err);
typedef void store_close_fn(struct store *store);
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
typedef MUST_CHECK bool store_redeem_fn(struct store *store, const struct redemption *redemption,
                                        struct error *err);
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
typedef MUST_CHECK bool store_last_expiry_fn(struct store *store, const char *kid,
                                             int64_t *expires_s_out, struct error *err);
typedef MUST_CHECK bool store_add_key_fn(struct store *store, const struct stored_key *key,
                                         struct error *err);
typedef MUST_CHECK bool store_change_key_fn(struct store *store, const struct key_change *change,
                                            struct error *err);
typedef MUST_CHECK bool store_heartbeat_fn(struct store *store, int64_t now_s, struct error *err);
typedef MUST_CHECK bool store_purge_fn(struct store *store, int64_t now_s, int limit,
                                       struct error *err);

struct store_driver {
    const char *scheme; /* "sqlite" */
    store_open_fn *open;
    store_close_fn *close;
    store_begin_fn *begin;
    store_commit_fn *commit;
    store_rollback_fn *rollback;
    store_create_authorization_fn *create_authorization;
    store_find_authorization_fn *find_authorization;
    store_count_try_fn *count_try;
    store_approve_fn *approve;
    store_find_code_fn *find_code;
    store_redeem_fn *redeem;
    store_list_authorizations_fn *list_authorizations;
    store_describe_authorization_fn *describe_authorization;
    store_cancel_authorization_fn *cancel_authorization;
    store_list_keys_fn *list_keys;
    store_last_expiry_fn *last_expiry;
    store_add_key_fn *add_key;
    store_change_key_fn *change_key;
    store_heartbeat_fn *heartbeat;
    store_purge_fn *purge;
};

/* The first member of every engine's own store struct. */
struct store {
    const struct store_driver *driver;
};

/* For engines: the state of that name, as key_state_name() gives it. False: none. */
MUST_CHECK bool key_state_from_name(const char *name, enum key_state *state_out);

extern const struct store_driver sqlite_driver;
