#include "ctl/wallet_key.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/memory.h"
#include "base/secret.h"
#include "base/text.h"

DEFINE_RELEASE(release_bio, BIO, BIO_free_all)
DEFINE_RELEASE(release_number, BIGNUM, BN_free)
DEFINE_RELEASE(release_context, EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)
DEFINE_RELEASE(release_ecdsa, ECDSA_SIG, ECDSA_SIG_free)

enum {
    WIDTH_MAX = 48,
    MULTIKEY_MAX = 2 + 1 + WIDTH_MAX,
    BASE58_MAX = MULTIKEY_MAX * 138 / 100 + 2, /* log 256 / log 58 */
    DER_MAX = 128,
};

struct kind {
    const char *algorithm;
    const char *group; /* OpenSSL's name; NULL: Ed25519 */
    const char *curve; /* JOSE's */
    const char *digest;
    unsigned width;        /* of a coordinate, and of R and of S */
    uint8_t multicodec[2]; /* of a public key, as a varint */
};

static const struct kind kinds[] = {
    { "ES256", "prime256v1", "P-256", "SHA256", 32, { 0x80, 0x24 } },
    { "ES384", "secp384r1", "P-384", "SHA384", 48, { 0x81, 0x24 } },
    { "ES256K", "secp256k1", "secp256k1", "SHA256", 32, { 0xe7, 0x01 } },
    { "Ed25519", NULL, "Ed25519", NULL, 32, { 0xed, 0x01 } },
};

static const struct kind *kind_of(EVP_PKEY *key)
{
    char group[64] = "";
    const bool is_ed25519 = EVP_PKEY_is_a(key, "ED25519") == 1;

    if (!is_ed25519 && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1) {
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].group == NULL ? is_ed25519 : strcmp(kinds[i].group, group) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* ---- keys ---- */

EVP_PKEY *wallet_key_new(const char *algorithm)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].algorithm, algorithm) == 0) {
            return kinds[i].group != NULL ? EVP_EC_gen(kinds[i].group)
                                          : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        }
    }
    return NULL;
}

static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer, (void)size, (void)is_writing, (void)context;
    return -1;
}

bool wallet_key_read(const char *path, EVP_PKEY **key_out, struct error *err)
{
    if (!secret_check_key_file(path, err)) {
        err->code = ERROR_INVALID_REQUEST; /* an argument, here, and no configuration */
        return false;
    }
    scoped(release_bio) BIO *pem = BIO_new_file(path, "r");
    scoped(release_key) EVP_PKEY *key =
        pem != NULL ? PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL) : NULL;
    if (key == NULL) {
        return fail_openssl(err, ERROR_INVALID_REQUEST, "%s: no private key in PEM", path);
    }
    if (kind_of(key) == NULL) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "%s: a wallet's key is of P-256, P-384, secp256k1 "
                    "or Ed25519",
                    path);
    }
    *key_out = take(key);
    return true;
}

const char *wallet_key_algorithm(EVP_PKEY *key)
{
    const struct kind *kind = kind_of(key);
    return kind != NULL ? kind->algorithm : NULL;
}

/* ---- its public half ---- */

struct public_half {
    uint8_t x[WIDTH_MAX]; /* Ed25519: the key */
    uint8_t y[WIDTH_MAX];
};

static bool read_coordinate(EVP_PKEY *key, const char *name, uint8_t *out, unsigned width)
{
    scoped(release_number) BIGNUM *number = NULL;
    return EVP_PKEY_get_bn_param(key, name, &number) == 1
        && BN_bn2binpad(number, out, (int)width) == (int)width;
}

static bool read_public_half(EVP_PKEY *key, const struct kind *kind, struct public_half *half_out,
                             struct error *err)
{
    size_t length = kind->width;
    const bool good =
        kind->group == NULL
            ? EVP_PKEY_get_raw_public_key(key, half_out->x, &length) == 1
            : read_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, half_out->x, kind->width)
                  && read_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, half_out->y, kind->width);
    return good || fail_openssl(err, ERROR_INTERNAL, "read a public key");
}

/* ---- did:key: "z", base58btc, of the multicodec and the key, a point compressed ---- */

