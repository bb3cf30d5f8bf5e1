#include "jose/jwt.h"

#include <string.h>
#include <strings.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/json.h"

enum { ED25519_SIGNATURE = 64 };

struct part {
    const char *start;
    size_t length;
};

struct parts {
    struct part header;
    struct part payload;
    struct part signature;
};

/* None may be empty: neither a detached payload (RFC 7515 appendix F) nor an unsecured JWS. */
static bool split(const char *text, size_t length, struct parts *parts_out, struct error *err)
{
    const char *const end = text + length;
    const char *first = memchr(text, '.', length);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));

    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL
        || first == text || second == first + 1 || end == second + 1) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "not a compact JWS: header, payload and signature with a dot between");
    }
    parts_out->header = (struct part){ text, (size_t)(first - text) };
    parts_out->payload = (struct part){ first + 1, (size_t)(second - first - 1) };
    parts_out->signature = (struct part){ second + 1, (size_t)(end - second - 1) };
    return true;
}

static bool parse_object(const struct part *part, const char *name, cJSON **object_out,
                         struct error *err)
{
    scoped(release_memory) uint8_t *bytes = xcalloc(1, part->length);
    size_t length;

    if (!base64url_decode(part->start, part->length, bytes, part->length, &length)) {
        return fail(err, ERROR_INVALID_REQUEST, "%s: not canonical base64url without padding",
                    name);
    }
    return json_parse_object((const char *)bytes, length, object_out, err)
        || error_context(err, "%s", name);
}

/* Members that bring a key of their own, name one elsewhere, or change what was signed. */
static bool refuse_members(const cJSON *header, struct error *err)
{
    static const char *const REFUSED[] = { "crit", "b64", "zip", "jwk",     "jku",
                                           "x5u",  "x5c", "x5t", "x5t#S256" };

    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        if (cJSON_GetObjectItemCaseSensitive(header, REFUSED[i]) != NULL) {
            return fail(err, ERROR_INVALID_REQUEST, "header: %s is not accepted here", REFUSED[i]);
        }
    }
    return true;
}

static bool read_algorithm(const cJSON *header, enum jose_algorithm *algorithm_out,
                           struct error *err)
{
    const char *alg = json_text(header, "alg");

    *algorithm_out = alg == NULL ? JOSE_ALGORITHM_NONE : jose_algorithm_verified(alg);
    return *algorithm_out != JOSE_ALGORITHM_NONE
        || fail(err, ERROR_INVALID_REQUEST, "header: alg is not " JOSE_VERIFIED_NAMES);
}

/* RFC 7515 4.1.9: media types are compared without regard to case, "application/" goes without
 * saying. */
static bool names_type(const char *typ, const char *type)
{
    static const char PREFIX[] = "application/";
    const size_t length = strlen(PREFIX);

    return strcasecmp(strncasecmp(typ, PREFIX, length) == 0 ? typ + length : typ, type) == 0;
}

static bool check_type(const cJSON *header, const char *type, struct error *err)
{
    const cJSON *typ = cJSON_GetObjectItemCaseSensitive(header, "typ");

    return typ == NULL
        || (cJSON_IsString(typ)
            && (names_type(typ->valuestring, type) || names_type(typ->valuestring, "JWT")))
        || fail(err, ERROR_INVALID_REQUEST, "header: typ is neither %s nor JWT", type);
}

static bool read_kid(const cJSON *header, const char **kid_out, struct error *err)
{
    const char *kid = json_text(header, "kid");

    if (kid == NULL || *kid == '\0') {
        return fail(err, ERROR_INVALID_REQUEST, "header: kid is missing");
    }
    for (const char *at = kid; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            return fail(err, ERROR_INVALID_REQUEST, "header: kid is not printable ASCII");
        }
    }
    *kid_out = kid;
    return true;
}

static bool read_signature(const struct part *part, enum jose_algorithm algorithm,
                           struct signature *signature_out, struct error *err)
{
    const size_t half = jose_ecdsa_half(algorithm);
    const size_t expected = half > 0 ? 2 * half : ED25519_SIGNATURE;

    return (base64url_decode(part->start, part->length, signature_out->bytes, expected,
                             &signature_out->length)
            && signature_out->length == expected)
        || fail(err, ERROR_INVALID_REQUEST,
                "signature: not canonical base64url without padding of %zu bytes, as %s has",
                expected, jose_algorithm_name(algorithm));
}

bool jwt_parse(const char *text, size_t length, const char *type, struct jwt *jwt_out,
               struct error *err)
{
    struct parts parts = { .header = { NULL, 0 } };
    scoped(jwt_clear) struct jwt jwt = { 0 };

    if (length > JWT_MAX) {
        return fail(err, ERROR_INVALID_REQUEST, "longer than %d bytes", JWT_MAX);
    }
    if (!split(text, length, &parts, err)
        || !parse_object(&parts.header, "header", &jwt.header, err)
        || !refuse_members(jwt.header, err) || !read_algorithm(jwt.header, &jwt.algorithm, err)
        || !check_type(jwt.header, type, err) || !read_kid(jwt.header, &jwt.kid, err)
        || !read_signature(&parts.signature, jwt.algorithm, &jwt.signature, err)
        || !parse_object(&parts.payload, "payload", &jwt.claims, err)) {
        return false;
    }
    jwt.input = text;
    jwt.input_length = parts.header.length + 1 + parts.payload.length;
    *jwt_out = jwt;
    jwt = (struct jwt){ 0 };
    return true;
}

void jwt_clear(struct jwt *jwt)
{
    cJSON_Delete(jwt->header);
    cJSON_Delete(jwt->claims);
    *jwt = (struct jwt){ 0 };
}

bool jwt_verify(const struct jwt *jwt, EVP_PKEY *key)
{
    return jws_verify_once(key, jwt->algorithm, jwt->input, jwt->input_length, &jwt->signature);
}
