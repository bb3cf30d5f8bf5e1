/*
 * A DID's keys: the test vectors of did:key (W3C CCG) and the example of did:jwk, documents as did:web and
 * did:empe publish them, and each of them with one thing wrong. The documents come from a stub where
 * the resolver would be, which has tests of its own.
 */
#include "vc/did_keys.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "base/text.h"
#include "jose/did.h"
#include "support/run.h"

#define WEB "did:web:issuer.example"
#define P256_X "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns"
#define P256_Y "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM"
#define P256_KEY "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"
#define P256_JWK "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y "\"}"
#define P384_X "lInTxl8fjLKp_UCrxI0WDklahi-7-_6JbtiHjiRvMvhedhKVdHBfi2HCY8t_QJyc"
#define P384_KEY "z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9"
#define ED25519_KEY "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
#define SECP256K1_KEY "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"

/* A key of the did:key vectors: the standard base64 of its compressed point, and its coordinates. */
#define EMPE_X "A9S4zxlTvTjqn3mlHE/UvjJf+cEDsm20kNEhoDIBvVND"
#define EMPE_PLAIN_X "1LjPGVO9OOqfeaUcT9S-Ml_5wQOybbSQ0SGgMgG9U0M"
#define EMPE_PLAIN_Y "aq-OS5tX6WqaY6fDHtATYwbIUijr8PvcGWd-FnCNQBM"

/* {"crv":"P-256","kty":"EC","x":"acbIQi...","y":"_KcyLj..."}, the example of the specification */
#define DID_JWK                                                                                    \
    "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6" \
    "OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
/* the other example: an X25519 key with "use":"enc" */
#define DID_JWK_X25519                                                                             \
    "did:jwk:eyJrdHkiOiJPS1AiLCJjcnYiOiJYMjU1MTkiLCJ1c2UiOiJlbmMiLCJ4IjoiM3A3YmZYdDl3YlRUVzJIQzdP" \
    "UTFOei1EUThoYmVHZE5yZngtRkctSUswOCJ9"

#define METHOD(id) "{\"id\":\"" id "\",\"type\":\"JsonWebKey2020\",\"controller\":\"" WEB "\","
#define JWK_METHOD(id) METHOD(id) "\"publicKeyJwk\":" P256_JWK "}"
#define DOCUMENT(methods, rest) "{\"id\":\"" WEB "\",\"verificationMethod\":[" methods "]" rest "}"
#define FOR_BOTH ",\"authentication\":[\"" WEB "#k1\"],\"assertionMethod\":[\"" WEB "#k1\"]"

/* The resolver is opaque: any address is one. */
static char resolver_place;
#define RESOLVER ((struct did_resolver *)(void *)&resolver_place)

static struct {
    const char *document; /* NULL: the resolver has none */
    char asked[DID_MAX + 1];
    int64_t asked_ns;
    unsigned fetches;
    EVP_PKEY *key;
    struct error err;
} fixture;

bool did_resolver_fetch(struct did_resolver *resolver, const char *did, int64_t now_ns,
                        char **document_out, struct error *err)
{
    CU_ASSERT_PTR_EQUAL(resolver, RESOLVER);
    (void)snprintf(fixture.asked, sizeof(fixture.asked), "%s", did);
    fixture.asked_ns = now_ns;
    fixture.fetches++;
    if (fixture.document == NULL) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "no answer in time");
    }
    *document_out = xstrdup(fixture.document);
    return true;
}

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void free_key(void)
{
    EVP_PKEY_free(take(fixture.key));
}

static bool finds_for(enum did_purpose purpose, const char *did, const char *kid)
{
    free_key();
    const bool good = did_find_key(RESOLVER, did, kid, purpose, 7, &fixture.key, &fixture.err);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    return good;
}

static bool finds(const char *did, const char *kid)
{
    return finds_for(DID_AUTHENTICATION, did, kid);
}

static void assert_said(enum error_code code, const char *message)
{
    CU_ASSERT_EQUAL(fixture.err.code, code);
    if (strstr(fixture.err.message, message) == NULL) {
        (void)printf("\n    said: %s\n", fixture.err.message);
        CU_FAIL("refused for another reason");
    }
}

static void assert_refused(const char *did, const char *kid, const char *message)
{
    if (finds(did, kid)) {
        (void)printf("\n    found: %s of %s\n", kid, did);
        CU_FAIL("a key was found");
        return;
    }
    assert_said(ERROR_INVALID_REQUEST, message);
}

static void assert_found(const char *did, const char *kid)
{
    if (!finds(did, kid)) {
        (void)printf("\n    refused: %s of %s: %s\n", kid, did, fixture.err.message);
        CU_FAIL("a key was not found");
    }
}

/* The x coordinate, or the octets of an Ed25519 key, of the key in the fixture. */
static void assert_x(const char *expected)
{
    uint8_t bytes[48];
    char buffer[80];
    size_t length = strlen(expected) * 3 / 4;
    BIGNUM *x = NULL;
    struct text text = text_over(buffer, sizeof(buffer));

    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.key);
    if (EVP_PKEY_get_base_id(fixture.key) == EVP_PKEY_ED25519) {
        CU_ASSERT_EQUAL(EVP_PKEY_get_raw_public_key(fixture.key, bytes, &length), 1);
    } else {
        CU_ASSERT_EQUAL(EVP_PKEY_get_bn_param(fixture.key, OSSL_PKEY_PARAM_EC_PUB_X, &x), 1);
        CU_ASSERT_EQUAL(BN_bn2binpad(x, bytes, (int)length), (int)length);
        BN_free(x);
    }
    text_add_base64url(&text, bytes, length);
    CU_ASSERT_STRING_EQUAL(text.start, expected);
}

