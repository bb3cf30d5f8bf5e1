/* Authorization requests: created by anyone, granted a code when a trusted caller approves or the
 * holder's proof validates (holder_proof.c). */
#include "core/service_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "core/approval.h"
#include "vc/definition.h"

void authorization_clear(struct authorization *authorization)
{
    free(authorization->presentation_definition);
    explicit_bzero(authorization, sizeof(*authorization));
}

void random_id(uint8_t out[static 16], int64_t now_s)
{
    const uint64_t now_ms = (uint64_t)now_s * 1000;

    random_bytes(out, 16);
    for (int i = 0; i < 6; i++) {
        out[i] = (uint8_t)(now_ms >> (40 - 8 * i));
    }
}

/* A UUIDv7 (RFC 9562 5.7). */
static void make_id(char id_out[static AUTHORIZATION_ID_LENGTH + 1], int64_t now_s)
{
    uint8_t bytes[16];

    random_id(bytes, now_s);
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0f));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
    (void)snprintf(id_out, AUTHORIZATION_ID_LENGTH + 1,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", bytes[0],
                   bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8],
                   bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]);
}

/* ---- create ---- */

struct creation {
    struct job job;
    struct authorization authorization;
    struct digest pair;
    int64_t lifetime_s;
};

static void creation_free(struct job *job)
{
    struct creation *self = (struct creation *)job;
    authorization_clear(&self->authorization);
    job_clear(job);
    free(self);
}

static bool creation_commit(struct job *job, struct ledger *ledger, struct store *store,
                            int64_t now_s, struct error *err)
{
    struct creation *self = (struct creation *)job;

    self->authorization.expires_s = now_s + self->lifetime_s;
    struct new_authorization new = {
        .state = self->authorization.state,
        .nonce = self->authorization.nonce,
        .presentation_definition = self->authorization.presentation_definition,
        .pair = self->pair,
        .created_s = now_s,
        .expires_s = self->authorization.expires_s,
    };
    (void)ledger;
    memcpy(new.id, self->authorization.id, sizeof(new.id));
    return store_create_authorization(store, &new, err);
}

static const struct job_type creation_job = { .run = creation_commit, .free = creation_free };

static bool check_token_text(const char *name, const char *value, struct error *err)
{
    const size_t length = strlen(value);
    if (length < STATE_MIN || length > STATE_MAX
        || strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
               != length) {
        return fail(err, ERROR_INVALID_REQUEST, "%s must be %d to %d characters of [A-Za-z0-9-_]",
                    name, STATE_MIN, STATE_MAX);
    }
    return true;
}

/* Neither part holds a '.', so no two pairs join to one text. */
static struct digest pair_of(const char *state, const char *nonce)
{
    char joined[2 * STATE_MAX + 2];
    const int length = snprintf(joined, sizeof(joined), "%s.%s", state, nonce);
    return sha256(joined, (size_t)length);
}

/* What could not be evaluated when the wallet answers is refused now. */
static bool check_definition(const char *json, struct error *err)
{
    struct definition *definition = NULL;

    if (json == NULL) {
        return true;
    }
    if (!definition_parse(json, &definition, err)) {
        return false;
    }
    definition_free(definition);
    return true;
}

bool service_create_authorization(struct service *service,
                                  const struct authorization_request *request,
                                  struct authorization *created_out, struct error *err)
{
    int64_t now_s = 0;

    if (!check_token_text("state", request->state, err)
        || !check_token_text("nonce", request->nonce, err)
        || !check_definition(request->presentation_definition, err)
        || !store_read_clock(service->store, &now_s, err)) {
        return false;
    }
    struct creation *creation = xcalloc(1, sizeof(*creation));
    struct authorization *new = &creation->authorization;

    job_init(&creation->job, &creation_job);
    make_id(new->id, now_s);
    (void)snprintf(new->state, sizeof(new->state), "%s", request->state);
    (void)snprintf(new->nonce, sizeof(new->nonce), "%s", request->nonce);
    if (request->presentation_definition != NULL) {
        new->presentation_definition = xstrdup(request->presentation_definition);
    }
    creation->lifetime_s = service->request_lifetime_s;
    creation->pair = pair_of(request->state, request->nonce);
    if (!committer_write(service->committer, &creation->job, err)) {
        return false;
    }
    *created_out = *new;
    new->presentation_definition = NULL; /* it left with the copy */
    creation_free(&creation->job);
    return true;
}

