/*
 * `file:/path/key.pem`: a private key in a PEM file, for development and tests. Configuration
 * refuses it elsewhere; nothing here does.
 */
#include "hsm/key_provider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/memory.h"
#include "base/secret.h"
#include "jose/jwk.h"

enum { PS256_SALT = 32 };

struct software_key {
    struct device_key base;
    EVP_PKEY *pair;
};

static key_open_fn software_open;
static key_sign_fn software_sign;
static key_close_fn software_close;

const struct key_provider software_provider = {
    .scheme = "file",
    .open = software_open,
    .sign = software_sign,
    .close = software_close,
};

static void software_free(struct software_key *self)
{
    EVP_PKEY_free(self->base.public_key);
    EVP_PKEY_free(self->pair);
    free(self);
}

DEFINE_RELEASE(release_software_key, struct software_key, software_free)
DEFINE_RELEASE(release_bio, BIO, BIO_free)
DEFINE_RELEASE(release_md_ctx, EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_RELEASE(release_ecdsa_sig, ECDSA_SIG, ECDSA_SIG_free)

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static bool read_private_key(const char *path, EVP_PKEY **key_out, struct error *err)
{
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return fail_errno(err, ERROR_KEY_NOT_FOUND, "key file %s", path);
    }
    if (!secret_check_key_file(path, err)) {
        return false;
    }
    scoped(release_bio) BIO *pem = BIO_new_file(path, "r");
    if (pem == NULL) {
        return fail_openssl(err, ERROR_CONFIG, "key file %s cannot be opened", path);
    }
    *key_out = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL);
    if (*key_out == NULL) {
        return fail_openssl(err, ERROR_KEY_NOT_FOUND,
                            "key file %s holds no private key in PEM without a passphrase", path);
    }
    return true;
}

static bool software_open(const struct key_options *options, struct device_key **key_out,
                          struct error *err)
{
    const char *path = options->uri + strlen("file:");
    scoped(release_software_key) struct software_key *self = xcalloc(1, sizeof(*self));

    if (path[0] != '/') {
        return fail(err, ERROR_CONFIG, "%s: the path must be absolute, as in file:/etc/key.pem",
                    options->uri);
    }
    self->base.provider = &software_provider;
    self->base.sessions = options->sessions;
    (void)snprintf(self->base.description, sizeof(self->base.description), "key file %s", path);
    if (!read_private_key(path, &self->pair, err)) {
        return false;
    }
    self->base.public_key = jwk_public_half(self->pair);
    if (self->base.public_key == NULL) {
        return fail_openssl(err, ERROR_KEY_POLICY, "%s: its public half", self->base.description);
    }
    if (!device_key_settle_algorithm(&self->base, options->algorithm, err)) {
        return false;
    }
    *key_out = &take(self)->base;
    return true;
}

/* Turns OpenSSL's DER into the pair of fixed width that JOSE wants (RFC 7518 3.4). */
static bool signature_from_der(const uint8_t *der, size_t length, int half,
                               struct signature *signature_out, struct error *err)
{
    scoped(release_ecdsa_sig) ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);

    if (pair == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature_out->bytes, half) < 0
        || BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature_out->bytes + half, half) < 0) {
        return fail_openssl(err, ERROR_DEVICE_UNAVAILABLE, "decode an ECDSA signature");
    }
    signature_out->length = 2 * (size_t)half;
    return true;
}

static bool sign_init(EVP_MD_CTX *ctx, const struct software_key *self)
{
    EVP_PKEY_CTX *padding = NULL; /* ctx owns it */
    const EVP_MD *md = self->base.algorithm == JOSE_ED25519 ? NULL
                     : self->base.algorithm == JOSE_ES384   ? EVP_sha384()
                                                            : EVP_sha256();

    if (ctx == NULL || EVP_DigestSignInit(ctx, &padding, md, NULL, self->pair) != 1) {
        return false;
    }
    if (self->base.algorithm != JOSE_PS256) {
        return true; /* RSA's default is PKCS#1 v1.5, which is RS256 */
    }
    return EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1
        && EVP_PKEY_CTX_set_rsa_mgf1_md(padding, EVP_sha256()) == 1
        && EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, PS256_SALT) == 1;
}

static bool software_sign(struct device_key *key, unsigned worker, const void *input, size_t length,
                          struct signature *signature_out, struct error *err)
{
    (void)worker; /* OpenSSL keys are shared freely between threads that only sign */
    struct signature raw = { .length = sizeof(raw.bytes) };
    scoped(release_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (!sign_init(ctx, (const struct software_key *)key)
        || EVP_DigestSign(ctx, raw.bytes, &raw.length, input, length) != 1) {
        return fail_openssl(err, ERROR_DEVICE_UNAVAILABLE, "%s: sign", key->description);
    }
    const int half = (int)jose_ecdsa_half(key->algorithm);
    if (half > 0) {
        return signature_from_der(raw.bytes, raw.length, half, signature_out, err);
    }
    *signature_out = raw;
    return true;
}

static void software_close(struct device_key *key)
{
    software_free((struct software_key *)key);
}
