/* A tree is held as a binary counter: one perfect subtree for each bit of its size. */
#include "ctl/audit_tree.h"

#include <assert.h>
#include <string.h>

static struct digest hash_children(const struct digest *left, const struct digest *right)
{
    uint8_t node[1 + 2 * sizeof(left->bytes)] = { 1 };

    memcpy(node + 1, left->bytes, sizeof(left->bytes));
    memcpy(node + 1 + sizeof(left->bytes), right->bytes, sizeof(right->bytes));
    return sha256(node, sizeof(node));
}

struct digest audit_leaf(const char *data, size_t length)
{
    uint8_t leaf[1 + AUDIT_ENTRY_MAX];

    assert(length <= AUDIT_ENTRY_MAX);
    leaf[0] = 0;
    memcpy(leaf + 1, data, length);
    return sha256(leaf, length + 1);
}

static bool has_subtree(int64_t size, unsigned level)
{
    return (size >> level & 1) != 0;
}

/* ---- growing ---- */

/* A perfect subtree has come about: perhaps it is one that the path needs. */
static void note_node(struct audit_path *path, unsigned level, int64_t index,
                      const struct digest *hash)
{
    if (path == NULL || level < path->level) {
        return;
    }
    const int64_t ancestor = path->index >> (level - path->level);
    if (index == (ancestor ^ 1)) {
        path->siblings[level] = *hash;
    } else if (level == path->level && index == path->index) {
        path->own = *hash;
    }
}

void audit_append(struct audit_tree *tree, const struct digest *leaf)
{
    struct digest hash = *leaf;
    unsigned level = 0;

    note_node(tree->path, 0, tree->size, &hash);
    for (; has_subtree(tree->size, level); level++) {
        hash = hash_children(&tree->subtrees[level], &hash);
        note_node(tree->path, level + 1, tree->size >> (level + 1), &hash);
    }
    tree->subtrees[level] = hash;
    tree->size++;
}

/* The root of the leaves that the subtrees below `level` hold, of which there is one. */
static struct digest root_below(const struct audit_tree *tree, unsigned level)
{
    struct digest root = { { 0 } };
    bool is_begun = false;

    for (unsigned i = 0; i < level; i++) {
        if (has_subtree(tree->size, i)) {
            root = is_begun ? hash_children(&tree->subtrees[i], &root) : tree->subtrees[i];
            is_begun = true;
        }
    }
    return root;
}

struct digest audit_root(const struct audit_tree *tree)
{
    return tree->size == 0 ? sha256("", 0) : root_below(tree, AUDIT_LEVELS);
}

/* ---- edges ---- */

static size_t edge_length_of(int64_t size)
{
    return (size_t)__builtin_popcountll((unsigned long long)size) * sizeof(struct digest);
}

bool audit_begin(struct audit_tree *tree_out, int64_t size, const uint8_t *edge, size_t edge_length,
                 struct audit_path *path)
{
    *tree_out = (struct audit_tree){ .size = size, .path = path };
    if (size < 0 || size >= AUDIT_SIZE_MAX || edge_length != edge_length_of(size)) {
        return false;
    }
    for (unsigned level = AUDIT_LEVELS; level-- > 0;) {
        if (has_subtree(size, level)) {
            memcpy(tree_out->subtrees[level].bytes, edge, sizeof(struct digest));
            edge += sizeof(struct digest);
            note_node(path, level, (size >> level) - 1, &tree_out->subtrees[level]);
        }
    }
    return true;
}

bool audit_has_edge(const struct audit_tree *tree, const uint8_t *edge, size_t edge_length)
{
    if (edge_length != edge_length_of(tree->size)) {
        return false;
    }
    for (unsigned level = AUDIT_LEVELS; level-- > 0;) {
        if (has_subtree(tree->size, level)) {
            if (memcmp(tree->subtrees[level].bytes, edge, sizeof(struct digest)) != 0) {
                return false;
            }
            edge += sizeof(struct digest);
        }
    }
    return true;
}

/* ---- proving ---- */

struct audit_path audit_path_of_leaf(int64_t index)
{
    return (struct audit_path){ .level = 0, .index = index };
}

