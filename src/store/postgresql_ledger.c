/* The ledger's trees, their checkpoints, and the revoked tokens in PostgreSQL. */
#include "store/postgresql_store.h"

#include <string.h>

/* ---- trees ---- */

static void add_edge(struct pg_arguments *arguments, const struct merkle_edge *edge)
{
    pg_add_bytes(arguments, edge->roots, merkle_edge_count(edge->size) * sizeof(edge->roots[0]));
}

static bool read_edge(const PGresult *result, int row, int column, struct merkle_edge *edge_out)
{
    return ledger_edge_from_bytes(pg_number(result, row, column),
                                  PQgetvalue(result, row, column + 1),
                                  (size_t)PQgetlength(result, row, column + 1), edge_out);
}

static bool read_tree(const PGresult *result, int row, struct ledger_tree *tree_out,
                      struct error *err)
{
    tree_out->number = pg_number(result, row, 0);
    pg_text(result, row, 1, tree_out->node, sizeof(tree_out->node));
    tree_out->epoch = pg_number(result, row, 2);
    return (read_edge(result, row, 3, &tree_out->edge)
            && read_edge(result, row, 5, &tree_out->pruned))
        || fail(err, ERROR_STORE_UNAVAILABLE,
                "the ledger's tree %s/%lld has an edge that does not fit its size: issuerctl "
                "ledger verify",
                tree_out->node, (long long)tree_out->epoch);
}

static bool make_tree(struct pg_store *self, const char *node, int64_t epoch, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_text(&arguments, node);
    pg_add_number(&arguments, epoch);
    pg_add_bytes(&arguments, "", 0);
    return pg_write(self, MAKE_TREE, &arguments, NULL, "make a tree of the ledger", err);
}

/* *found_out is false if there is no such tree. */
static bool lock_tree(struct pg_store *self, const char *node, int64_t epoch,
                      struct ledger_tree *tree_out, bool *found_out, struct error *err)
{
    scoped(pg_release_result) PGresult *tree = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_text(&arguments, node);
    pg_add_number(&arguments, epoch);
    if (!pg_write_returning(self, LOCK_TREE, &arguments, &tree, "lock a tree of the ledger", err)) {
        return false;
    }
    *found_out = PQntuples(tree) == 1;
    return !*found_out || read_tree(tree, 0, tree_out, err);
}

bool postgresql_lock_tree(struct store *store, const char *node, int64_t epoch,
                          struct ledger_tree *tree_out, struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    bool found = false;

    if (!lock_tree(self, node, epoch, tree_out, &found, err)) {
        return false;
    }
    return found
        || (make_tree(self, node, epoch, err)
            && lock_tree(self, node, epoch, tree_out, &found, err));
}

bool postgresql_keep_tree(struct store *store, const struct ledger_tree *tree, struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, tree->edge.size);
    add_edge(&arguments, &tree->edge);
    pg_add_number(&arguments, tree->pruned.size);
    add_edge(&arguments, &tree->pruned);
    pg_add_number(&arguments, tree->number);
    if (!pg_send(&self->writer, KEEP_TREE, &arguments, err)) {
        return false;
    }
    self->kept = xrealloc(self->kept, (self->kept_count + 1) * sizeof(*self->kept));
    self->kept[self->kept_count++] = *tree;
    return true;
}

bool pg_trees(const PGresult *result, struct ledger_tree_list *list_out, struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };

    *list_out = (struct ledger_tree_list){ .count = 0 };
    list.trees = pg_list(result, sizeof(*list.trees));
    for (int row = 0; row < PQntuples(result); row++) {
        if (!read_tree(result, row, &list.trees[list.count++], err)) {
            return false;
        }
    }
    *list_out = list;
    list = (struct ledger_tree_list){ .count = 0 };
    return true;
}

bool postgresql_list_trees(struct store *store, struct ledger_tree_list *list_out,
                           struct error *err)
{
    scoped(pg_release_result) PGresult *trees = NULL;

    *list_out = (struct ledger_tree_list){ .count = 0 };
    return pg_read((struct pg_store *)store, LIST_TREES, NULL, &trees, "list the ledger's trees",
                   err)
        && pg_trees(trees, list_out, err);
}

/* ---- entries ---- */

bool postgresql_append_entry(struct store *store, const struct ledger_row *row, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, ledger_entry_id(row->tree, row->index));
    pg_add_text(&arguments, row->jti);
    pg_add_digest(&arguments, &row->leaf);
    pg_add_text(&arguments, row->entry);
    return pg_send(&((struct pg_store *)store)->writer, APPEND_ENTRY, &arguments, err);
}

/* Hands over each row of id, jti, leaf and entry. */
static bool take_rows(const PGresult *rows, store_entry_fn *take_row, void *context,
                      struct error *err)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        const int64_t id = pg_number(rows, i, 0);
        struct ledger_row row = {
            .tree = ledger_entry_tree(id),
            .index = ledger_entry_index(id),
            .jti = PQgetisnull(rows, i, 1) ? NULL : PQgetvalue(rows, i, 1),
            .entry = PQgetvalue(rows, i, 3),
        };
        if (PQgetlength(rows, i, 2) != sizeof(row.leaf.bytes)) {
            return fail(err, ERROR_INTERNAL,
                        "entry %lld of the ledger's tree %lld is not whole: issuerctl ledger "
                        "verify",
                        (long long)row.index, (long long)row.tree);
        }
        memcpy(row.leaf.bytes, PQgetvalue(rows, i, 2), sizeof(row.leaf.bytes));
        if (!take_row(context, &row, err)) {
            return false;
        }
    }
    return true;
}

