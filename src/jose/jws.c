/*
 * Verifies what a device signed before it leaves, so it is as often called as signing is: one
 * OpenSSL context a verifier, set up once, and no allocation of ours per signature.
 */
#include "jose/jws.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/digest.h"
#include "base/memory.h"
#include "jose/es256_table.h"
#include "jose/jwk.h"

/* SEQUENCE { INTEGER r, INTEGER s }, each integer with at most one octet more for its sign. */
enum { DER_HEAD = 2, ECDSA_DER_MAX = DER_HEAD + 2 * (DER_HEAD + 1 + ECDSA_HALF_MAX) };
_Static_assert(ECDSA_DER_MAX < 128, "lengths take one octet");

enum { PS256_SALT = 32 };

struct jws_verifier {
    EVP_PKEY *key;
    EVP_PKEY_CTX *context;
    enum jose_algorithm algorithm;
    struct es256_table *table; /* NULL: EVP verifies */
    size_t signature_length;
    size_t half; /* 0: not ECDSA */
};

DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)
DEFINE_RELEASE(release_verifier, struct jws_verifier, jws_verifier_free)

static bool set_algorithm(EVP_PKEY_CTX *context, enum jose_algorithm algorithm)
{
    const EVP_MD *md = algorithm == JOSE_ES384 ? EVP_sha384() : EVP_sha256();

    if (algorithm == JOSE_ED25519) {
        return true; /* hashes the input by itself: see verify_message() */
    }
    if (EVP_PKEY_verify_init(context) != 1 || EVP_PKEY_CTX_set_signature_md(context, md) != 1) {
        return false;
    }
    if (algorithm == JOSE_RS256) {
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    }
    return jose_ecdsa_half(algorithm) > 0
        || (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, PS256_SALT) == 1);
}

/* Takes a reference to the key. */
static bool set_up(struct jws_verifier *self, EVP_PKEY *key, enum jose_algorithm algorithm,
                   struct error *err)
{
    if (!jwk_fits(key, algorithm) || EVP_PKEY_get_size(key) > SIGNATURE_MAX) {
        return fail(err, ERROR_INTERNAL, "this key verifies no %s", jose_algorithm_name(algorithm));
    }
    self->algorithm = algorithm;
    self->half = jose_ecdsa_half(algorithm);
    self->signature_length = self->half > 0 ? 2 * self->half : (size_t)EVP_PKEY_get_size(key);
    self->context = EVP_PKEY_CTX_new(key, NULL);
    if (self->context == NULL || !set_algorithm(self->context, algorithm)
        || EVP_PKEY_up_ref(key) != 1) {
        return fail_openssl(err, ERROR_INTERNAL, "set up %s", jose_algorithm_name(algorithm));
    }
    self->key = key;
    return true;
}

bool jws_verifier_new(EVP_PKEY *key, enum jose_algorithm algorithm,
                      struct jws_verifier **verifier_out, struct error *err)
{
    scoped(release_key) EVP_PKEY *half = jwk_public_half(key);
    scoped(release_verifier) struct jws_verifier *self = xcalloc(1, sizeof(*self));

    if (half == NULL) {
        return fail_openssl(err, ERROR_INTERNAL, "copy a public key to verify with");
    }
    if (!set_up(self, half, algorithm, err)) {
        return false;
    }
    *verifier_out = take(self);
    return true;
}

bool jws_verifier_prepare(struct jws_verifier *verifier)
{
    if (verifier->algorithm == JOSE_ES256 && verifier->table == NULL) {
        verifier->table = es256_table_new(verifier->key);
        ERR_clear_error();
    }
    return verifier->table != NULL;
}

bool jws_verifier_clone(const struct jws_verifier *verifier, struct jws_verifier **verifier_out,
                        struct error *err)
{
    if (!jws_verifier_new(verifier->key, verifier->algorithm, verifier_out, err)) {
        return false;
    }
    if (verifier->table != NULL) {
        (*verifier_out)->table = es256_table_clone(verifier->table);
    }
    return true;
}

