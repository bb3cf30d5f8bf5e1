/* Gathers a service's status from its parts. */
#include "core/service_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "core/status.h"

/* What is monotonic inside is told in seconds since 1970. */
struct moment {
    int64_t ns;
    int64_t s;
    int64_t offset_s; /* between the two */
};

/* The offset is that of the start, so that a time is told the same whenever one asks; unless the clock was
 * set since. */
static struct moment this_moment(const struct service *self)
{
    struct moment now = { .ns = monotonic_ns(), .s = store_now_s(self->store) };
    const int64_t offset_s = now.s - now.ns / NS_PER_S;

    now.offset_s = self->started_s - self->started_ns / NS_PER_S;
    if (offset_s < now.offset_s - 1 || offset_s > now.offset_s + 1) {
        now.offset_s = offset_s;
    }
    return now;
}

/* 0 stays 0: it never was. */
static int64_t told(const struct moment *now, int64_t ns)
{
    return ns == 0 ? 0 : ns / NS_PER_S + now->offset_s;
}

static struct status_failure failure_of(const struct moment *now, int64_t at_ns,
                                        const struct error *err)
{
    struct status_failure failure = { .time_s = told(now, at_ns) };

    if (at_ns != 0) {
        (void)snprintf(failure.text, sizeof(failure.text), "%s", error_line(err).text);
    }
    return failure;
}

static void gather_exchanges(struct service_status *status, struct service *self,
                             const struct moment *now)
{
    struct recent *recent = &self->metrics.recent;

    for (size_t i = 0; i < EXCHANGE_RESULTS; i++) {
        status->total[i] = atomic_load(&recent->now.exchanges[i]);
    }
    recent_exchanges(recent, now->ns, 60, status->last_60_s);
    recent_exchanges(recent, now->ns, 10, status->last_10_s);
    recent_history(recent, now->ns, status->history);
    status->history_end_s = told(now, now->ns);
    status->issued_s = told(now, atomic_load(&recent->issued_ns));
    for (size_t i = 0; i < LATENCIES; i++) {
        status->latencies[i] = recent_latency(recent, (enum latency)i, now->ns);
    }
}

static void gather_signers(struct service_status *status, struct service *self,
                           const struct moment *now)
{
    struct signer_status signers[SIGNERS_MAX];

    status->signer_count = signers_list(self->signers, signers);
    for (size_t i = 0; i < status->signer_count; i++) {
        struct status_signer *signer = &status->signers[i];
        const struct signer_failure failure = signers_last_failure(self->signers, signers[i].id);
        signer->is = signers[i];
        signer->since_s = told(now, signer->is.since_ns);
        signer->self_test_age_ms =
            signer->is.self_test_ns == 0 ? -1 : (now->ns - signer->is.self_test_ns) / NS_PER_MS;
        signer->failure = failure_of(now, failure.at_ns, &failure.err);
    }
}

/* The last ones of the list, which is in the order of their last steps. */
static void gather_keys(struct service_status *status, struct service *self,
                        const struct key_list *list)
{
    const size_t first = list->count > STATUS_KEYS_MAX ? list->count - STATUS_KEYS_MAX : 0;

    for (size_t i = first; i < list->count; i++) {
        status->keys[status->key_count++] =
            (struct status_key){ .stored = &list->keys[i],
                                 .absence = keyring_absence_of(self->keyring, &list->keys[i]) };
    }
}

static void gather_ledger(struct service_status *status, struct service *self,
                          const struct moment *now)
{
    const struct ledger_status ledger = ledger_status(self->ledger);
    const struct checkpointer_status checkpointer = checkpointer_status(self->checkpointer);

    status->ledger = (struct status_ledger){
        .node = self->options->ledger.node,
        .epoch = ledger.epoch,
        .size = ledger.size,
        .checkpointed = ledger.checkpointed,
        .backlog_max = ledger.backlog_max,
        .signer = checkpointer.signer,
        .checkpoint_s = checkpointer.signed_s,
        .checkpoint_failing_s = told(now, checkpointer.failing_ns),
        .stopped_s = told(now, ledger.stopped_ns),
        .is_rolled_back = ledger.is_rolled_back,
    };
}

static void gather_store(struct service_status *status, struct service *self,
                         const struct moment *now)
{
    const struct committer_status committer = committer_status(self->committer);

    status->store = (struct status_store){
        .engine = store_engine_name(self->options->store_url),
        .committed_s = told(now, committer.committed_ns),
        .failing_s = told(now, committer.failing_ns),
        .failure = failure_of(now, committer.failed_ns, &committer.err),
    };
}

static struct status_clock clock_of(struct service *self, const struct moment *now)
{
    return (struct status_clock){
        .is = store_clock(self->store),
        .since_s = told(now, committer_clock_untrusted_ns(self->committer)),
    };
}

void service_print_clock(struct service *self, struct text *text)
{
    const struct moment now = this_moment(self);
    const struct status_clock clock = clock_of(self, &now);

    status_print_clock(&clock, text);
}

void service_print_status(struct service *self, const struct edge_status *edge, struct text *text)
{
    scoped(release_memory) struct service_status *status = xcalloc(1, sizeof(*status));
    scoped(key_list_clear) struct key_list keys = { .count = 0 };

    status->ready = service_is_ready(self, &status->reason);
    const struct moment now = this_moment(self);
    keyring_list_keys(self->keyring, &keys);
    status->now_s = now.s;
    status->started_s = told(&now, self->started_ns);
    status->issuer = self->options->issuer;
    status->edge = *edge;
    gather_exchanges(status, self, &now);
    gather_signers(status, self, &now);
    gather_keys(status, self, &keys);
    gather_ledger(status, self, &now);
    gather_store(status, self, &now);
    status->clock = clock_of(self, &now);
    status_print(status, text);
}
