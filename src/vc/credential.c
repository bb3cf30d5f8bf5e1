#include "vc/credential.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "jose/json.h"
#include "jose/jwt.h"
#include "vc/did_keys.h"
#include "vc/jwt_time.h"

DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)

static const char COMMON_TYPE[] = "VerifiableCredential";

static bool is_text(const cJSON *value, const char *text)
{
    return cJSON_IsString(value) && strcmp(value->valuestring, text) == 0;
}

/* `type` is a text or a list of texts. */
typedef bool type_fn(const cJSON *type, const void *context);

static bool any_type(const cJSON *typed, type_fn *accepts, const void *context)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(typed, "type");
    const cJSON *one = NULL;

    if (!cJSON_IsArray(type)) {
        return accepts(type, context);
    }
    cJSON_ArrayForEach(one, type)
    {
        if (accepts(one, context)) {
            return true;
        }
    }
    return false;
}

static bool is_named(const cJSON *type, const void *name)
{
    return is_text(type, name);
}

bool credential_type_has(const cJSON *typed, const char *name)
{
    return any_type(typed, is_named, name);
}

/* ---- trust ---- */

static const struct trusted_issuer *find_trust(const struct presentation_rules *rules,
                                               const char *issuer)
{
    for (size_t i = 0; issuer != NULL && i < rules->trusted_count; i++) {
        if (strcmp(rules->trusted[i].did, issuer) == 0) {
            return &rules->trusted[i];
        }
    }
    return NULL;
}

static bool is_beyond_trust(const cJSON *type, const void *context)
{
    const struct trusted_issuer *trust = context;

    for (size_t i = 0; i < trust->type_count; i++) {
        if (is_text(type, trust->types[i])) {
            return false;
        }
    }
    return !is_text(type, COMMON_TYPE) && (trust->type_count > 0 || !cJSON_IsString(type));
}

/* An issuer that is trusted for one type does not bring another in beside it. */
static bool check_types(const struct trusted_issuer *trust, const cJSON *vc, struct error *err)
{
    if (!credential_type_has(vc, COMMON_TYPE)) {
        return fail(err, ERROR_PRESENTATION, "vc.type must have %s", COMMON_TYPE);
    }
    return !any_type(vc, is_beyond_trust, trust)
        || fail(err, ERROR_PRESENTATION, "vc.type has one that its issuer is not trusted for here");
}

/* ---- what it says ---- */

/* What the claims say, the credential inside must not contradict. */
static bool agrees(const cJSON *value, const char *text)
{
    const cJSON *id = cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, "id") : value;
    return id == NULL || is_text(id, text);
}

static bool check_parties(const struct jwt *credential, const cJSON *vc, const char *holder,
                          struct error *err)
{
    const char *subject = json_text(credential->claims, "sub");

    if (subject == NULL || strcmp(subject, holder) != 0) {
        return fail(err, ERROR_PRESENTATION, "sub is not the holder");
    }
    if (!agrees(cJSON_GetObjectItemCaseSensitive(vc, "credentialSubject"), holder)) {
        return fail(err, ERROR_PRESENTATION, "vc.credentialSubject.id is not the holder");
    }
    return agrees(cJSON_GetObjectItemCaseSensitive(vc, "issuer"),
                  json_text(credential->claims, "iss"))
        || fail(err, ERROR_PRESENTATION, "vc.issuer is not iss");
}

static bool check_times(const struct jwt *credential, const cJSON *vc, int64_t now_s,
                        struct error *err)
{
    struct jwt_times times;

    if (!jwt_times_read(credential->claims, &times, err)
        || !jwt_times_check(&times, now_s, PRESENTATION_SKEW_S, err)) {
        return false;
    }
    return times.expires_s >= 0 || cJSON_GetObjectItemCaseSensitive(vc, "expirationDate") == NULL
        || fail(err, ERROR_PRESENTATION, "vc.expirationDate is there and exp is not");
}

static bool check_signature(const struct presentation_rules *rules, const struct jwt *credential,
                            int64_t now_ns, struct error *err)
{
    scoped(release_key) EVP_PKEY *key = NULL;

    return did_find_key(rules->resolver, json_text(credential->claims, "iss"), credential->kid,
                        DID_ASSERTION_METHOD, now_ns, &key, err)
        && (jwt_verify(credential, key)
            || fail(err, ERROR_PRESENTATION,
                    "the signature is not that of the key that kid names"));
}

static bool check_algorithm(const struct definition *definition, size_t descriptor,
                            const struct jwt *credential, struct error *err)
{
    return definition_allows_algorithm(definition, descriptor, credential->algorithm)
        || fail(err, ERROR_PRESENTATION, "alg is none that the definition's format allows");
}

bool credential_check(const struct presentation_rules *rules,
                      const struct presentation_request *request, const char *holder,
                      const struct definition *definition, size_t descriptor, const char *text,
                      struct error *err)
{
    scoped(jwt_clear) struct jwt credential = { .header = NULL };

    if (!jwt_parse(text, strlen(text), "vc+jwt", &credential, err)) {
        return false;
    }
    const cJSON *vc = cJSON_GetObjectItemCaseSensitive(credential.claims, "vc");
    const struct trusted_issuer *trust = find_trust(rules, json_text(credential.claims, "iss"));
    if (trust == NULL) {
        return fail(err, ERROR_PRESENTATION, "iss is no issuer that is trusted here");
    }
    return check_types(trust, vc, err) && check_parties(&credential, vc, holder, err)
        && check_times(&credential, vc, request->now_s, err)
        && check_algorithm(definition, descriptor, &credential, err)
        && check_signature(rules, &credential, request->now_ns, err)
        && definition_evaluate(definition, descriptor, credential.claims, err);
}
