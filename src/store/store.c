/* Picks the engine by the URL's scheme and passes every call on. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/store_driver.h"

static const struct {
    const char *scheme;
    const char *name;
    const struct store_driver *driver;
} engines[] = {
    { "sqlite:", "sqlite", &sqlite_driver },
    { "postgresql:", "postgresql", &postgresql_driver },
    { "postgres:", "postgresql", &postgresql_driver },
};

/* NULL: there is none. */
static const struct store_driver *find_driver(const char *url)
{
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        if (strncmp(url, engines[i].scheme, strlen(engines[i].scheme)) == 0) {
            return engines[i].driver;
        }
    }
    return NULL;
}

const char *store_engine_name(const char *url)
{
    const struct store_driver *driver = find_driver(url);

    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        if (driver != NULL && engines[i].driver == driver) {
            return engines[i].name;
        }
    }
    return NULL;
}

bool store_check_url(const char *url, struct error *err)
{
    const struct store_driver *driver = find_driver(url);

    return driver != NULL ? driver->check_url(url, err)
                          : fail(err, ERROR_CONFIG,
                                 "must be sqlite:/ABSOLUTE/PATH or postgresql://HOST/DATABASE");
}

void store_list_files(const char *url, store_file_fn *take, void *context)
{
    find_driver(url)->list_files(url, take, context);
}

bool store_open(const char *url, const struct store_options *options, struct store **store_out,
                struct error *err)
{
    const struct store_driver *driver = find_driver(url);

    if (driver == NULL) {
        return fail(err, ERROR_CONFIG,
                    "store.url: no engine for this scheme (sqlite:, postgresql:)");
    }
    if (!driver->open(url, options, store_out, err)) {
        return false;
    }
    store_set_limits(*store_out, options->max_open_requests, options->retention_s);
    (void)store_confirm_clock(*store_out);
    return true;
}

void store_set_limits(struct store *store, int64_t max_open_requests, int64_t retention_s)
{
    store->max_open_requests = max_open_requests;
    store->retention_s = retention_s;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        store->driver->close(store);
    }
}

bool store_begin(struct store *store, int64_t *now_s_out, struct error *err)
{
    if (!store->driver->begin(store, err)) {
        return false;
    }
    if (!store_read_clock(store, now_s_out, err)) {
        store_rollback(store);
        return false;
    }
    return true;
}

bool store_commit(struct store *store, struct error *err)
{
    return store->driver->commit(store, err);
}

void store_rollback(struct store *store)
{
    store->driver->rollback(store);
}

bool store_create_authorization(struct store *store, const struct new_authorization *authorization,
                                struct error *err)
{
    return store->driver->create_authorization(store, authorization, err);
}

bool store_find_authorization(struct store *store, const char *id,
                              struct open_authorization *found_out, struct error *err)
{
    return store->driver->find_authorization(store, id, found_out, err);
}

bool store_count_try(struct store *store, const char *id, struct error *err)
{
    return store->driver->count_try(store, id, err);
}

bool store_approve(struct store *store, const struct approval *approval,
                   struct approved_authorization *approved_out, struct error *err)
{
    return store->driver->approve(store, approval, approved_out, err);
}

bool store_find_code(struct store *store, const struct digest *code, struct stored_code *code_out,
                     struct error *err)
{
    return store->driver->find_code(store, code, code_out, err);
}

bool store_send_redemption(struct store *store, const struct redemption *redemption, int64_t now_s,
                           struct error *err)
{
    return store->driver->send_redemption(store, redemption, now_s, err);
}

bool store_redeem(struct store *store, const struct redemption *redemption, int64_t now_s,
                  struct error *err)
{
    return store->driver->redeem(store, redemption, now_s, err);
}

bool store_has_redeemed(struct store *store, const struct redemption *redemption,
                        bool *redeemed_out, struct error *err)
{
    return store->driver->has_redeemed(store, redemption, redeemed_out, err);
}

