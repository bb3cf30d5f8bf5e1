/*
 * One exchange: claim the code, compose the token, have it signed, have the committer spend the
 * code and record the token, release. The HTTP thread sleeps once, in job_await(). A token of which it
 * is not known in time whether it is recorded is kept, for who comes again with the code.
 */
#include "core/service_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/memory.h"
#include "jose/claims.h"

enum {
    CODE_LENGTH_MIN = 32, /* the contract's bounds */
    CODE_LENGTH_MAX = 128,
    PAYLOAD_MAX = 2200,
    TOKEN_MAX = SIGNING_INPUT_MAX + 1 + BASE64URL_LENGTH(512) + 1,
    DEADLINE_MARGIN_MS = 250, /* past the signer's deadline, so that its supervisor acts first */
};

struct exchange {
    struct job job;
    struct service *service;
    const struct signer_key *key;
    struct digest code;
    struct stored_code stored;
    int64_t issued_s;
    int64_t expires_s;
    bool was_run; /* in a transaction, however that ended */
    bool is_recorded;
    char jti[BASE64URL_LENGTH(16) + 1];
    struct text token; /* first the signing input, then the whole JWT */
    char buffer[TOKEN_MAX];
};

void exchange_free(struct job *job)
{
    struct exchange *self = (struct exchange *)job;
    explicit_bzero(self->buffer, self->token.length);
    job_clear(job);
    free(self);
}

/* ---- the committer's part ---- */

static void exchange_take_signature(struct job *job, const uint8_t *bytes, size_t length)
{
    struct exchange *self = (struct exchange *)job;
    text_add(&self->token, ".");
    text_add_base64url(&self->token, bytes, length);
}

static struct redemption redemption_of(const struct exchange *self)
{
    return (struct redemption){ .row = self->stored.row,
                                .code = self->code,
                                .jti = self->jti,
                                .token_expires_s = self->expires_s };
}

static bool exchange_send(struct job *job, struct store *store, int64_t now_s, struct error *err)
{
    const struct redemption redemption = redemption_of((struct exchange *)job);
    return store_send_redemption(store, &redemption, now_s, err);
}

static bool exchange_commit(struct job *job, struct ledger *ledger, struct store *store,
                            int64_t now_s, struct error *err)
{
    struct exchange *self = (struct exchange *)job;
    const struct redemption redemption = redemption_of(self);
    const struct digest token = sha256(self->buffer, self->token.length);
    const struct digest subject = sha256(self->stored.holder_did, strlen(self->stored.holder_did));
    const struct ledger_entry entry = {
        .time_s = now_s,
        .kind = LEDGER_ISSUED,
        .jti = self->jti,
        .kid = self->key->kid,
        .authorization_id = self->stored.authorization_id,
        .token = &token,
        .subject = &subject,
        .expires_s = self->expires_s,
    };

    assert(!self->token.overflowed);
    self->was_run = true;
    if (!store_redeem(store, &redemption, now_s, err)) {
        return false;
    }
    CRASH_POINT(CODE_SPENT);
    return ledger_append(ledger, store, &entry, err);
}

static bool exchange_is_done(struct job *job, struct store *store, bool *done_out,
                             struct error *err)
{
    const struct redemption redemption = redemption_of((struct exchange *)job);
    return store_has_redeemed(store, &redemption, done_out, err);
}

static void keep_undelivered(struct job *job)
{
    struct exchange *self = (struct exchange *)job;
    const int64_t until_s =
        self->expires_s < self->stored.expires_s ? self->expires_s : self->stored.expires_s;

    undelivered_keep(self->service->undelivered, &self->code, job, until_s,
                     store_now_s(self->service->store));
}

/* Nobody waits for it any more. */
static void exchange_leave(struct job *job)
{
    const struct exchange *self = (struct exchange *)job;
    const bool may_be_recorded =
        self->was_run && (job->err.code == ERROR_NONE || job->err.code == ERROR_STORE_IN_DOUBT);

    (may_be_recorded ? keep_undelivered : exchange_free)(job);
}

static const struct job_type exchange_job = {
    .send = exchange_send,
    .run = exchange_commit,
    .take_signature = exchange_take_signature,
    .is_done = exchange_is_done,
    .free = exchange_leave,
};

/* What is read counts only once a transaction that writes is durable (see the committer's ask_store()). */
static bool confirmation_run(struct job *job, struct ledger *ledger, struct store *store,
                             int64_t now_s, struct error *err)
{
    struct exchange *self = (struct exchange *)job;
    (void)ledger;
    return store_heartbeat(store, now_s, err)
        && exchange_is_done(job, store, &self->is_recorded, err);
}

static const struct job_type confirmation_job = { .run = confirmation_run,
                                                  .free = keep_undelivered };

