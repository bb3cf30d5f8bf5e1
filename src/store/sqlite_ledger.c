/* The ledger's trees, their checkpoints, and the revoked tokens in SQLite. */
#include "store/sqlite_store.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* ---- trees ---- */

static void bind_edge(sqlite3_stmt *statement, int parameter, const struct merkle_edge *edge)
{
    const size_t length = merkle_edge_count(edge->size) * sizeof(edge->roots[0]);
    (void)sqlite3_bind_blob(statement, parameter, edge->roots, (int)length, SQLITE_STATIC);
}

static bool column_edge(sqlite3_stmt *row, int column, struct merkle_edge *edge_out)
{
    const int64_t size = sqlite3_column_int64(row, column);
    const void *bytes = sqlite3_column_blob(row, column + 1);

    return ledger_edge_from_bytes(size, bytes, (size_t)sqlite3_column_bytes(row, column + 1),
                                  edge_out);
}

static bool read_tree(sqlite3_stmt *row, struct ledger_tree *tree_out, struct error *err)
{
    tree_out->number = sqlite3_column_int64(row, 0);
    column_text(row, 1, tree_out->node, sizeof(tree_out->node));
    tree_out->epoch = sqlite3_column_int64(row, 2);
    return (column_edge(row, 3, &tree_out->edge) && column_edge(row, 5, &tree_out->pruned))
        || fail(
               err, ERROR_STORE_UNAVAILABLE,
               "the ledger's tree %s/%lld has an edge that does not fit its size: issuerctl ledger "
               "verify",
               tree_out->node, (long long)tree_out->epoch);
}

static bool make_tree(struct connection *writer, const char *node, int64_t epoch, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *make = statement_of(writer, MAKE_TREE);

    bind_text(make, 1, node);
    bind_number(make, 2, epoch);
    (void)sqlite3_bind_zeroblob(make, 3, 0);
    return run(writer, make, "make a tree of the ledger", err);
}

/* *found_out is false if there is no such tree. */
static bool lock_tree(struct connection *writer, const char *node, int64_t epoch,
                      struct ledger_tree *tree_out, bool *found_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *lock = statement_of(writer, LOCK_TREE);

    bind_text(lock, 1, node);
    bind_number(lock, 2, epoch);
    const int result = sqlite3_step(lock);
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        return fail_sqlite(err, writer->db, "lock a tree of the ledger");
    }
    *found_out = result == SQLITE_ROW;
    return !*found_out || read_tree(lock, tree_out, err);
}

bool sqlite_lock_tree(struct store *store, const char *node, int64_t epoch,
                      struct ledger_tree *tree_out, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    bool found = false;

    if (!lock_tree(writer, node, epoch, tree_out, &found, err)) {
        return false;
    }
    return found
        || (make_tree(writer, node, epoch, err)
            && lock_tree(writer, node, epoch, tree_out, &found, err));
}

bool sqlite_keep_tree(struct store *store, const struct ledger_tree *tree, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *keep = statement_of(writer, KEEP_TREE);

    bind_number(keep, 1, tree->edge.size);
    bind_edge(keep, 2, &tree->edge);
    bind_number(keep, 3, tree->pruned.size);
    bind_edge(keep, 4, &tree->pruned);
    bind_number(keep, 5, tree->number);
    return run(writer, keep, "keep a tree of the ledger", err);
}

static bool read_trees(struct connection *reader, struct ledger_tree_list *list, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, LIST_TREES);
    int result;

    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        list->trees = xrealloc(list->trees, (list->count + 1) * sizeof(*list->trees));
        if (!read_tree(rows, &list->trees[list->count], err)) {
            return false;
        }
        list->count++;
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "list the ledger's trees");
}

bool sqlite_list_trees(struct store *store, struct ledger_tree_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct ledger_tree_list){ .count = 0 };
    const bool good = read_trees(&reader->connection, list_out, err);
    unlock_reader(reader);
    if (!good) {
        ledger_tree_list_clear(list_out);
    }
    return good;
}

/* ---- entries ---- */

bool sqlite_append_entry(struct store *store, const struct ledger_row *row, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *append = statement_of(writer, APPEND_ENTRY);

    bind_number(append, 1, ledger_entry_id(row->tree, row->index));
    bind_text(append, 2, row->jti);
    bind_digest(append, 3, &row->leaf);
    bind_text(append, 4, row->entry);
    return run(writer, append, "append to the ledger", err);
}

/* Hands over each row of a statement that gives id, jti, leaf and entry. */
static bool take_rows(struct connection *reader, sqlite3_stmt *rows, store_entry_fn *take_row,
                      void *context, struct error *err)
{
    int result;

    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        const int64_t id = sqlite3_column_int64(rows, 0);
        struct ledger_row row = {
            .tree = ledger_entry_tree(id),
            .index = ledger_entry_index(id),
            .jti = (const char *)sqlite3_column_text(rows, 1),
            .entry = (const char *)sqlite3_column_text(rows, 3),
        };
        if (sqlite3_column_bytes(rows, 2) != sizeof(row.leaf.bytes) || row.entry == NULL) {
            return fail(
                err, ERROR_INTERNAL,
                "entry %lld of the ledger's tree %lld is not whole: issuerctl ledger verify",
                (long long)row.index, (long long)row.tree);
        }
        memcpy(row.leaf.bytes, sqlite3_column_blob(rows, 2), sizeof(row.leaf.bytes));
        if (!take_row(context, &row, err)) {
            return false;
        }
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "read the ledger");
}

