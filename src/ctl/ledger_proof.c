/* issuerctl ledger prove, check-proof and consistency */
#include "ctl/ledger_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/audit_entry.h"
#include "ctl/audit_tree.h"
#include "ctl/base64.h"
#include "ctl/progress.h"
#include "ctl/tlog_proof.h"

enum { PAGE = 4096 };

DEFINE_RELEASE(release_key, struct audit_key, audit_key_free)

/* ---- a tree as it grows ---- */

struct growth {
    struct audit_tree tree;
    int64_t old_size; /* at which its root is noted */
    struct digest old_root;
};

static bool take_leaf(void *context, const struct ledger_row *row, struct error *err)
{
    struct growth *growth = context;

    if (row->index != growth->tree.size) {
        return fail(err, ERROR_CONFLICT, "entry %" PRId64 " is missing: issuerctl ledger verify",
                    growth->tree.size);
    }
    audit_append(&growth->tree, &row->leaf);
    if (growth->tree.size == growth->old_size) {
        growth->old_root = audit_root(&growth->tree);
    }
    return true;
}

/* Computes the tree from what is pruned on up to `size`, with the path that is asked for. */
static bool grow(struct store *store, const struct ledger_tree *tree, int64_t size,
                 struct growth *growth, struct error *err)
{
    struct progress progress;
    bool good = true;

    progress_begin(&progress);
    while (good && growth->tree.size < size) {
        const int64_t before = growth->tree.size;
        const int64_t left = size - before;
        good = store_read_entries(store, tree->number, before, left < PAGE ? (int)left : PAGE,
                                  take_leaf, growth, err);
        if (good && growth->tree.size == before) {
            good = fail(err, ERROR_CONFLICT,
                        "entry %" PRId64 " is missing: issuerctl ledger verify", before);
        }
        progress_show(&progress, "entries", growth->tree.size, size);
    }
    progress_end(&progress);
    return good;
}

static bool begin(const struct ledger_tree *tree, struct audit_path *path, int64_t old_size,
                  struct growth *growth_out, struct error *err)
{
    const size_t count = (size_t)__builtin_popcountll((unsigned long long)tree->pruned.size);

    growth_out->old_size = old_size;
    if (!audit_begin(&growth_out->tree, tree->pruned.size, tree->pruned.roots[0].bytes,
                     count * sizeof(struct digest), path)) {
        return fail(err, ERROR_CONFLICT, "the tree's edge does not fit: issuerctl ledger verify");
    }
    if (tree->pruned.size == old_size) {
        growth_out->old_root = audit_root(&growth_out->tree);
    }
    return true;
}

/* ---- prove ---- */

struct issued {
    char *entry;
    size_t entry_length;
    int64_t tree;
    int64_t index;
};

static void issued_clear(struct issued *issued)
{
    free(issued->entry);
}

static bool take_issued(void *context, const struct ledger_row *row, struct error *err)
{
    struct issued *issued = context;
    struct audit_entry entry;
    struct error ignored;

    (void)err;
    if (issued->entry == NULL && audit_entry_parse(row->entry, strlen(row->entry), &entry, &ignored)
        && strcmp(entry.kind, "issued") == 0) {
        *issued = (struct issued){ .entry = xstrdup(row->entry),
                                   .entry_length = strlen(row->entry),
                                   .tree = row->tree,
                                   .index = row->index };
    }
    return true;
}

static bool find_issued(struct store *store, const char *jti, struct issued *issued,
                        struct error *err)
{
    return store_find_entries(store, jti, take_issued, issued, err)
        && (issued->entry != NULL
            || fail(err, ERROR_NOT_FOUND,
                    "the ledger has no entry of a token \"%s\" that was issued", jti));
}

static bool find_tree(struct store *store, int64_t number, struct ledger_tree *tree_out,
                      struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };

    if (!store_list_trees(store, &list, err)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        if (list.trees[i].number == number) {
            *tree_out = list.trees[i];
            return true;
        }
    }
    return fail(err, ERROR_CONFLICT, "an entry of no tree: issuerctl ledger verify");
}

