/*
 * JWKs and thumbprints against published vectors (RFC 7638 3.1, RFC 7515 A.3, RFC 8037 A.3) and against
 * thumbprints that jwcrypto computed; and the keys that get none.
 */
#include "jose/jwk.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/base64url.h"
#include "base/json_check.h"
#include "base/memory.h"
#include "support/run.h"

#define RFC7638_N                                                                                  \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP" \
    "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY" \
    "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f" \
    "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

struct point {
    const char *x;
    const char *y;
    const char *kid;
};

static const struct point RFC7515 = { "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                                      "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                                      "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U" };
static const struct point ZERO_X = { "AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo",
                                     "u0yFo9jqKe-q-iRAaRLdhNWxTcMr9lbvbGvVil2UP5I",
                                     "7Yxe6c_3bAa6kiaK1G-BZmi9EeNsUmlcbdnrtLeuK4E" };
static const struct point ZERO_Y = { "mGriUG8f8QTQQjCGHY9LSY9LxMbQCbMPdUTcEpuC0o0",
                                     "ADzMwKZGDgrjKKTZfTx7YdhvxiicGJ8lJREMRBuwfpc",
                                     "WZsjbh58q8kl1WsGShqtiycImZtCgGbukDn4RAacMig" };

/* The key of RFC 6979 A.2.6, its thumbprint by jose(1). */
static const struct point RFC6979 = {
    "7DpOQVtOGaRWhhgCn0J_pdqai8SukuAuBqrlKGswDGTe-PDqkFWGYGSiVFFUgLwT",
    "gBXZty19VyROqO-awMYhiWcIpZNn-d-59UyoSz8cnbEoiyMcOuDU_nNE_SUzJkcg",
    "l2tfkSzhekdOr24I18E1O_-49AlK14MTo7OxJMS7-HI"
};

/* RFC 8037 A.2 and A.3. */
#define RFC8037_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RFC8037_KID "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

static struct {
    EVP_PKEY *key;
    struct jwk jwk;
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void free_key(void)
{
    EVP_PKEY_free(take(fixture.key));
}

static void use_key(EVP_PKEY *key)
{
    free_key();
    fixture.key = key;
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
}

static EVP_PKEY *public_key(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (EVP_PKEY_fromdata_init(context) == 1) {
        (void)EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
    }
    EVP_PKEY_CTX_free(context);
    return key;
}

static EVP_PKEY *ec_key(const char *curve, size_t half, const struct point *point)
{
    uint8_t octets[1 + 2 * 48] = { 4 };
    size_t length;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets, 1 + 2 * half),
        OSSL_PARAM_construct_end(),
    };
    return base64url_decode(point->x, strlen(point->x), octets + 1, half, &length)
                && base64url_decode(point->y, strlen(point->y), octets + 1 + half, half, &length)
             ? public_key("EC", params)
             : NULL;
}

static EVP_PKEY *p256_key(const struct point *point)
{
    return ec_key("prime256v1", 32, point);
}

static EVP_PKEY *ed25519_key(const char *x)
{
    uint8_t octets[32];
    size_t length;

    return base64url_decode(x, strlen(x), octets, sizeof(octets), &length)
             ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, octets, length)
             : NULL;
}

static EVP_PKEY *rsa_key_of(const uint8_t *modulus, size_t length, unsigned long exponent)
{
    BIGNUM *n = BN_bin2bn(modulus, (int)length, NULL);
    BIGNUM *e = BN_new();
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (BN_set_word(e, exponent) == 1
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1
        && (params = OSSL_PARAM_BLD_to_param(builder)) != NULL) {
        key = public_key("RSA", params);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(e);
    BN_free(n);
    return key;
}

/* A public key with a modulus of so many bits, all of them ones: enough to be described. */
static EVP_PKEY *rsa_key(unsigned bits, unsigned long exponent)
{
    uint8_t modulus[1024];
    const size_t length = (bits + 7) / 8;
    memset(modulus, 0xff, sizeof(modulus));
    modulus[0] = (uint8_t)(0xff >> (8 * length - bits));
    return rsa_key_of(modulus, length, exponent);
}

static EVP_PKEY *rfc7638_key(void)
{
    uint8_t modulus[256];
    size_t length;
    return base64url_decode(RFC7638_N, strlen(RFC7638_N), modulus, sizeof(modulus), &length)
             ? rsa_key_of(modulus, length, 65537)
             : NULL;
}

static bool describes(enum jose_algorithm algorithm)
{
    return jwk_from_key(fixture.key, algorithm, &fixture.jwk, &fixture.err);
}

static void assert_refused(enum jose_algorithm algorithm)
{
    CU_ASSERT_FALSE(describes(algorithm));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_KEY_POLICY);
}

