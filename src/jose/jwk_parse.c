/* Public JWKs that others have made: what a DID or its document says its key is. */
#include "jose/jwk.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/json.h"
#include "jose/public_key.h"

enum { WIDTH_MAX = 48, ED25519_WIDTH = 32 };

struct curve {
    const char *crv;
    const char *group; /* OpenSSL's name */
    size_t width;
};

static const struct curve CURVES[] = {
    { "P-256", "prime256v1", 32 },
    { "P-384", "secp384r1", 48 },
    { "secp256k1", "secp256k1", 32 },
};

DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)

/* Whoever sends a private key has lost it: a DID that shows one is anybody's. */
static bool check_public(const cJSON *jwk, struct error *err)
{
    static const char *const PRIVATE[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };

    for (size_t i = 0; i < COUNT_OF(PRIVATE); i++) {
        if (cJSON_GetObjectItemCaseSensitive(jwk, PRIVATE[i]) != NULL) {
            return fail(err, ERROR_INVALID_REQUEST, "%s: a member of a private key", PRIVATE[i]);
        }
    }
    return true;
}

static bool coordinate(const cJSON *jwk, const char *name, size_t width, uint8_t *out,
                       struct error *err)
{
    const char *text = json_text(jwk, name);
    size_t length;

    return (text != NULL && base64url_decode(text, strlen(text), out, width, &length)
            && length == width)
        || fail(err, ERROR_INVALID_REQUEST, "%s: not %zu bytes of base64url without padding", name,
                width);
}

static bool ec_key(const cJSON *jwk, const struct curve *curve, EVP_PKEY **key_out,
                   struct error *err)
{
    uint8_t point[1 + 2 * WIDTH_MAX] = { 4 };

    if (!coordinate(jwk, "x", curve->width, point + 1, err)
        || !coordinate(jwk, "y", curve->width, point + 1 + curve->width, err)) {
        return false;
    }
    *key_out = public_key_from_point(curve->group, point, 1 + 2 * curve->width);
    return *key_out != NULL
        || fail_openssl(err, ERROR_INVALID_REQUEST, "x, y: not a point of %s", curve->crv);
}

static bool ed25519_key(const cJSON *jwk, EVP_PKEY **key_out, struct error *err)
{
    uint8_t octets[ED25519_WIDTH];

    if (!coordinate(jwk, "x", sizeof(octets), octets, err)) {
        return false;
    }
    *key_out = public_key_from_ed25519(octets, sizeof(octets));
    return *key_out != NULL
        || fail_openssl(err, ERROR_INVALID_REQUEST, "x: not a public key of Ed25519");
}

static bool read_key(const cJSON *jwk, EVP_PKEY **key_out, struct error *err)
{
    const char *kty = json_text(jwk, "kty");
    const char *crv = json_text(jwk, "crv");

    if (kty == NULL || (strcmp(kty, "EC") != 0 && strcmp(kty, "OKP") != 0)) {
        return fail(err, ERROR_INVALID_REQUEST, "kty: neither EC nor OKP");
    }
    if (crv != NULL && strcmp(kty, "OKP") == 0 && strcmp(crv, "Ed25519") == 0) {
        return ed25519_key(jwk, key_out, err);
    }
    for (size_t i = 0; crv != NULL && strcmp(kty, "EC") == 0 && i < COUNT_OF(CURVES); i++) {
        if (strcmp(crv, CURVES[i].crv) == 0) {
            return ec_key(jwk, &CURVES[i], key_out, err);
        }
    }
    return fail(err, ERROR_INVALID_REQUEST, "crv: %s",
                strcmp(kty, "EC") == 0 ? "none of P-256, P-384, secp256k1" : "not Ed25519");
}

static bool allows_verify(const cJSON *operations)
{
    const cJSON *operation;
    cJSON_ArrayForEach(operation, operations)
    {
        if (cJSON_IsString(operation) && strcmp(operation->valuestring, "verify") == 0) {
            return true;
        }
    }
    return false;
}

/* What the key says of itself (RFC 7517 4.2 to 4.4) must not forbid what it is used for here. */
static bool check_use(const cJSON *jwk, EVP_PKEY *key, struct error *err)
{
    const cJSON *use = cJSON_GetObjectItemCaseSensitive(jwk, "use");
    const cJSON *operations = cJSON_GetObjectItemCaseSensitive(jwk, "key_ops");
    const cJSON *alg = cJSON_GetObjectItemCaseSensitive(jwk, "alg");

    if (use != NULL && (!cJSON_IsString(use) || strcmp(use->valuestring, "sig") != 0)) {
        return fail(err, ERROR_INVALID_REQUEST, "use: not sig");
    }
    if (operations != NULL && (!cJSON_IsArray(operations) || !allows_verify(operations))) {
        return fail(err, ERROR_INVALID_REQUEST, "key_ops: no verify among them");
    }
    if (alg != NULL
        && (!cJSON_IsString(alg) || !jwk_fits(key, jose_algorithm_verified(alg->valuestring)))) {
        return fail(err, ERROR_INVALID_REQUEST, "alg: not one that is verified with such a key");
    }
    return true;
}

bool jwk_parse(const cJSON *jwk, EVP_PKEY **key_out, struct error *err)
{
    scoped(release_key) EVP_PKEY *key = NULL;

    if (!cJSON_IsObject(jwk)) {
        return fail(err, ERROR_INVALID_REQUEST, "not a JSON object");
    }
    if (!check_public(jwk, err) || !read_key(jwk, &key, err) || !check_use(jwk, key, err)) {
        return false;
    }
    *key_out = take(key);
    return true;
}
