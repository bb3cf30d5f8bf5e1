/*
 * A DID's keys, against the vectors of the did:key and did:jwk methods; and the DIDs, key names and
 * documents that have none. The resolver is this file's: what a real one may answer is did_resolver's
 * test.
 */
#include "vc/did_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/jwk.h"
#include "support/run.h"

#define ED25519 "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
#define ED25519_JWK                                                                                \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik\"}"
#define P256 "zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169"
#define P256_JWK                                                                                   \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"fyNYMN0976ci7xqiSdag3buk-ZCwgXU4kz9XNkBlNUI\","     \
    "\"y\":\"hW2ojTNfH7Jbi8--CJUo3OCbH3y5n91g-IMA9MLMbTU\"}"
#define P384 "z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9"
#define P384_JWK                                                                                   \
    "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"lInTxl8fjLKp_UCrxI0WDklahi-7-_6JbtiHjiRvMvhedhKVd"  \
    "HBfi2HCY8t_QJyc\",\"y\":\"y6N1IC-2mXxHreETBW7K3mBcw0qGr3CWHCs-yl09yCQRLcyfGv7XhqAngHOu51Zv"   \
    "\"}"
#define SECP256K1 "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"
#define SECP256K1_JWK                                                                              \
    "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"h0wVx_2iDlOcblulc8E5iEw1EYh5n1RYtLQfeSTyNc0\"," \
    "\"y\":\"O2EATIGbu6DezKFptj5scAIRntgfecanVNXxat1rnwE\"}"

#define DID_JWK                                                                                    \
    "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6" \
    "OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
#define DID_JWK_KEY                                                                                \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0\","     \
    "\"y\":\"_KcyLj9vWMptnmKtm46GqDz8wf74I5LKgrl2GzH3nSE\"}"

#define WEB "did:web:a.example"
#define EMPE "did:empe:testnet:00112233445566778899aabbccddeeff00112233"
#define METHOD(id, jwk)                                                                            \
    "{\"id\":\"" id "\",\"type\":\"JsonWebKey\",\"controller\":\"" WEB "\",\"publicKeyJwk\":" jwk  \
    "}"
#define DOCUMENT(methods, authentication)                                                          \
    "{\"id\":\"" WEB "\",\"verificationMethod\":[" methods "],\"authentication\":[" authentication \
    "]}"

static struct {
    EVP_PKEY *key;
    const char *document; /* what is resolved; NULL: the resolver does not answer */
    unsigned resolved;
    struct error err;
} fixture;

bool did_resolver_fetch(struct did_resolver *resolver, const char *did, int64_t now_ns,
                        char **document_out, struct error *err)
{
    (void)resolver, (void)did, (void)now_ns;
    fixture.resolved++;
    if (fixture.document == NULL) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "down");
    }
    *document_out = xstrdup(fixture.document);
    return true;
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void free_key(void)
{
    EVP_PKEY_free(take(fixture.key));
}

static bool find_for(const char *did, const char *kid, enum did_purpose purpose)
{
    static char resolver; /* a pointer that is not NULL */

    free_key();
    return did_find_key((struct did_resolver *)(void *)&resolver, did, kid, purpose, 0,
                        &fixture.key, &fixture.err);
}

static bool find(const char *did, const char *kid)
{
    return find_for(did, kid, DID_AUTHENTICATION);
}

static bool find_in(const char *document, const char *kid)
{
    fixture.document = document;
    return find(WEB, kid);
}

static bool is_key(const char *jwk_text)
{
    cJSON *jwk = cJSON_Parse(jwk_text);
    EVP_PKEY *wanted = NULL;

    CU_ASSERT_TRUE_FATAL(jwk_parse(jwk, &wanted, &fixture.err));
    cJSON_Delete(jwk);
    const bool same = EVP_PKEY_eq(wanted, fixture.key) == 1;
    EVP_PKEY_free(wanted);
    return same;
}

static void assert_refused(bool found, const char *why)
{
    CU_ASSERT_FALSE(found);
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    if (strstr(fixture.err.message, why) == NULL) {
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", fixture.err.message, why);
        CU_FAIL("the reason");
    }
}

/* ---- did:key ---- */

#define KEY(multikey) "did:key:" multikey, "did:key:" multikey "#" multikey

