/*
 * Whether a clock that somebody can set may still be believed. It is held against CLOCK_BOOTTIME, which
 * nobody sets: the anchor is the distance of the two when the clock was last known to be right. A
 * reading more than CLOCK_DEVIATION_MAX_S off is not trusted; one that is back is, by itself.
 *
 * Not CLOCK_MONOTONIC: it stands still while the machine is suspended, and every resume would look
 * like a jump.
 *
 * NTP slews all of these clocks alike, so that slewing never shows here. What shows is steps, and
 * another machine's clock that runs at another rate. While the reading is trusted the anchor follows it,
 * at CLOCK_FOLLOW_PPM at most: small corrections do not add up to distrust over the months, and who
 * takes many small steps gets no further than 5 s and 1.8 s an hour, as slow as a slew, which no
 * such guard can see.
 *
 * Threads: clock_guard_follow() by one; the others by any, without a lock.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_DEVIATION_MAX_S = 5, CLOCK_FOLLOW_PPM = 500 };

/* Both read at one moment. */
struct clock_reading {
    int64_t now_ns; /* the clock's, since 1970 */
    int64_t boot_ns;
};

struct clock_guard {
    _Atomic int64_t anchor_ns; /* the clock's distance from the boot clock */
    _Atomic bool is_floor;     /* the anchor is but the earliest that can be right */
    int64_t followed_ns;       /* the following thread's own: when it did last, by the boot clock */
};

struct clock_anchor {
    int64_t anchor_ns;
    bool is_floor;
};

/* What the clock says now is right: at the start, and when an operator says so. Returns the anchor as it
 * was. */
struct clock_anchor clock_guard_anchor(struct clock_guard *guard,
                                       const struct clock_reading *reading);

/* It was not, after all. */
void clock_guard_restore(struct clock_guard *guard, const struct clock_anchor *before);

/* It was `floor_ns` before: a clock that is behind that is not trusted until it has come up to it. Once;
 * from there on it is guarded as any. */
void clock_guard_set_floor(struct clock_guard *guard, const struct clock_reading *reading,
                           int64_t floor_ns);

/* How far the reading is ahead of what the anchor lets one expect; negative: behind. */
int64_t clock_guard_deviation_ns(const struct clock_guard *guard,
                                 const struct clock_reading *reading);

bool clock_guard_trusts(const struct clock_guard *guard, const struct clock_reading *reading);

/* The time as it was last trusted, run on by the boot clock. */
int64_t clock_guard_carried_ns(const struct clock_guard *guard, int64_t boot_ns);

/* Every second or so: lets the anchor follow. */
void clock_guard_follow(struct clock_guard *guard, const struct clock_reading *reading);