static bool read_entries(struct connection *reader, int64_t tree, int64_t index, int limit,
                         store_entry_fn *take_row, void *context, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, READ_ENTRIES);

    bind_number(rows, 1, ledger_entry_id(tree, index));
    bind_number(rows, 2, ledger_entry_id(tree + 1, 0));
    bind_number(rows, 3, limit);
    return take_rows(reader, rows, take_row, context, err);
}

bool sqlite_read_entries(struct store *store, int64_t tree, int64_t index, int limit,
                         store_entry_fn *take_row, void *context, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool good = read_entries(&reader->connection, tree, index, limit, take_row, context, err);

    unlock_reader(reader);
    return good;
}

static bool find_entries(struct connection *reader, const char *jti, store_entry_fn *take_row,
                         void *context, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, FIND_ENTRIES);

    bind_text(rows, 1, jti);
    return take_rows(reader, rows, take_row, context, err);
}

bool sqlite_find_entries(struct store *store, const char *jti, store_entry_fn *take_row,
                         void *context, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool good = find_entries(&reader->connection, jti, take_row, context, err);

    unlock_reader(reader);
    return good;
}

bool sqlite_delete_entries(struct store *store, int64_t tree, int64_t index, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *delete = statement_of(writer, DELETE_ENTRIES);

    bind_number(delete, 1, ledger_entry_id(tree, 0));
    bind_number(delete, 2, ledger_entry_id(tree, index));
    return run(writer, delete, "delete entries of the ledger", err);
}

/* ---- checkpoints ---- */

bool sqlite_add_checkpoint(struct store *store, const struct stored_checkpoint *checkpoint,
                           struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *add = statement_of(writer, ADD_CHECKPOINT);

    bind_number(add, 1, checkpoint->tree);
    bind_number(add, 2, checkpoint->size);
    bind_number(add, 3, checkpoint->time_s);
    bind_text(add, 4, checkpoint->note);
    bind_text(add, 5, checkpoint->jwk);
    return run(writer, add, "add a checkpoint", err);
}

static void read_checkpoint(sqlite3_stmt *row, struct stored_checkpoint *out)
{
    out->tree = sqlite3_column_int64(row, 0);
    out->size = sqlite3_column_int64(row, 1);
    out->time_s = sqlite3_column_int64(row, 2);
    column_text(row, 3, out->note, sizeof(out->note));
    column_text(row, 4, out->jwk, sizeof(out->jwk));
}

static bool read_checkpoints(struct connection *reader, int64_t tree, int64_t size, int limit,
                             struct checkpoint_list *list, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, LIST_CHECKPOINTS);
    int result;

    bind_number(rows, 1, tree);
    bind_number(rows, 2, size);
    bind_number(rows, 3, limit);
    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        list->checkpoints =
            xrealloc(list->checkpoints, (list->count + 1) * sizeof(*list->checkpoints));
        read_checkpoint(rows, &list->checkpoints[list->count++]);
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "list the checkpoints");
}

bool sqlite_list_checkpoints(struct store *store, int64_t tree, int64_t size, int limit,
                             struct checkpoint_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct checkpoint_list){ .count = 0 };
    const bool good = read_checkpoints(&reader->connection, tree, size, limit, list_out, err);
    unlock_reader(reader);
    if (!good) {
        checkpoint_list_clear(list_out);
    }
    return good;
}

static bool read_last_checkpoint(struct connection *reader, int64_t tree,
                                 struct stored_checkpoint *checkpoint_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *last = statement_of(reader, LAST_CHECKPOINT);

    bind_number(last, 1, tree);
    switch (sqlite3_step(last)) {
    case SQLITE_ROW:
        read_checkpoint(last, checkpoint_out);
        return true;
    case SQLITE_DONE:
        return fail(err, ERROR_NOT_FOUND, "the ledger has no checkpoint yet");
    default:
        return fail_sqlite(err, reader->db, "read the last checkpoint");
    }
}

bool sqlite_last_checkpoint(struct store *store, int64_t tree,
                            struct stored_checkpoint *checkpoint_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool good = read_last_checkpoint(&reader->connection, tree, checkpoint_out, err);

    unlock_reader(reader);
    return good;
}

/* ---- revoked tokens ---- */

bool sqlite_revoke_token(struct store *store, const char *jti, int64_t token_expires_s,
                         int64_t now_s, bool *is_new_out, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *revoke = statement_of(writer, REVOKE_TOKEN);

    bind_text(revoke, 1, jti);
    bind_number(revoke, 2, token_expires_s);
    bind_number(revoke, 3, now_s);
    if (!run(writer, revoke, "revoke a token", err)) {
        return false;
    }
    *is_new_out = sqlite3_changes(writer->db) == 1;
    return true;
}

static bool read_revoked(struct connection *reader, int64_t now_s, int limit,
                         struct revoked_list *list, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, LIST_REVOKED);
    int result;

    bind_number(rows, 1, now_s);
    bind_number(rows, 2, limit);
    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        list->jtis = xrealloc(list->jtis, (list->count + 1) * sizeof(*list->jtis));
        column_text(rows, 0, list->jtis[list->count++], sizeof(*list->jtis));
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "list the revoked tokens");
}

bool sqlite_list_revoked(struct store *store, int64_t now_s, int limit,
                         struct revoked_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct revoked_list){ .count = 0 };
    const bool good = read_revoked(&reader->connection, now_s, limit, list_out, err);
    unlock_reader(reader);
    if (!good) {
        revoked_list_clear(list_out);
    }
    return good;
}
