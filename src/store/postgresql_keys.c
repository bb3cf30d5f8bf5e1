/* The keyring in PostgreSQL. */
#include "store/postgresql_store.h"

static bool read_key(const PGresult *result, int row, struct stored_key *key_out, struct error *err)
{
    char state[16];

    pg_text(result, row, 0, key_out->kid, sizeof(key_out->kid));
    pg_text(result, row, 1, key_out->signer, sizeof(key_out->signer));
    pg_text(result, row, 2, key_out->algorithm, sizeof(key_out->algorithm));
    pg_text(result, row, 3, key_out->jwk, sizeof(key_out->jwk));
    pg_text(result, row, 4, key_out->description, sizeof(key_out->description));
    pg_text(result, row, 5, state, sizeof(state));
    key_out->since_s = pg_number(result, row, 6);
    key_out->due_s = pg_number(result, row, 7);
    key_out->last_expiry_s = pg_number(result, row, 8);
    return key_state_from_name(state, &key_out->state)
        || fail(err, ERROR_STORE_UNAVAILABLE, "key %s has the unknown state \"%s\"", key_out->kid,
                state);
}

bool postgresql_list_keys(struct store *store, struct key_list *list_out, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    scoped(key_list_clear) struct key_list list = { .count = 0 };

    *list_out = (struct key_list){ .count = 0 };
    if (!pg_read((struct pg_store *)store, LIST_KEYS, NULL, &rows, "list the keys", err)) {
        return false;
    }
    list.keys = pg_list(rows, sizeof(*list.keys));
    for (int row = 0; row < PQntuples(rows); row++) {
        if (!read_key(rows, row, &list.keys[list.count++], err)) {
            return false;
        }
    }
    *list_out = list;
    list = (struct key_list){ .count = 0 };
    return true;
}

bool postgresql_note_key_use(struct store *store, const char *kid, int64_t until_s,
                             struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, until_s);
    pg_add_text(&arguments, kid);
    return pg_write((struct pg_store *)store, NOTE_KEY_USE, &arguments, NULL, "note a key's use",
                    err);
}

bool postgresql_add_key(struct store *store, const struct stored_key *key, bool *is_new_out,
                        struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };
    int64_t added = 0;

    pg_add_text(&arguments, key->kid);
    pg_add_text(&arguments, key->signer);
    pg_add_text(&arguments, key->algorithm);
    pg_add_text(&arguments, key->jwk);
    pg_add_text(&arguments, key->description);
    pg_add_text(&arguments, key_state_name(key->state));
    pg_add_number(&arguments, key->since_s);
    pg_add_number(&arguments, key->due_s);
    if (!pg_write((struct pg_store *)store, ADD_KEY, &arguments, &added, "enter a key", err)) {
        return false;
    }
    *is_new_out = added == 1;
    return true;
}

bool postgresql_change_key(struct store *store, const struct key_change *change, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };
    int64_t changed = 0;

    pg_add_text(&arguments, key_state_name(change->to));
    pg_add_number(&arguments, change->now_s);
    pg_add_number(&arguments, change->due_s);
    pg_add_text(&arguments, change->kid);
    pg_add_text(&arguments, key_state_name(change->from));
    return pg_write((struct pg_store *)store, CHANGE_KEY, &arguments, &changed,
                    "change a key's state", err)
        && (changed == 1
            || fail(err, ERROR_CONFLICT, "key %s is not %s any more", change->kid,
                    key_state_name(change->from)));
}
