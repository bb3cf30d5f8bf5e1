/* The clocks behind a store's times: this machine's, and the engine's own, if it has one, which then is
 * the one that decides. Both are guarded: by the machine's the signers judge what they sign. */
#include "store/store.h"

#include <inttypes.h>

#include "base/clock.h"
#include "store/store_driver.h"

static const char *const names[STORE_CLOCKS_MAX] = { "machine", "database" };

static size_t count_of(const struct store *store)
{
    return store->driver->now_ns != NULL ? 2 : 1;
}

static struct clock_reading read_clock(struct store *store, size_t which)
{
    return (struct clock_reading){ .now_ns = which == 0 ? wall_ns() : store->driver->now_ns(store),
                                   .boot_ns = boot_ns() };
}

static int64_t rounded_s(int64_t ns)
{
    return (ns + (ns < 0 ? -NS_PER_S : NS_PER_S) / 2) / NS_PER_S;
}

static struct store_clock describe(struct store *store, size_t which)
{
    const struct clock_guard *guard = &store->clocks[which];
    const struct clock_reading reading = read_clock(store, which);

    return (struct store_clock){
        .name = names[which],
        .is_trusted = clock_guard_trusts(guard, &reading),
        .is_behind_ledger = guard->is_floor,
        .time_s = reading.now_ns / NS_PER_S,
        .deviation_s = rounded_s(clock_guard_deviation_ns(guard, &reading)),
    };
}

static bool fail_untrusted(struct store *store, size_t which, struct error *err)
{
    const struct store_clock clock = describe(store, which);

    return fail(err, ERROR_CLOCK_UNTRUSTED,
                "the %s's clock is %" PRId64 " s %s: set it right, or issuerctl clock confirm",
                clock.name, clock.deviation_s < 0 ? -clock.deviation_s : clock.deviation_s,
                clock.is_behind_ledger  ? "behind the ledger"
                : clock.deviation_s < 0 ? "behind where it was"
                                        : "ahead of where it was");
}

bool store_read_clock(struct store *store, int64_t *now_s_out, struct error *err)
{
    for (size_t i = 0; i < count_of(store); i++) {
        const struct clock_reading reading = read_clock(store, i);
        if (!clock_guard_trusts(&store->clocks[i], &reading)) {
            return fail_untrusted(store, i, err);
        }
        *now_s_out = reading.now_ns / NS_PER_S;
    }
    return true;
}

int64_t store_now_s(struct store *store)
{
    const size_t which = count_of(store) - 1;
    const struct clock_guard *guard = &store->clocks[which];
    const struct clock_reading reading = read_clock(store, which);
    const int64_t now_ns = clock_guard_trusts(guard, &reading)
                             ? reading.now_ns
                             : clock_guard_carried_ns(guard, reading.boot_ns);
    return now_ns / NS_PER_S;
}

struct store_clock store_clock(struct store *store)
{
    struct store_clock clock = { .is_trusted = true };

    for (size_t i = 0; i < count_of(store) && clock.is_trusted; i++) {
        clock = describe(store, i);
    }
    return clock;
}

void store_set_clock_floor(struct store *store, int64_t floor_s)
{
    const size_t which = count_of(store) - 1;
    const struct clock_reading reading = read_clock(store, which);

    clock_guard_set_floor(&store->clocks[which], &reading, floor_s * NS_PER_S);
}

void store_follow_clock(struct store *store)
{
    for (size_t i = 0; i < count_of(store); i++) {
        const struct clock_reading reading = read_clock(store, i);
        clock_guard_follow(&store->clocks[i], &reading);
    }
}

struct store_anchors store_confirm_clock(struct store *store)
{
    struct store_anchors before = { .clocks = { { .anchor_ns = 0 } } };

    for (size_t i = 0; i < count_of(store); i++) {
        const struct clock_reading reading = read_clock(store, i);
        before.clocks[i] = clock_guard_anchor(&store->clocks[i], &reading);
    }
    return before;
}

void store_restore_anchors(struct store *store, const struct store_anchors *before)
{
    for (size_t i = 0; i < count_of(store); i++) {
        clock_guard_restore(&store->clocks[i], &before->clocks[i]);
    }
}