static void test_the_vectors_of_did_key(void)
{
    CU_ASSERT_TRUE(find(KEY(ED25519)) && is_key(ED25519_JWK));
    CU_ASSERT_TRUE(find(KEY(P256)) && is_key(P256_JWK));
    CU_ASSERT_TRUE(find(KEY(P384)) && is_key(P384_JWK));
    CU_ASSERT_TRUE(find(KEY(SECP256K1)) && is_key(SECP256K1_JWK));
    CU_ASSERT_TRUE(find("did:key:" P256, "#" P256));
    CU_ASSERT_TRUE(find_for("did:key:" P256, "#" P256, DID_ASSERTION_METHOD));
    CU_ASSERT_EQUAL(fixture.resolved, 0);
}

static void test_a_kid_names_the_dids_own_key(void)
{
    static const char *const kids[] = { "",
                                        "#",
                                        P256,
                                        "did:key:" P256,
                                        "did:key:" P256 "#",
                                        "did:key:" P256 "#" P384,
                                        "did:key:" P384 "#" P384,
                                        "did:key:" P256 "?a=b#" P256,
                                        "did:key:" P256 "/a#" P256,
                                        "did:key:" P256 "#" P256 "#" P256,
                                        "did:key:" P256 "0#" P256,
                                        "#" P256 "/../" P384,
                                        "../../etc/passwd" };
    for (size_t i = 0; i < COUNT_OF(kids); i++) {
        assert_refused(find("did:key:" P256, kids[i]), "kid");
    }
}

static void test_a_multikey_is_one_of_ours_to_the_byte(void)
{
    static const char *const bad[] = {
        "z",
        "z1" ED25519,                                        /* a zero octet in front */
        "m7QE7aie8zrakLWKjqNAqbw1zZTIVdx3iQ6Y6wEihi1naKQ",   /* base64 */
        "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW0",  /* a digit that base58 has not */
        "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW",   /* cut */
        "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWpp", /* longer */
        "z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc",  /* X25519 */
        "z" P384 P384,
    };
    char did[512];
    char kid[512];

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(did, sizeof(did), "did:key:%.300s", bad[i]);
        (void)snprintf(kid, sizeof(kid), "#%.300s", bad[i]);
        assert_refused(find(did, kid), "did:key");
    }
}

/* ---- did:jwk ---- */

static void test_the_vector_of_did_jwk(void)
{
    CU_ASSERT_TRUE(find(DID_JWK, DID_JWK "#0") && is_key(DID_JWK_KEY));
    CU_ASSERT_TRUE(find(DID_JWK, "#0"));
    assert_refused(find(DID_JWK, DID_JWK "#1"), "kid");
    CU_ASSERT_EQUAL(fixture.resolved, 0);
}

static void test_what_is_no_public_jwk_is_refused(void)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "null",
        P256_JWK "x",
        "{\"kty\":\"EC\",\"kty\":\"EC\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"AA\",\"x\":\"fyNYMN0976ci7xqiSdag3buk-"
        "ZCwgXU4kz9XNkB"
        "lNUI\",\"y\":\"hW2ojTNfH7Jbi8--CJUo3OCbH3y5n91g-IMA9MLMbTU\"}",
    };
    char did[1024];

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char encoded[512];
        encoded[base64url_encode(encoded, bad[i], strlen(bad[i]))] = '\0';
        (void)snprintf(did, sizeof(did), "did:jwk:%s", encoded);
        assert_refused(find(did, "#0"), "did:jwk");
    }
    assert_refused(find("did:jwk:e.e", "#0"), "did:jwk");
    assert_refused(find("did:jwk:eyJ", "#0"), "did:jwk");
}

/* ---- other DIDs ---- */

static void test_what_is_no_did_is_refused(void)
{
    static const char *const bad[] = { "",
                                       "did",
                                       "did:",
                                       "did:key:",
                                       "did:web:a#1",
                                       "did:web:a?b",
                                       "did:web:a/b",
                                       "did:web:a b",
                                       "did:web:a\n",
                                       "DID:web:a" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_refused(find(bad[i], "#1"), "DID");
    }
    CU_ASSERT_EQUAL(fixture.resolved, 0);
}

static void test_another_method_is_refused_and_nobody_asked(void)
{
    assert_refused(find("did:ion:abc", "#1"), "did:ion");
    assert_refused(find("did:keys:abc", "#1"), "did:keys");
    CU_ASSERT_FALSE(
        did_find_key(NULL, WEB, "#1", DID_AUTHENTICATION, 0, &fixture.key, &fixture.err));
    assert_refused(false, "did:web");
    CU_ASSERT_EQUAL(fixture.resolved, 0);
}

