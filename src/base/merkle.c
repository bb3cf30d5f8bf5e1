#include "base/merkle.h"

#include <assert.h>
#include <string.h>

enum { LEAF_PREFIX = 0, NODE_PREFIX = 1, LEAF_MAX = 4096 };

size_t merkle_edge_count(int64_t size)
{
    return (size_t)__builtin_popcountll((unsigned long long)size);
}

struct digest merkle_leaf(const void *data, size_t length)
{
    uint8_t prefixed[1 + LEAF_MAX] = { LEAF_PREFIX };

    assert(length <= LEAF_MAX);
    memcpy(prefixed + 1, data, length);
    return sha256(prefixed, 1 + length);
}

static struct digest join(const struct digest *left, const struct digest *right)
{
    uint8_t both[1 + 2 * sizeof(struct digest)] = { NODE_PREFIX };

    memcpy(both + 1, left->bytes, sizeof(left->bytes));
    memcpy(both + 1 + sizeof(left->bytes), right->bytes, sizeof(right->bytes));
    return sha256(both, sizeof(both));
}

void merkle_append(struct merkle_edge *edge, const struct digest *leaf)
{
    size_t count = merkle_edge_count(edge->size);
    struct digest subtree = *leaf;

    assert(edge->size >= 0 && edge->size < INT64_C(1) << MERKLE_EDGE_MAX);
    for (int64_t size = edge->size; (size & 1) != 0; size >>= 1) {
        count--;
        subtree = join(&edge->roots[count], &subtree);
    }
    edge->roots[count] = subtree;
    edge->size++;
}

struct digest merkle_root(const struct merkle_edge *edge)
{
    size_t count = merkle_edge_count(edge->size);

    if (count == 0) {
        return sha256("", 0);
    }
    struct digest root = edge->roots[--count];
    while (count > 0) {
        root = join(&edge->roots[--count], &root);
    }
    return root;
}
