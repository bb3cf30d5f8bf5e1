/* What happened within the last minute, told from what was counted. */
#include "core/recent.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/run.h"

enum { START_S = 1000, THREADS = 4, EACH = 20000 };

static struct {
    struct recent recent;
    uint64_t counts[EXCHANGE_RESULTS];
    struct recent_second history[RECENT_S];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

/* `part` hundredths of the second after so many of them. */
static int64_t at(int64_t second, int64_t part)
{
    return (START_S + second) * NS_PER_S + part * NS_PER_S / 100;
}

static void count(enum exchange_result result, int64_t second, int times)
{
    for (int i = 0; i < times; i++) {
        recent_count_exchange(&fixture.recent, result, NS_PER_MS, at(second, i % 100));
    }
}

static uint64_t told(enum exchange_result result, int64_t second, int64_t seconds)
{
    recent_exchanges(&fixture.recent, at(second, 50), seconds, fixture.counts);
    return fixture.counts[result];
}

static void test_at_first_nothing_has_happened(void)
{
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 0, RECENT_S), 0);
    CU_ASSERT_EQUAL(recent_latency(&fixture.recent, LATENCY_EXCHANGE, at(0, 50)).count, 0);
    CU_ASSERT_EQUAL(fixture.recent.issued_ns, 0);
}

static void test_a_second_is_told_when_it_is_over(void)
{
    count(EXCHANGE_ISSUED, 0, 7);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 0, 10), 0);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 1, 10), 7);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 1, 1), 7);
}

static void test_what_is_older_than_the_window_is_not_told(void)
{
    count(EXCHANGE_ISSUED, 0, 7);
    count(EXCHANGE_ISSUED, 5, 2);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 10, 10), 9);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 11, 10), 2);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 15, 10), 2);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 16, 10), 0);
}

/* Nobody asked meanwhile, and nothing else was counted. */
static void test_a_long_silence_is_told_as_such(void)
{
    count(EXCHANGE_SPENT, 0, 3);
    CU_ASSERT_EQUAL(told(EXCHANGE_SPENT, 500, RECENT_S), 0);
    count(EXCHANGE_SPENT, 1000, 4);
    CU_ASSERT_EQUAL(told(EXCHANGE_SPENT, 1030, RECENT_S), 4);
    CU_ASSERT_EQUAL(told(EXCHANGE_SPENT, 1060, RECENT_S), 4);
    CU_ASSERT_EQUAL(told(EXCHANGE_SPENT, 1061, RECENT_S), 0);
}

static void test_each_result_is_told_apart(void)
{
    for (int i = 0; i < EXCHANGE_RESULTS; i++) {
        count((enum exchange_result)i, 0, i + 1);
    }
    for (int i = 0; i < EXCHANGE_RESULTS; i++) {
        CU_ASSERT_EQUAL(told((enum exchange_result)i, 1, 10), (uint64_t)i + 1);
    }
}

static void test_the_history_has_each_second_in_its_place(void)
{
    count(EXCHANGE_ISSUED, 0, 5);
    count(EXCHANGE_ISSUED, 3, 8);
    count(EXCHANGE_UNKNOWN, 3, 2);
    count(EXCHANGE_SPENT, 3, 1);
    count(EXCHANGE_NO_SIGNER, 4, 6);
    recent_history(&fixture.recent, at(5, 0), fixture.history);
    const struct recent_second *seconds = &fixture.history[RECENT_S - 5];
    CU_ASSERT_EQUAL(seconds[0].counts[EXCHANGE_KIND_ISSUED], 5);
    CU_ASSERT_EQUAL(seconds[1].counts[EXCHANGE_KIND_ISSUED], 0);
    CU_ASSERT_EQUAL(seconds[3].counts[EXCHANGE_KIND_ISSUED], 8);
    CU_ASSERT_EQUAL(seconds[3].counts[EXCHANGE_KIND_REFUSED], 3);
    CU_ASSERT_EQUAL(seconds[3].counts[EXCHANGE_KIND_FAILED], 0);
    CU_ASSERT_EQUAL(seconds[4].counts[EXCHANGE_KIND_FAILED], 6);
    CU_ASSERT_EQUAL(fixture.history[0].counts[EXCHANGE_KIND_ISSUED], 0);
}