static void test_did_empe_has_forty_lower_case_digits(void)
{
    static const char *const bad[] = {
        "did:empe:0011", "did:empe:00112233445566778899AABBCCDDEEFF00112233",
        "did:empe:mainnet:00112233445566778899aabbccddeeff00112233",
        "did:empe:00112233445566778899aabbccddeeff001122334",
        "did:empe:testnet:testnet:00112233445566778899aabbccddeeff00112233"
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_refused(find(bad[i], "#1"), "did:empe");
    }
    CU_ASSERT_EQUAL(fixture.resolved, 0);
}

static void test_a_resolver_that_is_down_is_not_the_holders_fault(void)
{
    CU_ASSERT_FALSE(find(WEB, "#1"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_RESOLVER_UNAVAILABLE);
}

/* ---- documents ---- */

static void test_a_method_is_found_however_it_is_named(void)
{
    CU_ASSERT_TRUE(find_in(DOCUMENT(METHOD(WEB "#1", P256_JWK), "\"" WEB "#1\""), WEB "#1"));
    CU_ASSERT_TRUE(find_in(DOCUMENT(METHOD("#1", P256_JWK), "\"" WEB "#1\""), "#1"));
    CU_ASSERT_TRUE(find_in(DOCUMENT(METHOD(WEB "#1", P256_JWK), "\"#1\""), "#1"));
    CU_ASSERT_TRUE(
        find_in(DOCUMENT(METHOD("#1", P256_JWK) "," METHOD("#2", P384_JWK), "\"#1\",\"#2\""), "#2")
        && is_key(P384_JWK));
}

static void test_a_method_may_be_embedded_in_its_purpose(void)
{
    CU_ASSERT_TRUE(find_in(DOCUMENT("", METHOD("#1", SECP256K1_JWK)), "#1")
                   && is_key(SECP256K1_JWK));
    fixture.document = DOCUMENT("", METHOD("#1", SECP256K1_JWK));
    assert_refused(find_for(WEB, "#1", DID_ASSERTION_METHOD), "no key");
}

static void test_a_multikey_in_a_document_is_read(void)
{
    CU_ASSERT_TRUE(find_in("{\"id\":\"" WEB
                           "\",\"verificationMethod\":[{\"id\":\"#1\",\"type\":\"Multikey\","
                           "\"controller\":\"" WEB "\",\"publicKeyMultibase\":\"" ED25519 "\"}],"
                           "\"authentication\":[\"#1\"]}",
                           "#1")
                   && is_key(ED25519_JWK));
}

static void test_a_key_serves_its_purpose_alone(void)
{
    assert_refused(find_in(DOCUMENT(METHOD("#1", P256_JWK), ""), "#1"), "authentication");
    assert_refused(find_in(DOCUMENT(METHOD("#1", P256_JWK), "\"#2\""), "#1"), "authentication");
    fixture.document = DOCUMENT(METHOD("#1", P256_JWK), "\"#1\"");
    assert_refused(find_for(WEB, "#1", DID_ASSERTION_METHOD), "assertionMethod");
}

static void test_documents_that_cannot_be_trusted_are_refused(void)
{
    assert_refused(find_in("{\"id\":\"did:web:b.example\"}", "#1"), "another DID");
    assert_refused(find_in("{}", "#1"), "another DID");
    assert_refused(find_in("[]", "#1"), "document");
    assert_refused(find_in("{\"id\":\"" WEB "\",\"id\":\"" WEB "\"}", "#1"), "document");
    assert_refused(find_in("{\"id\":\"" WEB "\"}", "#1"), "no key");
    assert_refused(find_in(DOCUMENT("7,null,\"#1\"", "\"#1\""), "#1"), "no key");
    assert_refused(
        find_in(DOCUMENT(METHOD("#1", P256_JWK) "," METHOD("#1", P384_JWK), "\"#1\""), "#1"),
        "several");
    assert_refused(find_in(DOCUMENT(METHOD("#1", P256_JWK), METHOD(WEB "#1", P384_JWK)), "#1"),
                   "several");
}

static void test_a_key_that_another_controls_is_refused(void)
{
    assert_refused(find_in("{\"id\":\"" WEB
                           "\",\"verificationMethod\":[{\"id\":\"#1\",\"controller\":"
                           "\"did:web:b.example\",\"publicKeyJwk\":" P256_JWK "}],"
                           "\"authentication\":[\"#1\"]}",
                           "#1"),
                   "controlled");
    assert_refused(find_in("{\"id\":\"" WEB "\",\"verificationMethod\":[{\"id\":\"#1\","
                           "\"publicKeyJwk\":" P256_JWK "}],\"authentication\":[\"#1\"]}",
                           "#1"),
                   "controlled");
}

static void test_a_method_has_one_key(void)
{
    assert_refused(find_in("{\"id\":\"" WEB
                           "\",\"verificationMethod\":[{\"id\":\"#1\",\"controller\":\"" WEB
                           "\"}],\"authentication\":[\"#1\"]}",
                           "#1"),
                   "publicKeyJwk");
    assert_refused(find_in("{\"id\":\"" WEB
                           "\",\"verificationMethod\":[{\"id\":\"#1\",\"controller\":\"" WEB
                           "\",\"publicKeyJwk\":" P256_JWK ",\"publicKeyMultibase\":\"" P256
                           "\"}],\"authentication\":[\"#1\"]}",
                           "#1"),
                   "publicKeyJwk");
}

static void test_methods_are_bounded(void)
{
    char *document = xcalloc(1, 65536);
    size_t length = (size_t)sprintf(document, "{\"id\":\"" WEB "\",\"verificationMethod\":[");

    for (int i = 0; i <= 64; i++) {
        length += (size_t)sprintf(
            document + length, "%s{\"id\":\"#%d\",\"controller\":\"" WEB "\",\"publicKeyJwk\":%s}",
            i > 0 ? "," : "", i, P256_JWK);
    }
    (void)sprintf(document + length, "],\"authentication\":[\"#1\"]}");
    assert_refused(find_in(document, "#1"), "more than 64");
    free(document);
}

#define ODD                                                                                        \
    "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":"                                                 \
    "\"A4dMFcf9og5TnG5bpXPBOYhMNRGIeZ9UWLS0H3kk8jXN\"}"

static void test_the_odd_jwk_is_one_of_did_empe_alone(void)
{
    fixture.document =
        "{\"id\":\"" EMPE "\",\"verificationMethod\":[{\"id\":\"#1\",\"controller\":\"" EMPE
        "\",\"publicKeyJwk\":" ODD "}],\"authentication\":[\"#1\"]}";
    CU_ASSERT_TRUE(find(EMPE, "#1") && is_key(SECP256K1_JWK));
    assert_refused(find_in(DOCUMENT(METHOD("#1", ODD), "\"#1\""), "#1"), "x");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the vectors of did:key", test_the_vectors_of_did_key },
        { "a kid names the DID's own key", test_a_kid_names_the_dids_own_key },
        { "a multikey is one of ours to the byte", test_a_multikey_is_one_of_ours_to_the_byte },
        { "the vector of did:jwk", test_the_vector_of_did_jwk },
        { "what is no public JWK is refused", test_what_is_no_public_jwk_is_refused },
        { "what is no DID is refused", test_what_is_no_did_is_refused },
        { "another method is refused, and nobody asked",
          test_another_method_is_refused_and_nobody_asked },
        { "did:empe has forty lower-case digits", test_did_empe_has_forty_lower_case_digits },
        { "a resolver that is down is not the holder's fault",
          test_a_resolver_that_is_down_is_not_the_holders_fault },
        { "a method is found however it is named", test_a_method_is_found_however_it_is_named },
        { "a method may be embedded in its purpose", test_a_method_may_be_embedded_in_its_purpose },
        { "a multikey in a document is read", test_a_multikey_in_a_document_is_read },
        { "a key serves its purpose alone", test_a_key_serves_its_purpose_alone },
        { "documents that cannot be trusted are refused",
          test_documents_that_cannot_be_trusted_are_refused },
        { "a key that another controls is refused", test_a_key_that_another_controls_is_refused },
        { "a method has one key", test_a_method_has_one_key },
        { "methods are bounded", test_methods_are_bounded },
        { "the odd JWK is one of did:empe alone", test_the_odd_jwk_is_one_of_did_empe_alone },
        CU_TEST_INFO_NULL,
    };
    return run_suite("did_keys", set_up, free_key, tests);
}
