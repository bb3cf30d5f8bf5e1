#include "hsm/lint.h"

#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/base64url.h"
#include "base/json_check.h"
#include "base/memory.h"
#include "hsm/wire.h"
#include "jose/claims.h"

DEFINE_RELEASE(release_json, cJSON, cJSON_Delete)

static bool has_header(const char *header, const char *input, size_t length)
{
    const size_t header_length = strlen(header);

    return length > header_length && memcmp(input, header, header_length) == 0
        && input[header_length] == '.';
}

struct buffer {
    char *bytes;
    size_t size;
};

/* The claims behind the header, which must be that one. */
static bool parse_claims(const char *header, const char *input, size_t length,
                         const struct buffer *buffer, cJSON **claims_out, struct error *err)
{
    const size_t payload_at = strlen(header) + 1;
    size_t payload_length = 0;
    struct error json = { .code = ERROR_NONE };

    if (!has_header(header, input, length)) {
        return fail(err, ERROR_LINT, "the header is not this key's own");
    }
    if (!base64url_decode(input + payload_at, length - payload_at, (uint8_t *)buffer->bytes,
                          buffer->size, &payload_length)) {
        return fail(err, ERROR_LINT, "the payload is not base64url");
    }
    if (!json_check(buffer->bytes, payload_length, &json)) {
        return fail(err, ERROR_LINT, "payload: %s", json.message);
    }
    *claims_out = cJSON_ParseWithLength(buffer->bytes, payload_length);
    return cJSON_IsObject(*claims_out) || fail(err, ERROR_LINT, "the payload is not an object");
}

static bool read_text(const cJSON *claims, const char *name, const char **value_out,
                      struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(claims, name);
    if (!cJSON_IsString(item) || item->valuestring[0] == '\0') {
        return fail(err, ERROR_LINT, "%s is not a text", name);
    }
    *value_out = item->valuestring;
    return true;
}

static bool read_time(const cJSON *claims, const char *name, int64_t *value_out, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(claims, name);
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > 253402300799.0
        || floor(item->valuedouble) != item->valuedouble) {
        return fail(err, ERROR_LINT, "%s is not a time in whole seconds", name);
    }
    *value_out = (int64_t)item->valuedouble;
    return true;
}

static bool require_text(const cJSON *claims, const char *name, const char *wanted,
                         struct error *err)
{
    const char *value = NULL;
    if (!read_text(claims, name, &value, err)) {
        return false;
    }
    return strcmp(value, wanted) == 0 || fail(err, ERROR_LINT, "%s is not this issuer's", name);
}

/* `known` ends with NULL. */
static bool check_members(const cJSON *claims, const char *const *known, struct error *err)
{
    const cJSON *member = NULL;

    cJSON_ArrayForEach(member, claims)
    {
        const char *const *name = known;
        while (*name != NULL && strcmp(member->string, *name) != 0) {
            name++;
        }
        if (*name == NULL) {
            return fail(err, ERROR_LINT, "a claim that this issuer does not make here");
        }
    }
    return true;
}

static bool check_times(const cJSON *claims, int64_t lifetime_max_s, int64_t now_s,
                        struct error *err)
{
    int64_t iat = 0;
    int64_t exp = 0;

    if (!read_time(claims, "iat", &iat, err) || !read_time(claims, "exp", &exp, err)) {
        return false;
    }
    if (iat < now_s - LINT_CLOCK_SKEW_S || iat > now_s + LINT_CLOCK_SKEW_S) {
        return fail(err, ERROR_LINT, "iat is not now");
    }
    if (exp <= iat || exp > iat + lifetime_max_s) {
        return fail(err, ERROR_LINT, "exp is not within %lld s of iat", (long long)lifetime_max_s);
    }
    return true;
}

/* ---- access tokens ---- */

static bool check_not_before(const cJSON *claims, struct error *err)
{
    int64_t iat = 0;
    int64_t nbf = 0;

    return read_time(claims, "iat", &iat, err) && read_time(claims, "nbf", &nbf, err)
        && (nbf == iat || fail(err, ERROR_LINT, "nbf is not iat"));
}

static bool check_token_claims(const struct lint_policy *policy, const cJSON *claims, int64_t now_s,
                               struct error *err)
{
    static const char *const known[] = { "iss", "sub", "aud", "client_id", "scope",
                                         "jti", "iat", "nbf", "exp",       NULL };
    const char *text = NULL;

    return check_members(claims, known, err) && require_text(claims, "iss", policy->issuer, err)
        && require_text(claims, "aud", policy->audience, err)
        && read_text(claims, "sub", &text, err) && read_text(claims, "client_id", &text, err)
        && read_text(claims, "jti", &text, err)
        && (!cJSON_HasObjectItem(claims, "scope") || read_text(claims, "scope", &text, err))
        && check_not_before(claims, err) && check_times(claims, policy->lifetime_max_s, now_s, err);
}

bool lint_access_token(const struct lint_policy *policy, const char *input, size_t length,
                       int64_t now_s, struct error *err)
{
    scoped(release_json) cJSON *claims = NULL;
    char payload[SIGNING_INPUT_MAX];
    const struct buffer buffer = { payload, sizeof(payload) };

    return parse_claims(policy->header, input, length, &buffer, &claims, err)
        && check_token_claims(policy, claims, now_s, err);
}

/* ---- lists of revoked tokens ---- */

static bool is_jti(const cJSON *item)
{
    const char *text = cJSON_GetStringValue(item);
    const size_t length = text != NULL ? strlen(text) : 0;

    return length >= LINT_JTI_MIN && length <= LINT_JTI_MAX
        && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
               == length;
}

static bool check_revoked(const cJSON *claims, struct error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(claims, "revoked");
    const cJSON *item = NULL;

    if (!cJSON_IsArray(list)) {
        return fail(err, ERROR_LINT, "revoked is not an array");
    }
    cJSON_ArrayForEach(item, list)
    {
        if (!is_jti(item)) {
            return fail(err, ERROR_LINT, "revoked has a member that is no jti");
        }
    }
    return true;
}

static bool check_list_claims(const struct lint_policy *policy, const cJSON *claims, int64_t now_s,
                              struct error *err)
{
    static const char *const known[] = { "iss", "iat", "exp", "complete", "revoked", NULL };

    return check_members(claims, known, err) && require_text(claims, "iss", policy->issuer, err)
        && check_times(claims, REVOKED_TOKENS_LIFETIME_S, now_s, err)
        && (cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(claims, "complete"))
            || fail(err, ERROR_LINT, "complete is neither true nor false"))
        && check_revoked(claims, err);
}

bool lint_revoked_tokens(const struct lint_policy *policy, const char *input, size_t length,
                         int64_t now_s, struct error *err)
{
    scoped(release_json) cJSON *claims = NULL;
    scoped(release_memory) char *payload = xcalloc(1, length);
    const struct buffer buffer = { payload, length };

    return parse_claims(policy->revoked_header, input, length, &buffer, &claims, err)
        && check_list_claims(policy, claims, now_s, err);
}

bool lint_signing_input(const struct lint_policy *policy, const char *input, size_t length,
                        int64_t now_s, struct error *err)
{
    return has_header(policy->revoked_header, input, length)
             ? lint_revoked_tokens(policy, input, length, now_s, err)
             : lint_access_token(policy, input, length, now_s, err);
}
