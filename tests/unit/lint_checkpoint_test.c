/* The audit signer's own policy: checkpoints of this issuer's ledgers that can be of one history. */
#include "hsm/lint_checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

#define ORIGIN "issuer.example/ledger/node-1/1"
#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
#define OTHER_ROOT "DsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
#define GOOD ORIGIN "\n15368\n" ROOT "\n"

/* The limit of a node's name, and one character more. */
#define NODE_64 "0123456789abcdef0123456789ABCDEF0123456789._-def0123456789abcdef"
#define NODE_65 NODE_64 "x"

static struct {
    struct checkpoint_policy policy;
    struct error err;
} fixture;

static void set_up(void)
{
    memset(&fixture.err, 0, sizeof(fixture.err));
    checkpoint_policy_init(&fixture.policy, "https://issuer.example");
}

/* Of a copy of exactly this size, so that the address sanitizer sees a read beyond it. */
static bool passes_bytes(const char *input, size_t length)
{
    scoped(release_memory) char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, input, length);
    fixture.err.code = ERROR_NONE;
    return lint_checkpoint(&fixture.policy, copy, length, &fixture.err);
}

static bool passes(const char *input)
{
    const bool passed = passes_bytes(input, strlen(input));
    if (!passed) {
        printf("\n    %s\n", fixture.err.message);
    }
    return passed;
}

static bool is_refused(const char *input, const char *word)
{
    const bool refused = !passes_bytes(input, strlen(input)) && fixture.err.code == ERROR_LINT
                      && strstr(fixture.err.message, word) != NULL;
    if (!refused) {
        printf("\n    %s\n    code %d: %s\n", input, (int)fixture.err.code, fixture.err.message);
    }
    return refused;
}

/* ---- the form ---- */

static void test_a_body_of_this_issuers_ledger_is_signed(void)
{
    CU_ASSERT_TRUE(passes(GOOD));
    CU_ASSERT_TRUE(passes("issuer.example/ledger/" NODE_64 "/7\n1\n" ROOT "\n"));
    CU_ASSERT_TRUE(passes("issuer.example/ledger/x/9999999999999\n1099511627775\n" ROOT "\n"));
}

static void test_the_issuers_path_and_port_are_of_the_origin(void)
{
    checkpoint_policy_init(&fixture.policy, "http://127.0.0.1:8080/tenant");
    CU_ASSERT_TRUE(passes("127.0.0.1:8080/tenant/ledger/a/1\n1\n" ROOT "\n"));
    CU_ASSERT_TRUE(is_refused("127.0.0.1:8080/ledger/a/1\n1\n" ROOT "\n", "origin"));
}

static void test_another_origin_is_refused(void)
{
    static const char *const origins[] = {
        "",
        "/ledger/node-1/1",
        "other.example/ledger/node-1/1",
        "https://issuer.example/ledger/node-1/1",
        "issuer.example.org/ledger/node-1/1",
        "xissuer.example/ledger/node-1/1",
        "issuer.example/Ledger/node-1/1",
        "issuer.examplenode-1/1",
        "issuer.example/ledger/node-1",
        "issuer.example/ledger//1",
        "issuer.example/ledger/node 1/1",
        "issuer.example/ledger/node+1/1",
        "issuer.example/ledger/n\xc3\xb6/1",
        "issuer.example/ledger/a/b/1",
        "issuer.example/ledger/" NODE_65 "/1",
        "issuer.example/ledger/node-1/",
        "issuer.example/ledger/node-1/0",
        "issuer.example/ledger/node-1/01",
        "issuer.example/ledger/node-1/-1",
        "issuer.example/ledger/node-1/10000000000000",
        "issuer.example/ledger/node-1/1 ",
        "issuer.example/ledger/node-1/1\r",
    };
    char input[256];

    for (size_t i = 0; i < COUNT_OF(origins); i++) {
        (void)snprintf(input, sizeof(input), "%s\n1\n" ROOT "\n", origins[i]);
        CU_ASSERT_TRUE(is_refused(input, "origin"));
    }
}

static void test_a_size_that_is_no_canonical_number_is_refused(void)
{
    static const char *const sizes[] = {
        "",
        "0",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1a",
        "0x1",
        "x",
        "1\r",
        "1099511627776",
        "10995116277750",
    };
    char input[256];

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        (void)snprintf(input, sizeof(input), ORIGIN "\n%s\n" ROOT "\n", sizes[i]);
        CU_ASSERT_TRUE(is_refused(input, "size"));
    }
}

static void test_a_root_that_is_no_canonical_base64_of_32_bytes_is_refused(void)
{
    static const char *const roots[] = {
        "",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I",  /* no padding */
        "CsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=", /* base64url */
        "CsUYapGGPo4dkMgIAUqom-Xajj7h2fB2MPA3j2jxq2I=",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=", /* a bit that is not used */
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2==", /* 31 bytes */
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I9", /* 33 */
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2IA=",
        " sUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
    };
    char input[256];

    for (size_t i = 0; i < COUNT_OF(roots); i++) {
        (void)snprintf(input, sizeof(input), ORIGIN "\n1\n%s\n", roots[i]);
        CU_ASSERT_TRUE(is_refused(input, "root"));
    }
}

static void test_nothing_may_follow_the_root(void)
{
    CU_ASSERT_TRUE(is_refused(GOOD "\n", "root"));
    CU_ASSERT_TRUE(is_refused(GOOD "extension\n", "root"));
    CU_ASSERT_TRUE(is_refused(ORIGIN "\n1\n" ROOT, "root"));
    CU_ASSERT_FALSE(passes_bytes(GOOD, sizeof(GOOD))); /* its NUL */
}