static void test_a_minute_of_steady_work_is_told_in_full(void)
{
    for (int second = 0; second < 200; second++) {
        count(EXCHANGE_ISSUED, second, 3);
    }
    recent_history(&fixture.recent, at(200, 0), fixture.history);
    for (int i = 0; i < RECENT_S; i++) {
        CU_ASSERT_EQUAL(fixture.history[i].counts[EXCHANGE_KIND_ISSUED], 3);
    }
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 200, RECENT_S), 180);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 200, 10), 30);
}

/* ---- latency ---- */

static bool is_near(double ms, double wanted_ms)
{
    const bool near = ms > wanted_ms * 7 / 8 && ms < wanted_ms * 9 / 8;
    if (!near) {
        printf("\n    %f ms, not %f", ms, wanted_ms);
    }
    return near;
}

static struct recent_latency signatures(int64_t second)
{
    return recent_latency(&fixture.recent, LATENCY_SIGN, at(second, 50));
}

static void test_quantiles_are_exact_to_an_eighth(void)
{
    static const int64_t us[] = { 40, 90, 333, 1000, 2800, 6400, 14800, 70000, 350000, 1500000 };

    for (size_t i = 0; i < COUNT_OF(us); i++) {
        const int64_t second = (int64_t)i * 100;
        for (int j = 0; j < 1000; j++) { /* all but a few are so long */
            recent_observe(&fixture.recent, LATENCY_SIGN, j < 985 ? us[i] * 1000 : us[i] * 2000,
                           at(second, 0));
        }
        CU_ASSERT_EQUAL(signatures(second + 1).count, 1000);
        CU_ASSERT_TRUE(is_near(signatures(second + 1).p50_ms, (double)us[i] / 1000));
        CU_ASSERT_TRUE(is_near(signatures(second + 1).p99_ms, (double)us[i] / 500));
    }
}

static void test_what_is_shorter_or_longer_than_all_bounds_is_told_by_them(void)
{
    recent_observe(&fixture.recent, LATENCY_SIGN, 0, at(0, 0));
    CU_ASSERT_TRUE(signatures(1).p99_ms <= 0.033);
    recent_observe(&fixture.recent, LATENCY_SIGN, 3600 * NS_PER_S, at(100, 0));
    CU_ASSERT_TRUE(signatures(101).p50_ms > 4294 && signatures(101).p50_ms < 4295);
}

static void test_only_exchanges_that_issued_have_a_latency(void)
{
    count(EXCHANGE_ISSUED, 0, 2);
    count(EXCHANGE_OVERLOADED, 0, 5);
    CU_ASSERT_EQUAL(recent_latency(&fixture.recent, LATENCY_EXCHANGE, at(1, 0)).count, 2);
    CU_ASSERT_EQUAL(fixture.recent.issued_ns, at(0, 1));
}

/* ---- threads ---- */

static void *count_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < EACH; i++) {
        recent_count_exchange(&fixture.recent, EXCHANGE_ISSUED, NS_PER_MS,
                              at(i * 10 / EACH, 100 * (i % (EACH / 10)) / (EACH / 10)));
    }
    return NULL;
}

static void test_nothing_is_lost_between_threads(void)
{
    pthread_t threads[THREADS];
    uint64_t sum = 0;

    for (size_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    recent_history(&fixture.recent, at(10, 0), fixture.history);
    for (int i = 0; i < RECENT_S; i++) {
        sum += fixture.history[i].counts[EXCHANGE_KIND_ISSUED];
    }
    CU_ASSERT_EQUAL(sum, THREADS * EACH);
    CU_ASSERT_EQUAL(told(EXCHANGE_ISSUED, 10, RECENT_S), THREADS * EACH);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "at first nothing has happened", test_at_first_nothing_has_happened },
        { "a second is told when it is over", test_a_second_is_told_when_it_is_over },
        { "what is older than the window is not told",
          test_what_is_older_than_the_window_is_not_told },
        { "a long silence is told as such", test_a_long_silence_is_told_as_such },
        { "each result is told apart", test_each_result_is_told_apart },
        { "the history has each second in its place",
          test_the_history_has_each_second_in_its_place },
        { "a minute of steady work is told in full", test_a_minute_of_steady_work_is_told_in_full },
        { "quantiles are exact to an eighth", test_quantiles_are_exact_to_an_eighth },
        { "what is shorter or longer than all bounds is told by them",
          test_what_is_shorter_or_longer_than_all_bounds_is_told_by_them },
        { "only exchanges that issued have a latency",
          test_only_exchanges_that_issued_have_a_latency },
        { "nothing is lost between threads", test_nothing_is_lost_between_threads },
        CU_TEST_INFO_NULL,
    };
    return run_suite("recent", set_up, NULL, tests);
}