/* ---- the ledger ---- */

int64_t ledger_entry_id(int64_t tree, int64_t index)
{
    return tree << LEDGER_INDEX_BITS | index;
}

int64_t ledger_entry_tree(int64_t id)
{
    return id >> LEDGER_INDEX_BITS;
}

int64_t ledger_entry_index(int64_t id)
{
    return id & ((INT64_C(1) << LEDGER_INDEX_BITS) - 1);
}

bool ledger_edge_from_bytes(int64_t size, const void *bytes, size_t length,
                            struct merkle_edge *edge_out)
{
    edge_out->size = size;
    if (size < 0 || size >> LEDGER_INDEX_BITS != 0
        || length != merkle_edge_count(size) * sizeof(edge_out->roots[0])) {
        return false;
    }
    if (length > 0) {
        memcpy(edge_out->roots, bytes, length);
    }
    return true;
}

bool store_lock_tree(struct store *store, const char *node, int64_t epoch,
                     struct ledger_tree *tree_out, struct error *err)
{
    return store->driver->lock_tree(store, node, epoch, tree_out, err);
}

bool store_keep_tree(struct store *store, const struct ledger_tree *tree, struct error *err)
{
    return store->driver->keep_tree(store, tree, err);
}

void ledger_tree_list_clear(struct ledger_tree_list *list)
{
    free(list->trees);
    *list = (struct ledger_tree_list){ .count = 0 };
}

bool store_list_trees(struct store *store, struct ledger_tree_list *list_out, struct error *err)
{
    return store->driver->list_trees(store, list_out, err);
}

bool store_append_entry(struct store *store, const struct ledger_row *row, struct error *err)
{
    return store->driver->append_entry(store, row, err);
}

bool store_read_entries(struct store *store, int64_t tree, int64_t index, int limit,
                        store_entry_fn *take_row, void *context, struct error *err)
{
    return store->driver->read_entries(store, tree, index, limit, take_row, context, err);
}

bool store_find_entries(struct store *store, const char *jti, store_entry_fn *take_row,
                        void *context, struct error *err)
{
    return store->driver->find_entries(store, jti, take_row, context, err);
}

bool store_delete_entries(struct store *store, int64_t tree, int64_t index, struct error *err)
{
    return store->driver->delete_entries(store, tree, index, err);
}

bool store_add_checkpoint(struct store *store, const struct stored_checkpoint *checkpoint,
                          struct error *err)
{
    return store->driver->add_checkpoint(store, checkpoint, err);
}

void checkpoint_list_clear(struct checkpoint_list *list)
{
    free(list->checkpoints);
    *list = (struct checkpoint_list){ .count = 0 };
}

bool store_list_checkpoints(struct store *store, int64_t tree, int64_t size, int limit,
                            struct checkpoint_list *list_out, struct error *err)
{
    return store->driver->list_checkpoints(store, tree, size, limit, list_out, err);
}

bool store_last_checkpoint(struct store *store, int64_t tree,
                           struct stored_checkpoint *checkpoint_out, struct error *err)
{
    return store->driver->last_checkpoint(store, tree, checkpoint_out, err);
}

/* ---- the ledger for an auditor ---- */

bool store_read_raw(struct store *store, const struct raw_range *range, store_raw_fn *take_row,
                    void *context, struct error *err)
{
    return store->driver->read_raw(store, range, take_row, context, err);
}

/* ---- revoked tokens ---- */

bool store_revoke_token(struct store *store, const char *jti, int64_t token_expires_s,
                        int64_t now_s, bool *is_new_out, struct error *err)
{
    return store->driver->revoke_token(store, jti, token_expires_s, now_s, is_new_out, err);
}

void revoked_list_clear(struct revoked_list *list)
{
    free(list->jtis);
    *list = (struct revoked_list){ .count = 0 };
}

