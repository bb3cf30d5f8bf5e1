/*
 * JWKs that others have made, against the published keys of RFC 7515 A.3, RFC 6979 A.2.6 and RFC 8037 A.2;
 * and those that are no public key to verify with.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/json_check.h"
#include "base/memory.h"
#include "base/text.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "support/run.h"

#define P256_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define P256_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define P256_KID "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
#define P384_X "7DpOQVtOGaRWhhgCn0J_pdqai8SukuAuBqrlKGswDGTe-PDqkFWGYGSiVFFUgLwT"
#define P384_Y "gBXZty19VyROqO-awMYhiWcIpZNn-d-59UyoSz8cnbEoiyMcOuDU_nNE_SUzJkcg"
#define P384_KID "l2tfkSzhekdOr24I18E1O_-49AlK14MTo7OxJMS7-HI"
#define ED25519_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED25519_KID "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
/* The generator of secp256k1 (SEC 2 2.4.1), the key whose private half is 1. */
#define SECP256K1_X "eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g"
#define SECP256K1_Y "SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg"
#define ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

#define EC(crv, x, y) "\"kty\":\"EC\",\"crv\":\"" crv "\",\"x\":\"" x "\",\"y\":\"" y "\""
#define P256 EC("P-256", P256_X, P256_Y)
#define P384 EC("P-384", P384_X, P384_Y)
#define SECP256K1 EC("secp256k1", SECP256K1_X, SECP256K1_Y)
#define OKP(crv, x) "\"kty\":\"OKP\",\"crv\":\"" crv "\",\"x\":\"" x "\""
#define ED25519 OKP("Ed25519", ED25519_X)

