/* Start, stop and health of the service. */
#include "core/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/service_state.h"

enum {
    HEARTBEAT_MAX_AGE_MS = 1000,
};

static void on_signer_failed(void *context, void *tag, enum error_code code)
{
    (void)context;
    job_fail(tag, code,
             code == ERROR_INTERNAL     ? "the signer refused to sign"
             : code == ERROR_OVERLOADED ? "the signature's turn did not come in time"
                                        : "the signer went down");
}

/* ---- starts and stops, in the ledger ---- */

struct note {
    struct job job;
    struct ledger_entry entry; /* without its time */
};

static void note_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static bool note_commit(struct job *job, struct ledger *ledger, struct store *store, int64_t now_s,
                        struct error *err)
{
    struct note *self = (struct note *)job;

    self->entry.time_s = now_s;
    return ledger_append(ledger, store, &self->entry, err);
}

static const struct job_type note_job = { .run = note_commit, .free = note_free };

static bool note(struct service *self, enum ledger_kind kind, struct error *err)
{
    struct note *note = xcalloc(1, sizeof(*note));

    job_init(&note->job, &note_job);
    note->entry.kind = kind;
    note->entry.detail = "issuerd " ISSUERD_VERSION;
    if (!committer_write(self->committer, &note->job, err)) {
        return false;
    }
    note_free(&note->job);
    return true;
}

/* In a ledger that was rolled back nothing is entered until that is accepted, and by a clock that is behind
 * it nothing until that is right. */
static bool note_start(struct service *self, struct error *err)
{
    self->has_started = note(self, LEDGER_STARTED, err);
    self->owes_start = !self->has_started && err->code == ERROR_CLOCK_UNTRUSTED;
    return self->has_started || self->owes_start || err->code == ERROR_LEDGER_STOPPED;
}

static void note_stop(struct service *self)
{
    struct error err = { .code = ERROR_NONE };

    if (!note(self, LEDGER_STOPPED, &err)) {
        log_error(LOG_LEVEL_WARNING, "ledger.stop_not_noted", &err, "%s", "");
    }
}

/* No committer is there yet; an error of the store is not worth more than the one that is noted. */
static void note_refusal(struct service *self, const struct error *refusal)
{
    const struct error_line line = error_line(refusal);
    struct ledger_entry entry = { .kind = LEDGER_START_REFUSED, .detail = line.text };
    struct error err = { .code = ERROR_NONE };

    if (!store_begin(self->store, &entry.time_s, &err)) {
        return;
    }
    if (!ledger_append(self->ledger, self->store, &entry, &err)
        || !ledger_seal(self->ledger, self->store, &err)) {
        store_rollback(self->store);
    } else {
        (void)!store_commit(self->store, &err);
    }
}

/* ---- start and stop ---- */

static bool start_checkpointer(struct service *self, struct error *err)
{
    const struct service_options *options = self->options;
    const struct checkpointer_options checkpointer = {
        .store = self->store,
        .ledger = self->ledger,
        .signers = self->signers,
        .issuer = options->issuer,
        .node = options->ledger.node,
        .head_path = options->ledger.head_path,
        .entries = options->checkpoint_entries,
        .interval_s = options->checkpoint_s,
        .backlog_max = options->ledger.backlog_max,
    };
    return checkpointer_start(&checkpointer, &self->checkpointer, err);
}

static bool start(struct service *self, struct error *err)
{
    if (!signers_start(&self->signers_options, &self->signers, err)) {
        note_refusal(self, err);
        return false;
    }
    const struct committer_options committer = { .store = self->store,
                                                 .ledger = self->ledger,
                                                 .signers = self->signers,
                                                 .metrics = &self->metrics };
    if (!committer_start(&committer, &self->committer, err) || !note_start(self, err)) {
        return false;
    }
    const struct keyring_options keyring = { .store = self->store,
                                             .signers = self->signers,
                                             .committer = self->committer,
                                             .token_lifetime_s = self->options->token_lifetime_s };
    if (!keyring_start(&keyring, &self->keyring, err)) {
        return false;
    }
    const struct revocations_options revocations = { .issuer = self->options->issuer,
                                                     .store = self->store,
                                                     .signers = self->signers,
                                                     .committer = self->committer };
    return revocations_start(&revocations, &self->revocations, err)
        && start_checkpointer(self, err);
}

bool service_start(const struct service_options *options, struct service **service_out,
                   struct error *err)
{
    struct service *self = xcalloc(1, sizeof(*self));