/* ---- did:key ---- */

static void assert_did_key(const char *multibase, const char *x)
{
    char did[DID_MAX];
    char kid[2 * DID_MAX];

    (void)snprintf(did, sizeof(did), "did:key:%s", multibase);
    (void)snprintf(kid, sizeof(kid), "%s#%s", did, multibase);
    assert_found(did, kid);
    assert_x(x);
    assert_found(did, kid + strlen(did));
    CU_ASSERT_TRUE(finds_for(DID_ASSERTION_METHOD, did, kid));
    assert_x(x);
    CU_ASSERT_EQUAL(fixture.fetches, 0);
}

/* w3c-ccg/did-method-key, test-vectors; x as they say it, or computed from their seed. */
static void test_the_vectors_of_did_key_are_found(void)
{
    assert_did_key(P256_KEY, P256_X);
    assert_did_key("zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",
                   "fyNYMN0976ci7xqiSdag3buk-ZCwgXU4kz9XNkBlNUI");
    assert_did_key(P384_KEY, P384_X);
    assert_did_key("z82LkvCwHNreneWpsgPEbV3gu1C6NFJEBg4srfJ5gdxEsMGRJUz2sG9FE42shbn2xkZJh54",
                   "CA-iNoHDg1lL8pvX3d1uvExzVfCz7Rn6tW781Ub8K5MrDf2IMPyL0RTDiaLHC1JT");
    assert_did_key("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
                   "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik");
    assert_did_key("z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG",
                   "TLWr9q15-_WrvMr8wmnYXNJlHtS4hbWGnyQa7fCluik");
    assert_did_key("zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
                   "h0wVx_2iDlOcblulc8E5iEw1EYh5n1RYtLQfeSTyNc0");
    assert_did_key("zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2",
                   "1LjPGVO9OOqfeaUcT9S-Ml_5wQOybbSQ0SGgMgG9U0M");
    assert_did_key("zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N",
                   "tS0TJpT9-UUpJvjMZUyA0C0oI9l7VW8d2ADptYRJVdM");
}

static void assert_did_key_refused(const char *multibase, const char *message)
{
    char did[DID_MAX + 1];
    char kid[DID_MAX + 1];

    (void)snprintf(did, sizeof(did), "did:key:%s", multibase);
    (void)snprintf(kid, sizeof(kid), "#%s", multibase);
    assert_refused(did, kid, message);
}