static void test_every_beginning_of_a_body_is_refused(void)
{
    for (size_t length = 0; length < strlen(GOOD); length++) {
        CU_ASSERT_FALSE(passes_bytes(GOOD, length));
    }
    CU_ASSERT_TRUE(passes(GOOD));
}

static void test_a_token_or_a_self_test_is_no_checkpoint(void)
{
    CU_ASSERT_TRUE(
        is_refused("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0", "origin"));
    CU_ASSERT_TRUE(is_refused("issuerd self-test 0123456789abcdef", "origin"));
}

/* ---- what was signed before ---- */

static void test_a_tree_that_grows_is_signed_again_and_again(void)
{
    CU_ASSERT_TRUE(passes(ORIGIN "\n1\n" ROOT "\n"));
    CU_ASSERT_TRUE(passes(ORIGIN "\n2\n" OTHER_ROOT "\n"));
    CU_ASSERT_TRUE(passes(ORIGIN "\n2\n" OTHER_ROOT "\n"));
    CU_ASSERT_TRUE(passes(ORIGIN "\n1000\n" ROOT "\n"));
}

static void test_a_tree_that_shrank_is_refused(void)
{
    CU_ASSERT_TRUE(passes(ORIGIN "\n1000\n" ROOT "\n"));
    CU_ASSERT_TRUE(is_refused(ORIGIN "\n999\n" ROOT "\n", "1000 before"));
    CU_ASSERT_TRUE(is_refused(ORIGIN "\n1\n" OTHER_ROOT "\n", "1000 before"));
    CU_ASSERT_TRUE(passes(ORIGIN "\n1001\n" OTHER_ROOT "\n"));
    CU_ASSERT_TRUE(is_refused(ORIGIN "\n1000\n" ROOT "\n", "1001 before"));
}

static void test_a_second_root_of_one_size_is_refused(void)
{
    CU_ASSERT_TRUE(passes(ORIGIN "\n1000\n" ROOT "\n"));
    CU_ASSERT_TRUE(is_refused(ORIGIN "\n1000\n" OTHER_ROOT "\n", "another root"));
    CU_ASSERT_TRUE(passes(ORIGIN "\n1000\n" ROOT "\n"));
}

static void test_what_was_refused_is_not_remembered(void)
{
    CU_ASSERT_TRUE(passes(ORIGIN "\n10\n" ROOT "\n"));
    CU_ASSERT_FALSE(passes_bytes(ORIGIN "\n20\n" ROOT "\nx", strlen(ORIGIN "\n20\n" ROOT "\nx")));
    CU_ASSERT_TRUE(passes(ORIGIN "\n11\n" ROOT "\n"));
}

static void test_another_epoch_or_node_is_another_tree(void)
{
    CU_ASSERT_TRUE(passes("issuer.example/ledger/a/1\n1000\n" ROOT "\n"));
    CU_ASSERT_TRUE(passes("issuer.example/ledger/a/2\n1\n" ROOT "\n"));
    CU_ASSERT_TRUE(passes("issuer.example/ledger/b/1\n2\n" OTHER_ROOT "\n"));
    CU_ASSERT_TRUE(is_refused("issuer.example/ledger/a/1\n999\n" ROOT "\n", "1000 before"));
    CU_ASSERT_TRUE(is_refused("issuer.example/ledger/b/1\n1\n" ROOT "\n", "2 before"));
}

static void test_trees_beyond_the_memory_are_refused_and_the_others_still_signed(void)
{
    char input[256];

    for (int epoch = 1; epoch <= CHECKPOINT_TREES_MAX; epoch++) {
        (void)snprintf(input, sizeof(input), "issuer.example/ledger/a/%d\n1\n" ROOT "\n", epoch);
        CU_ASSERT_TRUE(passes(input));
    }
    (void)snprintf(input, sizeof(input), "issuer.example/ledger/a/%d\n1\n" ROOT "\n",
                   CHECKPOINT_TREES_MAX + 1);
    CU_ASSERT_TRUE(is_refused(input, "a tree more"));
    CU_ASSERT_TRUE(passes("issuer.example/ledger/a/1\n2\n" ROOT "\n"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a body of this issuer's ledger is signed",
          test_a_body_of_this_issuers_ledger_is_signed },
        { "the issuer's path and port are of the origin",
          test_the_issuers_path_and_port_are_of_the_origin },
        { "another origin is refused", test_another_origin_is_refused },
        { "a size that is no canonical number is refused",
          test_a_size_that_is_no_canonical_number_is_refused },
        { "a root that is no canonical base64 of 32 bytes is refused",
          test_a_root_that_is_no_canonical_base64_of_32_bytes_is_refused },
        { "nothing may follow the root", test_nothing_may_follow_the_root },
        { "every beginning of a body is refused", test_every_beginning_of_a_body_is_refused },
        { "a token or a self-test is no checkpoint", test_a_token_or_a_self_test_is_no_checkpoint },
        { "a tree that grows is signed again and again",
          test_a_tree_that_grows_is_signed_again_and_again },
        { "a tree that shrank is refused", test_a_tree_that_shrank_is_refused },
        { "a second root of one size is refused", test_a_second_root_of_one_size_is_refused },
        { "what was refused is not remembered", test_what_was_refused_is_not_remembered },
        { "another epoch or node is another tree", test_another_epoch_or_node_is_another_tree },
        { "trees beyond the memory are refused, and the others still signed",
          test_trees_beyond_the_memory_are_refused_and_the_others_still_signed },
        CU_TEST_INFO_NULL,
    };
    return run_suite("lint checkpoint", set_up, NULL, tests);
}