static struct {
    cJSON *jwk;
    EVP_PKEY *key;
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void free_key(void)
{
    EVP_PKEY_free(take(fixture.key));
    cJSON_Delete(take(fixture.jwk));
}

static bool parses(const char *json)
{
    free_key();
    CU_ASSERT_TRUE_FATAL(json_check(json, strlen(json), &fixture.err));
    fixture.jwk = cJSON_Parse(json);
    const bool good = jwk_parse(fixture.jwk, &fixture.key, &fixture.err);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    return good;
}

static void assert_parses(const char *json)
{
    if (!parses(json)) {
        (void)printf("\n    refused: %s: %s\n", json, fixture.err.message);
        CU_FAIL("a sound key was refused");
    }
}

static void assert_refused(const char *json, const char *message)
{
    if (parses(json)) {
        (void)printf("\n    accepted: %s\n", json);
        CU_FAIL("a bad key was accepted");
        return;
    }
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    if (strncmp(fixture.err.message, message, strlen(message)) != 0) {
        (void)printf("\n    said: %s\n", fixture.err.message);
        CU_FAIL("refused for another reason");
    }
}

static void assert_is(const char *json, enum jose_algorithm algorithm, const char *kid)
{
    struct jwk jwk;

    CU_ASSERT_TRUE_FATAL(parses(json));
    CU_ASSERT_TRUE_FATAL(jwk_from_key(fixture.key, algorithm, &jwk, &fixture.err));
    CU_ASSERT_STRING_EQUAL(jwk.kid, kid);
}

static void test_a_key_of_each_kind_is_read(void)
{
    assert_is("{" P256 "}", JOSE_ES256, P256_KID);
    assert_is("{" P384 "}", JOSE_ES384, P384_KID);
    assert_is("{" ED25519 "}", JOSE_ED25519, ED25519_KID);
}

static void test_a_secp256k1_key_is_read(void)
{
    BIGNUM *x = NULL;
    uint8_t bytes[32];
    char buffer[64];
    struct text text = text_over(buffer, sizeof(buffer));

    CU_ASSERT_TRUE_FATAL(parses("{" SECP256K1 "}"));
    CU_ASSERT_TRUE(jwk_fits(fixture.key, JOSE_ES256K));
    CU_ASSERT_EQUAL(EVP_PKEY_get_bn_param(fixture.key, OSSL_PKEY_PARAM_EC_PUB_X, &x), 1);
    CU_ASSERT_EQUAL(BN_bn2binpad(x, bytes, sizeof(bytes)), 32);
    BN_free(x);
    text_add_base64url(&text, bytes, sizeof(bytes));
    CU_ASSERT_STRING_EQUAL(text.start, SECP256K1_X);
}

static void test_a_key_fits_its_own_algorithm_alone(void)
{
    static const struct {
        const char *json;
        enum jose_algorithm algorithm;
    } KEYS[] = { { "{" P256 "}", JOSE_ES256 },
                 { "{" P384 "}", JOSE_ES384 },
                 { "{" SECP256K1 "}", JOSE_ES256K },
                 { "{" ED25519 "}", JOSE_ED25519 } };

    for (size_t i = 0; i < COUNT_OF(KEYS); i++) {
        CU_ASSERT_TRUE_FATAL(parses(KEYS[i].json));
        for (int algorithm = JOSE_ALGORITHM_NONE; algorithm <= JOSE_ES256K; algorithm++) {
            CU_ASSERT_EQUAL(jwk_fits(fixture.key, (enum jose_algorithm)algorithm),
                            (enum jose_algorithm)algorithm == KEYS[i].algorithm);
        }
    }
}

static void test_a_key_may_say_what_it_is_for(void)
{
    assert_parses("{" P256 ",\"alg\":\"ES256\",\"use\":\"sig\",\"kid\":\"0\"}");
    assert_parses("{" P256 ",\"key_ops\":[\"verify\"]}");
    assert_parses("{" P256 ",\"key_ops\":[\"sign\",\"verify\"]}");
    assert_parses("{" P384 ",\"alg\":\"ES384\"}");
    assert_parses("{" SECP256K1 ",\"alg\":\"ES256K\"}");
    assert_parses("{" ED25519 ",\"alg\":\"EdDSA\"}");
    assert_parses("{" ED25519 ",\"alg\":\"Ed25519\"}");
    assert_parses("{" P256 ",\"ext\":true,\"x5t\":\"AA\",\"made\":{\"by\":[1]}}");
}

static void test_a_key_for_something_else_is_refused(void)
{
    static const char *const ALGS[] = { "\"ES384\"",   "\"ES256K\"", "\"EdDSA\"", "\"none\"",
                                        "\"ECDH-ES\"", "\"RS256\"",  "\"\"",      "null",
                                        "256",         "[\"ES256\"]" };
    char json[512];

    for (size_t i = 0; i < COUNT_OF(ALGS); i++) {
        (void)snprintf(json, sizeof(json), "{" P256 ",\"alg\":%s}", ALGS[i]);
        assert_refused(json, "alg: ");
    }
    assert_refused("{" SECP256K1 ",\"alg\":\"ES256\"}", "alg: ");
    assert_refused("{" ED25519 ",\"alg\":\"ES256\"}", "alg: ");
    assert_refused("{" P256 ",\"use\":\"enc\"}", "use: ");
    assert_refused("{" P256 ",\"use\":\"\"}", "use: ");
    assert_refused("{" P256 ",\"use\":null}", "use: ");
    assert_refused("{" P256 ",\"use\":[\"sig\"]}", "use: ");
    assert_refused("{" P256 ",\"key_ops\":[]}", "key_ops: ");
    assert_refused("{" P256 ",\"key_ops\":[\"sign\"]}", "key_ops: ");
    assert_refused("{" P256 ",\"key_ops\":[\"Verify\",1,null]}", "key_ops: ");
    assert_refused("{" P256 ",\"key_ops\":\"verify\"}", "key_ops: ");
    assert_refused("{" P256 ",\"key_ops\":{\"a\":\"verify\"}}", "key_ops: ");
}

static void test_a_private_key_is_refused(void)
{
    static const char *const MEMBERS[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };
    char json[512];
    char message[16];

    for (size_t i = 0; i < COUNT_OF(MEMBERS); i++) {
        (void)snprintf(message, sizeof(message), "%s: ", MEMBERS[i]);
        (void)snprintf(json, sizeof(json), "{" P256 ",\"%s\":\"AQ\"}", MEMBERS[i]);
        assert_refused(json, message);
        (void)snprintf(json, sizeof(json), "{\"%s\":null," ED25519 "}", MEMBERS[i]);
        assert_refused(json, message);
    }
}

static void test_a_private_value_is_not_repeated(void)
{
    assert_refused("{" P256 ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}", "d: ");
    CU_ASSERT_PTR_NULL(strstr(fixture.err.message, "jpsQ"));
}

static void test_another_type_of_key_is_refused(void)
{
    assert_refused("{}", "kty: ");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}", "kty: ");
    assert_refused("{\"kty\":\"oct\"}", "kty: ");
    assert_refused("{\"kty\":\"ec\",\"crv\":\"P-256\"}", "kty: ");
    assert_refused("{\"kty\":null,\"crv\":\"P-256\"}", "kty: ");
    assert_refused("{\"KTY\":\"EC\",\"crv\":\"P-256\"}", "kty: ");
    assert_refused("[]", "not a JSON object");
    assert_refused("\"EC\"", "not a JSON object");
    CU_ASSERT_FALSE(jwk_parse(NULL, &fixture.key, &fixture.err));
}

static void test_a_curve_of_another_type_is_refused(void)
{
    assert_refused("{" EC("P-521", P256_X, P256_Y) "}", "crv: ");
    assert_refused("{" EC("Ed25519", P256_X, P256_Y) "}", "crv: ");
    assert_refused("{" EC("p-256", P256_X, P256_Y) "}", "crv: ");
    assert_refused("{" EC("prime256v1", P256_X, P256_Y) "}", "crv: ");
    assert_refused("{" EC("", P256_X, P256_Y) "}", "crv: ");
    assert_refused("{\"kty\":\"EC\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y "\"}", "crv: ");
    assert_refused("{\"kty\":\"OKP\",\"x\":\"" ED25519_X "\"}", "crv: ");
    assert_refused("{" OKP("X25519", ED25519_X) "}", "crv: ");
    assert_refused("{" OKP("Ed448", ED25519_X) "}", "crv: ");
    assert_refused("{" OKP("P-256", ED25519_X) "}", "crv: ");
}