static void test_a_did_key_of_another_spelling_is_refused(void)
{
    /* another base, no base, and each letter that base58 leaves out */
    assert_did_key_refused("f1200", "did:key: not z and the base58btc");
    assert_did_key_refused("Z" ED25519_KEY, "did:key: not z and the base58btc");
    assert_did_key_refused("6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "not z and");
    assert_did_key_refused("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW0", "not z and");
    assert_did_key_refused("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWO", "not z and");
    assert_did_key_refused("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWI", "not z and");
    assert_did_key_refused("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWl", "not z and");
    assert_did_key_refused("z16MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "not z and");
    assert_did_key_refused("z-6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "not z and");
    assert_did_key_refused("z", "its multicodec is none");
    assert_did_key_refused("1.0:" ED25519_KEY, "not z and");
}

/* Each is the base58btc of bytes that differ from a vector's in one respect. */
static void test_a_did_key_of_other_bytes_is_refused(void)
{
    assert_did_key_refused("z2DQVsnzKoPrzWGGeSt3PXeA8HH4gfaP66XgS4nugS6VH3P", /* a byte short */
                           "a key of 31 bytes, where ed25519-pub has 32");
    assert_did_key_refused(
        "zQebwxbUfKbDPuAUmUde1kQpEDcqfXph2kNM8d9ABdCBXaJaT", /* a byte too many */
        "a key of 33 bytes, where ed25519-pub has 32");
    assert_did_key_refused("z56", /* half a multicodec */
                           "its multicodec is none");
    assert_did_key_refused("zK36", /* a multicodec alone */
                           "its multicodec is none");
    assert_did_key_refused("z6LSfg76x3LLQjPg3AmMPWo7kdWPHeXbnDLDEbYPBESjbxWC", /* x25519-pub */
                           "its multicodec is none");
    assert_did_key_refused(
        "zQhVUWQ75Gmgfeo2L5LnfCJtUTHbFwxGqbGoSnVFxVfqVwAPz", /* a number that is not minimal */
        "its multicodec is none");
    assert_did_key_refused(
        "z2oAthqZAAoJi6Qmz8VrZ1eEA1mZbakdViDA1Wd3wPECcuc5x", /* 0x1200 as big-endian bytes */
        "its multicodec is none");
    assert_did_key_refused(
        "z6DtRnghcM8UCKY3wcSgcuZg86poRWqvDpyCBQa9U9rJajT6", /* another kind's multicodec */
        "a key of 32 bytes, where secp256k1-pub has 33");
    assert_did_key_refused("z3u1pzzMSMJJjpmR39B3fmAe8VB4XH9UhaE5FpATxCFX5afF", /* a byte short */
                           "a key of 32 bytes, where p256-pub has 33");
    assert_did_key_refused(
        "zySBY7UPDUimQ6f2F46AHzomiHP4vfV45ZXR1Jr9SUP62ATtUw", /* a byte too many */
        "a key of 34 bytes, where p256-pub has 33");
    assert_did_key_refused(
        "z2bHiEg9shFLrL2Ab1nPpRqW5qXHwpJAEBh2FLc7YjFHinmiM1J4kDbmuGLzw6js2918cK", /* a byte short */
        "a key of 48 bytes, where p384-pub has 49");
    assert_did_key_refused("zXzvDEasC3dekgAPh1uLRTcEHE1q3ng3bEMzYFyk8htTn1ryRuMSnjVdQAMaK15gZiq1Ed8"
                           "K", /* more bytes than in any key */
                           "not z and the base58btc of a public key");
    assert_did_key_refused("z4oJ8cYF2JwS84CUKnKrnNW6hAhUzH3BNfybZEa87TkErqCeqTScZ4TFF565pwTYuoHbHbP"
                           "6sR544QJf5tgQe13tFvfRt", /* an uncompressed point */
                           "not z and the base58btc of a public key");
    assert_did_key_refused(
        "zDnafABTaPP8tosms2A8CK7jBEaD4tm4aprmssDjHUaWXjX5C", /* its first byte alone says that it is not compressed */
        "not a key of p256-pub");
    assert_did_key_refused(
        "zDnadyGC6QE8VdgpnjpzXQR1zTgzytnVHr2VVw1uz2toTfi66", /* the point at infinity, and more */
        "not a key of p256-pub");
    assert_did_key_refused(
        "zDnafTQmwtAtVbvWdbEucYHuURo1b9Fhua4qyMGgcLVwJFUKU", /* no form of SEC 1 */
        "not a key of p256-pub");
    assert_did_key_refused(
        "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpy", /* not on the curve */
        "not a key of p256-pub");
    assert_did_key_refused("zDnaeztbndBq4ufVXuVTKnDpZSCdL3nhRkCoWt47k1WHzSb3C", /* x not below p */
                           "not a key of p256-pub");
    assert_did_key_refused("z6MkeTG3bFFSLYVU7VqhgZxqr6YzpaGrQtFMh1uvqGy1vDnP", /* of small order */
                           "not a key of ed25519-pub");
}

static void test_a_did_key_of_another_kind_of_key_is_refused(void)
{
    /* P-521 and X25519, of the same test vectors */
    assert_did_key_refused(
        "z2J9gaYxrKVpdoG9A4gRnmpnRCcxU6agDtFVVBVdn1JedouoZN7SzcyREXXzWgt3gGiwpoHq"
        "7K68X4m32D8HgzG8wv3sY5j7",
        "not z and the base58btc of a public key");
    assert_did_key_refused("z6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW",
                           "its multicodec is none of p256-pub");
}

static void test_a_long_did_key_is_refused(void)
{
    char multibase[DID_MAX - 8 + 1];

    memset(multibase, 'z', sizeof(multibase));
    multibase[sizeof(multibase) - 1] = '\0';
    assert_did_key_refused(multibase, "not z and the base58btc of a public key");
    memset(multibase + 1, '1', sizeof(multibase) - 2);
    assert_did_key_refused(multibase, "not z and the base58btc of a public key");
}

/* ---- did:jwk ---- */

static void test_the_example_of_did_jwk_is_found(void)
{
    assert_found(DID_JWK, DID_JWK "#0");
    assert_x("acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0");
    assert_found(DID_JWK, "#0");
    CU_ASSERT_TRUE(finds_for(DID_ASSERTION_METHOD, DID_JWK, "#0"));
    CU_ASSERT_EQUAL(fixture.fetches, 0);
}

static void assert_did_jwk_refused(const char *jwk, const char *message)
{
    char did[DID_MAX + 1];
    struct text text = text_over(did, sizeof(did));

    text_add(&text, "did:jwk:");
    text_add_base64url(&text, jwk, strlen(jwk));
    CU_ASSERT_FALSE_FATAL(text.overflowed);
    assert_refused(did, "#0", message);
}

static void test_a_did_jwk_that_is_no_public_key_is_refused(void)
{
    assert_refused(DID_JWK_X25519, "#0", "did:jwk: crv: not Ed25519");
    assert_did_jwk_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y
                           "\",\"d\":\"gPh-VvVS8MbvKQ9LSVVmfnxnKjHn4Tqj0bmbpehRlpc\"}",
                           "did:jwk: d: a member of a private key");
    assert_did_jwk_refused("{\"kty\":\"EC\",\"kty\":\"EC\"}", "did:jwk: not strict JSON");
    assert_did_jwk_refused("[]", "did:jwk: not a JSON object");
    assert_did_jwk_refused("{}", "did:jwk: kty");
    /* the odd form of did:empe */
    assert_did_jwk_refused("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" EMPE_X "\"}",
                           "did:jwk: x: ");
}

static void test_a_did_jwk_in_another_spelling_is_refused(void)
{
    assert_refused(DID_JWK "A", "#0", "did:jwk: not");
    assert_refused(DID_JWK "%3D", "#0", "did:jwk: not canonical base64url");
    assert_refused("did:jwk:eyJ9.e30", "#0", "did:jwk: not canonical base64url");
    assert_refused("did:jwk:e31", "#0", "did:jwk: not canonical base64url");
    assert_refused("did:jwk:e30:e30", "#0", "did:jwk: not canonical base64url");
}

/* ---- the kid ---- */

static void test_a_kid_names_a_key_of_its_did(void)
{
    assert_refused(DID_JWK, "did:jwk:e30#0", "kid: of another DID");
    assert_refused(DID_JWK, DID_JWK "x#0", "kid: of another DID");
    assert_refused(DID_JWK, DID_JWK ":x#0", "kid: of another DID");
    assert_refused(DID_JWK, "0", "kid: of another DID");
    assert_refused(DID_JWK, "", "kid: of another DID");
    assert_refused(DID_JWK, " #0", "kid: of another DID");
    assert_refused(DID_JWK, DID_JWK, "kid: no fragment");
    assert_refused(DID_JWK, DID_JWK "#", "kid: not a fragment");
    assert_refused(DID_JWK, "#", "kid: not a fragment");
    assert_refused(DID_JWK, "#1", "kid: the only key of a did:jwk is #0");
    assert_refused(DID_JWK, "#00", "kid: the only key of a did:jwk is #0");
    assert_refused(DID_JWK, DID_JWK "#0#0", "kid: not a fragment");
    assert_refused(DID_JWK, DID_JWK "#0 ", "kid: not a fragment");
    assert_refused(DID_JWK, DID_JWK "#\"0\"", "kid: not a fragment");
    assert_refused("did:key:" ED25519_KEY, "did:key:" ED25519_KEY "#0", "kid: the fragment is not");
    assert_refused("did:key:" ED25519_KEY, "#" P256_KEY, "kid: the fragment is not");
    assert_refused("did:key:" ED25519_KEY, "did:key:" P256_KEY "#" P256_KEY, "kid: of another DID");
}

static void test_a_kid_with_a_path_or_a_query_is_refused(void)
{
    assert_refused(DID_JWK, DID_JWK "/a#0", "kid: a DID URL with a path or a query");
    assert_refused(DID_JWK, DID_JWK "?versionId=1#0", "kid: a DID URL with a path or a query");
    assert_refused(DID_JWK, DID_JWK "/#0", "kid: a DID URL with a path or a query");
    assert_refused(DID_JWK, "/../#0", "kid: a DID URL with a path or a query");
    assert_refused(DID_JWK, DID_JWK ";service=a#0", "kid: of another DID");
}

/* ---- which DIDs ---- */

static void test_what_is_no_did_is_refused(void)
{
    static const char *const TEXTS[] = { "",           "did:",   "did:key:", "key:" P256_KEY,
                                         DID_JWK "#0", WEB "/a", WEB "?a=b", "did:web:a b",
                                         "did:web:a\n" };

    fixture.document = DOCUMENT(JWK_METHOD("#k1"), FOR_BOTH);
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        assert_refused(TEXTS[i], "#k1", "not a DID of at most 512 bytes");
    }
    CU_ASSERT_EQUAL(fixture.fetches, 0);
}

static void test_another_method_is_not_served(void)
{
    assert_refused("did:ion:EiClkZMDxPKqC9c", "#k1", "DID method ion is not served here");
    assert_refused("did:keys:a", "#k1", "DID method keys is not served here");
    assert_refused("did:ke:a", "#k1", "DID method ke is not served here");
    assert_refused("did:abcdefghijklmnopqrstuvwxyz0123456789:a", "#k1",
                   "DID method abcdefghijklmnopqrstuvwxyz012345 is not served here");
    CU_ASSERT_EQUAL(fixture.fetches, 0);
}

static void test_without_a_resolver_only_dids_that_hold_their_key_are_served(void)
{
    CU_ASSERT_FALSE(
        did_find_key(NULL, WEB, "#k1", DID_AUTHENTICATION, 0, &fixture.key, &fixture.err));
    assert_said(ERROR_INVALID_REQUEST, "no DID resolver is configured");
    CU_ASSERT_TRUE(
        did_find_key(NULL, DID_JWK, "#0", DID_AUTHENTICATION, 0, &fixture.key, &fixture.err));
}

static void assert_document_is_asked_for(const char *did)
{
    const unsigned before = fixture.fetches;

    fixture.document = "{}";
    assert_refused(did, "#k1", "DID document: id is not");
    CU_ASSERT_EQUAL(fixture.fetches, before + 1);
    CU_ASSERT_STRING_EQUAL(fixture.asked, did);
    CU_ASSERT_EQUAL(fixture.asked_ns, 7);
}

static void test_a_did_web_names_a_host(void)
{
    static const char *const BAD[] = {
        "did:web:127.0.0.1",
        "did:web:127.1",
        "did:web:2130706433",
        "did:web:0x7f000001",
        "did:web:a.b.0x7f",
        "did:web:-a.example",
        "did:web:a-.example",
        "did:web:a..example",
        "did:web:.example",
        "did:web:a.example.",
        "did:web:a_b.example",
        "did:web:a%2Fb",
        "did:web:a%3A",
        "did:web:a%3A0",
        "did:web:a%3A080",
        "did:web:a%3A123456",
        "did:web:a%3A80%3A1",
        "did:web:a%3Ax",
        "did:web:a%3A80x",
        "did:web::a",
        "did:web:a.example::b",
        "did:web:%5B%3A%3A1%5D",
        "did:web:user%40a.example",
        "did:web:a.example%2Fb",
        "did:web:a.example%3A80%2Fb",
        "did:web:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
    };
    assert_document_is_asked_for("did:web:w3c-ccg.github.io");
    assert_document_is_asked_for("did:web:w3c-ccg.github.io:user:alice");
    assert_document_is_asked_for("did:web:example.com%3A3000:user:alice");
    assert_document_is_asked_for("did:web:example.com%3a3000");
    assert_document_is_asked_for("did:web:localhost");
    assert_document_is_asked_for("did:web:Example.COM");
    assert_document_is_asked_for("did:web:1.2.3.4.example:a%20b");
    fixture.fetches = 0;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        assert_refused(BAD[i], "#k1", "did:web: not a domain name");
    }
    CU_ASSERT_EQUAL(fixture.fetches, 0);
}