static void test_an_rsa_key_has_the_thumbprint_of_the_rfc(void)
{
    use_key(rfc7638_key());
    CU_ASSERT_TRUE_FATAL(describes(JOSE_RS256));
    CU_ASSERT_STRING_EQUAL(fixture.jwk.kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    CU_ASSERT_STRING_EQUAL(fixture.jwk.json,
                           "{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\","
                           "\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\","
                           "\"n\":\"" RFC7638_N "\",\"e\":\"AQAB\"}");
}

static void test_the_algorithm_does_not_change_the_thumbprint(void)
{
    use_key(rfc7638_key());
    CU_ASSERT_TRUE_FATAL(describes(JOSE_PS256));
    CU_ASSERT_STRING_EQUAL(fixture.jwk.kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.jwk.json, "\"alg\":\"PS256\""));
}

/* The key in the fixture, which has this point. */
static void assert_described(const struct point *point, enum jose_algorithm algorithm,
                             const char *curve)
{
    char expected[JWK_MAX];

    CU_ASSERT_TRUE_FATAL(describes(algorithm));
    (void)snprintf(expected, sizeof(expected),
                   "{\"kty\":\"EC\",\"use\":\"sig\",\"alg\":\"%s\",\"kid\":\"%s\","
                   "\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}",
                   jose_algorithm_name(algorithm), point->kid, curve, point->x, point->y);
    CU_ASSERT_STRING_EQUAL(fixture.jwk.json, expected);
    CU_ASSERT_STRING_EQUAL(fixture.jwk.kid, point->kid);
}

static void assert_point_described(const struct point *point)
{
    use_key(p256_key(point));
    assert_described(point, JOSE_ES256, "P-256");
}

static void test_a_p384_key_is_described(void)
{
    use_key(ec_key("secp384r1", 48, &RFC6979));
    assert_described(&RFC6979, JOSE_ES384, "P-384");
}

static void test_an_ed25519_key_has_the_thumbprint_of_the_rfc(void)
{
    use_key(ed25519_key(RFC8037_X));
    CU_ASSERT_TRUE_FATAL(describes(JOSE_ED25519));
    CU_ASSERT_STRING_EQUAL(fixture.jwk.json, "{\"kty\":\"OKP\",\"use\":\"sig\",\"alg\":\"Ed25519\","
                                             "\"kid\":\"" RFC8037_KID "\","
                                             "\"crv\":\"Ed25519\",\"x\":\"" RFC8037_X "\"}");
    CU_ASSERT_STRING_EQUAL(fixture.jwk.kid, RFC8037_KID);
}

static void test_a_p256_key_is_described(void)
{
    assert_point_described(&RFC7515);
}

static void test_coordinates_keep_their_leading_zeros(void)
{
    assert_point_described(&ZERO_X);
    assert_point_described(&ZERO_Y);
}

