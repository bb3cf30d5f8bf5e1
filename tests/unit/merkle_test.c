/* The tree by its right edge against the vectors of Certificate Transparency's reference tree. */
#include "base/merkle.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static const struct {
    const char *leaf;
    size_t length;
    const char *root; /* of the tree that ends with this leaf */
} VECTORS[] = {
    { "", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
    { "\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
    { "\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
    { "\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
    { "\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
    { "\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
    { "\x50\x51\x52\x53\x54\x55\x56\x57", 8,
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
    { "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
};

static bool is_hex(const struct digest *digest, const char *hex)
{
    char text[2 * sizeof(digest->bytes) + 1];

    for (size_t i = 0; i < sizeof(digest->bytes); i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", digest->bytes[i]);
    }
    return strcmp(text, hex) == 0;
}

static void test_the_empty_tree_has_the_hash_of_nothing(void)
{
    const struct merkle_edge edge = { .size = 0 };
    const struct digest root = merkle_root(&edge);

    CU_ASSERT_TRUE(
        is_hex(&root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

static void test_roots_are_those_of_the_reference_tree(void)
{
    struct merkle_edge edge = { .size = 0 };

    for (size_t i = 0; i < COUNT_OF(VECTORS); i++) {
        const struct digest leaf = merkle_leaf(VECTORS[i].leaf, VECTORS[i].length);
        merkle_append(&edge, &leaf);
        const struct digest root = merkle_root(&edge);
        CU_ASSERT_EQUAL(edge.size, (int64_t)i + 1);
        CU_ASSERT_TRUE(is_hex(&root, VECTORS[i].root));
    }
}

static void test_an_edge_has_a_root_for_each_bit_of_its_size(void)
{
    CU_ASSERT_EQUAL(merkle_edge_count(0), 0);
    CU_ASSERT_EQUAL(merkle_edge_count(7), 3);
    CU_ASSERT_EQUAL(merkle_edge_count(8), 1);
    CU_ASSERT_EQUAL(merkle_edge_count((INT64_C(1) << MERKLE_EDGE_MAX) - 1), MERKLE_EDGE_MAX);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the empty tree has the hash of nothing", test_the_empty_tree_has_the_hash_of_nothing },
        { "roots are those of the reference tree", test_roots_are_those_of_the_reference_tree },
        { "an edge has a root for each bit of its size",
          test_an_edge_has_a_root_for_each_bit_of_its_size },
        CU_TEST_INFO_NULL,
    };
    return run_suite("merkle", NULL, NULL, tests);
}