static void test_a_did_empe_is_forty_hexadecimal_digits(void)
{
    static const char *const BAD[] = {
        "did:empe:0123456789abcdef0123456789abcdef0123456",
        "did:empe:0123456789abcdef0123456789abcdef012345678",
        "did:empe:0123456789ABCDEF0123456789abcdef01234567",
        "did:empe:0x23456789abcdef0123456789abcdef01234567",
        "did:empe:mainnet:0123456789abcdef0123456789abcdef01234567",
        "did:empe:testnet:testnet:0123456789abcdef0123456789abcdef01234567",
        "did:empe:testnet:0123",
    };
    assert_document_is_asked_for("did:empe:0123456789abcdef0123456789abcdef01234567");
    assert_document_is_asked_for("did:empe:testnet:0123456789abcdef0123456789abcdef01234567");
    fixture.fetches = 0;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        assert_refused(BAD[i], "#k1", "did:empe: not 40 lower-case hexadecimal digits");
    }
    CU_ASSERT_EQUAL(fixture.fetches, 0);
}

static void test_a_resolver_that_fails_is_said_so(void)
{
    CU_ASSERT_FALSE(finds(WEB, "#k1"));
    assert_said(ERROR_RESOLVER_UNAVAILABLE, "no answer in time");
}

/* ---- documents ---- */

