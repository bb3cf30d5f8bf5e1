/* What is counted, and how Prometheus is told. */
#include "core/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/run.h"

enum { ROOM = 16384, THREADS = 8, EACH = 5000 };

static struct {
    struct metrics metrics;
    char buffer[ROOM];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static bool print(void)
{
    struct text text = text_over(fixture.buffer, sizeof(fixture.buffer));
    metrics_print(&fixture.metrics, &text);
    return !text.overflowed;
}

/* True if the output has exactly this line. */
static bool says(const char *line)
{
    const size_t length = strlen(line);
    for (const char *at = fixture.buffer; (at = strstr(at, line)) != NULL; at++) {
        if ((at == fixture.buffer || at[-1] == '\n') && at[length] == '\n') {
            return true;
        }
    }
    printf("\n    lacks: %s\n", line);
    return false;
}

static void test_nothing_happened_is_all_zero(void)
{
    CU_ASSERT_TRUE_FATAL(print());
    CU_ASSERT_TRUE(says("issuerd_exchanges_total{result=\"issued\"} 0"));
    CU_ASSERT_TRUE(says("issuerd_exchange_seconds_bucket{le=\"+Inf\"} 0"));
    CU_ASSERT_TRUE(says("issuerd_exchange_seconds_sum 0.000000000"));
    CU_ASSERT_TRUE(says("issuerd_exchange_seconds_count 0"));
}

static void test_each_validation_is_counted_under_its_name(void)
{
    static const struct {
        enum error_code code;
        const char *name;
    } results[] = {
        { ERROR_NONE, "validated" },
        { ERROR_INVALID_REQUEST, "invalid_request" },
        { ERROR_NOT_FOUND, "unknown" },
        { ERROR_NOT_OPEN, "not_open" },
        { ERROR_PRESENTATION, "not_proven" },
        { ERROR_RESOLVER_UNAVAILABLE, "resolver_down" },
        { ERROR_STORE_UNAVAILABLE, "store_down" },
        { ERROR_CLOCK_UNTRUSTED, "clock_untrusted" },
    };
    char line[80];

    for (size_t i = 0; i < COUNT_OF(results); i++) {
        for (size_t times = 0; times <= i; times++) {
            metrics_count_validation(&fixture.metrics, results[i].code);
        }
    }
    CU_ASSERT_TRUE_FATAL(print());
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        (void)snprintf(line, sizeof(line), "issuerd_validations_total{result=\"%s\"} %zu",
                       results[i].name, i + 1);
        CU_ASSERT_TRUE(says(line));
    }
}

static void test_each_result_is_counted_under_its_name(void)
{
    static const struct {
        enum error_code code;
        const char *name;
    } results[] = {
        { ERROR_NONE, "issued" },
        { ERROR_INVALID_REQUEST, "invalid_request" },
        { ERROR_CODE_UNKNOWN, "unknown_code" },
        { ERROR_CODE_EXPIRED, "expired_code" },
        { ERROR_CODE_SPENT, "spent_code" },
        { ERROR_OVERLOADED, "overloaded" },
        { ERROR_DEVICE_UNAVAILABLE, "signer_down" },
        { ERROR_STORE_UNAVAILABLE, "store_down" },
        { ERROR_CLOCK_UNTRUSTED, "clock_untrusted" },
        { ERROR_INTERNAL, "internal" },
    };

    for (size_t i = 0; i < COUNT_OF(results); i++) {
        for (size_t times = 0; times <= i; times++) {
            metrics_count_exchange(&fixture.metrics, results[i].code, 1, 0);
        }
    }
    metrics_count_exchange(&fixture.metrics, ERROR_LINT, 1, 0); /* internal: the 11th */
    metrics_count_exchange(&fixture.metrics, ERROR_UNSUPPORTED_MEDIA, 1, 0); /* invalid: the 3rd */
    metrics_count_exchange(&fixture.metrics, ERROR_TOO_LARGE, 1, 0);         /* the 4th */
    CU_ASSERT_TRUE_FATAL(print());
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        const size_t extra = i == 1 ? 2 : i == COUNT_OF(results) - 1 ? 1 : 0;
        char line[128];
        (void)snprintf(line, sizeof(line), "issuerd_exchanges_total{result=\"%s\"} %zu",
                       results[i].name, i + 1 + extra);
        CU_ASSERT_TRUE(says(line));
    }
    CU_ASSERT_TRUE(says("issuerd_exchange_seconds_count 58"));
}

