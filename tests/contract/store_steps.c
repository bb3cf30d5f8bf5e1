#include "contract/store_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct digest code_of(unsigned number)
{
    char text[32];
    const int length = snprintf(text, sizeof(text), "code %u", number);
    return sha256(text, (size_t)length);
}

static void print_id(unsigned number, char id_out[AUTHORIZATION_ID_LENGTH + 1])
{
    (void)snprintf(id_out, AUTHORIZATION_ID_LENGTH + 1, "00000000-0000-7000-8000-%012x", number);
}

bool step_begin(struct store *store, struct error *err)
{
    int64_t now_s = 0;
    return store_begin(store, &now_s, err) && now_s > 0;
}

bool step_create(struct store *store, unsigned number, struct error *err)
{
    struct new_authorization new = {
        .state = "state", .nonce = "nonce", .created_s = STEPS_NOW_S, .expires_s = STEPS_NOW_S + 600
    };
    print_id(number, new.id);
    new.pair = sha256(new.id, strlen(new.id));
    return store_create_authorization(store, &new, err);
}

static bool approve(struct store *store, unsigned number, int64_t *row_out, struct error *err)
{
    char id[AUTHORIZATION_ID_LENGTH + 1];
    const struct approval approval = { .id = id,
                                       .holder_did = "did:example:holder",
                                       .code = code_of(number),
                                       .now_s = STEPS_NOW_S,
                                       .code_expires_s = STEPS_NOW_S + 60 };
    struct approved_authorization approved = { .row = -1 };

    print_id(number, id);
    const bool good = store_approve(store, &approval, &approved, err);
    *row_out = approved.row;
    free(approved.presentation_definition);
    return good;
}

bool step_make_code(struct store *store, unsigned number, int64_t *row_out, struct error *err)
{
    return step_begin(store, err) && step_create(store, number, err)
        && approve(store, number, row_out, err) && store_commit(store, err);
}

struct redemption step_redemption(unsigned number, int64_t row, const char *jti)
{
    return (struct redemption){
        .row = row, .code = code_of(number), .jti = jti, .token_expires_s = STEPS_NOW_S + 3600
    };
}

bool step_redeem(struct store *store, unsigned number, int64_t row, const char *jti,
                 struct error *err)
{
    const struct redemption redemption = step_redemption(number, row, jti);

    return store_send_redemption(store, &redemption, STEPS_NOW_S, err)
        && store_redeem(store, &redemption, STEPS_NOW_S, err);
}

bool step_append(struct store *store, int64_t index, const char *jti, struct error *err)
{
    struct ledger_tree tree;

    if (!store_lock_tree(store, "node", 1, &tree, err)) {
        return false;
    }
    if (tree.edge.size != index) {
        return fail(err, ERROR_INTERNAL, "the tree has %lld entries", (long long)tree.edge.size);
    }
    const struct ledger_row row = {
        .tree = tree.number, .index = index, .entry = "{}", .jti = jti, .leaf = merkle_leaf("{}", 2)
    };
    merkle_append(&tree.edge, &row.leaf);
    return store_append_entry(store, &row, err) && store_keep_tree(store, &tree, err);
}

bool step_is_spent(struct store *store, unsigned number)
{
    const struct digest code = code_of(number);
    struct stored_code found = { .spent = false };
    struct error err;

    return store_find_code(store, &code, &found, &err) && found.spent;
}
