/*
 * A spent code that is redeemed again: somebody has it who should not, or the client asks twice. Which
 * of them holds the token is not known, so it is revoked (RFC 6749 4.1.2).
 */
#include "core/service_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crash_point.h"
#include "base/log.h"
#include "base/memory.h"

struct replay {
    struct job job;
    char authorization_id[AUTHORIZATION_ID_LENGTH + 1];
    char jti[JTI_LENGTH + 1]; /* of the token that the code was spent for */
    int64_t token_expires_s;
    bool revoked; /* by this replay, not by one before */
};

static void replay_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static bool replay_commit(struct job *job, struct ledger *ledger, struct store *store,
                          int64_t now_s, struct error *err)
{
    struct replay *self = (struct replay *)job;
    const bool is_alive = self->token_expires_s > now_s;
    const struct ledger_entry replayed = {
        .time_s = now_s,
        .kind = LEDGER_REPLAYED,
        .jti = self->jti,
        .authorization_id = self->authorization_id,
    };
    const struct ledger_entry revoked = {
        .time_s = now_s,
        .kind = LEDGER_REVOKED,
        .jti = self->jti,
        .expires_s = self->token_expires_s,
        .reason = "replayed",
    };

    self->revoked = false;
    return ledger_append(ledger, store, &replayed, err)
        && (!is_alive
            || store_revoke_token(store, self->jti, self->token_expires_s, now_s, &self->revoked,
                                  err))
        && (!self->revoked || ledger_append(ledger, store, &revoked, err));
}

static const struct job_type replay_job = { .run = replay_commit, .free = replay_free };

static bool record(struct service *service, const struct stored_code *spent, struct error *err)
{
    struct replay *self = xcalloc(1, sizeof(*self));

    job_init(&self->job, &replay_job);
    (void)snprintf(self->authorization_id, sizeof(self->authorization_id), "%s",
                   spent->authorization_id);
    (void)snprintf(self->jti, sizeof(self->jti), "%s", spent->jti);
    self->token_expires_s = spent->token_expires_s;
    if (!committer_write(service->committer, &self->job, err)) {
        return false;
    }
    CRASH_POINT(REPLAY_RECORDED);
    log_event(LOG_LEVEL_NOTICE, "code.replayed", "authorization=%s jti=%s", self->authorization_id,
              self->jti);
    if (self->revoked) {
        log_event(LOG_LEVEL_NOTICE, "token.revoked", "jti=%s reason=replayed", self->jti);
    }
    replay_free(&self->job);
    return true;
}

/* What another node spent under our hands is spent now; what merely expired meanwhile is no replay. */
bool replay_record(struct service *service, const struct digest *code,
                   const struct stored_code *stored, struct error *err)
{
    struct stored_code found = *stored;

    if (!found.spent && !store_find_code(service->store, code, &found, err)) {
        return err->code == ERROR_CODE_UNKNOWN;
    }
    return !found.spent || record(service, &found, err);
}