static void test_a_compressed_point_is_the_same_key(void)
{
    use_key(p256_key(&RFC7515));
    CU_ASSERT_EQUAL(EVP_PKEY_set_utf8_string_param(
                        fixture.key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
                    1);
    CU_ASSERT_TRUE_FATAL(describes(JOSE_ES256));
    CU_ASSERT_STRING_EQUAL(fixture.jwk.kid, RFC7515.kid);
}

static void test_a_private_key_shows_only_its_public_half(void)
{
    use_key(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    CU_ASSERT_TRUE_FATAL(describes(JOSE_ES256));
    CU_ASSERT_PTR_NULL(strstr(fixture.jwk.json, "\"d\":"));

    EVP_PKEY *half = jwk_public_half(fixture.key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(half);
    BIGNUM *private_number = NULL;
    CU_ASSERT_EQUAL(EVP_PKEY_eq(half, fixture.key), 1);
    CU_ASSERT_EQUAL(EVP_PKEY_get_bn_param(half, OSSL_PKEY_PARAM_PRIV_KEY, &private_number), 0);
    EVP_PKEY_free(half);
}

static void test_the_largest_key_fits_and_is_strict_json(void)
{
    use_key(rsa_key(4096, ~0UL));
    CU_ASSERT_TRUE_FATAL(describes(JOSE_PS256));
    CU_ASSERT_TRUE(json_check(fixture.jwk.json, strlen(fixture.jwk.json), &fixture.err));
}

static void test_a_modulus_is_written_without_a_leading_zero(void)
{
    use_key(rsa_key(2049, 65537));
    CU_ASSERT_TRUE_FATAL(describes(JOSE_RS256));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.jwk.json, "\"n\":\"Af__"));
}

static void test_a_modulus_of_another_size_is_refused(void)
{
    static const unsigned BITS[] = { 1024, 2047, 4097, 8192 };
    for (size_t i = 0; i < COUNT_OF(BITS); i++) {
        use_key(rsa_key(BITS[i], 65537));
        assert_refused(JOSE_RS256);
        assert_refused(JOSE_PS256);
    }
    use_key(rsa_key(2048, 65537));
    CU_ASSERT_TRUE(describes(JOSE_RS256));
}

static void test_a_small_or_even_exponent_is_refused(void)
{
    static const unsigned long EXPONENTS[] = { 1, 3, 17, 257, 65535, 65536, 65538, 0x100000000 };
    for (size_t i = 0; i < COUNT_OF(EXPONENTS); i++) {
        use_key(rsa_key(2048, EXPONENTS[i]));
        assert_refused(JOSE_PS256);
    }
    use_key(rsa_key(2048, 0x100000001));
    CU_ASSERT_TRUE(describes(JOSE_PS256));
}

static void test_a_key_of_another_kind_is_refused(void)
{
    use_key(p256_key(&RFC7515));
    assert_refused(JOSE_RS256);
    assert_refused(JOSE_PS256);
    assert_refused(JOSE_ES384);
    assert_refused(JOSE_ED25519);
    assert_refused(JOSE_ALGORITHM_NONE);
    use_key(rfc7638_key());
    assert_refused(JOSE_ES256);
    assert_refused(JOSE_ES384);
    assert_refused(JOSE_ED25519);
    assert_refused(JOSE_ALGORITHM_NONE);
}

static void assert_no_algorithm_fits(EVP_PKEY *key)
{
    use_key(key);
    assert_refused(JOSE_ES256);
    assert_refused(JOSE_ES384);
    assert_refused(JOSE_ED25519);
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ALGORITHM_NONE);
}

static void test_other_curves_are_refused(void)
{
    static const char *const CURVES[] = { "P-521", "secp256k1", "brainpoolP256r1",
                                          "brainpoolP384r1" };
    for (size_t i = 0; i < COUNT_OF(CURVES); i++) {
        assert_no_algorithm_fits(EVP_PKEY_Q_keygen(NULL, NULL, "EC", CURVES[i]));
    }
    assert_no_algorithm_fits(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
    assert_no_algorithm_fits(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
    use_key(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"));
    assert_refused(JOSE_ES256);
}

static void test_a_key_without_a_public_half_is_refused(void)
{
    use_key(EVP_PKEY_new());
    assert_refused(JOSE_ES256);
}

static void test_the_key_chooses_its_algorithm(void)
{
    use_key(p256_key(&RFC7515));
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ES256);
    use_key(ec_key("secp384r1", 48, &RFC6979));
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ES384);
    use_key(ed25519_key(RFC8037_X));
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ED25519);
    use_key(rfc7638_key());
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_PS256);
}