static void assert_document_refused(const char *document, const char *message)
{
    fixture.document = document;
    assert_refused(WEB, WEB "#k1", message);
}

static void assert_document_gives(const char *document, const char *x)
{
    fixture.document = document;
    assert_found(WEB, WEB "#k1");
    assert_x(x);
    assert_found(WEB, "#k1");
    CU_ASSERT_TRUE(finds_for(DID_ASSERTION_METHOD, WEB, WEB "#k1"));
}

static void test_a_method_is_found_by_either_spelling_of_its_id(void)
{
    assert_document_gives(DOCUMENT(JWK_METHOD(WEB "#k1"), FOR_BOTH), P256_X);
    assert_document_gives(DOCUMENT(JWK_METHOD("#k1"), FOR_BOTH), P256_X);
    assert_document_gives(DOCUMENT(JWK_METHOD(WEB "#k1"), ",\"authentication\":[\"#k1\"],"
                                                          "\"assertionMethod\":[\"#k1\"]"),
                          P256_X);
    assert_document_gives(DOCUMENT(METHOD("#k0") "\"publicKeyMultibase\":\"" ED25519_KEY
                                                 "\"}," JWK_METHOD("#k1"),
                                   FOR_BOTH),
                          P256_X);
}

static void test_a_method_may_be_embedded_where_it_is_used(void)
{
    fixture.document = "{\"id\":\"" WEB "\",\"authentication\":[" JWK_METHOD("#k1") "]}";
    assert_found(WEB, "#k1");
    assert_x(P256_X);
    CU_ASSERT_FALSE(finds_for(DID_ASSERTION_METHOD, WEB, "#k1"));
    assert_said(ERROR_INVALID_REQUEST, "DID document: the kid's method is not for assertionMethod");
}

static void test_a_key_may_be_a_multikey(void)
{
    assert_document_gives(
        DOCUMENT(METHOD("#k1") "\"publicKeyMultibase\":\"" P256_KEY "\"}", FOR_BOTH), P256_X);
    assert_document_gives(
        DOCUMENT(METHOD("#k1") "\"publicKeyMultibase\":\"" P384_KEY "\"}", FOR_BOTH), P384_X);
}

static void test_a_method_is_good_for_what_it_is_listed_for(void)
{
    fixture.document = DOCUMENT(JWK_METHOD("#k1"), ",\"assertionMethod\":[\"#k1\"]");
    CU_ASSERT_TRUE(finds_for(DID_ASSERTION_METHOD, WEB, "#k1"));
    assert_refused(WEB, "#k1", "DID document: the kid's method is not for authentication");
    fixture.document = DOCUMENT(JWK_METHOD("#k1"), ",\"authentication\":[\"#k1\"]");
    CU_ASSERT_TRUE(finds_for(DID_AUTHENTICATION, WEB, "#k1"));
    CU_ASSERT_FALSE(finds_for(DID_ASSERTION_METHOD, WEB, "#k1"));
    assert_said(ERROR_INVALID_REQUEST, "is not for assertionMethod");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1"), ""), "is not for authentication");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1"), ",\"authentication\":[]"),
                            "is not for authentication");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1"), ",\"keyAgreement\":[\"#k1\"]"),
                            "is not for authentication");
    assert_document_refused(
        DOCUMENT(JWK_METHOD("#k1"), ",\"authentication\":[\"did:web:other.example#k1\",\"k1\"]"),
        "is not for authentication");
}