/* The newest checkpoint of the entry's tree, and what it says. */
static bool find_checkpoint(const struct ledger_command *command, const struct issued *issued,
                            struct stored_checkpoint *checkpoint_out, struct tree_head *head_out,
                            struct error *err)
{
    scoped(release_key) struct audit_key *key = NULL;

    if (!store_last_checkpoint(command->store, issued->tree, checkpoint_out, err)
        || !ledger_open_checkpoint(command, checkpoint_out, head_out, &key, err)) {
        return false;
    }
    return head_out->size > issued->index
        || fail(err, ERROR_NOT_FOUND,
                "entry %" PRId64 " is not covered by a checkpoint yet: the newest covers %" PRId64,
                issued->index, head_out->size);
}

static bool prove(const struct ledger_command *command, const struct issued *issued,
                  const struct tree_head *head, struct audit_proof *path_out, struct error *err)
{
    struct audit_path path = audit_path_of_leaf(issued->index);
    struct growth growth = { .old_size = -1 };
    struct ledger_tree tree = { .number = 0 };

    if (!find_tree(command->store, issued->tree, &tree, err)
        || !begin(&tree, &path, -1, &growth, err)
        || !grow(command->store, &tree, head->size, &growth, err)) {
        return false;
    }
    const struct digest leaf = audit_leaf(issued->entry, issued->entry_length);
    audit_prove_inclusion(&growth.tree, path_out);
    return audit_verify_inclusion(path_out, issued->index, head->size, &leaf, &head->root)
        || fail(err, ERROR_CONFLICT,
                "the entry cannot be proven, the ledger is not what its checkpoint says: issuerctl "
                "ledger verify");
}

static bool write_proof(const char *path, const struct tlog_proof *proof, struct error *err)
{
    scoped(new_file_clear) struct new_file file = { .path = NULL };
    scoped(release_memory) char *text = tlog_proof_print(proof);

    if (!new_file_make(path, &file, err) || !new_file_write(&file, text, strlen(text), err)) {
        return false;
    }
    new_file_keep(&file);
    return true;
}

static bool is_jti(const char *text)
{
    const size_t length = strlen(text);

    return length > 0 && length <= JTI_LENGTH
        && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
               == length;
}

int ledger_prove(struct ledger_command *command, const char *jti)
{
    scoped(issued_clear) struct issued issued = { .entry = NULL };
    struct stored_checkpoint checkpoint;
    struct tree_head head = { .size = 0 };
    struct tlog_proof proof = { .entry = NULL };
    struct error err = { .code = ERROR_NONE };
    char path[JTI_LENGTH + sizeof(".tlog-proof")];

    if (!is_jti(jti)) {
        (void)fprintf(stderr, "issuerctl: a JTI is the member \"jti\" of a token\n");
        return EX_USAGE;
    }
    if (!find_issued(command->store, jti, &issued, &err)
        || !find_checkpoint(command, &issued, &checkpoint, &head, &err)
        || !prove(command, &issued, &head, &proof.path, &err)) {
        return ctl_refuse(&err);
    }
    proof.entry = issued.entry;
    proof.entry_length = issued.entry_length;
    proof.index = issued.index;
    proof.note = checkpoint.note;
    proof.note_length = strlen(checkpoint.note);
    (void)snprintf(path, sizeof(path), "%s.tlog-proof", jti);
    const char *out = command->arguments->out != NULL ? command->arguments->out : path;
    if (!write_proof(out, &proof, &err)) {
        (void)ctl_complain(&err);
        return EX_CANTCREAT;
    }
    if (command->arguments->json) {
        printf("{\"origin\":\"%s\",\"size\":%" PRId64 ",\"index\":%" PRId64 "}\n", head.origin,
               head.size, issued.index);
    } else {
        printf("%s proves entry %" PRId64 " of %s at size %" PRId64 "\n", out, issued.index,
               head.origin, head.size);
    }
    return EX_OK;
}

/* ---- check-proof ---- */