bool store_list_revoked(struct store *store, int64_t now_s, int limit,
                        struct revoked_list *list_out, struct error *err)
{
    return store->driver->list_revoked(store, now_s, limit, list_out, err);
}

bool store_cancel_all(struct store *store, int64_t now_s, int64_t *cancelled_out, struct error *err)
{
    return store->driver->cancel_all(store, now_s, cancelled_out, err);
}

/* ---- authorizations as an operator sees them ---- */

static const char *const stage_names[AUTHORIZATION_STAGES] = {
    [AUTHORIZATION_OPEN] = "open",           [AUTHORIZATION_APPROVED] = "approved",
    [AUTHORIZATION_REDEEMED] = "redeemed",   [AUTHORIZATION_EXPIRED] = "expired",
    [AUTHORIZATION_CANCELLED] = "cancelled",
};

const char *authorization_stage_name(enum authorization_stage stage)
{
    return stage_names[stage];
}

bool authorization_stage_from_name(const char *name, enum authorization_stage *stage_out)
{
    for (int i = 0; i < AUTHORIZATION_STAGES; i++) {
        if (strcmp(name, stage_names[i]) == 0) {
            *stage_out = (enum authorization_stage)i;
            return true;
        }
    }
    return false;
}

void stored_authorization_clear(struct stored_authorization *authorization)
{
    free(authorization->presentation_definition);
    *authorization = (struct stored_authorization){ .row = 0 };
}

void authorization_list_clear(struct authorization_list *list)
{
    free(list->authorizations);
    *list = (struct authorization_list){ .count = 0 };
}

bool store_list_authorizations(struct store *store, const struct authorization_filter *filter,
                               struct authorization_list *list_out, struct error *err)
{
    return store->driver->list_authorizations(store, filter, list_out, err);
}

bool store_describe_authorization(struct store *store, const char *beginning, int64_t now_s,
                                  struct stored_authorization *found_out, struct error *err)
{
    return store->driver->describe_authorization(store, beginning, now_s, found_out, err);
}

bool store_cancel_authorization(struct store *store, const char *id, int64_t now_s,
                                struct error *err)
{
    return store->driver->cancel_authorization(store, id, now_s, err);
}

/* ---- the keyring ---- */

static const char *const key_state_names[KEY_STATES] = {
    [KEY_GENERATED] = "generated", [KEY_PUBLISHED] = "published", [KEY_ACTIVE] = "active",
    [KEY_RETIRING] = "retiring",   [KEY_RETIRED] = "retired",     [KEY_DESTROYED] = "destroyed",
};

const char *key_state_name(enum key_state state)
{
    return key_state_names[state];
}

bool key_state_from_name(const char *name, enum key_state *state_out)
{
    for (int i = 0; i < KEY_STATES; i++) {
        if (strcmp(name, key_state_names[i]) == 0) {
            *state_out = (enum key_state)i;
            return true;
        }
    }
    return false;
}

void key_list_clear(struct key_list *list)
{
    free(list->keys);
    *list = (struct key_list){ .count = 0 };
}

bool store_list_keys(struct store *store, struct key_list *list_out, struct error *err)
{
    return store->driver->list_keys(store, list_out, err);
}

bool store_note_key_use(struct store *store, const char *kid, int64_t until_s, struct error *err)
{
    return store->driver->note_key_use(store, kid, until_s, err);
}

bool store_add_key(struct store *store, const struct stored_key *key, bool *is_new_out,
                   struct error *err)
{
    return store->driver->add_key(store, key, is_new_out, err);
}

bool store_change_key(struct store *store, const struct key_change *change, struct error *err)
{
    return store->driver->change_key(store, change, err);
}

/* ---- upkeep ---- */

bool store_heartbeat(struct store *store, int64_t now_s, struct error *err)
{
    return store->driver->heartbeat(store, now_s, err);
}

bool store_purge(struct store *store, int64_t now_s, int limit, bool *more_out, struct error *err)
{
    return store->driver->purge(store, now_s, limit, more_out, err);
}