/* One half as a DER INTEGER: no superfluous zero octet in front, but one where the sign bit would
 * be set (X.690 8.3). Returns the first octet behind it. */
static uint8_t *put_integer(uint8_t *at, const uint8_t *half, size_t width)
{
    size_t skipped = 0;
    while (skipped < width - 1 && half[skipped] == 0) {
        skipped++;
    }
    const size_t length = width - skipped;
    const bool signed_bit = (half[skipped] & 0x80) != 0;

    *at++ = 0x02;
    *at++ = (uint8_t)(length + (signed_bit ? 1 : 0));
    if (signed_bit) {
        *at++ = 0;
    }
    memcpy(at, half + skipped, length);
    return at + length;
}

/* Zero and too large halves are encoded as they are: OpenSSL refuses them. */
static size_t ecdsa_der(const uint8_t *halves, size_t half, uint8_t der[ECDSA_DER_MAX])
{
    const uint8_t *end =
        put_integer(put_integer(der + DER_HEAD, halves, half), halves + half, half);
    der[0] = 0x30;
    der[1] = (uint8_t)(end - der - DER_HEAD);
    return (size_t)(end - der);
}

DEFINE_RELEASE(release_md_ctx, EVP_MD_CTX, EVP_MD_CTX_free)

static bool verify_digest(struct jws_verifier *verifier, const uint8_t *digest,
                          size_t digest_length, const struct signature *signature)
{
    uint8_t der[ECDSA_DER_MAX];
    const uint8_t *octets = signature->bytes;
    size_t length = signature->length;

    if (verifier->half > 0) {
        length = ecdsa_der(signature->bytes, verifier->half, der);
        octets = der;
    }
    return EVP_PKEY_verify(verifier->context, octets, length, digest, digest_length) == 1;
}

static bool verify_message(struct jws_verifier *verifier, const void *input, size_t input_length,
                           const struct signature *signature)
{
    scoped(release_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    return ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, verifier->key) == 1
        && EVP_DigestVerify(ctx, signature->bytes, signature->length, input, input_length) == 1;
}

static bool verify(struct jws_verifier *verifier, const void *input, size_t input_length,
                   const struct signature *signature)
{
    if (verifier->algorithm == JOSE_ED25519) {
        return verify_message(verifier, input, input_length, signature);
    }
    if (verifier->algorithm == JOSE_ES384) {
        const struct digest384 digest = sha384(input, input_length);
        return verify_digest(verifier, digest.bytes, sizeof(digest.bytes), signature);
    }
    const struct digest digest = sha256(input, input_length);
    return verifier->table != NULL
             ? es256_table_verify(verifier->table, &digest, signature->bytes)
             : verify_digest(verifier, digest.bytes, sizeof(digest.bytes), signature);
}

bool jws_verify(struct jws_verifier *verifier, const void *input, size_t input_length,
                const struct signature *signature)
{
    if (signature->length != verifier->signature_length) {
        return false;
    }
    const bool valid = verify(verifier, input, input_length, signature);
    ERR_clear_error();
    return valid;
}

static void clear(struct jws_verifier *verifier)
{
    es256_table_free(verifier->table);
    EVP_PKEY_CTX_free(verifier->context);
    EVP_PKEY_free(verifier->key);
}

bool jws_verify_once(EVP_PKEY *key, enum jose_algorithm algorithm, const void *input,
                     size_t input_length, const struct signature *signature)
{
    scoped(clear) struct jws_verifier self = { .key = NULL };
    struct error err;

    return set_up(&self, key, algorithm, &err) && jws_verify(&self, input, input_length, signature);
}

void jws_verifier_free(struct jws_verifier *verifier)
{
    if (verifier != NULL) {
        clear(verifier);
        free(verifier);
    }
}
