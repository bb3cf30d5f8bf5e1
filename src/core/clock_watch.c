#include "core/clock_watch.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"

static void report(const struct store_clock *clock)
{
    if (clock->is_trusted) {
        log_event(LOG_LEVEL_NOTICE, "clock.trusted", "effect='tokens are issued again'");
        return;
    }
    log_event(LOG_LEVEL_ERROR, "clock.untrusted",
              "clock=%s deviation_s=%" PRId64 " reason='%s' effect='no token is issued' "
              "hint='set it right, or if it is: issuerctl clock confirm'",
              clock->name, clock->deviation_s,
              clock->is_behind_ledger ? "it is behind the ledger" : "it was set");
}

void clock_watch_look(struct clock_watch *self)
{
    store_follow_clock(self->store);
    const struct store_clock clock = store_clock(self->store);

    if (clock.is_trusted == (clock_watch_untrusted_ns(self) == 0)) {
        return;
    }
    atomic_store(&self->untrusted_ns, clock.is_trusted ? 0 : monotonic_ns());
    report(&clock);
}

int64_t clock_watch_untrusted_ns(const struct clock_watch *self)
{
    return atomic_load(&self->untrusted_ns);
}
