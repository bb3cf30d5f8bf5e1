/*
 * The last minute of what the server counts: exchanges by result a second, and how long things took.
 * Counters only grow; the first who counts, or asks, in a second keeps what they were when it began,
 * so that nobody is locked and no thread has to tick. What is counted at the very turn of a second may
 * be told of the one or the other.
 *
 * Times are monotonic. Threads: any; relaxed atomics.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum exchange_result {
    EXCHANGE_ISSUED,
    EXCHANGE_INVALID,
    EXCHANGE_UNKNOWN,
    EXCHANGE_EXPIRED,
    EXCHANGE_SPENT,
    EXCHANGE_OVERLOADED,
    EXCHANGE_NO_SIGNER,
    EXCHANGE_NO_STORE,
    EXCHANGE_NO_LEDGER,
    EXCHANGE_NO_CLOCK,
    EXCHANGE_INTERNAL,
    EXCHANGE_RESULTS,
};

/* Whose doing a result is. */
enum exchange_kind {
    EXCHANGE_KIND_ISSUED,
    EXCHANGE_KIND_REFUSED, /* the client's */
    EXCHANGE_KIND_FAILED,  /* ours: its code is still good */
    EXCHANGE_KINDS,
};
enum exchange_kind exchange_kind_of(enum exchange_result result);

/* What takes how long. */
enum latency {
    LATENCY_EXCHANGE, /* of those that issued: from the request's head to the result */
    LATENCY_SIGN,     /* the device's part */
    LATENCY_COMMIT,   /* COMMIT, fsync included */
    LATENCIES,
};

enum {
    RECENT_S = 60,
    LATENCY_BUCKETS = 70, /* four to each doubling from 33 us to 4.3 s, one below, one above */
    SNAPSHOTS = 64,       /* over RECENT_S, so that nobody reads the one that is being made */
};

struct tally {
    _Atomic uint64_t exchanges[EXCHANGE_RESULTS];
    _Atomic uint64_t latencies[LATENCIES][LATENCY_BUCKETS];
};

struct recent {
    struct tally now;
    _Atomic int64_t issued_ns; /* when the last token was; 0: none yet */
    _Atomic int64_t second;    /* of the newest snapshot */
    struct {
        _Atomic int64_t second; /* at whose beginning the counters were so */
        struct tally tally;
    } snapshots[SNAPSHOTS];
};

/* An exchange that ended at `now_ns`, after `took_ns`. */
void recent_count_exchange(struct recent *recent, enum exchange_result result, int64_t took_ns,
                           int64_t now_ns);

void recent_observe(struct recent *recent, enum latency what, int64_t took_ns, int64_t now_ns);

/* Of the last `seconds` whole seconds, at most RECENT_S. */
void recent_exchanges(struct recent *recent, int64_t now_ns, int64_t seconds,
                      uint64_t counts_out[static EXCHANGE_RESULTS]);

/* Of each of the last RECENT_S whole seconds, the oldest first. */
struct recent_second {
    uint64_t counts[EXCHANGE_KINDS];
};
void recent_history(struct recent *recent, int64_t now_ns,
                    struct recent_second seconds_out[static RECENT_S]);

/* Of the last RECENT_S whole seconds; exact to an eighth. */
struct recent_latency {
    uint64_t count; /* 0: the others mean nothing */
    double p50_ms;
    double p99_ms;
};
struct recent_latency recent_latency(struct recent *recent, enum latency what, int64_t now_ns);
