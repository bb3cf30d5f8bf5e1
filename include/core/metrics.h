/* What the server counts, as Prometheus wants it. Any thread; relaxed atomics. */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "core/recent.h"

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 14 };

/* Durations, in buckets from 50 us to 2.5 s. */
struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS + 1]; /* the last: longer than all bounds */
    _Atomic uint64_t sum_ns;
};

enum validation_result {
    VALIDATION_VALIDATED,
    VALIDATION_INVALID, /* body, state or nonce */
    VALIDATION_UNKNOWN,
    VALIDATION_NOT_OPEN,
    VALIDATION_UNPROVEN,
    VALIDATION_NO_RESOLVER,
    VALIDATION_NO_STORE,
    VALIDATION_NO_CLOCK,
    VALIDATION_RESULTS,
};

struct metrics {
    struct recent recent; /* the exchanges by result, too */
    _Atomic uint64_t validations[VALIDATION_RESULTS];
    struct histogram exchange; /* from the request's head to the result */
    struct histogram sign;     /* the device's part */
    struct histogram commit;   /* COMMIT, fsync included */
};

void histogram_observe(struct histogram *histogram, int64_t ns);

/* Counts an exchange that ended with `code` (ERROR_NONE: a token was issued) at `now_ns` (monotonic),
 * after `took_ns`. */
void metrics_count_exchange(struct metrics *metrics, enum error_code code, int64_t took_ns,
                            int64_t now_ns);

/* A signature, or a commit, that came at `now_ns`, and took so long. */
void metrics_observe_signature(struct metrics *metrics, int64_t took_ns, int64_t now_ns);
void metrics_observe_commit(struct metrics *metrics, int64_t took_ns, int64_t now_ns);

/* As metrics and status call it. */
const char *exchange_result_name(enum exchange_result result);

/* Counts a presentation that ended with `code` (ERROR_NONE: its request has a code now). */
void metrics_count_validation(struct metrics *metrics, enum error_code code);

/* Appends all of it in the Prometheus text format 0.0.4. */
void metrics_print(const struct metrics *metrics, struct text *text);

/* Appends "# HELP" and "# TYPE" lines. */
void metrics_print_head(struct text *text, const char *name, const char *type, const char *help);