static bool is_signed(const struct ledger_command *command, const struct signed_note *note,
                      const char *origin)
{
    for (size_t i = 0; i < command->key_count; i++) {
        if (signed_note_is_by(note, origin, command->keys[i])) {
            return true;
        }
    }
    return false;
}

static bool check_proof(const struct ledger_command *command, const struct tlog_proof *proof,
                        struct tree_head *head_out, struct error *err)
{
    struct signed_note note;
    struct audit_entry entry;

    if (!signed_note_parse(proof->note, proof->note_length, &note, err)
        || !tree_head_parse(&note, head_out, err)
        || !audit_entry_parse(proof->entry, proof->entry_length, &entry, err)) {
        return false;
    }
    if (!is_signed(command, &note, head_out->origin)) {
        return fail(err, ERROR_CONFLICT, "the proof's checkpoint is not signed by the audit key");
    }
    const struct digest leaf = audit_leaf(proof->entry, proof->entry_length);
    return audit_verify_inclusion(&proof->path, proof->index, head_out->size, &leaf,
                                  &head_out->root)
        || fail(err, ERROR_CONFLICT, "the entry is not in the tree of the checkpoint");
}

int ledger_check_proof(struct ledger_command *command, const char *path)
{
    scoped(tlog_proof_clear) struct tlog_proof proof = { .entry = NULL };
    scoped(release_memory) char *text = NULL;
    size_t length = 0;
    struct tree_head head = { .size = 0 };
    struct error err = { .code = ERROR_NONE };

    if (command->key_count == 0) {
        (void)fprintf(stderr, "issuerctl: ledger check-proof needs --audit-key FILE\n");
        return EX_USAGE;
    }
    if (!ctl_read_file(path, TLOG_PROOF_MAX, &text, &length, &err)) {
        return ctl_refuse(&err);
    }
    if (!tlog_proof_parse(text, length, &proof, &err)
        || !check_proof(command, &proof, &head, &err)) {
        return ledger_refuse(command, err.message);
    }
    if (command->arguments->json) {
        printf("{\"proven\":true,\"origin\":\"%s\",\"size\":%" PRId64 ",\"index\":%" PRId64
               ",\"entry\":%s}\n",
               head.origin, head.size, proof.index, proof.entry);
        return EX_OK;
    }
    ctl_make_plain(proof.entry);
    printf("%s\nproven: entry %" PRId64 " in %s at size %" PRId64 "\n", proof.entry, proof.index,
           head.origin, head.size);
    return EX_OK;
}

/* ---- consistency ---- */

/* An operand: a checkpoint's file, or a size of the tree. */
struct end {
    bool is_file;
    struct trusted_head trusted; /* of a file */
    int64_t size;
};

static bool read_end(const struct ledger_command *command, const char *operand, struct end *end_out,
                     struct error *err)
{
    end_out->is_file = !tree_size_parse(operand, strlen(operand), &end_out->size);
    if (!end_out->is_file) {
        return true;
    }
    if (!trusted_head_read(operand, command->keys, command->key_count, &end_out->trusted, err)) {
        return false;
    }
    end_out->size = end_out->trusted.head.size;
    return true;
}

static bool find_named(struct store *store, const struct trusted_head *trusted,
                       struct ledger_tree *tree_out, struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };

    if (!store_list_trees(store, &list, err)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        if (list.trees[i].epoch == trusted->epoch
            && strcmp(list.trees[i].node, trusted->node) == 0) {
            *tree_out = list.trees[i];
            return true;
        }
    }
    return fail(err, ERROR_NOT_FOUND, "the store has no tree %s/%" PRId64 ", of which %s tells",
                trusted->node, trusted->epoch, trusted->path);
}

/* The tree of both ends. */
static bool find_common(const struct ledger_command *command, const struct end ends[2],
                        struct ledger_tree *tree_out, struct error *err)
{
    const struct trusted_head *named = ends[0].is_file ? &ends[0].trusted : &ends[1].trusted;

