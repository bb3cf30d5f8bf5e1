/* JWKs are written member by member in a fixed order: a thumbprint is the hash of exact bytes. */
#include "jose/jwk.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"

enum { ED25519_BYTES = 32, RSA_BITS_MIN = 2048, RSA_BITS_MAX = 4096, EXPONENT_MIN = 65537 };

DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)
DEFINE_RELEASE(release_number, BIGNUM, BN_free)

EVP_PKEY *jwk_public_half(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    const int length = i2d_PUBKEY(key, &der);
    if (length <= 0) {
        return NULL;
    }
    const unsigned char *at = der;
    EVP_PKEY *copy = d2i_PUBKEY(NULL, &at, length);
    OPENSSL_free(der);
    return copy;
}

static bool is_curve(EVP_PKEY *key, const char *name)
{
    char group[32];
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC
        && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1
        && strcmp(group, name) == 0;
}

enum jose_algorithm jwk_default_algorithm(EVP_PKEY *key)
{
    if (is_curve(key, "prime256v1")) {
        return JOSE_ES256;
    }
    if (is_curve(key, "secp384r1")) {
        return JOSE_ES384;
    }
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) {
        return JOSE_ED25519;
    }
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? JOSE_PS256 : JOSE_ALGORITHM_NONE;
}

bool jwk_fits(EVP_PKEY *key, enum jose_algorithm algorithm)
{
    const enum jose_algorithm natural = jwk_default_algorithm(key);

    return algorithm == JOSE_ES256K ? is_curve(key, "secp256k1")
         : algorithm == JOSE_RS256  ? natural == JOSE_PS256
                                    : algorithm != JOSE_ALGORITHM_NONE && algorithm == natural;
}

/* "name":"value" as base64url of `number`, big-endian: of `width` bytes, or if 0 as few as it needs
 * (RFC 7518 2, 6.2.1.2). */
static void add_number(struct text *text, const char *name, const BIGNUM *number, int width)
{
    unsigned char bytes[RSA_BITS_MAX / 8];
    const int length = width > 0 ? width : BN_num_bytes(number);

    text_add(text, "\"");
    text_add(text, name);
    text_add(text, "\":\"");
    if (length > (int)sizeof(bytes) || BN_bn2binpad(number, bytes, length) != length) {
        text->overflowed = true;
        return;
    }
    text_add_base64url(text, bytes, (size_t)length);
    text_add(text, "\"");
}

/* The kid is the hash of the required members alone, by name (RFC 7638 3); the JWK has the others
 * too, and the same values. */
static bool finish(const struct text *thumbprint, enum jose_algorithm algorithm, const char *kty,
                   const struct text *members, struct jwk *jwk_out, struct error *err)
{
    const struct digest digest = sha256(thumbprint->start, thumbprint->length);
    struct text kid = text_over(jwk_out->kid, sizeof(jwk_out->kid));
    text_add_base64url(&kid, digest.bytes, sizeof(digest.bytes));

    struct text json = text_over(jwk_out->json, sizeof(jwk_out->json));
    text_add(&json, "{\"kty\":\"");
    text_add(&json, kty);
    text_add(&json, "\",\"use\":\"sig\",\"alg\":\"");
    text_add(&json, jose_algorithm_name(algorithm));
    text_add(&json, "\",\"kid\":\"");
    text_add(&json, jwk_out->kid);
    text_add(&json, "\",");
    text_add(&json, members->start);
    text_add(&json, "}");
    if (thumbprint->overflowed || members->overflowed || kid.overflowed || json.overflowed) {
        return fail(err, ERROR_KEY_POLICY, "the key's public numbers are too large");
    }
    return true;
}

static void add_point(struct text *text, const char *curve, const char *kty, const BIGNUM *x,
                      const BIGNUM *y, int width)
{
    text_add(text, "\"crv\":\"");
    text_add(text, curve);
    text_add(text, kty);
    add_number(text, "x", x, width);
    text_add(text, ",");
    add_number(text, "y", y, width);
}

static bool ec_jwk(EVP_PKEY *key, enum jose_algorithm algorithm, struct jwk *jwk_out,
                   struct error *err)
{
    const char *curve = algorithm == JOSE_ES256 ? "P-256" : "P-384";
    const int width = (int)jose_ecdsa_half(algorithm);
    char members_buffer[JWK_MAX];
    char thumbprint_buffer[JWK_MAX];
    scoped(release_number) BIGNUM *x = NULL;
    scoped(release_number) BIGNUM *y = NULL;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) != 1
        || EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) != 1) {
        return fail_openssl(err, ERROR_KEY_POLICY, "the key's public point cannot be read");
    }
    struct text members = text_over(members_buffer, sizeof(members_buffer));
    add_point(&members, curve, "\",", x, y, width);

    struct text thumbprint = text_over(thumbprint_buffer, sizeof(thumbprint_buffer));
    text_add(&thumbprint, "{");
    add_point(&thumbprint, curve, "\",\"kty\":\"EC\",", x, y, width);
    text_add(&thumbprint, "}");
    return finish(&thumbprint, algorithm, "EC", &members, jwk_out, err);
}