/* ---- grant ---- */

struct granting {
    struct job job;
    struct authorization authorization;
    char scope[SCOPE_MAX + 1];
    struct used_presentation presentation;
    bool has_presentation;
    struct digest code;
    int64_t code_lifetime_s;
    int64_t row;
};

static void granting_free(struct job *job)
{
    struct granting *self = (struct granting *)job;
    authorization_clear(&self->authorization);
    job_clear(job);
    free(self);
}

static bool granting_commit(struct job *job, struct ledger *ledger, struct store *store,
                            int64_t now_s, struct error *err)
{
    struct granting *self = (struct granting *)job;
    struct authorization *authorization = &self->authorization;
    struct approved_authorization approved = { .row = 0 };

    authorization->expires_s = now_s + self->code_lifetime_s;
    const struct approval approval = {
        .id = authorization->id,
        .holder_did = authorization->holder_did,
        .scope = self->scope[0] != '\0' ? self->scope : NULL,
        .presentation = self->has_presentation ? &self->presentation : NULL,
        .code = self->code,
        .now_s = now_s,
        .code_expires_s = authorization->expires_s,
    };
    (void)ledger;
    if (!store_approve(store, &approval, &approved, err)) {
        return false;
    }
    self->row = approved.row;
    memcpy(authorization->state, approved.state, sizeof(authorization->state));
    memcpy(authorization->nonce, approved.nonce, sizeof(authorization->nonce));
    free(authorization->presentation_definition); /* of a run before this one */
    authorization->presentation_definition = approved.presentation_definition;
    return true;
}

static const struct job_type granting_job = { .run = granting_commit, .free = granting_free };

static void remember_code(struct service *service, const struct granting *granting)
{
    struct stored_code stored = { .row = granting->row,
                                  .expires_s = granting->authorization.expires_s };

    memcpy(stored.authorization_id, granting->authorization.id, sizeof(stored.authorization_id));
    memcpy(stored.holder_did, granting->authorization.holder_did, sizeof(stored.holder_did));
    memcpy(stored.scope, granting->scope, sizeof(stored.scope));
    code_table_add(service->codes, &granting->code, &stored);
}

static struct granting *granting_new(const struct grant *grant, int64_t code_lifetime_s)
{
    struct granting *self = xcalloc(1, sizeof(*self));
    struct authorization *authorization = &self->authorization;

    job_init(&self->job, &granting_job);
    memcpy(authorization->id, grant->id, sizeof(authorization->id));
    (void)snprintf(authorization->holder_did, sizeof(authorization->holder_did), "%s",
                   grant->holder_did);
    (void)snprintf(self->scope, sizeof(self->scope), "%s",
                   grant->scope != NULL ? grant->scope : "");
    if (grant->presentation != NULL) {
        self->presentation = *grant->presentation;
        self->has_presentation = true;
    }
    self->code = approval_make_code(authorization->code);
    self->code_lifetime_s = code_lifetime_s;
    return self;
}

bool authorization_grant(struct service *service, const struct grant *grant,
                         struct authorization *granted_out, struct error *err)
{
    struct granting *granting = granting_new(grant, service->code_lifetime_s);

    if (!committer_write(service->committer, &granting->job, err)) {
        return false;
    }
    remember_code(service, granting);
    *granted_out = granting->authorization;
    granting->authorization.presentation_definition = NULL; /* it left with the copy */
    granting_free(&granting->job);
    return true;
}

/* ---- approve ---- */

bool service_approve(struct service *service, const struct approval_request *request,
                     struct authorization *approved_out, struct error *err)
{
    const struct grant grant = { .id = request->id,
                                 .holder_did = request->holder_did,
                                 .scope = request->scope };

    if (!approval_check(request, err) || !authorization_grant(service, &grant, approved_out, err)) {
        return false;
    }
    log_event(LOG_LEVEL_INFO, "authorization.approved", "authorization=%s", request->id);
    return true;
}