static void test_a_document_of_another_did_is_refused(void)
{
    assert_document_refused("{}", "DID document: id is not the DID that was asked for");
    assert_document_refused("{\"id\":null}", "DID document: id is not");
    assert_document_refused("{\"id\":\"did:web:issuer.example:a\"}", "DID document: id is not");
    assert_document_refused("{\"id\":\"did:web:Issuer.example\"}", "DID document: id is not");
    assert_document_refused("{\"id\":\"" WEB "#k1\"}", "DID document: id is not");
    assert_document_refused("{\"ID\":\"" WEB "\"}", "DID document: id is not");
}

static void test_a_document_that_is_no_strict_json_is_refused(void)
{
    assert_document_refused("", "DID document: not strict JSON");
    assert_document_refused("{\"id\":\"" WEB "\",}", "DID document: not strict JSON");
    assert_document_refused("{\"id\":\"a\",\"id\":\"" WEB "\"}", "DID document: not strict JSON");
    assert_document_refused("[]", "DID document: not a JSON object");
}

static void test_a_method_that_is_not_there_is_refused(void)
{
    assert_document_refused("{\"id\":\"" WEB "\"}", "no verification method of the kid's id");
    assert_document_refused("{\"id\":\"" WEB "\",\"authentication\":[\"#k1\"]}",
                            "no verification method of the kid's id");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k2"), FOR_BOTH), "no verification method");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k11"), FOR_BOTH), "no verification method");
    assert_document_refused(DOCUMENT(JWK_METHOD("#K1"), FOR_BOTH), "no verification method");
    assert_document_refused(DOCUMENT(JWK_METHOD("k1"), FOR_BOTH), "no verification method");
    assert_document_refused(DOCUMENT(JWK_METHOD(WEB), FOR_BOTH), "no verification method");
    assert_document_refused(DOCUMENT(JWK_METHOD("did:web:other.example#k1"), FOR_BOTH),
                            "no verification method");
    assert_document_refused(DOCUMENT(JWK_METHOD(WEB "/a#k1"), FOR_BOTH), "no verification method");
}

static void test_two_methods_of_one_id_are_refused(void)
{
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1") "," JWK_METHOD("#k1"), FOR_BOTH),
                            "two verification methods of the kid's id");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1") "," JWK_METHOD(WEB "#k1"), FOR_BOTH),
                            "two verification methods of the kid's id");
    assert_document_refused(
        DOCUMENT(JWK_METHOD("#k1"), ",\"authentication\":[" JWK_METHOD("#k1") "]"),
        "two verification methods of the kid's id");
    assert_document_refused(
        DOCUMENT(JWK_METHOD("#k1"),
                 ",\"authentication\":[\"#k1\"],\"keyAgreement\":[" JWK_METHOD("#k1") "]"),
        "two verification methods of the kid's id");
}

static void test_lists_of_another_form_are_refused(void)
{
    assert_document_refused("{\"id\":\"" WEB "\",\"verificationMethod\":{}}",
                            "DID document: verificationMethod: not an array of at most 64");
    assert_document_refused("{\"id\":\"" WEB "\",\"verificationMethod\":null}",
                            "DID document: verificationMethod: not an array");
    assert_document_refused(DOCUMENT("1", FOR_BOTH), "verificationMethod: neither");
    assert_document_refused(DOCUMENT("null", FOR_BOTH), "verificationMethod: neither");
    assert_document_refused(DOCUMENT("{}", FOR_BOTH), "a verification method without id");
    assert_document_refused(DOCUMENT("{\"id\":1}", FOR_BOTH), "a verification method without id");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1"), ",\"authentication\":\"#k1\""),
                            "DID document: authentication: not an array");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1"), ",\"authentication\":[[\"#k1\"]]"),
                            "DID document: authentication: neither");
    assert_document_refused(DOCUMENT(JWK_METHOD("#k1"), FOR_BOTH ",\"keyAgreement\":[7]"),
                            "DID document: keyAgreement: neither");
}

/* A string in verificationMethod is no method, whatever it refers to. */
static void test_a_reference_is_no_method(void)
{
    assert_document_refused(DOCUMENT("\"#k1\"", FOR_BOTH), "no verification method");
}

/* A document whose `count` methods but the last are named "#m". */
static void use_many(char *document, size_t size, size_t count)
{
    struct text text = text_over(document, size);

    text_add(&text, "{\"id\":\"" WEB "\",\"verificationMethod\":[");
    for (size_t i = 1; i < count; i++) {
        text_add(&text, "{\"id\":\"#m\"},");
    }
    text_add(&text, JWK_METHOD("#k1") "]" FOR_BOTH "}");
    CU_ASSERT_FALSE_FATAL(text.overflowed);
    fixture.document = document;
}

static void test_the_number_of_methods_is_bounded(void)
{
    char document[4096];

    use_many(document, sizeof(document), 64);
    assert_found(WEB, "#k1");
    use_many(document, sizeof(document), 65);
    assert_refused(WEB, "#k1", "verificationMethod: not an array of at most 64");
}