bool postgresql_read_entries(struct store *store, int64_t tree, int64_t index, int limit,
                             store_entry_fn *take_row, void *context, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, ledger_entry_id(tree, index));
    pg_add_number(&arguments, ledger_entry_id(tree + 1, 0));
    pg_add_number(&arguments, limit);
    return pg_read((struct pg_store *)store, READ_ENTRIES, &arguments, &rows, "read the ledger",
                   err)
        && take_rows(rows, take_row, context, err);
}

bool postgresql_find_entries(struct store *store, const char *jti, store_entry_fn *take_row,
                             void *context, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_text(&arguments, jti);
    return pg_read((struct pg_store *)store, FIND_ENTRIES, &arguments, &rows, "read the ledger",
                   err)
        && take_rows(rows, take_row, context, err);
}

bool postgresql_delete_entries(struct store *store, int64_t tree, int64_t index, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, ledger_entry_id(tree, 0));
    pg_add_number(&arguments, ledger_entry_id(tree, index));
    return pg_write((struct pg_store *)store, DELETE_ENTRIES, &arguments, NULL,
                    "delete entries of the ledger", err);
}

/* ---- checkpoints ---- */

bool postgresql_add_checkpoint(struct store *store, const struct stored_checkpoint *checkpoint,
                               struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, checkpoint->tree);
    pg_add_number(&arguments, checkpoint->size);
    pg_add_number(&arguments, checkpoint->time_s);
    pg_add_text(&arguments, checkpoint->note);
    pg_add_text(&arguments, checkpoint->jwk);
    return pg_write((struct pg_store *)store, ADD_CHECKPOINT, &arguments, NULL, "add a checkpoint",
                    err);
}

static void read_checkpoint(const PGresult *result, int row, struct stored_checkpoint *out)
{
    out->tree = pg_number(result, row, 0);
    out->size = pg_number(result, row, 1);
    out->time_s = pg_number(result, row, 2);
    pg_text(result, row, 3, out->note, sizeof(out->note));
    pg_text(result, row, 4, out->jwk, sizeof(out->jwk));
}

bool postgresql_list_checkpoints(struct store *store, int64_t tree, int64_t size, int limit,
                                 struct checkpoint_list *list_out, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    struct pg_arguments arguments = { .count = 0 };

    *list_out = (struct checkpoint_list){ .count = 0 };
    pg_add_number(&arguments, tree);
    pg_add_number(&arguments, size);
    pg_add_number(&arguments, limit);
    if (!pg_read((struct pg_store *)store, LIST_CHECKPOINTS, &arguments, &rows,
                 "list the checkpoints", err)) {
        return false;
    }
    list_out->count = (size_t)PQntuples(rows);
    list_out->checkpoints = pg_list(rows, sizeof(*list_out->checkpoints));
    for (size_t i = 0; i < list_out->count; i++) {
        read_checkpoint(rows, (int)i, &list_out->checkpoints[i]);
    }
    return true;
}

bool postgresql_last_checkpoint(struct store *store, int64_t tree,
                                struct stored_checkpoint *checkpoint_out, struct error *err)
{
    scoped(pg_release_result) PGresult *last = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, tree);
    if (!pg_read((struct pg_store *)store, LAST_CHECKPOINT, &arguments, &last,
                 "read the last checkpoint", err)) {
        return false;
    }
    if (PQntuples(last) == 0) {
        return fail(err, ERROR_NOT_FOUND, "the ledger has no checkpoint yet");
    }
    read_checkpoint(last, 0, checkpoint_out);
    return true;
}

/* ---- revoked tokens ---- */

bool postgresql_revoke_token(struct store *store, const char *jti, int64_t token_expires_s,
                             int64_t now_s, bool *is_new_out, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };
    int64_t added = 0;

    pg_add_text(&arguments, jti);
    pg_add_number(&arguments, token_expires_s);
    pg_add_number(&arguments, now_s);
    if (!pg_write((struct pg_store *)store, REVOKE_TOKEN, &arguments, &added, "revoke a token",
                  err)) {
        return false;
    }
    *is_new_out = added == 1;
    return true;
}

bool postgresql_list_revoked(struct store *store, int64_t now_s, int limit,
                             struct revoked_list *list_out, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    struct pg_arguments arguments = { .count = 0 };

    *list_out = (struct revoked_list){ .count = 0 };
    pg_add_number(&arguments, now_s);
    pg_add_number(&arguments, limit);
    if (!pg_read((struct pg_store *)store, LIST_REVOKED, &arguments, &rows,
                 "list the revoked tokens", err)) {
        return false;
    }
    list_out->count = (size_t)PQntuples(rows);
    list_out->jtis = pg_list(rows, sizeof(*list_out->jtis));
    for (size_t i = 0; i < list_out->count; i++) {
        pg_text(rows, (int)i, 0, list_out->jtis[i], sizeof(*list_out->jtis));
    }
    return true;
}
