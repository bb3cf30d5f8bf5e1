/* The two JSON parts of tokens and of lists of revoked ones, to the byte: they are what gets signed. */
#include "jose/claims.h"

#include <string.h>

#include "base/json_check.h"
#include "support/run.h"

enum { ROOM = 1024 };

static struct {
    char buffer[ROOM];
    struct text text;
    struct access_token_claims claims;
    struct error err;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
    fixture.claims = (struct access_token_claims){
        .issuer = "https://issuer.example",
        .subject = "did:example:1",
        .audience = "https://api.example",
        .client_id = "did:example:2",
        .scope = "read write",
        .jti = "AAECAwQFBgcICQoLDA0ODw",
        .issued_s = 1700000000,
        .expires_s = 1700003600,
    };
}

static void test_the_header_is_exactly_this(void)
{
    access_token_header(&fixture.text, "ES256", "a-kid");
    CU_ASSERT_FALSE(fixture.text.overflowed);
    CU_ASSERT_STRING_EQUAL(fixture.buffer,
                           "{\"alg\":\"ES256\",\"kid\":\"a-kid\",\"typ\":\"at+jwt\"}");
    CU_ASSERT_EQUAL(fixture.text.length, strlen(fixture.buffer));
}

static void test_the_payload_is_exactly_this(void)
{
    access_token_payload(&fixture.text, &fixture.claims);
    CU_ASSERT_FALSE(fixture.text.overflowed);
    CU_ASSERT_STRING_EQUAL(fixture.buffer,
                           "{\"iss\":\"https://issuer.example\",\"sub\":\"did:example:1\","
                           "\"aud\":\"https://api.example\",\"client_id\":\"did:example:2\","
                           "\"scope\":\"read write\",\"jti\":\"AAECAwQFBgcICQoLDA0ODw\","
                           "\"iat\":1700000000,\"nbf\":1700000000,\"exp\":1700003600}");
}

static void test_no_scope_is_no_member(void)
{
    fixture.claims.scope = NULL;
    access_token_payload(&fixture.text, &fixture.claims);
    CU_ASSERT_PTR_NULL(strstr(fixture.buffer, "scope"));
    CU_ASSERT_TRUE(json_check(fixture.buffer, fixture.text.length, &fixture.err));
}

static void test_texts_are_escaped(void)
{
    fixture.claims.subject = "a\"b\\c\n\x01\x1f\x7f/";
    fixture.claims.scope = "\",\"aud\":\"evil";
    access_token_payload(&fixture.text, &fixture.claims);
    CU_ASSERT_TRUE(json_check(fixture.buffer, fixture.text.length, &fixture.err));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.buffer, "\"sub\":\"a\\\"b\\\\c"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.buffer, "\"scope\":\"\\\",\\\"aud\\\":\\\"evil\""));
    CU_ASSERT_PTR_NULL(strpbrk(fixture.buffer, "\n\x01\x1f"));
}

static void test_utf_8_is_kept(void)
{
    fixture.claims.subject = "did:example:\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91";
    access_token_payload(&fixture.text, &fixture.claims);
    CU_ASSERT_TRUE(json_check(fixture.buffer, fixture.text.length, &fixture.err));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.buffer, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91"));
}

static void test_times_beyond_32_bits_are_whole(void)
{
    fixture.claims.issued_s = INT64_C(253402300799);
    fixture.claims.expires_s = INT64_C(253402300799) + 3600;
    access_token_payload(&fixture.text, &fixture.claims);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.buffer, "\"iat\":253402300799,"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.buffer, "\"exp\":253402304399}"));
}

static void test_what_does_not_fit_is_told_whatever_the_room(void)
{
    access_token_payload(&fixture.text, &fixture.claims);
    const size_t length = fixture.text.length;

    fixture.text = text_over(fixture.buffer, length + 1);
    access_token_payload(&fixture.text, &fixture.claims);
    CU_ASSERT_FALSE(fixture.text.overflowed);
    for (size_t size = 1; size <= length; size++) {
        fixture.text = text_over(fixture.buffer, size);
        access_token_payload(&fixture.text, &fixture.claims);
        CU_ASSERT_TRUE(fixture.text.overflowed);
        CU_ASSERT_TRUE(fixture.text.length < size);
    }
}

static void test_a_header_that_does_not_fit_is_told(void)
{
    fixture.text = text_over(fixture.buffer, 20);
    access_token_header(&fixture.text, "ES256", "a-kid");
    CU_ASSERT_TRUE(fixture.text.overflowed);
}

static void test_a_lists_header_is_exactly_this(void)
{
    revoked_tokens_header(&fixture.text, "ES256", "a-kid");
    CU_ASSERT_STRING_EQUAL(fixture.buffer, "{\"alg\":\"ES256\",\"kid\":\"a-kid\","
                                           "\"typ\":\"revoked-tokens+jwt\"}");
}

static void test_a_lists_payload_is_exactly_this(void)
{
    static const char *const jtis[] = { "AAECAwQFBgcICQoLDA0ODw", "EBESExQVFhcYGRobHB0eHw" };
    struct revoked_tokens_claims claims = { .issuer = "https://issuer.example",
                                            .issued_s = 1700000000,
                                            .expires_s = 1700000300,
                                            .complete = false,
                                            .jtis = jtis,
                                            .count = 2 };

    revoked_tokens_payload(&fixture.text, &claims);
    CU_ASSERT_STRING_EQUAL(
        fixture.buffer, "{\"iss\":\"https://issuer.example\",\"iat\":1700000000,\"exp\":1700000300,"
                        "\"complete\":false,"
                        "\"revoked\":[\"AAECAwQFBgcICQoLDA0ODw\",\"EBESExQVFhcYGRobHB0eHw\"]}");
    claims.complete = true;
    claims.count = 0;
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
    revoked_tokens_payload(&fixture.text, &claims);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.buffer, "\"complete\":true,\"revoked\":[]}"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the header is exactly this", test_the_header_is_exactly_this },
        { "the payload is exactly this", test_the_payload_is_exactly_this },
        { "no scope is no member", test_no_scope_is_no_member },
        { "texts are escaped", test_texts_are_escaped },
        { "UTF-8 is kept", test_utf_8_is_kept },
        { "times beyond 32 bits are whole", test_times_beyond_32_bits_are_whole },
        { "what does not fit is told whatever the room",
          test_what_does_not_fit_is_told_whatever_the_room },
        { "a header that does not fit is told", test_a_header_that_does_not_fit_is_told },
        { "a list's header is exactly this", test_a_lists_header_is_exactly_this },
        { "a list's payload is exactly this", test_a_lists_payload_is_exactly_this },
        CU_TEST_INFO_NULL,
    };
    return run_suite("claims", set_up, NULL, tests);
}