static void test_a_method_that_another_controls_is_refused(void)
{
    assert_document_refused(
        DOCUMENT("{\"id\":\"#k1\",\"type\":\"JsonWebKey2020\",\"controller\":\"did:web:other."
                 "example\",\"publicKeyJwk\":" P256_JWK "}",
                 FOR_BOTH),
        "the kid's method: controller is not the DID itself");
    assert_document_refused(
        DOCUMENT("{\"id\":\"#k1\",\"type\":\"JsonWebKey2020\",\"publicKeyJwk\":" P256_JWK "}",
                 FOR_BOTH),
        "controller is not the DID itself");
    assert_document_refused(DOCUMENT("{\"id\":\"#k1\",\"type\":\"JsonWebKey2020\",\"controller\":["
                                     "\"" WEB "\"],\"publicKeyJwk\":" P256_JWK "}",
                                     FOR_BOTH),
                            "controller is not the DID itself");
    assert_document_refused(DOCUMENT("{\"id\":\"#k1\",\"controller\":\"" WEB
                                     "\",\"publicKeyJwk\":" P256_JWK "}",
                                     FOR_BOTH),
                            "the kid's method: type is missing");
}

static void test_a_method_with_an_end_is_refused(void)
{
    assert_document_refused(
        DOCUMENT(METHOD("#k1") "\"revoked\":\"2024-12-10T15:28:32Z\",\"publicKeyJwk\":" P256_JWK
                               "}",
                 FOR_BOTH),
        "a method that is revoked or expires");
    assert_document_refused(
        DOCUMENT(METHOD("#k1") "\"expires\":\"2124-12-10T15:28:32Z\",\"publicKeyJwk\":" P256_JWK
                               "}",
                 FOR_BOTH),
        "a method that is revoked or expires");
}

static void test_a_method_has_one_key_that_can_be_read(void)
{
    assert_document_refused(DOCUMENT(METHOD("#k1") "\"publicKeyJwk\":" P256_JWK
                                                   ",\"publicKeyMultibase\":\"" P256_KEY "\"}",
                                     FOR_BOTH),
                            "not exactly one of publicKeyJwk and publicKeyMultibase");
    assert_document_refused(
        DOCUMENT(METHOD("#k1") "\"publicKeyBase58\":\"23o6Sau8NxxzXcgSc3PLcNxrzrZpbLeBn1izfv3jbKhuv"
                               "\"}",
                 FOR_BOTH),
        "not exactly one of publicKeyJwk and publicKeyMultibase");
    assert_document_refused(DOCUMENT(METHOD("#k1") "\"publicKeyJwk\":[]}", FOR_BOTH),
                            "the kid's method: publicKeyJwk: not a JSON object");
    assert_document_refused(
        DOCUMENT(METHOD("#k1") "\"publicKeyJwk\":{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}}",
                 FOR_BOTH),
        "publicKeyJwk: kty: neither EC nor OKP");
    assert_document_refused(DOCUMENT(METHOD("#k1") "\"publicKeyMultibase\":1}", FOR_BOTH),
                            "publicKeyMultibase: not a string");
    assert_document_refused(DOCUMENT(METHOD("#k1") "\"publicKeyMultibase\":\"m7QE\"}", FOR_BOTH),
                            "publicKeyMultibase: not z and the base58btc");
}

/* ---- the form of did:empe ---- */

#define EMPE "did:empe:testnet:0123456789abcdef0123456789abcdef01234567"
#define EMPE_METHOD(jwk)                                                                           \
    "{\"id\":\"#k1\",\"type\":\"JsonWebKey\",\"controller\":\"" EMPE "\",\"publicKeyJwk\":" jwk "}"
#define EMPE_DOCUMENT(jwk)                                                                         \
    "{\"id\":\"" EMPE                                                                              \
    "\",\"verificationMethod\":[" EMPE_METHOD(jwk) "],\"authentication\":[\"" EMPE "#k1\"]}"
#define EMPE_JWK(x, rest) "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" x "\"" rest "}"

static void assert_empe_refused(const char *document, const char *message)
{
    fixture.document = document;
    assert_refused(EMPE, "#k1", message);
}

static void test_a_did_empe_may_have_a_compressed_point(void)
{
    fixture.document = EMPE_DOCUMENT(EMPE_JWK(EMPE_X, ""));
    assert_found(EMPE, "#k1");
    assert_x(EMPE_PLAIN_X);
    fixture.document = EMPE_DOCUMENT(EMPE_JWK(EMPE_X, ",\"use\":\"sig\",\"alg\":\"ES256K\""));
    assert_found(EMPE, EMPE "#k1");
    /* and the form that the RFC gives */
    fixture.document = EMPE_DOCUMENT(EMPE_JWK(EMPE_PLAIN_X, ",\"y\":\"" EMPE_PLAIN_Y "\""));
    assert_found(EMPE, "#k1");
    assert_x(EMPE_PLAIN_X);
    fixture.document = EMPE_DOCUMENT(P256_JWK);
    assert_found(EMPE, "#k1");
    assert_x(P256_X);
}

static void test_a_compressed_point_is_judged_like_any_jwk(void)
{
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK(EMPE_X, ",\"d\":\"AQ\"")),
                        "d: a member of a private");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK(EMPE_X, ",\"use\":\"enc\"")), "use: not sig");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK(EMPE_X, ",\"alg\":\"ES256\"")), "alg: ");
    assert_empe_refused(
        EMPE_DOCUMENT("{\"kty\":\"OKP\",\"crv\":\"secp256k1\",\"x\":\"" EMPE_X "\"}"), "crv: ");
    assert_empe_refused(EMPE_DOCUMENT("{\"crv\":\"secp256k1\",\"x\":\"" EMPE_X "\"}"), "kty: ");
}

