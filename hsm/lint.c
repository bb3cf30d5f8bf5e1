#include "hsm/lint.h"

#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/base64url.h"
#include "base/json_check.h"
#include "base/memory.h"
#include "hsm/wire.h"

DEFINE_RELEASE(release_json, cJSON, cJSON_Delete)

static bool match_header(const struct lint_policy *policy, const char *input, size_t length,
                         size_t *header_length_out, struct error *err)
{
    const size_t header_length = strlen(policy->header);

    if (length <= header_length || memcmp(input, policy->header, header_length) != 0
        || input[header_length] != '.') {
        return fail(err, ERROR_LINT, "the header is not this key's own");
    }
    *header_length_out = header_length;
    return true;
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

static bool check_members(const cJSON *claims, struct error *err)
{
    static const char *const known[] = { "iss", "sub", "aud", "client_id", "scope",
                                         "jti", "iat", "nbf", "exp" };
    const cJSON *member = NULL;

    cJSON_ArrayForEach(member, claims)
    {
        bool is_known = false;
        for (size_t i = 0; i < COUNT_OF(known) && !is_known; i++) {
            is_known = strcmp(member->string, known[i]) == 0;
        }
        if (!is_known) {
            return fail(err, ERROR_LINT, "a claim that access tokens of this issuer do not have");
        }
    }
    return true;
}

static bool check_times(const struct lint_policy *policy, const cJSON *claims, int64_t now_s,
                        struct error *err)
{
    int64_t iat = 0;
    int64_t nbf = 0;
    int64_t exp = 0;

    if (!read_time(claims, "iat", &iat, err) || !read_time(claims, "nbf", &nbf, err)
        || !read_time(claims, "exp", &exp, err)) {
        return false;
    }
    if (iat < now_s - LINT_CLOCK_SKEW_S || iat > now_s + LINT_CLOCK_SKEW_S) {
        return fail(err, ERROR_LINT, "iat is not now");
    }
    if (nbf != iat) {
        return fail(err, ERROR_LINT, "nbf is not iat");
    }
    if (exp <= iat || exp > iat + policy->lifetime_max_s) {
        return fail(err, ERROR_LINT, "exp is not within %lld s of iat",
                    (long long)policy->lifetime_max_s);
    }
    return true;
}

static bool check_claims(const struct lint_policy *policy, const cJSON *claims, int64_t now_s,
                         struct error *err)
{
    const char *text = NULL;

    return (cJSON_IsObject(claims) || fail(err, ERROR_LINT, "the payload is not an object"))
        && check_members(claims, err) && require_text(claims, "iss", policy->issuer, err)
        && require_text(claims, "aud", policy->audience, err)
        && read_text(claims, "sub", &text, err) && read_text(claims, "client_id", &text, err)
        && read_text(claims, "jti", &text, err)
        && (!cJSON_HasObjectItem(claims, "scope") || read_text(claims, "scope", &text, err))
        && check_times(policy, claims, now_s, err);
}

bool lint_access_token(const struct lint_policy *policy, const char *input, size_t length,
                       int64_t now_s, struct error *err)
{
    char payload[SIGNING_INPUT_MAX];
    size_t payload_length = 0;
    size_t header_length = 0;
    struct error json = { .code = ERROR_NONE };

    if (!match_header(policy, input, length, &header_length, err)) {
        return false;
    }
    if (!base64url_decode(input + header_length + 1, length - header_length - 1, (uint8_t *)payload,
                          sizeof(payload), &payload_length)) {
        return fail(err, ERROR_LINT, "the payload is not base64url");
    }
    if (!json_check(payload, payload_length, &json)) {
        return fail(err, ERROR_LINT, "payload: %s", json.message);
    }
    scoped(release_json) cJSON *claims = cJSON_ParseWithLength(payload, payload_length);
    return check_claims(policy, claims, now_s, err);
}