/* ---- the HTTP thread's part ---- */

static void compose(struct exchange *self)
{
    const struct service_options *options = self->service->options;
    char payload_buffer[PAYLOAD_MAX];
    struct text payload = text_over(payload_buffer, sizeof(payload_buffer));
    uint8_t random[16];

    random_id(random, self->issued_s);
    self->jti[base64url_encode(self->jti, random, sizeof(random))] = '\0';
    const struct access_token_claims claims = {
        .issuer = options->issuer,
        .subject = self->stored.holder_did,
        .audience = options->audience,
        .client_id = self->stored.holder_did,
        .scope = self->stored.scope[0] != '\0' ? self->stored.scope : NULL,
        .jti = self->jti,
        .issued_s = self->issued_s,
        .expires_s = self->expires_s,
    };
    access_token_payload(&payload, &claims);
    text_add(&self->token, self->key->header);
    text_add(&self->token, ".");
    text_add_base64url(&self->token, payload_buffer, payload.length);
    self->token.overflowed |= payload.overflowed;
}

static struct exchange *exchange_new(struct service *service, const struct digest *code,
                                     const struct stored_code *stored, int64_t now_s)
{
    struct exchange *self = malloc(sizeof(*self)); /* not calloc: the buffer needs no zeroes */
    if (self == NULL) {
        abort();
    }
    job_init(&self->job, &exchange_job);
    self->service = service;
    self->code = *code;
    self->stored = *stored;
    self->was_run = self->is_recorded = false;
    self->issued_s = now_s;
    self->expires_s = self->issued_s + service->options->token_lifetime_s;
    self->token = text_over(self->buffer, sizeof(self->buffer));
    return self;
}

static bool submit_once(struct exchange *self, int64_t deadline_ns, struct error *err)
{
    struct signers *signers = self->service->signers;
    size_t signer;

    if (!signers_choose(signers, &signer, &self->key, err)) {
        return false;
    }
    self->token.length = 0;
    compose(self);
    if (self->token.overflowed || self->token.length > SIGNING_INPUT_MAX) {
        return fail(err, ERROR_INTERNAL, "a signing input of more than %d bytes",
                    SIGNING_INPUT_MAX);
    }
    CRASH_POINT(TOKEN_COMPOSED);
    return signers_submit(signers, signer, self->buffer, self->token.length, deadline_ns, self,
                          err);
}

/* Hands the exchange to a signer. Between the choice and the submission others may take the room that
 * was seen, or the signer may go down or leave: then it is the next signer's turn. A reload may have put
 * others to use meanwhile. On false the exchange is still the caller's. */
static bool submit(struct exchange *self, int64_t deadline_ns, struct error *err)
{
    bool submitted = false;
    for (size_t i = signers_count(self->service->signers) + 1; i > 0 && !submitted; i--) {
        submitted = submit_once(self, deadline_ns, err);
    }
    return submitted;
}

/* What the outcome means for the code. */
static enum code_fate fate_of(enum job_outcome outcome, enum error_code code)
{
    const bool untouched =
        outcome == JOB_GIVEN_UP
        || (outcome == JOB_FAILED && code != ERROR_CODE_SPENT && code != ERROR_STORE_IN_DOUBT);
    return untouched ? CODE_STILL_GOOD : CODE_NOT_OURS;
}

static struct access_token access_token_of(struct exchange *self, int64_t now_s)
{
    return (struct access_token){ .jwt = self->buffer,
                                  .jwt_length = self->token.length,
                                  .lifetime_s = self->expires_s - now_s,
                                  .exchange = self };
}

/* What a clock that jumped meanwhile has left behind, the signer refuses. */
static void blame_clock(struct service *service, struct error *err)
{
    int64_t unused;

    if (err->code == ERROR_INTERNAL) {
        (void)!store_read_clock(service->store, &unused, err);
    }
}

/* Signs and commits. Tells what became of the code. */
static enum code_fate exchange_run(struct exchange *self, int64_t deadline_ns,
                                   struct access_token *token_out, struct error *err)
{
    if (!submit(self, deadline_ns, err)) {
        exchange_free(&self->job);
        return CODE_STILL_GOOD;
    }
    CRASH_POINT(SIGNATURE_SUBMITTED);
    const enum job_outcome outcome =
        job_await(&self->job, deadline_ns + DEADLINE_MARGIN_MS * NS_PER_MS, err);
    if (outcome == JOB_SUCCEEDED) {
        *token_out = access_token_of(self, self->issued_s);
        log_event(LOG_LEVEL_DEBUG, "token.issued", "jti=%s kid=%s authorization=%s", self->jti,
                  self->key->kid, self->stored.authorization_id);
    } else if (outcome == JOB_FAILED) {
        blame_clock(self->service, err);
        exchange_leave(&self->job);
    }
    return fate_of(outcome, err->code);
}