static void test_a_point_that_is_not_compressed_so_is_refused(void)
{
    assert_empe_refused(
        EMPE_DOCUMENT(EMPE_JWK("A9S4zxlTvTjqn3mlHE_UvjJf-cEDsm20kNEhoDIBvVND", "")), /* base64url */
        "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK("A9S4zxlTvTjqn3mlHE/UvjJf+cEDsm20kNEhoDIBvVM=",
                                               "")), /* a byte short */
                        "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK("A9S4zxlTvTjqn3mlHE/UvjJf+cEDsm20kNEhoDIBvVNDAA==",
                                               "")), /* a byte too many */
                        "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK("BNS4zxlTvTjqn3mlHE/UvjJf+cEDsm20kNEhoDIBvVND",
                                               "")), /* not compressed */
                        "x: not a point of secp256k1");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK("A9S4zxlTvTjqn3mlHE/UvjJf+cEDsm20kNEhoDIBvVNE",
                                               "")), /* not on the curve */
                        "x: not a point of secp256k1");
    assert_empe_refused(
        EMPE_DOCUMENT(EMPE_JWK("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "")), /* zero */
        "x: not a point of secp256k1");
    assert_empe_refused(EMPE_DOCUMENT("{\"kty\":\"EC\",\"crv\":\"secp256k1\"}"),
                        "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK("", "")), "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK(EMPE_PLAIN_X, "")), "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK(EMPE_X "=", "")), "x: not the base64");
    assert_empe_refused(EMPE_DOCUMENT(EMPE_JWK(EMPE_X, ",\"y\":\"" EMPE_PLAIN_Y "\"")),
                        "x: not 32");
    assert_empe_refused(EMPE_DOCUMENT("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EMPE_X "\"}"),
                        "x: not 32 bytes");
}

static void test_a_compressed_point_is_none_of_another_method(void)
{
    assert_document_refused(
        DOCUMENT(METHOD("#k1") "\"publicKeyJwk\":" EMPE_JWK(EMPE_X, "") "}", FOR_BOTH),
        "publicKeyJwk: x: not 32 bytes");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the vectors of did:key are found", test_the_vectors_of_did_key_are_found },
        { "a did:key of another spelling is refused",
          test_a_did_key_of_another_spelling_is_refused },
        { "a did:key of other bytes is refused", test_a_did_key_of_other_bytes_is_refused },
        { "a did:key of another kind of key is refused",
          test_a_did_key_of_another_kind_of_key_is_refused },
        { "a long did:key is refused", test_a_long_did_key_is_refused },
        { "the example of did:jwk is found", test_the_example_of_did_jwk_is_found },
        { "a did:jwk that is no public key is refused",
          test_a_did_jwk_that_is_no_public_key_is_refused },
        { "a did:jwk in another spelling is refused",
          test_a_did_jwk_in_another_spelling_is_refused },
        { "a kid names a key of its DID", test_a_kid_names_a_key_of_its_did },
        { "a kid with a path or a query is refused", test_a_kid_with_a_path_or_a_query_is_refused },
        { "what is no DID is refused", test_what_is_no_did_is_refused },
        { "another method is not served", test_another_method_is_not_served },
        { "without a resolver only DIDs that hold their key are served",
          test_without_a_resolver_only_dids_that_hold_their_key_are_served },
        { "a did:web names a host", test_a_did_web_names_a_host },
        { "a did:empe is forty hexadecimal digits", test_a_did_empe_is_forty_hexadecimal_digits },
        { "a resolver that fails is said so", test_a_resolver_that_fails_is_said_so },
        { "a method is found by either spelling of its id",
          test_a_method_is_found_by_either_spelling_of_its_id },
        { "a method may be embedded where it is used",
          test_a_method_may_be_embedded_where_it_is_used },
        { "a key may be a multikey", test_a_key_may_be_a_multikey },
        { "a method is good for what it is listed for",
          test_a_method_is_good_for_what_it_is_listed_for },
        { "a document of another DID is refused", test_a_document_of_another_did_is_refused },
        { "a document that is no strict JSON is refused",
          test_a_document_that_is_no_strict_json_is_refused },
        { "a method that is not there is refused", test_a_method_that_is_not_there_is_refused },
        { "two methods of one id are refused", test_two_methods_of_one_id_are_refused },
        { "lists of another form are refused", test_lists_of_another_form_are_refused },
        { "a reference is no method", test_a_reference_is_no_method },
        { "the number of methods is bounded", test_the_number_of_methods_is_bounded },
        { "a method that another controls is refused",
          test_a_method_that_another_controls_is_refused },
        { "a method with an end is refused", test_a_method_with_an_end_is_refused },
        { "a method has one key that can be read", test_a_method_has_one_key_that_can_be_read },
        { "a did:empe may have a compressed point", test_a_did_empe_may_have_a_compressed_point },
        { "a compressed point is judged like any JWK",
          test_a_compressed_point_is_judged_like_any_jwk },
        { "a point that is not compressed so is refused",
          test_a_point_that_is_not_compressed_so_is_refused },
        { "a compressed point is none of another method",
          test_a_compressed_point_is_none_of_another_method },
        CU_TEST_INFO_NULL,
    };
    return run_suite("did keys", clear, free_key, tests);
}
