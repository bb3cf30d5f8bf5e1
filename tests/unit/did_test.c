/* The DID grammar, production by production. */
#include "jose/did.h"

#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static void test_dids_are_accepted(void)
{
    static const char *const DIDS[] = {
        "did:example:123456789abcdefghi",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "did:web:w3c-ccg.github.io:user:alice",
        "did:web:localhost%3A8443",
        "did:empe:testnet:0123456789abcdef0123456789abcdef01234567",
        "did:a:b",
        "did:1:_.-",
        "did:a::b",
        "did:a:%2F%2f",
    };
    for (size_t i = 0; i < COUNT_OF(DIDS); i++) {
        CU_ASSERT_TRUE(did_is_valid(DIDS[i]));
    }
}

static void test_what_is_no_did_is_refused(void)
{
    static const char *const TEXTS[] = {
        "",          "did",        "did:",       "did:a",     "did:a:",    "did::b",
        "did:a:b:",  "did:a::",    "DID:a:b",    "Did:a:b",   "did:A:b",   "did:a-b:c",
        "did:a_b:c", "urn:a:b",    " did:a:b",   "did:a:b ",  "did:a:b\n", "did: a:b",
        "did:a:b%",  "did:a:b%2",  "did:a:b%2g", "did:a:%%",  "did:a:b+c", "did:a:b@c",
        "did:a:\"b", "did:a:b\\c", "did:a:b,c",  "did:a:b=c", "did:a:b~",  "did:a:b'",
    };
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        CU_ASSERT_FALSE(did_is_valid(TEXTS[i]));
    }
}

static void test_a_did_url_is_no_did(void)
{
    CU_ASSERT_FALSE(did_is_valid("did:example:123/path"));
    CU_ASSERT_FALSE(did_is_valid("did:example:123?versionId=1"));
    CU_ASSERT_FALSE(did_is_valid("did:example:123#key-1"));
    CU_ASSERT_FALSE(did_is_valid("did:example:123;service=agent"));
}

static void test_only_ascii_is_accepted(void)
{
    CU_ASSERT_FALSE(did_is_valid("did:example:caf\xc3\xa9"));
    CU_ASSERT_FALSE(did_is_valid("did:ex\xc3\xa9:cafe"));
    CU_ASSERT_FALSE(did_is_valid("did:example:a\xff"));
    CU_ASSERT_FALSE(did_is_valid("did:example:a\x01"));
    CU_ASSERT_FALSE(did_is_valid("did:example:a\x7f"));
}

static void test_a_did_of_the_greatest_length_is_accepted_and_no_longer_one(void)
{
    char did[DID_MAX + 2];

    memset(did, 'a', sizeof(did));
    memcpy(did, "did:jwk:", strlen("did:jwk:"));
    did[DID_MAX + 1] = '\0';
    CU_ASSERT_FALSE(did_is_valid(did));
    did[DID_MAX] = '\0';
    CU_ASSERT_TRUE(did_is_valid(did));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "DIDs are accepted", test_dids_are_accepted },
        { "what is no DID is refused", test_what_is_no_did_is_refused },
        { "a DID URL is no DID", test_a_did_url_is_no_did },
        { "only ASCII is accepted", test_only_ascii_is_accepted },
        { "a DID of the greatest length is accepted and no longer one",
          test_a_did_of_the_greatest_length_is_accepted_and_no_longer_one },
        CU_TEST_INFO_NULL,
    };
    return run_suite("did", NULL, NULL, tests);
}