/* The code is spent, as `err` says: perhaps for a token that an outage kept from who asked for it. After
 * several outages there may be several; the store has one of them at most. */
static bool deliver_late(struct service *service, const struct digest *code,
                         struct access_token *token_out, struct error *err)
{
    const int64_t now_s = store_now_s(service->store);
    struct exchange *self;
    struct error unconfirmed;

    while ((self = (struct exchange *)undelivered_take(service->undelivered, code, now_s))
           != NULL) {
        job_clear(&self->job);
        job_init(&self->job, &confirmation_job);
        if (!committer_write(service->committer, &self->job, &unconfirmed)) {
            *err = unconfirmed;
            return false;
        }
        if (self->is_recorded) {
            log_event(LOG_LEVEL_NOTICE, "token.delivered_late", "jti=%s authorization=%s",
                      self->jti, self->stored.authorization_id);
            *token_out = access_token_of(self, now_s);
            err->code = ERROR_NONE;
            return true;
        }
        exchange_free(&self->job);
    }
    return false;
}

/* The time comes first: no code is expired by a clock that is not trusted. */
static bool look_up(struct service *service, const struct digest *hash, enum code_claim claim,
                    struct stored_code *stored, int64_t *now_s_out, struct error *err)
{
    if (!store_read_clock(service->store, now_s_out, err)) {
        return false;
    }
    if (claim == CODE_NOT_HERE && !store_find_code(service->store, hash, stored, err)) {
        return false;
    }
    if (stored->spent) {
        return fail(err, ERROR_CODE_SPENT, "the code was redeemed before");
    }
    if (stored->expires_s <= *now_s_out) {
        return fail(err, ERROR_CODE_EXPIRED, "the code expired %lld s ago",
                    (long long)(*now_s_out - stored->expires_s));
    }
    return true;
}

static bool redeem(struct service *service, const struct digest *hash, int64_t deadline_ns,
                   struct access_token *token_out, struct error *err)
{
    struct stored_code stored;
    struct error unrecorded = { .code = ERROR_NONE };
    enum code_fate fate = CODE_STILL_GOOD;
    int64_t now_s = 0;

    *err = (struct error){ .code = ERROR_NONE };
    if (!ledger_permits(service->ledger, err)) {
        return false;
    }
    const enum code_claim claim = code_table_claim(service->codes, hash, deadline_ns, &stored);
    if (claim == CODE_BUSY) {
        return fail(err, ERROR_OVERLOADED, "another request with this code is still under way");
    }
    CRASH_POINT(CODE_CLAIMED);
    if (look_up(service, hash, claim, &stored, &now_s, err)) {
        CRASH_POINT(CODE_LOOKED_UP);
        fate =
            exchange_run(exchange_new(service, hash, &stored, now_s), deadline_ns, token_out, err);
    }
    if (err->code == ERROR_CODE_SPENT) {
        (void)deliver_late(service, hash, token_out, err);
    }
    code_table_release(service->codes, hash, fate);
    if (err->code == ERROR_CODE_SPENT && !replay_record(service, hash, &stored, &unrecorded)) {
        *err = unrecorded;
    }
    return err->code == ERROR_NONE;
}

static bool is_code(const char *code)
{
    const size_t length = strlen(code);
    return length >= CODE_LENGTH_MIN && length <= CODE_LENGTH_MAX
        && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
               == length;
}

bool service_redeem(struct service *service, const char *code, int64_t received_ns,
                    struct access_token *token_out, struct error *err)
{
    bool good = false;

    if (!is_code(code)) {
        (void)!fail(err, ERROR_INVALID_REQUEST,
                    "authorization_code must be %d to %d characters of [A-Za-z0-9-_]",
                    CODE_LENGTH_MIN, CODE_LENGTH_MAX);
    } else {
        const struct digest hash = sha256(code, strlen(code));
        const int64_t deadline_ns = received_ns + signers_deadline_ms(service->signers) * NS_PER_MS;
        good = redeem(service, &hash, deadline_ns, token_out, err);
    }
    service_count_refusal(service, good ? ERROR_NONE : err->code, received_ns);
    return good;
}

void service_count_refusal(struct service *service, enum error_code code, int64_t received_ns)
{
    const int64_t now_ns = monotonic_ns();
    metrics_count_exchange(&service->metrics, code, now_ns - received_ns, now_ns);
}

void access_token_clear(struct access_token *token)
{
    if (token->exchange != NULL) {
        exchange_free(&token->exchange->job);
        *token = (struct access_token){ .jwt = NULL };
    }
}
