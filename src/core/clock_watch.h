/*
 * Watches the store's clock, and tells the log when it is not trusted any more, and when it is again.
 *
 * Threads: clock_watch_look() by one; the status by any.
 */
#pragma once

#include "store/store.h"

struct clock_watch {
    struct store *store;
    _Atomic int64_t untrusted_ns; /* since when (monotonic); 0: it is trusted */
};

/* To be called every second or so. */
void clock_watch_look(struct clock_watch *watch);

/* Since when the clock is not trusted (monotonic), as was last looked; 0: it is. */
int64_t clock_watch_untrusted_ns(const struct clock_watch *watch);
