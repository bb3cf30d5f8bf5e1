/*
 * An operator takes a clock that was set for right. The clock is believed just before the transaction
 * that enters so into the ledger, as its first entry: no token of the new time comes before it, and none
 * leaves if it does not become durable.
 */
#include "core/service_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"

struct confirmation {
    struct job job;
    struct store_anchors before;
    char detail[96];
};

static void confirmation_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static void confirmation_prepare(struct job *job, struct store *store)
{
    ((struct confirmation *)job)->before = store_confirm_clock(store);
}

static void confirmation_undo(struct job *job, struct store *store)
{
    store_restore_anchors(store, &((struct confirmation *)job)->before);
}

static bool confirmation_commit(struct job *job, struct ledger *ledger, struct store *store,
                                int64_t now_s, struct error *err)
{
    const struct confirmation *self = (struct confirmation *)job;
    const struct ledger_entry entry = {
        .time_s = now_s, .kind = LEDGER_CLOCK, .state = "confirmed", .detail = self->detail
    };
    return ledger_append(ledger, store, &entry, err);
}

static const struct job_type confirmation_job = { .prepare = confirmation_prepare,
                                                  .undo = confirmation_undo,
                                                  .run = confirmation_commit,
                                                  .free = confirmation_free };

/* What the operator saw, and not what came after it. */
static bool check(const struct store_clock *clock, int64_t deviation_s, struct error *err)
{
    if (clock->is_trusted) {
        return fail(err, ERROR_CONFLICT, "the clock is trusted: nothing is to be confirmed");
    }
    return llabs(clock->deviation_s - deviation_s) <= CLOCK_DEVIATION_MAX_S
        || fail(err, ERROR_CONFLICT, "the clock is off by %" PRId64 " s now: look again",
                clock->deviation_s);
}

bool service_confirm_clock(struct service *service, int64_t deviation_s, struct error *err)
{
    const struct store_clock clock = store_clock(service->store);

    if (!check(&clock, deviation_s, err)) {
        return false;
    }
    struct confirmation *self = xcalloc(1, sizeof(*self));
    job_init(&self->job, &confirmation_job);
    (void)snprintf(self->detail, sizeof(self->detail), "clock of the %s, off by %" PRId64 " s",
                   clock.name, clock.deviation_s);
    if (!committer_write(service->committer, &self->job, err)) {
        return false;
    }
    log_event(LOG_LEVEL_NOTICE, "clock.confirmed", "clock=%s deviation_s=%" PRId64, clock.name,
              clock.deviation_s);
    confirmation_free(&self->job);
    return true;
}
