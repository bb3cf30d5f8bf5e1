#include "core/revocations.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/service.h"
#include "jose/claims.h"

enum {
    LOOK_EVERY_MS = 500,
    DEADLINE_MARGIN_MS = 250, /* past the signer's deadline, so that its supervisor acts first */
};

/* A list on its way to its signature, and after it. */
struct signed_list {
    struct job job;
    char kid[48];
    int64_t issued_s;
    int64_t expires_s;
    struct text jwt; /* first the signing input, then the whole JWT */
    char buffer[REVOKED_LIST_MAX];
};

struct revocations {
    struct revocations_options options;
    pthread_t thread;
    bool has_thread;
    sem_t stopping;

    pthread_mutex_t lock;
    struct signed_list *current; /* NULL: none yet */
    enum error_code failure;     /* what keeps a newer one from being signed */

    /* the thread's own */
    struct revoked_list listed;           /* what `current` was made of */
    const char *jtis[REVOKED_TOKENS_MAX]; /* of `current`, while it is composed */
};

/* ---- the signature ---- */

static void signed_list_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static void signed_list_take_signature(struct job *job, const uint8_t *bytes, size_t length)
{
    struct signed_list *self = (struct signed_list *)job;
    text_add(&self->jwt, ".");
    text_add_base64url(&self->jwt, bytes, length);
}

/* The committer collects signatures; it has nothing to write for this one. */
static bool signed_list_run(struct job *job, struct ledger *ledger, struct store *store,
                            int64_t now_s, struct error *err)
{
    const struct signed_list *self = (struct signed_list *)job;

    (void)ledger, (void)store, (void)now_s;
    return !self->jwt.overflowed
        || fail(err, ERROR_INTERNAL, "a list of revoked tokens of more than %d bytes",
                REVOKED_LIST_MAX);
}

static const struct job_type signed_list_job = {
    .run = signed_list_run,
    .take_signature = signed_list_take_signature,
    .free = signed_list_free,
};

static bool compose(struct revocations *self, const struct revoked_list *list,
                    const struct signer_key *key, int64_t now_s, struct signed_list *next,
                    struct error *err)
{
    scoped(release_memory) char *payload_buffer = xcalloc(1, REVOKED_INPUT_MAX);
    struct text payload = text_over(payload_buffer, REVOKED_INPUT_MAX);
    const bool complete = list->count <= REVOKED_TOKENS_MAX;

    next->issued_s = now_s;
    next->expires_s = now_s + REVOKED_TOKENS_LIFETIME_S;
    (void)snprintf(next->kid, sizeof(next->kid), "%s", key->kid);
    const struct revoked_tokens_claims claims = {
        .issuer = self->options.issuer,
        .issued_s = next->issued_s,
        .expires_s = next->expires_s,
        .complete = complete,
        .jtis = self->jtis,
        .count = complete ? list->count : REVOKED_TOKENS_MAX,
    };
    for (size_t i = 0; i < claims.count; i++) {
        self->jtis[i] = list->jtis[i];
    }
    revoked_tokens_payload(&payload, &claims);
    text_add(&next->jwt, key->revoked_header);
    text_add(&next->jwt, ".");
    text_add_base64url(&next->jwt, payload_buffer, payload.length);
    return (!payload.overflowed && next->jwt.length <= REVOKED_INPUT_MAX)
        || fail(err, ERROR_INTERNAL, "a list of revoked tokens of more than %d bytes",
                REVOKED_INPUT_MAX);
}

/* On false the list is still the caller's. */
static bool submit(struct revocations *self, const struct revoked_list *list, int64_t now_s,
                   int64_t deadline_ns, struct signed_list *next, struct error *err)
{
    const struct signer_key *key = NULL;
    size_t signer;

    return signers_choose(self->options.signers, &signer, &key, err)
        && compose(self, list, key, now_s, next, err)
        && signers_submit(self->options.signers, signer, next->buffer, next->jwt.length,
                          deadline_ns, next, err);
}

static void publish(struct revocations *self, struct signed_list *next)
{
    pthread_mutex_lock(&self->lock);
    struct signed_list *last = self->current;
    self->current = next;
    pthread_mutex_unlock(&self->lock);
    if (last != NULL) {
        signed_list_free(&last->job);
    }
}

static bool sign(struct revocations *self, const struct revoked_list *list, int64_t now_s,
                 struct error *err)
{
    const int64_t deadline_ns =
        monotonic_ns() + signers_deadline_ms(self->options.signers) * NS_PER_MS;
    struct signed_list *next = xcalloc(1, sizeof(*next));

