#include "jose/public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/memory.h"

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

EVP_PKEY *public_key_from_ed25519(const uint8_t *octets, size_t length)
{
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
