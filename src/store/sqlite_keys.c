/* The keyring in SQLite. */
#include "store/sqlite_store.h"

#include "base/memory.h"

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
    key_out->last_expiry_s = sqlite3_column_int64(row, 8);
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

bool sqlite_list_keys(struct store *store, struct key_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct key_list){ .count = 0 };
    const bool good = read_keys(&reader->connection, list_out, err);
    unlock_reader(reader);
    if (!good) {
        key_list_clear(list_out);
    }
    return good;
}

bool sqlite_note_key_use(struct store *store, const char *kid, int64_t until_s, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *note = statement_of(writer, NOTE_KEY_USE);

    bind_number(note, 1, until_s);
    bind_text(note, 2, kid);
    return run(writer, note, "note a key's use", err);
}

bool sqlite_add_key(struct store *store, const struct stored_key *key, bool *is_new_out,
                    struct error *err)
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
    *is_new_out = sqlite3_changes(writer->db) == 1;
    return true;
}

bool sqlite_change_key(struct store *store, const struct key_change *change, struct error *err)
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
    return sqlite3_changes(writer->db) == 1
        || fail(err, ERROR_CONFLICT, "key %s is not %s any more", change->kid,
                key_state_name(change->from));
}