    job_init(&next->job, &signed_list_job);
    next->jwt = text_over(next->buffer, sizeof(next->buffer));
    if (!submit(self, list, now_s, deadline_ns, next, err)) {
        signed_list_free(&next->job);
        return false;
    }
    switch (job_await(&next->job, deadline_ns + DEADLINE_MARGIN_MS * NS_PER_MS, err)) {
    case JOB_SUCCEEDED:
        publish(self, next);
        return true;
    case JOB_FAILED:
        signed_list_free(&next->job);
        return false;
    case JOB_GIVEN_UP:
    case JOB_IN_DOUBT:
        return false;
    }
    return false;
}

/* ---- what there is to list ---- */

static bool same_list(const struct revoked_list *a, const struct revoked_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->jtis[i], b->jtis[i]) == 0;
    }
    return same;
}

/* Whether a signer may sign with the key, were it up. */
static bool key_signs(const struct revocations *self, const char *kid)
{
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->options.signers, signers);

    for (size_t i = 0; i < count; i++) {
        const struct signer_status *signer = &signers[i];
        if (signer->permitted && signer->key != NULL && strcmp(signer->key->kid, kid) == 0) {
            return true;
        }
    }
    return false;
}

/* `current` is written by this thread alone. */
static bool is_current(const struct revocations *self, const struct revoked_list *list,
                       int64_t now_s)
{
    const struct signed_list *current = self->current;

    return current != NULL && now_s >= current->issued_s
        && now_s < current->issued_s + REVOKED_TOKENS_LIFETIME_S / 2
        && same_list(&self->listed, list) && key_signs(self, current->kid);
}

/* One more than fits is asked for, to know whether there is one. */
static bool look(struct revocations *self, struct error *err)
{
    scoped(revoked_list_clear) struct revoked_list list = { .count = 0 };
    struct store *store = self->options.store;
    int64_t now_s = 0;

    if (!store_read_clock(store, &now_s, err)
        || !store_list_revoked(store, now_s, REVOKED_TOKENS_MAX + 1, &list, err)) {
        return false;
    }
    if (is_current(self, &list, now_s)) {
        return true;
    }
    if (!sign(self, &list, now_s, err)) {
        return false;
    }
    revoked_list_clear(&self->listed);
    self->listed = list;
    list = (struct revoked_list){ .count = 0 };
    return true;
}

/* ---- the thread ---- */

/* Tells of a failure once, until it is over. */
static void look_and_tell(struct revocations *self)
{
    struct error err = { .code = ERROR_NONE };

    if (look(self, &err)) {
        err.code = ERROR_NONE;
    }
    pthread_mutex_lock(&self->lock);
    const bool was_good = self->failure == ERROR_NONE;
    self->failure = err.code;
    pthread_mutex_unlock(&self->lock);
    if (was_good && err.code != ERROR_NONE) {
        log_error(LOG_LEVEL_WARNING, "revocations.not_signed", &err, "%s",
                  "effect='the list of revoked tokens as before, until it expires'");
    }
}

static bool wait_for_stop(struct revocations *self)
{
    return semaphore_await(&self->stopping, monotonic_ns() + LOOK_EVERY_MS * (int64_t)NS_PER_MS);
}

static void *revocations_run(void *argument)
{
    struct revocations *self = argument;

    while (!wait_for_stop(self)) {
        look_and_tell(self);
    }
    return NULL;
}

bool revocations_start(const struct revocations_options *options,
                       struct revocations **revocations_out, struct error *err)
{
    struct revocations *self = xcalloc(1, sizeof(*self));

    self->options = *options;
    pthread_mutex_init(&self->lock, NULL);
    sem_init(&self->stopping, 0, 0);
    look_and_tell(self);
    if (pthread_create(&self->thread, NULL, revocations_run, self) != 0) {
        revocations_stop(self);
        return fail(err, ERROR_INTERNAL, "start the thread of the revoked tokens' list");
    }
    self->has_thread = true;
    *revocations_out = self;
    return true;
}

void revocations_stop(struct revocations *self)
{
    if (self == NULL) {
        return;
    }
    if (self->has_thread) {
        (void)sem_post(&self->stopping);
        pthread_join(self->thread, NULL);
    }
    if (self->current != NULL) {
        signed_list_free(&self->current->job);
    }
    revoked_list_clear(&self->listed);
    sem_destroy(&self->stopping);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

bool revocations_print(struct revocations *self, int64_t now_s, struct text *text,
                       struct error *err)
{
    pthread_mutex_lock(&self->lock);
    const struct signed_list *current = self->current;
    const bool is_alive = current != NULL && now_s < current->expires_s;
    const enum error_code failure = self->failure;
    if (is_alive) {
        text_add_bytes(text, current->jwt.start, current->jwt.length);
    }
    pthread_mutex_unlock(&self->lock);
    return is_alive
        || fail(err, failure != ERROR_NONE ? failure : ERROR_DEVICE_UNAVAILABLE,
                "no list of revoked tokens was signed lately");
}
