#include "jose/public_key.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/memory.h"

enum { ED25519_OCTETS = 32 };

DEFINE_RELEASE(release_pkey_ctx, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DEFINE_RELEASE(release_param_build, OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
DEFINE_RELEASE(release_params, OSSL_PARAM, OSSL_PARAM_free)
DEFINE_RELEASE(release_bn, BIGNUM, BN_free)

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    scoped(release_params) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    scoped(release_pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        return NULL;
    }
    return key;
}

EVP_PKEY *public_key_from_point(const char *curve, const uint8_t *point, size_t length)
{
    scoped(release_param_build) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();

    if (build == NULL
        || OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) != 1
        || OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, length) != 1) {
        return NULL;
    }
    return from_params("EC", build);
}

/* The y of the eight points whose order divides 8, little-endian, computed from the curve of RFC 8032
 * 5.1: orders 4, 1, 8, 8 and 2. The sign of x in the last octet's highest bit makes no difference. */
static const uint8_t SMALL_ORDER[][ED25519_OCTETS] = {
    { 0x00 },
    { 0x01 },
    { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
      0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
      0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
    { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
      0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
      0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
    { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
};

/* y must be less than p = 2^255 - 19 (RFC 8032 5.1.3): p and p + 1 are 0 and 1 in another spelling. */
static bool is_canonical(const uint8_t y[static ED25519_OCTETS])
{
    static const uint8_t P[ED25519_OCTETS] = {
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    };
    return y[0] < P[0] || memcmp(y + 1, P + 1, sizeof(P) - 1) != 0;
}

static bool has_large_order(const uint8_t *octets)
{
    uint8_t y[ED25519_OCTETS];

    memcpy(y, octets, sizeof(y));
    y[sizeof(y) - 1] &= 0x7f;
    for (size_t i = 0; i < COUNT_OF(SMALL_ORDER); i++) {
        if (memcmp(y, SMALL_ORDER[i], sizeof(y)) == 0) {
            return false;
        }
    }
    return is_canonical(y);
}

EVP_PKEY *public_key_from_ed25519(const uint8_t *octets, size_t length)
{
    if (length != ED25519_OCTETS || !has_large_order(octets)) {
        ERR_raise(ERR_LIB_EVP, EVP_R_INVALID_KEY);
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, octets, length);
}

EVP_PKEY *public_key_from_rsa(const uint8_t *modulus, size_t modulus_length,
                              const uint8_t *exponent, size_t exponent_length)
{
    scoped(release_param_build) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    scoped(release_bn) BIGNUM *n = BN_bin2bn(modulus, (int)modulus_length, NULL);
    scoped(release_bn) BIGNUM *e = BN_bin2bn(exponent, (int)exponent_length, NULL);

    if (build == NULL || n == NULL || e == NULL
        || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1
        || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1) {
        return NULL;
    }
    return from_params("RSA", build);
}