    self->options = options;
    self->signers_options = options->signers;
    self->signers_options.issuer = options->issuer;
    self->signers_options.audience = options->audience;
    self->signers_options.lifetime_max_s = options->token_lifetime_s;
    self->signers_options.failed = on_signer_failed;
    self->signers_options.context = self;
    self->codes = code_table_new(CODE_TABLE_MAX);
    self->undelivered = undelivered_new(exchange_free);
    self->code_lifetime_s = options->code_lifetime_s;
    self->request_lifetime_s = options->request_lifetime_s;
    const struct trust_options trust = trust_options_of(options);
    self->trust = trust_new(&trust);
    pthread_mutex_init(&self->trust_lock, NULL);
    pthread_mutex_init(&self->heartbeat_lock, NULL);
    if (!store_open(options->store_url, &options->store, &self->store, err)
        || !ledger_open(&options->ledger, self->store, &self->ledger, err) || !start(self, err)) {
        service_stop(self);
        return false;
    }
    self->started_s = store_now_s(self->store);
    self->started_ns = monotonic_ns();
    *service_out = self;
    return true;
}

void service_stop(struct service *self)
{
    if (self == NULL) {
        return;
    }
    revocations_stop(self->revocations);
    keyring_stop(self->keyring);
    if (self->has_started) {
        note_stop(self);
    }
    checkpointer_stop(self->checkpointer);
    committer_stop(self->committer);
    signers_stop(self->signers);
    undelivered_free(self->undelivered);
    ledger_close(self->ledger);
    store_close(self->store);
    code_table_free(self->codes);
    trust_release(self->trust);
    pthread_mutex_destroy(&self->trust_lock);
    pthread_mutex_destroy(&self->heartbeat_lock);
    free(self);
}

void service_print_jwks(struct service *self, struct text *text)
{
    keyring_print_jwks(self->keyring, text);
}

void service_print_active_jwks(struct service *self, struct text *text)
{
    keyring_print_active_jwks(self->keyring, text);
}

bool service_print_revoked_tokens(struct service *self, struct text *text, struct error *err)
{
    return revocations_print(self->revocations, store_now_s(self->store), text, err);
}

/* ---- health ---- */

static bool has_proven_signer(struct service *self)
{
    const int64_t oldest_ns = monotonic_ns() - SELF_TEST_MAX_AGE_S * NS_PER_S;

    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->signers, signers);

    for (size_t i = 0; i < count; i++) {
        if (signers[i].state == SIGNER_UP && signers[i].permitted
            && signers[i].self_test_ns > oldest_ns) {
            return true;
        }
    }
    return false;
}

static void heartbeat_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static bool heartbeat_commit(struct job *job, struct ledger *ledger, struct store *store,
                             int64_t now_s, struct error *err)
{
    (void)job, (void)ledger;
    return store_heartbeat(store, now_s, err);
}

static const struct job_type heartbeat_job = { .run = heartbeat_commit, .free = heartbeat_free };

static bool beat(struct service *self, struct error *err)
{
    struct job *job = xcalloc(1, sizeof(*job));

    job_init(job, &heartbeat_job);
    if (!committer_write(self->committer, job, err)) {
        return fail(err, ERROR_STORE_UNAVAILABLE, "the store does not answer a write");
    }
    heartbeat_free(job);
    return true;
}

/* However often one asks, the store is written at most once in HEARTBEAT_MAX_AGE_MS, and who waited for
 * another's answer takes it for its own: of those who wait for a store that hangs none waits for two. */
static bool store_answers(struct service *self, struct error *err)
{
    pthread_mutex_lock(&self->heartbeat_lock);
    if (self->heartbeat_ns == 0
        || monotonic_ns() - self->heartbeat_ns > HEARTBEAT_MAX_AGE_MS * (int64_t)NS_PER_MS) {
        self->heartbeat_error.code = ERROR_NONE;
        (void)!beat(self, &self->heartbeat_error);
        self->heartbeat_ns = monotonic_ns();
        if (self->owes_start && self->heartbeat_error.code == ERROR_NONE) {
            (void)!note_start(self, err);
        }
    }
    *err = self->heartbeat_error;
    pthread_mutex_unlock(&self->heartbeat_lock);
    return err->code == ERROR_NONE;
}

bool service_is_ready(struct service *self, struct error *err)
{
    int64_t unused_s;

    if (!store_read_clock(self->store, &unused_s, err)) {
        return false;
    }
    if (!has_proven_signer(self)) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE,
                    "no signer with an active key has a verified self-test of the last %d s",
                    SELF_TEST_MAX_AGE_S);
    }
    return ledger_permits(self->ledger, err) && store_answers(self, err);
}

