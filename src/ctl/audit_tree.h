/*
 * Merkle trees (RFC 6962 2.1) as an auditor computes them: by a stream of leaves, in memory that does
 * not grow, and apart from what appends to the ledger, so that one mistake cannot hide in both.
 */
#pragma once

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AUDIT_LEVELS = 41,                  /* of a tree below 2^40 leaves */
    AUDIT_PROOF_MAX = AUDIT_LEVELS + 1, /* hashes of a proof of it */
    AUDIT_ENTRY_MAX = 2048,             /* bytes of a leaf's data */
};

#define AUDIT_SIZE_MAX (INT64_C(1) << 40)

struct audit_proof {
    size_t count;
    struct digest hashes[AUDIT_PROOF_MAX];
};

/* Collects the path of one node while its tree streams by; struct audit_tree fills it. */
struct audit_path {
    unsigned level; /* of the node: its subtree has 2^level leaves */
    int64_t index;  /* among those of its level */
    struct digest own;
    struct digest siblings[AUDIT_LEVELS];
};

struct audit_tree {
    int64_t size;
    struct digest subtrees[AUDIT_LEVELS]; /* [n]: of 2^n leaves, if that bit of size is set */
    struct audit_path *path;              /* to fill; NULL: none. Borrowed */
};

/* SHA-256(0x00 || data), at most AUDIT_ENTRY_MAX bytes of it. */
struct digest audit_leaf(const char *data, size_t length);

void audit_append(struct audit_tree *tree, const struct digest *leaf);

/* The Merkle Tree Hash. */
struct digest audit_root(const struct audit_tree *tree);

/* A tree that begins with `size` leaves, of which the roots of their perfect subtrees are known, the
 * largest first, 32 bytes each. `path` as in the struct. False: not as many roots as bits in size,
 * or a size out of bounds. */
MUST_CHECK bool audit_begin(struct audit_tree *tree_out, int64_t size, const uint8_t *edge,
                            size_t edge_length, struct audit_path *path);

/* True if these are the roots of the tree's perfect subtrees. */
bool audit_has_edge(const struct audit_tree *tree, const uint8_t *edge, size_t edge_length);

/* Before the first leaf: what to collect for the proof that leaf `index` is in a tree (RFC 6962
 * 2.1.1), or that the tree of `size` leaves is its beginning (2.1.2), `size` not 0. */
struct audit_path audit_path_of_leaf(int64_t index);
struct audit_path audit_path_of_beginning(int64_t size);

/* After the last leaf: the audit path of the node that was to be collected, the lowest hash first;
 * of a beginning also the node's own hash, unless that is the beginning's root. The node is within the
 * tree. */
void audit_prove_inclusion(const struct audit_tree *tree, struct audit_proof *proof_out);
void audit_prove_consistency(const struct audit_tree *tree, struct audit_proof *proof_out);

/* RFC 9162 2.1.3.2 and 2.1.4.2. */
bool audit_verify_inclusion(const struct audit_proof *proof, int64_t index, int64_t size,
                            const struct digest *leaf, const struct digest *root);
bool audit_verify_consistency(const struct audit_proof *proof, int64_t old_size, int64_t size,
                              const struct digest *old_root, const struct digest *root);
