#include "core/recent.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

enum {
    FIRST_POWER = 15, /* 2^15 ns: 33 us */
    LAST_POWER = 32,  /* 4.3 s */
    QUARTER_BITS = 2,
};
_Static_assert(LATENCY_BUCKETS == ((LAST_POWER - FIRST_POWER) << QUARTER_BITS) + 2,
               "each doubling has four buckets");

enum exchange_kind exchange_kind_of(enum exchange_result result)
{
    return result == EXCHANGE_ISSUED ? EXCHANGE_KIND_ISSUED
         : result <= EXCHANGE_SPENT  ? EXCHANGE_KIND_REFUSED
                                     : EXCHANGE_KIND_FAILED;
}

/* ---- counters ---- */

static void add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void copy(_Atomic uint64_t *to, const _Atomic uint64_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        atomic_store_explicit(&to[i], value_of(&from[i]), memory_order_relaxed);
    }
}

/* ---- snapshots ---- */

/* Before anything of a second is counted or told. */
static void begin_second(struct recent *self, int64_t second)
{
    int64_t newest = atomic_load_explicit(&self->second, memory_order_relaxed);

    if (second <= newest || !atomic_compare_exchange_strong(&self->second, &newest, second)) {
        return;
    }
    struct tally *tally = &self->snapshots[second % SNAPSHOTS].tally;
    copy(tally->exchanges, self->now.exchanges, EXCHANGE_RESULTS);
    for (size_t i = 0; i < LATENCIES; i++) {
        copy(tally->latencies[i], self->now.latencies[i], LATENCY_BUCKETS);
    }
    atomic_store_explicit(&self->snapshots[second % SNAPSHOTS].second, second,
                          memory_order_release);
}

/* The counters as they were when `second` began. In a second without a snapshot nothing was counted: the
 * next one is as good. */
static const struct tally *tally_at(const struct recent *self, int64_t second, int64_t now_s)
{
    for (int64_t s = second < 0 ? 0 : second; s <= now_s; s++) {
        if (atomic_load_explicit(&self->snapshots[s % SNAPSHOTS].second, memory_order_acquire)
            == s) {
            return &self->snapshots[s % SNAPSHOTS].tally;
        }
    }
    return &self->now;
}

/* ---- counting ---- */

static size_t bucket_of(int64_t ns)
{
    if (ns < INT64_C(1) << FIRST_POWER) {
        return 0;
    }
    if (ns >= INT64_C(1) << LAST_POWER) {
        return LATENCY_BUCKETS - 1;
    }
    const int power = 63 - __builtin_clzll((unsigned long long)ns);
    const int64_t quarter = (ns >> (power - QUARTER_BITS)) & ((1 << QUARTER_BITS) - 1);
    return 1 + (size_t)((power - FIRST_POWER) << QUARTER_BITS) + (size_t)quarter;
}

void recent_observe(struct recent *self, enum latency what, int64_t took_ns, int64_t now_ns)
{
    begin_second(self, now_ns / NS_PER_S);
    add(&self->now.latencies[what][bucket_of(took_ns)]);
}

void recent_count_exchange(struct recent *self, enum exchange_result result, int64_t took_ns,
                           int64_t now_ns)
{
    begin_second(self, now_ns / NS_PER_S);
    add(&self->now.exchanges[result]);
    if (result == EXCHANGE_ISSUED) {
        add(&self->now.latencies[LATENCY_EXCHANGE][bucket_of(took_ns)]);
        atomic_store_explicit(&self->issued_ns, now_ns, memory_order_relaxed);
    }
}

/* ---- telling ---- */

void recent_exchanges(struct recent *self, int64_t now_ns, int64_t seconds,
                      uint64_t counts_out[static EXCHANGE_RESULTS])
{
    const int64_t now_s = now_ns / NS_PER_S;

    begin_second(self, now_s);
    const struct tally *before = tally_at(self, now_s - seconds, now_s);
    const struct tally *after = tally_at(self, now_s, now_s);
    for (size_t i = 0; i < EXCHANGE_RESULTS; i++) {
        counts_out[i] = value_of(&after->exchanges[i]) - value_of(&before->exchanges[i]);
    }
}

static struct recent_second kinds_of(const struct tally *tally)
{
    struct recent_second kinds = { .counts = { 0 } };

    for (size_t i = 0; i < EXCHANGE_RESULTS; i++) {
        kinds.counts[exchange_kind_of((enum exchange_result)i)] += value_of(&tally->exchanges[i]);
    }
    return kinds;
}

void recent_history(struct recent *self, int64_t now_ns,
                    struct recent_second seconds_out[static RECENT_S])
{
    const int64_t now_s = now_ns / NS_PER_S;

    begin_second(self, now_s);
    struct recent_second after = kinds_of(tally_at(self, now_s, now_s));
    for (int i = 1; i <= RECENT_S; i++) {
        const struct recent_second before = kinds_of(tally_at(self, now_s - i, now_s));
        for (size_t kind = 0; kind < EXCHANGE_KINDS; kind++) {
            seconds_out[RECENT_S - i].counts[kind] = after.counts[kind] - before.counts[kind];
        }
        after = before;
    }
}

/* Where a bucket begins; where the last one ends nobody knows. */
static double beginning_ms(size_t bucket)
{
    if (bucket == 0) {
        return 0;
    }
    const size_t quarters = bucket - 1;
    const int64_t in_quarters =
        (1 << QUARTER_BITS) + (int64_t)(quarters & ((1 << QUARTER_BITS) - 1));
    const int64_t ns = in_quarters << (FIRST_POWER - QUARTER_BITS + (quarters >> QUARTER_BITS));
    return (double)ns / NS_PER_MS;
}

/* Within a bucket as if all of it were evenly spread. */
static double quantile_ms(const uint64_t counts[static LATENCY_BUCKETS], double wanted)
{
    double below = 0;
    size_t bucket = 0;

    while (bucket < LATENCY_BUCKETS - 1 && below + (double)counts[bucket] < wanted) {
        below += (double)counts[bucket++];
    }
    const double from_ms = beginning_ms(bucket);
    if (bucket == LATENCY_BUCKETS - 1) {
        return from_ms;
    }
    return from_ms
         + (beginning_ms(bucket + 1) - from_ms) * (wanted - below) / (double)counts[bucket];
}

struct recent_latency recent_latency(struct recent *self, enum latency what, int64_t now_ns)
{
    const int64_t now_s = now_ns / NS_PER_S;
    struct recent_latency latency = { .count = 0 };
    uint64_t counts[LATENCY_BUCKETS];

    begin_second(self, now_s);
    const struct tally *before = tally_at(self, now_s - RECENT_S, now_s);
    const struct tally *after = tally_at(self, now_s, now_s);
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        counts[i] = value_of(&after->latencies[what][i]) - value_of(&before->latencies[what][i]);
        latency.count += counts[i];
    }
    if (latency.count > 0) {
        latency.p50_ms = quantile_ms(counts, (double)latency.count * 0.50);
        latency.p99_ms = quantile_ms(counts, (double)latency.count * 0.99);
    }
    return latency;
}
