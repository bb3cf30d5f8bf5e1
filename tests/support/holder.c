#include "support/holder.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/memory.h"

enum { SIGNATURE_MAX = 256, POINT_MAX = 1 + 2 * 48 };

struct kind {
    const char *alg;
    const char *curve; /* as JWKs call it */
    const char *group; /* as OpenSSL does; NULL: Ed25519 */
    const EVP_MD *(*hash)(void);
    size_t half;
};

static const struct kind kinds[] = {
    { "ES256", "P-256", "prime256v1", EVP_sha256, 32 },
    { "ES384", "P-384", "secp384r1", EVP_sha384, 48 },
    { "ES256K", "secp256k1", "secp256k1", EVP_sha256, 32 },
    { "Ed25519", "Ed25519", NULL, NULL, 32 },
    { "EdDSA", "Ed25519", NULL, NULL, 32 },
};

static const struct kind *kind_of(const char *alg)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].alg, alg) == 0) {
            return &kinds[i];
        }
    }
    abort();
}

/* ---- the key ---- */

static void print_jwk(struct holder *holder, const struct kind *kind)
{
    uint8_t point[POINT_MAX];
    char x[80];
    char y[80];
    size_t length = sizeof(point);

    if (kind->group == NULL) {
        (void)EVP_PKEY_get_raw_public_key(holder->key, point, &length);
        x[base64url_encode(x, point, length)] = '\0';
        (void)snprintf(holder->jwk, sizeof(holder->jwk),
                       "{\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"%s\"}", kind->curve, x);
        return;
    }
    (void)EVP_PKEY_get_octet_string_param(holder->key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                          sizeof(point), &length);
    x[base64url_encode(x, point + 1, kind->half)] = '\0';
    y[base64url_encode(y, point + 1 + kind->half, kind->half)] = '\0';
    (void)snprintf(holder->jwk, sizeof(holder->jwk),
                   "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}", kind->curve, x, y);
}

struct holder holder_new(const char *alg)
{
    struct holder holder = { .alg = alg };
    const struct kind *kind = kind_of(alg);
    char encoded[500];

    holder.key =
        kind->group != NULL ? EVP_EC_gen(kind->group) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (holder.key == NULL) {
        abort();
    }
    print_jwk(&holder, kind);
    encoded[base64url_encode(encoded, holder.jwk, strlen(holder.jwk))] = '\0';
    (void)snprintf(holder.did, sizeof(holder.did), "did:jwk:%.490s", encoded);
    (void)snprintf(holder.kid, sizeof(holder.kid), "%s#0", holder.did);
    return holder;
}

void holder_clear(struct holder *holder)
{
    EVP_PKEY_free(holder->key);
    *holder = (struct holder){ .key = NULL };
}

/* ---- signatures ---- */

/* R || S of a DER signature. */
static size_t fixed_width(const struct kind *kind, const uint8_t *der, size_t length, uint8_t *out)
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)length);

    (void)BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, (int)kind->half);
    (void)BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + kind->half, (int)kind->half);
    ECDSA_SIG_free(signature);
    return 2 * kind->half;
}

static size_t sign(const struct holder *holder, const char *input, uint8_t *signature_out)
{
    const struct kind *kind = kind_of(holder->alg);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t der[SIGNATURE_MAX];
    size_t length = sizeof(der);
    const EVP_MD *hash = kind->hash != NULL ? kind->hash() : NULL;

    if (EVP_DigestSignInit(context, NULL, hash, NULL, holder->key) != 1
        || EVP_DigestSign(context, der, &length, (const uint8_t *)input, strlen(input)) != 1) {
        abort();
    }
    EVP_MD_CTX_free(context);
    if (kind->group != NULL) {
        return fixed_width(kind, der, length, signature_out);
    }
    memcpy(signature_out, der, length);
    return length;
}

char *holder_sign_parts(const struct holder *holder, const char *header, const char *payload)
{
    uint8_t signature[SIGNATURE_MAX];
    char *jwt = xcalloc(1, BASE64URL_LENGTH(strlen(header)) + BASE64URL_LENGTH(strlen(payload))
                               + BASE64URL_LENGTH(sizeof(signature)) + 3);

    size_t length = base64url_encode(jwt, header, strlen(header));
    jwt[length++] = '.';
    length += base64url_encode(jwt + length, payload, strlen(payload));
    const size_t signature_length = sign(holder, jwt, signature);
    jwt[length++] = '.';
    (void)base64url_encode(jwt + length, signature, signature_length);
    return jwt;
}

char *holder_sign(const struct holder *holder, const char *format, ...)
{
    char header[640];
    char *payload = NULL;
    va_list args;

    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                   holder->alg, holder->kid);
    va_start(args, format);
    if (vasprintf(&payload, format, args) < 0) {
        abort();
    }
    va_end(args);
    char *jwt = holder_sign_parts(holder, header, payload);
    free(payload);
    return jwt;
}
