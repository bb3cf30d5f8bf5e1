/* The wallet's half: an open request is validated by its holder's presentation. */
#include "core/service_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

static void release_definition_text(struct open_authorization *found)
{
    free(found->presentation_definition);
}

/* ---- a try in vain ---- */

struct counting {
    struct job job;
    char id[AUTHORIZATION_ID_LENGTH + 1];
};

static void counting_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static bool counting_commit(struct job *job, struct ledger *ledger, struct store *store,
                            int64_t now_s, struct error *err)
{
    (void)ledger, (void)now_s;
    return store_count_try(store, ((struct counting *)job)->id, err);
}

static const struct job_type counting_job = { .run = counting_commit, .free = counting_free };

/* `err` says why it was in vain. A try that cannot be counted is none: the store's error replaces it. */
static bool count_try(struct service *service, const char *id, struct error *err)
{
    struct counting *counting = xcalloc(1, sizeof(*counting));
    struct error failure;

    job_init(&counting->job, &counting_job);
    memcpy(counting->id, id, sizeof(counting->id));
    if (committer_write(service->committer, &counting->job, &failure)) {
        counting_free(&counting->job);
    } else {
        *err = failure;
    }
    return false;
}

/* ---- validate ---- */

/* In the order in which a stranger learns nothing: state and nonce come before the request's fate. */
static bool check_open(const struct open_authorization *found,
                       const struct validation_request *request, int64_t now_s, struct error *err)
{
    if (strcmp(found->state, request->state) != 0 || strcmp(found->nonce, request->nonce) != 0) {
        return fail(err, ERROR_INVALID_REQUEST, "state and nonce are not this request's");
    }
    if (found->has_code) {
        return fail(err, ERROR_NOT_OPEN, "the authorization request was validated already");
    }
    if (found->expires_s <= now_s) {
        return fail(err, ERROR_NOT_FOUND, "the authorization request has expired");
    }
    return found->tries < VALIDATION_TRIES_MAX
        || fail(err, ERROR_NOT_OPEN, "the authorization request was tried %d times in vain",
                VALIDATION_TRIES_MAX);
}

static bool verify(struct service *service, const struct validation_request *request,
                   const struct open_authorization *found, int64_t now_s, int64_t now_ns,
                   struct presentation *presentation_out, struct error *err)
{
    scoped(release_trust) struct trust *trust = service_trust(service);
    const struct presentation_request wanted = {
        .vp = request->vp,
        .nonce = found->nonce,
        .definition = found->presentation_definition,
        .submission = request->presentation_submission,
        .now_s = now_s,
        .now_ns = now_ns,
    };

    if (presentation_verify(trust_rules(trust), &wanted, presentation_out, err)) {
        return true;
    }
    return err->code == ERROR_PRESENTATION && count_try(service, request->id, err);
}

static bool grant(struct service *service, const char *id, const struct presentation *presentation,
                  struct authorization *validated_out, struct error *err)
{
    const struct used_presentation used = { .identity = presentation->identity,
                                            .usable_until_s = presentation->usable_until_s,
                                            .tries_max = VALIDATION_TRIES_MAX };
    const struct grant wanted = { .id = id,
                                  .holder_did = presentation->holder_did,
                                  .presentation = &used };

    if (authorization_grant(service, &wanted, validated_out, err)) {
        return true;
    }
    if (err->code == ERROR_CONFLICT) { /* a rival was first */
        return fail(err, ERROR_NOT_OPEN, "the authorization request was validated already");
    }
    return err->code == ERROR_PRESENTATION && count_try(service, id, err);
}

static bool validate(struct service *service, const struct validation_request *request,
                     int64_t now_ns, struct authorization *validated_out, struct error *err)
{
    scoped(release_definition_text) struct open_authorization found = { .tries = 0 };
    struct presentation presentation;
    int64_t now_s = 0;

    if (strlen(request->id) != AUTHORIZATION_ID_LENGTH) {
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    }
    return store_read_clock(service->store, &now_s, err)
        && store_find_authorization(service->store, request->id, &found, err)
        && check_open(&found, request, now_s, err)
        && verify(service, request, &found, now_s, now_ns, &presentation, err)
        && grant(service, request->id, &presentation, validated_out, err);
}

bool service_validate(struct service *service, const struct validation_request *request,
                      int64_t now_ns, struct authorization *validated_out, struct error *err)
{
    const bool validated = validate(service, request, now_ns, validated_out, err);

    metrics_count_validation(&service->metrics, validated ? ERROR_NONE : err->code);
    if (validated) {
        log_event(LOG_LEVEL_INFO, "authorization.validated", "authorization=%s", request->id);
    }
    return validated;
}
