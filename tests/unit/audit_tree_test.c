/*
 * Merkle trees as an auditor computes them, against the roots of Certificate Transparency's reference
 * tree, the examples of RFC 6962 2.1.3, and the recursive definitions of its 2.1.
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "ctl/audit_tree.h"
#include "support/run.h"

enum { LEAVES = 70 };

/* The leaves of certificate-transparency's merkletree tests, and the roots of the first n of them. */
static const struct {
    const char *data;
    size_t length;
} REFERENCE[] = {
    { "", 0 },
    { "\x00", 1 },
    { "\x10", 1 },
    { "\x20\x21", 2 },
    { "\x30\x31", 2 },
    { "\x40\x41\x42\x43", 4 },
    { "\x50\x51\x52\x53\x54\x55\x56\x57", 8 },
    { "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16 },
};

static const char *const REFERENCE_ROOTS[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static struct {
    struct digest leaves[LEAVES];
    struct audit_path path;
    struct audit_tree tree;
    struct audit_proof proof;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    for (int i = 0; i < LEAVES; i++) {
        char data[16];
        const int length = snprintf(data, sizeof(data), "leaf %d", i);
        fixture.leaves[i] = audit_leaf(data, (size_t)length);
    }
}

/* ---- RFC 6962 2.1 to the letter ---- */

static size_t split(size_t count)
{
    size_t k = 1;
    while (k * 2 < count) {
        k *= 2;
    }
    return k;
}

static struct digest node_of(const struct digest *left, const struct digest *right)
{
    uint8_t node[65] = { 1 };
    memcpy(node + 1, left->bytes, 32);
    memcpy(node + 33, right->bytes, 32);
    return sha256(node, sizeof(node));
}

static struct digest mth(const struct digest *leaves, size_t count)
{
    if (count == 1) {
        return leaves[0];
    }
    const struct digest left = mth(leaves, split(count));
    const struct digest right = mth(leaves + split(count), count - split(count));
    return node_of(&left, &right);
}

static void path_of(size_t m, const struct digest *leaves, size_t count, struct audit_proof *out)
{
    const size_t k = split(count);
    struct digest other;

    if (count == 1) {
        return;
    }
    if (m < k) {
        path_of(m, leaves, k, out);
        other = mth(leaves + k, count - k);
    } else {
        path_of(m - k, leaves + k, count - k, out);
        other = mth(leaves, k);
    }
    out->hashes[out->count++] = other;
}

static void subproof(size_t m, const struct digest *leaves, size_t count, bool is_whole,
                     struct audit_proof *out)
{
    const size_t k = split(count);
    struct digest other;

    if (m == count) {
        if (!is_whole) {
            out->hashes[out->count++] = mth(leaves, m);
        }
        return;
    }
    if (m <= k) {
        subproof(m, leaves, k, is_whole, out);
        other = mth(leaves + k, count - k);
    } else {
        subproof(m - k, leaves + k, count - k, false, out);
        other = mth(leaves, k);
    }
    out->hashes[out->count++] = other;
}

static bool same_proof(const struct audit_proof *a, const struct audit_proof *b)
{
    return a->count == b->count
        && memcmp(a->hashes, b->hashes, a->count * sizeof(a->hashes[0])) == 0;
}

/* ---- what is tested ---- */

/* The tree of the first `size` leaves, of which those before `begun` are known by their edge. */
static void grow(size_t begun, size_t size, struct audit_path *path)
{
    uint8_t edge[AUDIT_LEVELS * 32] = { 0 };
    size_t length = 0;

    for (size_t from = 0, left = begun; left > 0;) {
        size_t whole = 1;
        while (whole * 2 <= left) {
            whole *= 2;
        }
        const struct digest root = mth(fixture.leaves + from, whole);
        memcpy(edge + length, root.bytes, 32);
        length += 32;
        from += whole;
        left -= whole;
    }
    CU_ASSERT_TRUE(audit_begin(&fixture.tree, (int64_t)begun, edge, length, path));
    CU_ASSERT_TRUE(audit_has_edge(&fixture.tree, edge, length));
    for (size_t i = begun; i < size; i++) {
        audit_append(&fixture.tree, &fixture.leaves[i]);
    }
}

static void test_the_roots_are_those_of_certificate_transparency(void)
{
    struct audit_tree tree = { .size = 0 };

    for (size_t size = 0; size <= COUNT_OF(REFERENCE); size++) {
        const struct digest root = audit_root(&tree);
        char hex[65];
        for (size_t i = 0; i < sizeof(root.bytes); i++) {
            (void)snprintf(hex + 2 * i, 3, "%02x", root.bytes[i]);
        }
        CU_ASSERT_STRING_EQUAL(hex, REFERENCE_ROOTS[size]);
        if (size < COUNT_OF(REFERENCE)) {
            const struct digest leaf = audit_leaf(REFERENCE[size].data, REFERENCE[size].length);
            audit_append(&tree, &leaf);
        }
    }
}

static void test_a_tree_goes_on_from_its_edge(void)
{
    for (size_t size = 1; size <= LEAVES; size++) {
        const struct digest root = mth(fixture.leaves, size);
        for (size_t begun = 0; begun <= size; begun++) {
            grow(begun, size, NULL);
            const struct digest found = audit_root(&fixture.tree);
            CU_ASSERT_TRUE(digest_equal(&found, &root));
        }
    }
}

static void test_an_edge_of_another_length_is_none(void)
{
    const uint8_t edge[96] = { 0 };
    struct audit_tree tree;

    CU_ASSERT_TRUE(audit_begin(&tree, 3, edge, 64, NULL));
    CU_ASSERT_FALSE(audit_begin(&tree, 3, edge, 63, NULL));
    CU_ASSERT_FALSE(audit_begin(&tree, 3, edge, 96, NULL));
    CU_ASSERT_FALSE(audit_begin(&tree, -1, edge, 96, NULL));
    CU_ASSERT_FALSE(audit_begin(&tree, AUDIT_SIZE_MAX, edge, 32, NULL));

    grow(0, 3, NULL);
    CU_ASSERT_FALSE(audit_has_edge(&fixture.tree, edge, 64));
    CU_ASSERT_FALSE(audit_has_edge(&fixture.tree, edge, 32));
}

static void test_every_inclusion_proof_is_the_path_of_rfc_6962(void)
{
    for (size_t size = 1; size <= LEAVES; size++) {
        const struct digest root = mth(fixture.leaves, size);
        for (size_t index = 0; index < size; index++) {
            struct audit_proof path = { .count = 0 };
            path_of(index, fixture.leaves, size, &path);
            fixture.path = audit_path_of_leaf((int64_t)index);
            grow(index / 2, size, &fixture.path);
            audit_prove_inclusion(&fixture.tree, &fixture.proof);
            CU_ASSERT_TRUE(same_proof(&fixture.proof, &path));
            CU_ASSERT_TRUE(audit_verify_inclusion(&path, (int64_t)index, (int64_t)size,
                                                  &fixture.leaves[index], &root));
        }
    }
}

static void test_every_consistency_proof_is_the_subproof_of_rfc_6962(void)
{
    for (size_t size = 1; size <= LEAVES; size++) {
        const struct digest root = mth(fixture.leaves, size);
        for (size_t old_size = 1; old_size <= size; old_size++) {
            const struct digest old_root = mth(fixture.leaves, old_size);
            struct audit_proof subproofs = { .count = 0 };
            subproof(old_size, fixture.leaves, size, true, &subproofs);
            fixture.path = audit_path_of_beginning((int64_t)old_size);
            grow(old_size, size, &fixture.path);
            audit_prove_consistency(&fixture.tree, &fixture.proof);
            CU_ASSERT_TRUE(same_proof(&fixture.proof, &subproofs));
            CU_ASSERT_TRUE(audit_verify_consistency(&subproofs, (int64_t)old_size, (int64_t)size,
                                                    &old_root, &root));
        }
    }
}

static void test_a_wrong_inclusion_proof_is_refused(void)
{
    for (size_t size = 1; size <= 20; size++) {
        const struct digest root = mth(fixture.leaves, size);
        for (size_t index = 0; index < size; index++) {
            struct audit_proof path = { .count = 0 };
            path_of(index, fixture.leaves, size, &path);
            const struct digest *leaf = &fixture.leaves[index];
            const int64_t at = (int64_t)index;
            const int64_t of = (int64_t)size;
            for (size_t i = 0; i < path.count; i++) {
                path.hashes[i].bytes[31] ^= 1;
                CU_ASSERT_FALSE(audit_verify_inclusion(&path, at, of, leaf, &root));
                path.hashes[i].bytes[31] ^= 1;
            }
            CU_ASSERT_FALSE(audit_verify_inclusion(&path, at, of, leaf + 1, &root));
            CU_ASSERT_FALSE(audit_verify_inclusion(&path, at + 1, of, leaf, &root));
            CU_ASSERT_FALSE(audit_verify_inclusion(&path, of, of, leaf, &root));
            CU_ASSERT_FALSE(audit_verify_inclusion(&path, -1, of, leaf, &root));
            path.hashes[path.count++] = root;
            CU_ASSERT_FALSE(audit_verify_inclusion(&path, at, of, leaf, &root));
            path.count -= path.count > 1 ? 2 : 0;
            CU_ASSERT_FALSE(audit_verify_inclusion(&path, at, of, leaf, &root));
        }
    }
}

static void test_a_wrong_consistency_proof_is_refused(void)
{
    for (size_t size = 2; size <= 20; size++) {
        const struct digest root = mth(fixture.leaves, size);
        for (size_t old_size = 1; old_size < size; old_size++) {
            const struct digest old_root = mth(fixture.leaves, old_size);
            const int64_t from = (int64_t)old_size;
            const int64_t to = (int64_t)size;
            struct audit_proof path = { .count = 0 };
            subproof(old_size, fixture.leaves, size, true, &path);
            for (size_t i = 0; i < path.count; i++) {
                path.hashes[i].bytes[0] ^= 0x80;
                CU_ASSERT_FALSE(audit_verify_consistency(&path, from, to, &old_root, &root));
                path.hashes[i].bytes[0] ^= 0x80;
            }
            CU_ASSERT_FALSE(audit_verify_consistency(&path, from, to, &root, &root));
            CU_ASSERT_FALSE(audit_verify_consistency(&path, from, to, &old_root, &old_root));
            CU_ASSERT_FALSE(audit_verify_consistency(&path, to, from, &root, &old_root));
            CU_ASSERT_FALSE(audit_verify_consistency(&path, 0, to, &old_root, &root));
            path.hashes[path.count++] = root;
            CU_ASSERT_FALSE(audit_verify_consistency(&path, from, to, &old_root, &root));
            path.count = 0;
            CU_ASSERT_FALSE(audit_verify_consistency(&path, from, to, &old_root, &root));
            CU_ASSERT_FALSE(audit_verify_consistency(&path, to, to, &old_root, &root));
        }
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the roots are those of certificate transparency",
          test_the_roots_are_those_of_certificate_transparency },
        { "a tree goes on from its edge", test_a_tree_goes_on_from_its_edge },
        { "an edge of another length is none", test_an_edge_of_another_length_is_none },
        { "every inclusion proof is the path of rfc 6962",
          test_every_inclusion_proof_is_the_path_of_rfc_6962 },
        { "every consistency proof is the subproof of rfc 6962",
          test_every_consistency_proof_is_the_subproof_of_rfc_6962 },
        { "a wrong inclusion proof is refused", test_a_wrong_inclusion_proof_is_refused },
        { "a wrong consistency proof is refused", test_a_wrong_consistency_proof_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("audit tree", set_up, NULL, tests);
}