static void test_algorithms_are_known_by_their_exact_names(void)
{
    static const char *const STRANGERS[] = { "",      "none",   "es256",  "ES256 ", " ES256",
                                             "HS256", "ES256K", "ES2560", "ES25",   "PS384",
                                             "ES512", "EdDSA",  "Ed448",  "ed25519" };

    CU_ASSERT_EQUAL(jose_algorithm_from_name("ES256"), JOSE_ES256);
    CU_ASSERT_EQUAL(jose_algorithm_from_name("ES384"), JOSE_ES384);
    CU_ASSERT_EQUAL(jose_algorithm_from_name("Ed25519"), JOSE_ED25519);
    CU_ASSERT_EQUAL(jose_algorithm_from_name("RS256"), JOSE_RS256);
    CU_ASSERT_EQUAL(jose_algorithm_from_name("PS256"), JOSE_PS256);
    CU_ASSERT_STRING_EQUAL(jose_algorithm_name(JOSE_PS256), "PS256");
    CU_ASSERT_STRING_EQUAL(jose_algorithm_name(JOSE_ALGORITHM_NONE), "");
    for (size_t i = 0; i < COUNT_OF(STRANGERS); i++) {
        CU_ASSERT_EQUAL(jose_algorithm_from_name(STRANGERS[i]), JOSE_ALGORITHM_NONE);
    }
}

static void test_what_others_sign_with_has_names_of_its_own(void)
{
    static const char *const STRANGERS[] = { "",      "none",  "es256k", "ES256K ", "HS256",
                                             "RS256", "PS256", "ES512",  "eddsa",   "Ed448" };

    CU_ASSERT_EQUAL(jose_algorithm_verified("ES256"), JOSE_ES256);
    CU_ASSERT_EQUAL(jose_algorithm_verified("ES384"), JOSE_ES384);
    CU_ASSERT_EQUAL(jose_algorithm_verified("ES256K"), JOSE_ES256K);
    CU_ASSERT_EQUAL(jose_algorithm_verified("Ed25519"), JOSE_ED25519);
    CU_ASSERT_EQUAL(jose_algorithm_verified("EdDSA"), JOSE_ED25519);
    CU_ASSERT_STRING_EQUAL(jose_algorithm_name(JOSE_ES256K), "ES256K");
    for (size_t i = 0; i < COUNT_OF(STRANGERS); i++) {
        CU_ASSERT_EQUAL(jose_algorithm_verified(STRANGERS[i]), JOSE_ALGORITHM_NONE);
    }
}

static void test_a_secp256k1_key_is_never_one_of_this_server(void)
{
    use_key(EVP_EC_gen("secp256k1"));
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ALGORITHM_NONE);
    assert_refused(JOSE_ES256);
    assert_refused(JOSE_ES256K);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an RSA key has the thumbprint of the RFC",
          test_an_rsa_key_has_the_thumbprint_of_the_rfc },
        { "the algorithm does not change the thumbprint",
          test_the_algorithm_does_not_change_the_thumbprint },
        { "a P-256 key is described", test_a_p256_key_is_described },
        { "a P-384 key is described", test_a_p384_key_is_described },
        { "an Ed25519 key has the thumbprint of the RFC",
          test_an_ed25519_key_has_the_thumbprint_of_the_rfc },
        { "coordinates keep their leading zeros", test_coordinates_keep_their_leading_zeros },
        { "a compressed point is the same key", test_a_compressed_point_is_the_same_key },
        { "a private key shows only its public half",
          test_a_private_key_shows_only_its_public_half },
        { "the largest key fits and is strict JSON", test_the_largest_key_fits_and_is_strict_json },
        { "a modulus is written without a leading zero",
          test_a_modulus_is_written_without_a_leading_zero },
        { "a modulus of another size is refused", test_a_modulus_of_another_size_is_refused },
        { "a small or even exponent is refused", test_a_small_or_even_exponent_is_refused },
        { "a key of another kind is refused", test_a_key_of_another_kind_is_refused },
        { "other curves are refused", test_other_curves_are_refused },
        { "a key without a public half is refused", test_a_key_without_a_public_half_is_refused },
        { "the key chooses its algorithm", test_the_key_chooses_its_algorithm },
        { "algorithms are known by their exact names",
          test_algorithms_are_known_by_their_exact_names },
        { "what others sign with has names of its own",
          test_what_others_sign_with_has_names_of_its_own },
        { "a secp256k1 key is never one of this server",
          test_a_secp256k1_key_is_never_one_of_this_server },
        CU_TEST_INFO_NULL,
    };
    return run_suite("jwk", clear, free_key, tests);
}
