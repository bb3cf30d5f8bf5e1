/*
 * A Merkle tree (RFC 6962 2.1) that only grows, by its right edge: the roots of the perfect
 * subtrees that it is made of, the largest first, one for each bit that is set in its size. An
 * append costs as many hashes as subtrees join, one on average, and reads nothing.
 */
#pragma once

#include "base/digest.h"

#include <stddef.h>
#include <stdint.h>

enum { MERKLE_EDGE_MAX = 40 };

struct merkle_edge {
    int64_t size; /* leaves, below 2^40 */
    struct digest roots[MERKLE_EDGE_MAX];
};

/* How many of `roots` a tree of `size` leaves has. */
size_t merkle_edge_count(int64_t size);

/* SHA-256(0x00 || data). */
struct digest merkle_leaf(const void *data, size_t length);

void merkle_append(struct merkle_edge *edge, const struct digest *leaf);

/* The Merkle Tree Hash; of the empty tree SHA-256(""). */
struct digest merkle_root(const struct merkle_edge *edge);
