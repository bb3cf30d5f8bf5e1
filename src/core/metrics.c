#include "core/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const int64_t bounds_us[HISTOGRAM_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 2500000,
};

static const char *const result_names[EXCHANGE_RESULTS] = {
    [EXCHANGE_ISSUED] = "issued",
    [EXCHANGE_INVALID] = "invalid_request",
    [EXCHANGE_UNKNOWN] = "unknown_code",
    [EXCHANGE_EXPIRED] = "expired_code",
    [EXCHANGE_SPENT] = "spent_code",
    [EXCHANGE_OVERLOADED] = "overloaded",
    [EXCHANGE_NO_SIGNER] = "signer_down",
    [EXCHANGE_NO_STORE] = "store_down",
    [EXCHANGE_NO_LEDGER] = "ledger_stopped",
    [EXCHANGE_NO_CLOCK] = "clock_untrusted",
    [EXCHANGE_INTERNAL] = "internal",
};

static const char *const validation_names[VALIDATION_RESULTS] = {
    [VALIDATION_VALIDATED] = "validated", [VALIDATION_INVALID] = "invalid_request",
    [VALIDATION_UNKNOWN] = "unknown",     [VALIDATION_NOT_OPEN] = "not_open",
    [VALIDATION_UNPROVEN] = "not_proven", [VALIDATION_NO_RESOLVER] = "resolver_down",
    [VALIDATION_NO_STORE] = "store_down", [VALIDATION_NO_CLOCK] = "clock_untrusted",
};

const char *exchange_result_name(enum exchange_result result)
{
    return result_names[result];
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

void histogram_observe(struct histogram *histogram, int64_t ns)
{
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS && ns > bounds_us[bucket] * 1000) {
        bucket++;
    }
    add(&histogram->counts[bucket], 1);
    add(&histogram->sum_ns, (uint64_t)ns);
}

static enum exchange_result result_of(enum error_code code)
{
    switch ((int)code) {
    case ERROR_NONE:
        return EXCHANGE_ISSUED;
    case ERROR_CODE_UNKNOWN:
        return EXCHANGE_UNKNOWN;
    case ERROR_CODE_EXPIRED:
        return EXCHANGE_EXPIRED;
    case ERROR_CODE_SPENT:
        return EXCHANGE_SPENT;
    case ERROR_OVERLOADED:
        return EXCHANGE_OVERLOADED;
    case ERROR_DEVICE_UNAVAILABLE:
        return EXCHANGE_NO_SIGNER;
    case ERROR_STORE_UNAVAILABLE:
    case ERROR_STORE_IN_DOUBT:
        return EXCHANGE_NO_STORE;
    case ERROR_LEDGER_STOPPED:
    case ERROR_STORE_ROLLED_BACK:
        return EXCHANGE_NO_LEDGER;
    case ERROR_CLOCK_UNTRUSTED:
        return EXCHANGE_NO_CLOCK;
    case ERROR_INTERNAL:
    case ERROR_LINT:
        return EXCHANGE_INTERNAL;
    default:
        return EXCHANGE_INVALID;
    }
}

void metrics_count_exchange(struct metrics *metrics, enum error_code code, int64_t took_ns,
                            int64_t now_ns)
{
    recent_count_exchange(&metrics->recent, result_of(code), took_ns, now_ns);
    histogram_observe(&metrics->exchange, took_ns);
}

void metrics_observe_signature(struct metrics *metrics, int64_t took_ns, int64_t now_ns)
{
    recent_observe(&metrics->recent, LATENCY_SIGN, took_ns, now_ns);
    histogram_observe(&metrics->sign, took_ns);
}

void metrics_observe_commit(struct metrics *metrics, int64_t took_ns, int64_t now_ns)
{
    recent_observe(&metrics->recent, LATENCY_COMMIT, took_ns, now_ns);
    histogram_observe(&metrics->commit, took_ns);
}

static enum validation_result validation_of(enum error_code code)
{
    switch ((int)code) {
    case ERROR_NONE:
        return VALIDATION_VALIDATED;
    case ERROR_NOT_FOUND:
        return VALIDATION_UNKNOWN;
    case ERROR_NOT_OPEN:
        return VALIDATION_NOT_OPEN;
    case ERROR_PRESENTATION:
        return VALIDATION_UNPROVEN;
    case ERROR_RESOLVER_UNAVAILABLE:
        return VALIDATION_NO_RESOLVER;
    case ERROR_STORE_UNAVAILABLE:
    case ERROR_STORE_IN_DOUBT:
        return VALIDATION_NO_STORE;
    case ERROR_CLOCK_UNTRUSTED:
        return VALIDATION_NO_CLOCK;
    default:
        return VALIDATION_INVALID;
    }
}

void metrics_count_validation(struct metrics *metrics, enum error_code code)
{
    add(&metrics->validations[validation_of(code)], 1);
}

__attribute__((format(printf, 2, 3))) static void print(struct text *text, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    text_add(text, line);
}

void metrics_print_head(struct text *text, const char *name, const char *type, const char *help)
{
    print(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_histogram(struct text *text, const char *name, const char *help,
                            const struct histogram *histogram)
{
    uint64_t total = 0;

    metrics_print_head(text, name, "histogram", help);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        print(text, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)bounds_us[i] / 1e6, total);
    }
    total += atomic_load_explicit(&histogram->counts[HISTOGRAM_BUCKETS], memory_order_relaxed);
    print(text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, total);
    print(text, "%s_sum %.9f\n", name,
          (double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / 1e9);
    print(text, "%s_count %" PRIu64 "\n", name, total);
}

static void print_counters(struct text *text, const char *name, const char *help,
                           const _Atomic uint64_t *counters, const char *const *names, size_t count)
{
    metrics_print_head(text, name, "counter", help);
    for (size_t i = 0; i < count; i++) {
        print(text, "%s{result=\"%s\"} %" PRIu64 "\n", name, names[i],
              atomic_load_explicit(&counters[i], memory_order_relaxed));
    }
}

void metrics_print(const struct metrics *metrics, struct text *text)
{
    print_counters(text, "issuerd_exchanges_total", "Exchanges by result.",
                   metrics->recent.now.exchanges, result_names, EXCHANGE_RESULTS);
    print_counters(text, "issuerd_validations_total",
                   "Presentations for authorization requests by result.", metrics->validations,
                   validation_names, VALIDATION_RESULTS);
    print_histogram(text, "issuerd_exchange_seconds", "Time of an exchange inside the server.",
                    &metrics->exchange);
    print_histogram(text, "issuerd_sign_seconds", "Time of a signature inside the device.",
                    &metrics->sign);
    print_histogram(text, "issuerd_commit_seconds", "Time of a store commit.", &metrics->commit);
}