static void test_a_duration_falls_into_the_first_bucket_that_holds_it(void)
{
    histogram_observe(&fixture.metrics.sign, 0);
    histogram_observe(&fixture.metrics.sign, 50000); /* the bound itself belongs to it */
    histogram_observe(&fixture.metrics.sign, 50001);
    histogram_observe(&fixture.metrics.sign, NS_PER_S); /* 1 s */
    histogram_observe(&fixture.metrics.sign, 3 * NS_PER_S);
    CU_ASSERT_TRUE_FATAL(print());
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_bucket{le=\"5e-05\"} 2"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_bucket{le=\"0.0001\"} 3"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_bucket{le=\"0.25\"} 3"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_bucket{le=\"1\"} 4"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_bucket{le=\"2.5\"} 4"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_bucket{le=\"+Inf\"} 5"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_sum 4.000100001"));
    CU_ASSERT_TRUE(says("issuerd_sign_seconds_count 5"));
    CU_ASSERT_TRUE(says("issuerd_commit_seconds_count 0"));
}

static void test_buckets_only_grow(void)
{
    for (int64_t ns = 1000; ns < 10 * NS_PER_S; ns *= 2) {
        histogram_observe(&fixture.metrics.commit, ns);
    }
    CU_ASSERT_TRUE_FATAL(print());
    unsigned buckets = 0;
    unsigned long long before = 0;
    for (const char *at = fixture.buffer;
         (at = strstr(at, "issuerd_commit_seconds_bucket{")) != NULL; at++) {
        unsigned long long count = 0;
        CU_ASSERT_EQUAL(sscanf(at, "issuerd_commit_seconds_bucket{le=\"%*[^\"]\"} %llu", &count),
                        1);
        CU_ASSERT_TRUE(count >= before);
        before = count;
        buckets++;
    }
    CU_ASSERT_EQUAL(buckets, HISTOGRAM_BUCKETS + 1);
}

/* "# HELP name text", "# TYPE name kind", "name value" or "name{label="value"} value". */
static bool is_line_of_the_format(const char *line)
{
    char name[128];
    char label[128];
    char rest[128];
    double value = 0;
    char end = '\0';

    if (strncmp(line, "# HELP ", 7) == 0) {
        return sscanf(line, "# HELP issuerd_%127[a-z_] %127s", name, rest) == 2;
    }
    if (strncmp(line, "# TYPE ", 7) == 0) {
        return sscanf(line, "# TYPE issuerd_%127[a-z_] %127s%c", name, rest, &end) == 2
            && (strcmp(rest, "counter") == 0 || strcmp(rest, "histogram") == 0);
    }
    return sscanf(line, "issuerd_%127[a-z_]{%127[a-z]=\"%127[^\"\\]\"} %lf%c", name, label, rest,
                  &value, &end)
            == 4
        || sscanf(line, "issuerd_%127[a-z_] %lf%c", name, &value, &end) == 2;
}

static void test_every_line_is_of_the_text_format(void)
{
    char *rest = NULL;
    unsigned lines = 0;

    metrics_count_exchange(&fixture.metrics, ERROR_NONE, 123456789, 0);
    CU_ASSERT_TRUE_FATAL(print());
    CU_ASSERT_EQUAL(fixture.buffer[strlen(fixture.buffer) - 1], '\n');
    for (char *line = strtok_r(fixture.buffer, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        CU_ASSERT_TRUE(is_line_of_the_format(line));
        lines++;
    }
    CU_ASSERT_EQUAL(lines, 2 + EXCHANGE_RESULTS + 2 + VALIDATION_RESULTS
                               + 3 * (2 + HISTOGRAM_BUCKETS + 3));
}

static void test_what_does_not_fit_is_told(void)
{
    struct text text = text_over(fixture.buffer, 500);
    metrics_print(&fixture.metrics, &text);
    CU_ASSERT_TRUE(text.overflowed);
    CU_ASSERT_TRUE(text.length < 500);
}

static void *count_many(void *argument)
{
    for (int i = 0; i < EACH; i++) {
        metrics_count_exchange(&fixture.metrics, ERROR_NONE, 1000, 0);
    }
    return argument;
}

static void test_threads_lose_no_count(void)
{
    pthread_t threads[THREADS];
    char line[128];

    for (int i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
    }
    CU_ASSERT_TRUE_FATAL(print());
    (void)snprintf(line, sizeof(line), "issuerd_exchanges_total{result=\"issued\"} %d",
                   THREADS * EACH);
    CU_ASSERT_TRUE(says(line));
    CU_ASSERT_TRUE(says("issuerd_exchange_seconds_sum 0.040000000"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "nothing happened is all zero", test_nothing_happened_is_all_zero },
        { "each result is counted under its name", test_each_result_is_counted_under_its_name },
        { "each validation is counted under its name",
          test_each_validation_is_counted_under_its_name },
        { "a duration falls into the first bucket that holds it",
          test_a_duration_falls_into_the_first_bucket_that_holds_it },
        { "buckets only grow", test_buckets_only_grow },
        { "every line is of the text format", test_every_line_is_of_the_text_format },
        { "what does not fit is told", test_what_does_not_fit_is_told },
        { "threads lose no count", test_threads_lose_no_count },
        CU_TEST_INFO_NULL,
    };
    return run_suite("metrics", set_up, NULL, tests);
}