/* `bytes` begins with no zero, which base58btc would write as "1". */
static void add_base58(struct text *text, const uint8_t *bytes, size_t length)
{
    static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint8_t digits[BASE58_MAX] = { 0 }; /* the least first */
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned carry = bytes[i];
        for (size_t j = 0; j < count || carry > 0; j++) {
            carry += 256U * digits[j];
            digits[j] = (uint8_t)(carry % 58);
            carry /= 58;
            count = j + 1 > count ? j + 1 : count;
        }
    }
    while (count > 0) {
        text_add_bytes(text, &alphabet[digits[--count]], 1);
    }
}

static void add_multikey(struct text *text, const struct kind *kind, const struct public_half *half)
{
    uint8_t bytes[MULTIKEY_MAX];
    size_t length = sizeof(kind->multicodec);

    memcpy(bytes, kind->multicodec, sizeof(kind->multicodec));
    if (kind->group != NULL) {
        bytes[length++] = 2 + (half->y[kind->width - 1] & 1); /* SEC 1 2.3.3 */
    }
    memcpy(bytes + length, half->x, kind->width);
    text_add(text, "z");
    add_base58(text, bytes, length + kind->width);
}

/* ---- did:jwk: the JWK in base64url ---- */

static void add_jwk(struct text *text, const struct kind *kind, const struct public_half *half)
{
    char buffer[512];
    struct text json = text_over(buffer, sizeof(buffer));

    text_add(&json, "{\"crv\":\"");
    text_add(&json, kind->curve);
    text_add(&json,
             kind->group != NULL ? "\",\"kty\":\"EC\",\"x\":\"" : "\",\"kty\":\"OKP\",\"x\":\"");
    text_add_base64url(&json, half->x, kind->width);
    if (kind->group != NULL) {
        text_add(&json, "\",\"y\":\"");
        text_add_base64url(&json, half->y, kind->width);
    }
    text_add(&json, "\"}");
    text_add_base64url(text, json.start, json.length);
}

bool wallet_did_of(EVP_PKEY *key, enum wallet_did_method method, struct wallet_did *did_out,
                   struct error *err)
{
    const struct kind *kind = kind_of(key);
    struct public_half half = { .x = { 0 } };
    struct text did = text_over(did_out->did, sizeof(did_out->did));
    struct text kid = text_over(did_out->kid, sizeof(did_out->kid));

    if (kind == NULL) {
        return fail(err, ERROR_INVALID_REQUEST, "not a wallet's key");
    }
    if (!read_public_half(key, kind, &half, err)) {
        return false;
    }
    text_add(&did, method == WALLET_DID_KEY ? "did:key:" : "did:jwk:");
    if (method == WALLET_DID_KEY) {
        add_multikey(&did, kind, &half);
    } else {
        add_jwk(&did, kind, &half);
    }
    text_add(&kid, did.start);
    text_add(&kid, "#");
    text_add(&kid, method == WALLET_DID_KEY ? did.start + strlen("did:key:") : "0");
    return true;
}

/* ---- signatures ---- */

static bool digest_sign(EVP_PKEY *key, const char *digest, const void *input, size_t input_length,
                        uint8_t *out, size_t *length, struct error *err)
{
    scoped(release_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    return (EVP_DigestSignInit_ex(context, NULL, digest, NULL, NULL, key, NULL) == 1
            && EVP_DigestSign(context, out, length, input, input_length) == 1)
        || fail_openssl(err, ERROR_INTERNAL, "sign");
}

bool wallet_sign(EVP_PKEY *key, const void *input, size_t length,
                 struct wallet_signature *signature_out, struct error *err)
{
    const struct kind *kind = kind_of(key);
    uint8_t der[DER_MAX];
    const uint8_t *at = der;
    size_t der_length = sizeof(der);

    if (kind == NULL) {
        return fail(err, ERROR_INTERNAL, "not a wallet's key");
    }
    signature_out->length = (size_t)2 * kind->width;
    if (kind->group == NULL) {
        return digest_sign(key, NULL, input, length, signature_out->bytes, &signature_out->length,
                           err);
    }
    if (!digest_sign(key, kind->digest, input, length, der, &der_length, err)) {
        return false;
    }
    scoped(release_ecdsa) ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)der_length);
    const int width = (int)kind->width;
    return (pair != NULL
            && BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature_out->bytes, width) == width
            && BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature_out->bytes + width, width) == width)
        || fail_openssl(err, ERROR_INTERNAL, "read a signature");
}
