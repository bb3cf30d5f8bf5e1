#include "jose/jwt.h"

#include <string.h>
#include <strings.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/json.h"

struct part {
    const char *text;
    size_t length;
};

/* ---- the three parts ---- */

static bool split(const char *text, size_t length, struct part parts_out[static 3],
                  struct error *err)
{
    const char *first = length <= JWT_MAX ? memchr(text, '.', length) : NULL;
    const char *second =
        first != NULL ? memchr(first + 1, '.', length - (size_t)(first + 1 - text)) : NULL;

    if (length > JWT_MAX) {
        return fail(err, ERROR_INVALID_REQUEST, "longer than %d bytes", JWT_MAX);
    }
    if (second == NULL) {
        return fail(err, ERROR_INVALID_REQUEST, "not a compact JWS: three parts with dots between");
    }
    parts_out[0] = (struct part){ text, (size_t)(first - text) };
    parts_out[1] = (struct part){ first + 1, (size_t)(second - first - 1) };
    parts_out[2] = (struct part){ second + 1, length - (size_t)(second + 1 - text) };
    return true;
}

static bool parse_part(const struct part *part, const char *name, cJSON **object_out,
                       struct error *err)
{
    scoped(release_memory) uint8_t *decoded = xcalloc(1, part->length + 1);
    size_t length = 0;

    if (!base64url_decode(part->text, part->length, decoded, part->length, &length)) {
        return fail(err, ERROR_INVALID_REQUEST, "the %s is not base64url", name);
    }
    return json_parse_object((const char *)decoded, length, object_out, err)
        || error_context(err, "the %s", name);
}

/* A fourth part would be bytes that base64url has not: its dot. */
static bool decode_signature(const struct part *part, enum jose_algorithm algorithm,
                             struct signature *signature_out, struct error *err)
{
    const unsigned half = jose_ecdsa_half(algorithm);
    const size_t wanted = half > 0 ? 2 * half : 64; /* RFC 8032 5.1.6 */

    return (base64url_decode(part->text, part->length, signature_out->bytes,
                             sizeof(signature_out->bytes), &signature_out->length)
            && signature_out->length == wanted)
        || fail(err, ERROR_INVALID_REQUEST, "the signature is not the base64url of %zu octets",
                wanted);
}

/* ---- the header ---- */

struct accepted {
    const char *name;
    enum jose_algorithm algorithm;
};

static const struct accepted accepted[] = {
    { "ES256", JOSE_ES256 },     { "ES384", JOSE_ES384 },   { "ES256K", JOSE_ES256K },
    { "Ed25519", JOSE_ED25519 }, { "EdDSA", JOSE_ED25519 }, /* its name before RFC 9864 */
};

static bool read_algorithm(const cJSON *header, enum jose_algorithm *algorithm_out,
                           struct error *err)
{
    const char *alg = json_text(header, "alg");

    for (size_t i = 0; alg != NULL && i < COUNT_OF(accepted); i++) {
        if (strcmp(accepted[i].name, alg) == 0) {
            *algorithm_out = accepted[i].algorithm;
            return true;
        }
    }
    return fail(err, ERROR_INVALID_REQUEST, "alg must be ES256, ES384, ES256K, Ed25519 or EdDSA");
}

/* Extensions that must be understood, keys that the sender brings along, and where to fetch them. */
static bool check_nothing_more(const cJSON *header, struct error *err)
{
    static const char *const refused[] = { "crit", "b64", "zip", "jwk",      "jku",
                                           "x5u",  "x5c", "x5t", "x5t#S256", "enc" };

    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (cJSON_GetObjectItemCaseSensitive(header, refused[i]) != NULL) {
            return fail(err, ERROR_INVALID_REQUEST, "the header has %s, which is not accepted",
                        refused[i]);
        }
    }
    return true;
}

/* RFC 7515 4.1.9: a media type, "application/" left out or not, in any case. */
static bool check_type(const cJSON *header, const char *type, struct error *err)
{
    static const char prefix[] = "application/";
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(header, "typ");
    const char *name = cJSON_GetStringValue(value);

    if (value == NULL) {
        return true;
    }
    if (name != NULL && strncasecmp(name, prefix, strlen(prefix)) == 0) {
        name += strlen(prefix);
    }
    return (name != NULL && (strcasecmp(name, "JWT") == 0 || strcasecmp(name, type) == 0))
        || fail(err, ERROR_INVALID_REQUEST, "typ must be JWT or %s", type);
}

static bool read_kid(const cJSON *header, const char **kid_out, struct error *err)
{
    const char *kid = json_text(header, "kid");
    const char *at = kid;

    while (at != NULL && *at > 0x20 && *at < 0x7f) {
        at++;
    }
    if (kid == NULL || *kid == '\0' || *at != '\0') {
        return fail(err, ERROR_INVALID_REQUEST, "kid must name the key, in printable ASCII");
    }
    *kid_out = kid;
    return true;
}

/* ---- all of it ---- */

bool jwt_parse(const char *text, size_t length, const char *type, struct jwt *jwt_out,
               struct error *err)
{
    struct part parts[3];
    scoped(jwt_clear) struct jwt jwt = { .input = text };

    if (!split(text, length, parts, err) || !parse_part(&parts[0], "header", &jwt.header, err)
        || !read_algorithm(jwt.header, &jwt.algorithm, err) || !check_nothing_more(jwt.header, err)
        || !check_type(jwt.header, type, err) || !read_kid(jwt.header, &jwt.kid, err)
        || !decode_signature(&parts[2], jwt.algorithm, &jwt.signature, err)
        || !parse_part(&parts[1], "payload", &jwt.claims, err)) {
        return false;
    }
    jwt.input_length = parts[0].length + 1 + parts[1].length;
    *jwt_out = jwt;
    jwt.header = NULL; /* they left with the copy */
    jwt.claims = NULL;
    return true;
}

void jwt_clear(struct jwt *jwt)
{
    cJSON_Delete(take(jwt->header));
    cJSON_Delete(take(jwt->claims));
}

bool jwt_verify(const struct jwt *jwt, EVP_PKEY *key)
{
    return jws_verify_once(key, jwt->algorithm, jwt->input, jwt->input_length, &jwt->signature);
}