/* RFC 8037 2, and its appendix A.3 for the thumbprint. */
static bool okp_jwk(EVP_PKEY *key, struct jwk *jwk_out, struct error *err)
{
    unsigned char x[ED25519_BYTES];
    size_t length = sizeof(x);
    char members_buffer[JWK_MAX];
    char thumbprint_buffer[JWK_MAX];

    if (EVP_PKEY_get_raw_public_key(key, x, &length) != 1 || length != sizeof(x)) {
        return fail_openssl(err, ERROR_KEY_POLICY, "the key's public half cannot be read");
    }
    struct text members = text_over(members_buffer, sizeof(members_buffer));
    text_add(&members, "\"crv\":\"Ed25519\",\"x\":\"");
    text_add_base64url(&members, x, sizeof(x));
    text_add(&members, "\"");

    struct text thumbprint = text_over(thumbprint_buffer, sizeof(thumbprint_buffer));
    text_add(&thumbprint, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    text_add_base64url(&thumbprint, x, sizeof(x));
    text_add(&thumbprint, "\"}");
    return finish(&thumbprint, JOSE_ED25519, "OKP", &members, jwk_out, err);
}

static bool rsa_jwk(EVP_PKEY *key, enum jose_algorithm algorithm, struct jwk *jwk_out,
                    struct error *err)
{
    char members_buffer[JWK_MAX];
    char thumbprint_buffer[JWK_MAX];
    scoped(release_number) BIGNUM *n = NULL;
    scoped(release_number) BIGNUM *e = NULL;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1
        || EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1) {
        return fail_openssl(err, ERROR_KEY_POLICY, "the key's public numbers cannot be read");
    }
    if (BN_num_bits(n) < RSA_BITS_MIN || BN_num_bits(n) > RSA_BITS_MAX) {
        return fail(err, ERROR_KEY_POLICY, "an RSA key of %d bits: it must have %d to %d",
                    BN_num_bits(n), RSA_BITS_MIN, RSA_BITS_MAX);
    }
    if (!BN_is_odd(e) || (BN_num_bits(e) < 32 && BN_get_word(e) < EXPONENT_MIN)) {
        return fail(err, ERROR_KEY_POLICY, "an RSA key whose public exponent is even or below %d",
                    EXPONENT_MIN);
    }
    struct text members = text_over(members_buffer, sizeof(members_buffer));
    add_number(&members, "n", n, 0);
    text_add(&members, ",");
    add_number(&members, "e", e, 0);

    struct text thumbprint = text_over(thumbprint_buffer, sizeof(thumbprint_buffer));
    text_add(&thumbprint, "{");
    add_number(&thumbprint, "e", e, 0);
    text_add(&thumbprint, ",\"kty\":\"RSA\",");
    add_number(&thumbprint, "n", n, 0);
    text_add(&thumbprint, "}");
    return finish(&thumbprint, algorithm, "RSA", &members, jwk_out, err);
}

bool jwk_from_key(EVP_PKEY *key, enum jose_algorithm algorithm, struct jwk *jwk_out,
                  struct error *err)
{
    scoped(release_key) EVP_PKEY *half = jwk_public_half(key);
    if (half == NULL) {
        return fail_openssl(err, ERROR_KEY_POLICY, "the key has no public half that OpenSSL reads");
    }
    static const char *const needs[] = {
        [JOSE_ES256] = "a P-256 key",      [JOSE_ES384] = "a P-384 key",
        [JOSE_RS256] = "an RSA key",       [JOSE_PS256] = "an RSA key",
        [JOSE_ED25519] = "an Ed25519 key", [JOSE_ES256K] = "another signer than issuerd",
    };
    if (algorithm == JOSE_ES256K || !jwk_fits(half, algorithm)) {
        return fail(err, ERROR_KEY_POLICY, "%s needs %s", jose_algorithm_name(algorithm),
                    needs[algorithm]);
    }
    if (algorithm == JOSE_ED25519) {
        return okp_jwk(half, jwk_out, err);
    }
    return jose_ecdsa_half(algorithm) > 0 ? ec_jwk(half, algorithm, jwk_out, err)
                                          : rsa_jwk(half, algorithm, jwk_out, err);
}