/* The last perfect subtree of the beginning: its path holds all the others, and what follows. */
struct audit_path audit_path_of_beginning(int64_t size)
{
    const unsigned level = (unsigned)__builtin_ctzll((unsigned long long)size);
    return (struct audit_path){ .level = level, .index = (size >> level) - 1 };
}

static void add_hash(struct audit_proof *proof, const struct digest *hash)
{
    proof->hashes[proof->count++] = *hash;
}

static void add_siblings(const struct audit_tree *tree, struct audit_proof *proof)
{
    const struct audit_path *path = tree->path;

    for (unsigned level = path->level; level < AUDIT_LEVELS; level++) {
        const int64_t sibling = (path->index >> (level - path->level)) ^ 1;
        const int64_t perfect = tree->size >> level; /* subtrees of this level */
        if (sibling < perfect) {
            add_hash(proof, &path->siblings[level]);
        } else if (sibling == perfect && sibling << level < tree->size) {
            const struct digest rest = root_below(tree, level);
            add_hash(proof, &rest);
        }
    }
}

void audit_prove_inclusion(const struct audit_tree *tree, struct audit_proof *proof_out)
{
    proof_out->count = 0;
    add_siblings(tree, proof_out);
}

void audit_prove_consistency(const struct audit_tree *tree, struct audit_proof *proof_out)
{
    const struct audit_path *path = tree->path;

    proof_out->count = 0;
    if ((path->index + 1) << path->level == tree->size) {
        return; /* the beginning is all of it */
    }
    if (path->index != 0) {
        add_hash(proof_out, &path->own);
    }
    add_siblings(tree, proof_out);
}

/* ---- verifying ---- */

bool audit_verify_inclusion(const struct audit_proof *proof, int64_t index, int64_t size,
                            const struct digest *leaf, const struct digest *root)
{
    int64_t node = index;
    int64_t last = size - 1;
    struct digest hash = *leaf;

    if (index < 0 || index >= size) {
        return false;
    }
    for (size_t i = 0; i < proof->count; i++) {
        if (last == 0) {
            return false;
        }
        if ((node & 1) != 0 || node == last) {
            hash = hash_children(&proof->hashes[i], &hash);
            for (; node != 0 && (node & 1) == 0; node >>= 1, last >>= 1) {
            }
        } else {
            hash = hash_children(&hash, &proof->hashes[i]);
        }
        node >>= 1;
        last >>= 1;
    }
    return last == 0 && digest_equal(&hash, root);
}

/* With the beginning's last perfect subtree, `seed`, and what is left of the path. */
static bool climb(const struct audit_proof *proof, size_t first, int64_t old_size, int64_t size,
                  const struct digest *seed, const struct digest *old_root,
                  const struct digest *root)
{
    int64_t node = old_size - 1;
    int64_t last = size - 1;
    struct digest old_hash = *seed;
    struct digest hash = *seed;

    for (; (node & 1) != 0; node >>= 1, last >>= 1) {
    }
    for (size_t i = first; i < proof->count; i++) {
        if (last == 0) {
            return false;
        }
        if ((node & 1) != 0 || node == last) {
            old_hash = hash_children(&proof->hashes[i], &old_hash);
            hash = hash_children(&proof->hashes[i], &hash);
            for (; node != 0 && (node & 1) == 0; node >>= 1, last >>= 1) {
            }
        } else {
            hash = hash_children(&hash, &proof->hashes[i]);
        }
        node >>= 1;
        last >>= 1;
    }
    return last == 0 && digest_equal(&old_hash, old_root) && digest_equal(&hash, root);
}

bool audit_verify_consistency(const struct audit_proof *proof, int64_t old_size, int64_t size,
                              const struct digest *old_root, const struct digest *root)
{
    if (old_size <= 0 || old_size > size) {
        return false;
    }
    if (old_size == size) {
        return proof->count == 0 && digest_equal(old_root, root);
    }
    if ((old_size & (old_size - 1)) == 0) {
        return climb(proof, 0, old_size, size, old_root, old_root, root);
    }
    return proof->count > 0 && climb(proof, 1, old_size, size, &proof->hashes[0], old_root, root);
}