/* RFC 7518 6.2.1.2: the octets of the whole width, in the one spelling that base64url has. */
static void test_a_coordinate_has_exactly_the_width_of_its_curve(void)
{
    assert_refused("{" EC("P-256", "", P256_Y) "}", "x: not 32 bytes");
    assert_refused("{" EC("P-256", "AQ", P256_Y) "}", "x: ");
    assert_refused("{" EC("P-256", P256_X "A", P256_Y) "}", "x: ");
    assert_refused("{" EC("P-256", "AA" P256_X, P256_Y) "}", "x: ");
    assert_refused("{" EC("P-256", P256_X "=", P256_Y) "}", "x: ");
    assert_refused("{" EC("P-256", P256_X, P256_Y "=") "}", "y: ");
    assert_refused("{" EC("P-256", P256_X " ", P256_Y) "}", "x: ");
    assert_refused("{" EC("P-256", P256_X, P384_Y) "}", "y: ");
    assert_refused("{" EC("P-384", P256_X, P384_Y) "}", "x: not 48 bytes");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\"}", "y: ");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"y\":\"" P256_Y "\"}", "x: ");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":1,\"y\":\"" P256_Y "\"}", "x: ");
    /* The standard alphabet, and an unused bit that is set. */
    assert_refused("{" EC("P-256", P256_X, "x/FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0") "}",
                   "y: ");
    assert_refused("{" EC("P-256", P256_X, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1") "}",
                   "y: ");
    assert_refused("{" OKP("Ed25519", "AQ") "}", "x: not 32 bytes");
    assert_refused("{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", "x: ");
}

static void test_a_point_off_its_curve_is_refused(void)
{
    assert_refused("{" EC("P-256", P256_Y, P256_X) "}", "x, y: not a point of P-256");
    assert_refused("{" EC("P-256", P256_X, P256_X) "}", "x, y: not a point of P-256");
    assert_refused("{" EC("P-256", ZERO, ZERO) "}", "x, y: not a point of P-256");
    assert_refused("{" EC("secp256k1", ZERO, ZERO) "}", "x, y: not a point of secp256k1");
    assert_refused("{" EC("secp256k1", P256_X, P256_Y) "}", "x, y: not a point of secp256k1");
    assert_refused("{" EC("P-256", SECP256K1_X, SECP256K1_Y) "}", "x, y: not a point of P-256");
    assert_refused("{" EC("P-384", P384_Y, P384_X) "}", "x, y: not a point of P-384");
    /* x not below p */
    assert_refused("{" EC("P-256", "__________________________________________8", P256_Y) "}",
                   "x, y: not a point of P-256");
}

/* Under such a key one signature is good for any message. `y` little-endian. */
static void assert_point_refused(const uint8_t y[static 32])
{
    uint8_t octets[32];
    char x[64];
    char json[256];

    memcpy(octets, y, sizeof(octets));
    for (int sign = 0; sign < 2; sign++) {
        struct text text = text_over(x, sizeof(x));
        text_add_base64url(&text, octets, sizeof(octets));
        (void)snprintf(json, sizeof(json), "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", x);
        assert_refused(json, "x: not a public key of Ed25519");
        octets[31] ^= 0x80;
    }
}

static void test_an_ed25519_point_of_small_order_is_refused(void)
{
    static const uint8_t ORDER_8[][32] = {
        { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
          0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
          0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
        { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
          0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
          0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
    };
    uint8_t y[32] = { 0 };

    assert_point_refused(y);
    y[0] = 1;
    assert_point_refused(y);
    for (size_t i = 0; i < COUNT_OF(ORDER_8); i++) {
        assert_point_refused(ORDER_8[i]);
    }
    /* p - 1, then what is not below p: 0 and 1 again, and points of any order in a second spelling */
    memset(y, 0xff, sizeof(y));
    y[31] = 0x7f;
    for (unsigned low = 0xec; low <= 0xff; low++) {
        y[0] = (uint8_t)low;
        assert_point_refused(y);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a key of each kind is read", test_a_key_of_each_kind_is_read },
        { "a secp256k1 key is read", test_a_secp256k1_key_is_read },
        { "a key fits its own algorithm alone", test_a_key_fits_its_own_algorithm_alone },
        { "a key may say what it is for", test_a_key_may_say_what_it_is_for },
        { "a key for something else is refused", test_a_key_for_something_else_is_refused },
        { "a private key is refused", test_a_private_key_is_refused },
        { "a private value is not repeated", test_a_private_value_is_not_repeated },
        { "another type of key is refused", test_another_type_of_key_is_refused },
        { "a curve of another type is refused", test_a_curve_of_another_type_is_refused },
        { "a coordinate has exactly the width of its curve",
          test_a_coordinate_has_exactly_the_width_of_its_curve },
        { "a point off its curve is refused", test_a_point_off_its_curve_is_refused },
        { "an Ed25519 point of small order is refused",
          test_an_ed25519_point_of_small_order_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("jwk parse", clear, free_key, tests);
}
