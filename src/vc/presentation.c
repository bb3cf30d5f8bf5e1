/* From the cheap to the dear: nothing is fetched or computed for a presentation that could not be good. */
#include "vc/presentation.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/memory.h"
#include "jose/json.h"
#include "jose/jwt.h"
#include "vc/credential.h"
#include "vc/definition.h"
#include "vc/did_keys.h"
#include "vc/evaluate.h"
#include "vc/jwt_time.h"

DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)
DEFINE_RELEASE(release_definition, struct definition, definition_free)

/* What is wrong with a presentation or a credential is the presentation's fault; that a resolver does
 * not answer is not. */
static bool blame(struct error *err, const char *what)
{
    if (err->code == ERROR_INVALID_REQUEST) {
        err->code = ERROR_PRESENTATION;
    }
    return error_context(err, "%s", what);
}

/* ---- the claims ---- */

static bool check_issuer(const struct jwt *vp, struct error *err)
{
    const char *issuer = json_text(vp->claims, "iss");
    const cJSON *subject = cJSON_GetObjectItemCaseSensitive(vp->claims, "sub");

    if (issuer == NULL || !did_is_valid(issuer)) {
        return fail(err, ERROR_PRESENTATION, "iss must be the holder's DID");
    }
    return subject == NULL || (cJSON_IsString(subject) && strcmp(subject->valuestring, issuer) == 0)
        || fail(err, ERROR_PRESENTATION, "sub is not iss");
}

/* A presentation for several audiences could be shown to another by any of them. */
static bool check_audience(const struct jwt *vp, const char *audience, struct error *err)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(vp->claims, "aud");

    if (cJSON_IsArray(value) && cJSON_GetArraySize(value) == 1) {
        value = value->child;
    }
    return (cJSON_IsString(value) && strcmp(value->valuestring, audience) == 0)
        || fail(err, ERROR_PRESENTATION, "aud must be %s and nothing else", audience);
}

static bool check_nonce(const struct jwt *vp, const char *nonce, struct error *err)
{
    const char *value = json_text(vp->claims, "nonce");
    return (value != NULL && strcmp(value, nonce) == 0)
        || fail(err, ERROR_PRESENTATION, "nonce is not this request's");
}

/* Sets *until_s_out to when nobody may accept it any more. */
static bool check_freshness(const struct jwt *vp, int64_t now_s, int64_t *until_s_out,
                            struct error *err)
{
    struct jwt_times times;

    if (!jwt_times_read(vp->claims, &times, err)
        || !jwt_times_check(&times, now_s, PRESENTATION_SKEW_S, err)) {
        return false;
    }
    if (times.issued_s < 0 && times.expires_s < 0) {
        return fail(err, ERROR_PRESENTATION, "it has neither iat nor exp");
    }
    if (times.issued_s >= 0
        && now_s - times.issued_s > PRESENTATION_MAX_AGE_S + PRESENTATION_SKEW_S) {
        return fail(err, ERROR_PRESENTATION, "iat is older than %d seconds",
                    PRESENTATION_MAX_AGE_S);
    }
    if (times.issued_s < 0 && times.expires_s - now_s > PRESENTATION_MAX_LIFE_S) {
        return fail(err, ERROR_PRESENTATION, "without iat, exp may be %d seconds ahead at most",
                    PRESENTATION_MAX_LIFE_S);
    }
    const int64_t by_age_s = times.issued_s + PRESENTATION_MAX_AGE_S;
    const int64_t limit_s =
        times.issued_s < 0 || (times.expires_s >= 0 && times.expires_s < by_age_s) ? times.expires_s
                                                                                   : by_age_s;
    *until_s_out = limit_s + PRESENTATION_SKEW_S + 1;
    return true;
}

/* VC Data Model 1.1, 6.3.1: the `vp` claim. */
static bool check_vp(const struct jwt *vp, struct error *err)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(vp->claims, "vp");
    const cJSON *holder = cJSON_GetObjectItemCaseSensitive(value, "holder");

    if (!credential_type_has(value, "VerifiablePresentation")) {
        return fail(err, ERROR_PRESENTATION, "vp.type must have VerifiablePresentation");
    }
    return holder == NULL
        || (cJSON_IsString(holder)
            && strcmp(holder->valuestring, json_text(vp->claims, "iss")) == 0)
        || fail(err, ERROR_PRESENTATION, "vp.holder is not iss");
}

/* ---- the proof ---- */

static bool check_proof(const struct presentation_rules *rules,
                        const struct presentation_request *request, const struct jwt *vp,
                        struct error *err)
{
    scoped(release_key) EVP_PKEY *key = NULL;

    return did_find_key(rules->resolver, json_text(vp->claims, "iss"), vp->kid, DID_AUTHENTICATION,
                        request->now_ns, &key, err)
        && (jwt_verify(vp, key)
            || fail(err, ERROR_PRESENTATION,
                    "the signature is not that of the key that kid names"));
}

/* ---- the credentials ---- */

/* Each issuer's DID may take its resolver's whole deadline. */
static bool check_deadline(const struct presentation_request *request, struct error *err)
{
    return monotonic_ns() - request->now_ns < PRESENTATION_DEADLINE_MS * (int64_t)NS_PER_MS
        || fail(err, ERROR_RESOLVER_UNAVAILABLE, "the issuers' DIDs took too long to resolve");
}

static bool check_credentials(const struct presentation_rules *rules,
                              const struct presentation_request *request, const struct jwt *vp,
                              struct error *err)
{
    const char *credentials[DEFINITION_DESCRIPTORS_MAX];
    scoped(release_definition) struct definition *definition = NULL;

    if (request->definition == NULL) {
        return true;
    }
    if (!definition_parse(request->definition, &definition, err)) {
        return false;
    }
    const size_t count = definition_descriptor_count(definition);
    if (count == 0) {
        return true;
    }
    if (request->submission == NULL) {
        return fail(err, ERROR_PRESENTATION,
                    "presentation_submission is missing: the request asks for credentials");
    }
    if (!submission_map(definition, request->submission, vp->claims, credentials, err)) {
        return error_context(err, "presentation_submission");
    }
    for (size_t i = 0; i < count; i++) {
        if (!check_deadline(request, err)
            || !credential_check(rules, request, json_text(vp->claims, "iss"), definition, i,
                                 credentials[i], err)) {
            return error_context(err, "the credential for \"%.64s\"",
                                 definition_descriptor_id(definition, i));
        }
    }
    return true;
}

/* ---- all of it ---- */

bool presentation_verify(const struct presentation_rules *rules,
                         const struct presentation_request *request,
                         struct presentation *presentation_out, struct error *err)
{
    scoped(jwt_clear) struct jwt vp = { .header = NULL };

    if (!jwt_parse(request->vp, strlen(request->vp), "vp+jwt", &vp, err) || !check_issuer(&vp, err)
        || !check_audience(&vp, rules->audience, err) || !check_nonce(&vp, request->nonce, err)
        || !check_freshness(&vp, request->now_s, &presentation_out->usable_until_s, err)
        || !check_vp(&vp, err) || !check_proof(rules, request, &vp, err)
        || !check_credentials(rules, request, &vp, err)) {
        return blame(err, "vp");
    }
    (void)snprintf(presentation_out->holder_did, sizeof(presentation_out->holder_did), "%s",
                   json_text(vp.claims, "iss"));
    presentation_out->identity = sha256(vp.input, vp.input_length);
    return true;
}