/* A self-test's signature is collected by the committer, so it is proof of both. */
bool service_is_alive(struct service *self)
{
    const int64_t oldest_ns = monotonic_ns() - SELF_TEST_MAX_AGE_S * NS_PER_S;
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->signers, signers);
    bool any_up = false;

    for (size_t i = 0; i < count; i++) {
        if (signers[i].state == SIGNER_UP && signers[i].self_test_ns > oldest_ns) {
            return true;
        }
        any_up = any_up || signers[i].state == SIGNER_UP;
    }
    return !any_up && committer_turn_ns(self->committer) > oldest_ns;
}

/* ---- metrics ---- */

struct gauge {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct signer_status *status);
};

static double value_up(const struct signer_status *status)
{
    return status->state == SIGNER_UP;
}

static double value_locked(const struct signer_status *status)
{
    return status->state == SIGNER_LOCKED;
}

static double value_in_flight(const struct signer_status *status)
{
    return status->in_flight;
}

static double value_queue(const struct signer_status *status)
{
    return status->queue;
}

static double value_restarts(const struct signer_status *status)
{
    return (double)status->restarts;
}

static double value_signatures(const struct signer_status *status)
{
    return (double)status->signatures;
}

static double value_wrong_signatures(const struct signer_status *status)
{
    return (double)status->wrong_signatures;
}

static double value_self_test_age(const struct signer_status *status)
{
    return status->self_test_ns == 0 ? -1 : (double)(monotonic_ns() - status->self_test_ns) / 1e9;
}

static const struct gauge gauges[] = {
    { "issuerd_signer_up", "gauge", "1 while the signer serves.", value_up },
    { "issuerd_signer_locked", "gauge", "1 while its PIN is refused.", value_locked },
    { "issuerd_signer_in_flight", "gauge", "Signatures asked for and not yet made.",
      value_in_flight },
    { "issuerd_signer_queue_limit", "gauge", "Most signatures in flight.", value_queue },
    { "issuerd_signer_restarts_total", "counter", "Signer processes that ended.", value_restarts },
    { "issuerd_signer_signatures_total", "counter",
      "Signatures made: tokens, lists of revoked tokens, checkpoints.", value_signatures },
    { "issuerd_signer_wrong_signatures_total", "counter",
      "Signatures that did not verify and were thrown away.", value_wrong_signatures },
    { "issuerd_signer_self_test_age_seconds", "gauge",
      "Age of the last verified self-test signature; -1: none.", value_self_test_age },
};

static void print_one(struct text *text, const char *name, const char *help, int64_t value)
{
    metrics_print_head(text, name, "gauge", help);
    text_add(text, name);
    text_add(text, " ");
    text_add_number(text, value);
    text_add(text, "\n");
}

static void print_gauges(struct service *self, struct text *text)
{
    struct error err = { .code = ERROR_NONE };

    metrics_print_head(text, "issuerd_info", "gauge", "1, with what this server is.");
    text_add(text, "issuerd_info{version=\"" ISSUERD_VERSION "\",node=\"");
    text_add(text, self->options->ledger.node);
    text_add(text, "\"} 1\n");
    print_one(text, "issuerd_ready", "1 while a token can be issued.",
              service_is_ready(self, &err));
    print_one(text, "issuerd_clock_trusted",
              "1 while the clock is trusted: else nothing is issued.",
              store_clock(self->store).is_trusted);
    print_one(text, "issuerd_store_failing",
              "1 since a transaction failed, until one is committed.",
              committer_status(self->committer).failing_ns != 0);
    print_one(text, "issuerd_ledger_backlog_limit",
              "Most entries that may wait for a signed checkpoint; 0: none is signed.",
              ledger_status(self->ledger).backlog_max);
}

void service_print_metrics(struct service *self, struct text *text)
{
    print_gauges(self, text);
    metrics_print(&self->metrics, text);
    checkpointer_print_metrics(self->checkpointer, text);
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->signers, signers);
    for (size_t i = 0; i < COUNT_OF(gauges); i++) {
        metrics_print_head(text, gauges[i].name, gauges[i].type, gauges[i].help);
        for (size_t j = 0; j < count; j++) {
            char line[160];
            (void)snprintf(line, sizeof(line), "%s{signer=\"%s\"} %.9g\n", gauges[i].name,
                           signers[j].name, gauges[i].value(&signers[j]));
            text_add(text, line);
        }
    }
}
