#include "support/verify.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

size_t signature_width(EVP_PKEY *key, enum jose_algorithm algorithm)
{
    return algorithm == JOSE_ES256 ? 64
         : algorithm == JOSE_ES384 ? 96
                                   : (size_t)EVP_PKEY_get_size(key);
}

static const EVP_MD *md_of(EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL
         : EVP_PKEY_get_bits(key) == 384                 ? EVP_sha384()
                                                         : EVP_sha256();
}

static bool raw_verifies(EVP_PKEY *key, bool pss, const void *input, size_t length,
                         const uint8_t *signature, size_t signature_length)
{
    EVP_PKEY_CTX *padding = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool good = EVP_DigestVerifyInit(ctx, &padding, md_of(key), NULL, key) == 1
                   && (!pss
                       || (EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1
                           && EVP_PKEY_CTX_set_rsa_mgf1_md(padding, EVP_sha256()) == 1
                           && EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, 32) == 1))
                   && EVP_DigestVerify(ctx, signature, signature_length, input, length) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool pair_verifies(EVP_PKEY *key, const void *input, size_t length,
                          const struct signature *signature)
{
    uint8_t *der = NULL;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    const int half = (int)signature->length / 2;
    (void)ECDSA_SIG_set0(pair, BN_bin2bn(signature->bytes, half, NULL),
                         BN_bin2bn(signature->bytes + half, half, NULL));
    const int der_length = i2d_ECDSA_SIG(pair, &der);
    const bool good =
        der_length > 0 && raw_verifies(key, false, input, length, der, (size_t)der_length);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    return good;
}

bool signature_verifies(EVP_PKEY *key, enum jose_algorithm algorithm, const void *input,
                        size_t length, const struct signature *signature)
{
    if (signature->length != signature_width(key, algorithm)) {
        return false;
    }
    return algorithm == JOSE_ES256 || algorithm == JOSE_ES384
             ? pair_verifies(key, input, length, signature)
             : raw_verifies(key, algorithm == JOSE_PS256, input, length, signature->bytes,
                            signature->length);
}
