/* JWKs of others, read strictly: what is not understood, or says more than a public key should, is
 * refused. */
#include "jose/jwk.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/json.h"
#include "jose/public_key.h"

enum { WIDTH_MAX = 48, POINT_MAX = 1 + 2 * WIDTH_MAX };

struct kind {
    const char *kty;
    const char *crv;
    const char *group; /* OpenSSL's; NULL: Ed25519 */
    size_t width;      /* of a coordinate, in octets */
    const char *algs[2];
};

static const struct kind kinds[] = {
    { "EC", "P-256", "prime256v1", 32, { "ES256", "ES256" } },
    { "EC", "P-384", "secp384r1", 48, { "ES384", "ES384" } },
    { "EC", "secp256k1", "secp256k1", 32, { "ES256K", "ES256K" } },
    { "OKP", "Ed25519", NULL, 32, { "Ed25519", "EdDSA" } },
};

static const struct kind *find_kind(const cJSON *jwk)
{
    const char *kty = json_text(jwk, "kty");
    const char *crv = json_text(jwk, "crv");

    for (size_t i = 0; kty != NULL && crv != NULL && i < COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].kty, kty) == 0 && strcmp(kinds[i].crv, crv) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* RFC 7518 6.2.2, 6.3.2 and 6.4: members of private and of symmetric keys. */
static bool check_is_public(const cJSON *jwk, struct error *err)
{
    static const char *const others[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (cJSON_GetObjectItemCaseSensitive(jwk, others[i]) != NULL) {
            return fail(err, ERROR_INVALID_REQUEST, "jwk.%s: a public key has no such member",
                        others[i]);
        }
    }
    return true;
}

/* RFC 7517 4.3: verifying is among what the key is for. */
static bool allows_verifying(const cJSON *key_ops)
{
    const cJSON *one = NULL;

    cJSON_ArrayForEach(one, key_ops)
    {
        if (cJSON_IsString(one) && strcmp(one->valuestring, "verify") == 0) {
            return true;
        }
    }
    return false;
}

static bool check_use(const cJSON *jwk, const struct kind *kind, struct error *err)
{
    const cJSON *alg = cJSON_GetObjectItemCaseSensitive(jwk, "alg");
    const cJSON *use = cJSON_GetObjectItemCaseSensitive(jwk, "use");
    const cJSON *key_ops = cJSON_GetObjectItemCaseSensitive(jwk, "key_ops");

    if (alg != NULL
        && (!cJSON_IsString(alg)
            || (strcmp(alg->valuestring, kind->algs[0]) != 0
                && strcmp(alg->valuestring, kind->algs[1]) != 0))) {
        return fail(err, ERROR_INVALID_REQUEST, "jwk.alg: such a key is for %s", kind->algs[0]);
    }
    if (use != NULL && (!cJSON_IsString(use) || strcmp(use->valuestring, "sig") != 0)) {
        return fail(err, ERROR_INVALID_REQUEST, "jwk.use: the key is not for signatures");
    }
    return key_ops == NULL || (cJSON_IsArray(key_ops) && allows_verifying(key_ops))
        || fail(err, ERROR_INVALID_REQUEST, "jwk.key_ops: the key is not to verify with");
}

static bool read_coordinate(const cJSON *jwk, const char *name, size_t width, uint8_t *out,
                            struct error *err)
{
    const char *text = json_text(jwk, name);
    size_t length = 0;

    return (text != NULL && base64url_decode(text, strlen(text), out, width, &length)
            && length == width)
        || fail(err, ERROR_INVALID_REQUEST, "jwk.%s: not the base64url of %zu octets", name, width);
}

static bool read_key(const cJSON *jwk, const struct kind *kind, EVP_PKEY **key_out,
                     struct error *err)
{
    uint8_t point[POINT_MAX] = { 0x04 };

    if (!read_coordinate(jwk, "x", kind->width, point + 1, err)
        || (kind->group != NULL
            && !read_coordinate(jwk, "y", kind->width, point + 1 + kind->width, err))) {
        return false;
    }
    *key_out = kind->group != NULL ? public_key_from_point(kind->group, point, 1 + 2 * kind->width)
                                   : public_key_from_ed25519(point + 1, kind->width);
    ERR_clear_error();
    return *key_out != NULL
        || fail(err, ERROR_INVALID_REQUEST, "jwk: no point of %s that can be a key", kind->crv);
}

bool jwk_parse(const cJSON *jwk, EVP_PKEY **key_out, struct error *err)
{
    const struct kind *kind = find_kind(jwk);

    if (kind == NULL) {
        return fail(
            err, ERROR_INVALID_REQUEST,
            "jwk: kty and crv must be EC with P-256, P-384 or secp256k1, or OKP with Ed25519");
    }
    return check_is_public(jwk, err) && check_use(jwk, kind, err)
        && read_key(jwk, kind, key_out, err);
}
