#include "support/access_token.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "support/verify.h"

enum { NUMBER_MAX = 512 };

/* ---- the token's parts ---- */

/* Where part 0, 1 or 2 begins; NULL unless there are exactly three. */
static const char *find_part(const char *jwt, int part, size_t *length_out)
{
    const char *first = strchr(jwt, '.');
    const char *second = first != NULL ? strchr(first + 1, '.') : NULL;

    if (second == NULL || strchr(second + 1, '.') != NULL) {
        return NULL;
    }
    const char *const begins[] = { jwt, first + 1, second + 1 };
    const char *const ends[] = { first, second, jwt + strlen(jwt) };
    *length_out = (size_t)(ends[part] - begins[part]);
    return begins[part];
}

cJSON *token_part(const char *jwt, int part)
{
    size_t length = 0;
    const char *text = find_part(jwt, part, &length);
    scoped(release_memory) uint8_t *decoded = xcalloc(1, length + 1);

    if (text == NULL || !base64url_decode(text, length, decoded, length, &length)) {
        return NULL;
    }
    return cJSON_ParseWithLength((const char *)decoded, length);
}

static void release_json(cJSON **json)
{
    cJSON_Delete(*json);
}

static const char *member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text != NULL ? text : "";
}

/* ---- the key ---- */

struct number {
    uint8_t bytes[NUMBER_MAX];
    size_t length;
};

static bool read_number(const cJSON *jwk, const char *name, struct number *number)
{
    const char *text = member(jwk, name);
    return base64url_decode(text, strlen(text), number->bytes, sizeof(number->bytes),
                            &number->length)
        && number->length > 0;
}

static EVP_PKEY *key_from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *ec_key(const cJSON *jwk)
{
    char curve[] = "P-256";
    struct number x;
    struct number y;
    uint8_t point[65] = { 0x04 };

    if (strcmp(member(jwk, "crv"), curve) != 0 || !read_number(jwk, "x", &x)
        || !read_number(jwk, "y", &y) || x.length != 32 || y.length != 32) {
        return NULL;
    }
    memcpy(point + 1, x.bytes, 32);
    memcpy(point + 33, y.bytes, 32);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
        OSSL_PARAM_construct_end(),
    };
    return key_from_params("EC", params);
}

static EVP_PKEY *rsa_key(const cJSON *jwk)
{
    struct number n;
    struct number e;

    if (!read_number(jwk, "n", &n) || !read_number(jwk, "e", &e)) {
        return NULL;
    }
    BIGNUM *modulus = BN_bin2bn(n.bytes, (int)n.length, NULL);
    BIGNUM *exponent = BN_bin2bn(e.bytes, (int)e.length, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    (void)OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus);
    (void)OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *key = key_from_params("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* The only key of that kid; NULL if there is none, or if there are two. */
static const cJSON *find_jwk(const cJSON *jwks, const char *kid)
{
    const cJSON *found = NULL;
    const cJSON *jwk = NULL;

    cJSON_ArrayForEach(jwk, cJSON_GetObjectItemCaseSensitive(jwks, "keys"))
    {
        if (strcmp(member(jwk, "kid"), kid) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = jwk;
        }
    }
    return found;
}

/* ---- the signature ---- */

static bool verifies_under(const char *jwt, const cJSON *jwk, enum jose_algorithm algorithm)
{
    struct signature signature = { .length = 0 };
    size_t length = 0;
    const char *text = find_part(jwt, 2, &length);
    EVP_PKEY *key = algorithm == JOSE_ES256 ? ec_key(jwk) : rsa_key(jwk);

    const bool good = key != NULL
                   && base64url_decode(text, length, signature.bytes, sizeof(signature.bytes),
                                       &signature.length)
                   && signature_verifies(key, algorithm, jwt, (size_t)(text - 1 - jwt), &signature);
    EVP_PKEY_free(key);
    return good;
}

bool token_verifies(const char *jwt, const char *jwks_text)
{
    scoped(release_json) cJSON *jwks = cJSON_Parse(jwks_text);
    scoped(release_json) cJSON *header = token_part(jwt, 0);
    const cJSON *jwk = find_jwk(jwks, member(header, "kid"));
    const char *name = member(header, "alg");
    const enum jose_algorithm algorithm = jose_algorithm_from_name(name);

    return jwk != NULL && algorithm != JOSE_ALGORITHM_NONE && strcmp(member(jwk, "alg"), name) == 0
        && verifies_under(jwt, jwk, algorithm);
}