    if (ends[0].is_file && ends[1].is_file
        && strcmp(ends[0].trusted.head.origin, ends[1].trusted.head.origin) != 0) {
        return fail(err, ERROR_CONFLICT, "checkpoints of two ledgers, %s and %s",
                    ends[0].trusted.head.origin, ends[1].trusted.head.origin);
    }
    return ends[0].is_file || ends[1].is_file ? find_named(command->store, named, tree_out, err)
                                              : ledger_choose_tree(command, tree_out, err);
}

static bool check_sizes(const struct end ends[2], const struct ledger_tree *tree, struct error *err)
{
    if (ends[0].size < 1 || ends[0].size > ends[1].size) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "the first checkpoint is the smaller one, and not empty: %" PRId64
                    " and %" PRId64,
                    ends[0].size, ends[1].size);
    }
    if (ends[1].size > tree->edge.size) {
        return fail(err, ERROR_CONFLICT,
                    "the tree %s/%" PRId64 " has %" PRId64 " entries, not %" PRId64
                    ": it was cut, or the store rolled back",
                    tree->node, tree->epoch, tree->edge.size, ends[1].size);
    }
    return ends[0].size >= tree->pruned.size
        || fail(err, ERROR_CONFLICT,
                "the first %" PRId64 " entries were pruned: a checkpoint at size %" PRId64
                " cannot be proven any more",
                tree->pruned.size, ends[0].size);
}

static bool prove_consistency(const struct ledger_command *command, const struct end ends[2],
                              const struct ledger_tree *tree, struct audit_proof *proof_out,
                              struct error *err)
{
    struct audit_path path = audit_path_of_beginning(ends[0].size);
    struct growth growth = { .old_size = -1 };

    if (!begin(tree, &path, ends[0].size, &growth, err)
        || !grow(command->store, tree, ends[1].size, &growth, err)) {
        return false;
    }
    const struct digest root = audit_root(&growth.tree);
    audit_prove_consistency(&growth.tree, proof_out);
    return audit_verify_consistency(proof_out, ends[0].size, ends[1].size,
                                    ends[0].is_file ? &ends[0].trusted.head.root : &growth.old_root,
                                    ends[1].is_file ? &ends[1].trusted.head.root : &root)
        || fail(err, ERROR_CONFLICT,
                "the tree at size %" PRId64 " does not extend that at size %" PRId64, ends[1].size,
                ends[0].size);
}

static void print_consistency(const struct ledger_command *command, const struct end ends[2],
                              const struct ledger_tree *tree, const struct audit_proof *proof)
{
    if (!command->arguments->json) {
        printf("consistent: tree %s/%" PRId64 " at size %" PRId64 " extends that at size %" PRId64
               "\n",
               tree->node, tree->epoch, ends[1].size, ends[0].size);
        return;
    }
    printf("{\"consistent\":true,\"tree\":\"%s/%" PRId64 "\",\"old_size\":%" PRId64
           ",\"size\":%" PRId64 ",\"proof\":[",
           tree->node, tree->epoch, ends[0].size, ends[1].size);
    for (size_t i = 0; i < proof->count; i++) {
        char buffer[48];
        struct text text = text_over(buffer, sizeof(buffer));
        text_add_base64(&text, proof->hashes[i].bytes, sizeof(proof->hashes[i].bytes));
        printf("%s\"%s\"", i > 0 ? "," : "", buffer);
    }
    printf("]}\n");
}

int ledger_consistency(struct ledger_command *command, const char *old_head, const char *new_head)
{
    struct end ends[2];
    struct ledger_tree tree = { .number = 0 };
    struct audit_proof proof;
    struct error err = { .code = ERROR_NONE };

    if (!read_end(command, old_head, &ends[0], &err)
        || !read_end(command, new_head, &ends[1], &err)) {
        return ctl_refuse(&err);
    }
    if (!find_common(command, ends, &tree, &err) || !check_sizes(ends, &tree, &err)
        || !prove_consistency(command, ends, &tree, &proof, &err)) {
        return err.code == ERROR_CONFLICT ? ledger_refuse(command, err.message) : ctl_refuse(&err);
    }
    print_consistency(command, ends, &tree, &proof);
    return EX_OK;
}
