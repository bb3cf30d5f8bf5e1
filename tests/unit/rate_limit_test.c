#include "http/rate_limit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/run.h"

enum { PER_S = 10, BURST = 5, THREADS = 8, TAKES = 1000 };

static const int64_t NOW_NS = INT64_C(1000000) * NS_PER_S;

static struct {
    struct rate_limit *limit;
    _Atomic unsigned taken;
} fixture;

static void set_up(void)
{
    fixture.limit = rate_limit_new(PER_S, BURST);
    atomic_store(&fixture.taken, 0);
}

static void tear_down(void)
{
    rate_limit_free(take(fixture.limit));
}

static struct in6_addr address(const char *text)
{
    struct in6_addr address;
    CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET6, text, &address), 1);
    return address;
}

static unsigned take_many(const char *text, unsigned times, int64_t now_ns)
{
    const struct in6_addr from = address(text);
    unsigned taken = 0;

    for (unsigned i = 0; i < times; i++) {
        taken += rate_limit_take(fixture.limit, &from, now_ns);
    }
    return taken;
}

static void test_a_burst_is_served_and_no_more(void)
{
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.1", 100, NOW_NS), BURST);
}

static void test_a_bucket_is_refilled_by_time(void)
{
    (void)take_many("::ffff:192.0.2.1", BURST, NOW_NS);
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.1", 9, NOW_NS + NS_PER_S / PER_S - 1), 0);
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.1", 9, NOW_NS + NS_PER_S / PER_S), 1);
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.1", 9, NOW_NS + 4 * NS_PER_S / PER_S), 3);
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.1", 99, NOW_NS + 1000 * NS_PER_S), BURST);
}

static void test_addresses_have_buckets_of_their_own(void)
{
    (void)take_many("::ffff:192.0.2.1", BURST, NOW_NS);
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.2", 99, NOW_NS), BURST);
    CU_ASSERT_EQUAL(take_many("2001:db8::1", 99, NOW_NS), BURST);
}

static void test_a_network_of_64_bits_is_one_client(void)
{
    CU_ASSERT_EQUAL(take_many("2001:db8:0:1::1", 3, NOW_NS), 3);
    CU_ASSERT_EQUAL(take_many("2001:db8:0:1:ffff::2", 99, NOW_NS), BURST - 3);
    CU_ASSERT_EQUAL(take_many("2001:db8:0:2::1", 99, NOW_NS), BURST);
}

/* A flood from more addresses than there is memory for does not free the one that is at its limit. */
static void test_an_empty_bucket_outlives_a_flood_of_others(void)
{
    char text[64];

    (void)take_many("::ffff:192.0.2.1", BURST, NOW_NS);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(text, sizeof(text), "2001:db8:%x:%x::", i >> 16, i & 0xffff);
        (void)take_many(text, 1, NOW_NS + 1);
    }
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.1", 9, NOW_NS + 2), 0);
}

static void *take_in_parallel(void *from)
{
    for (unsigned i = 0; i < TAKES; i++) {
        atomic_fetch_add(&fixture.taken, rate_limit_take(fixture.limit, from, NOW_NS));
    }
    return NULL;
}

static void test_threads_share_a_bucket(void)
{
    pthread_t threads[THREADS];
    struct in6_addr from = address("::ffff:192.0.2.1");

    for (size_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, take_in_parallel, &from), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    CU_ASSERT_EQUAL(atomic_load(&fixture.taken), BURST);
}

static void test_a_limit_that_changes_holds_at_once(void)
{
    static const char client[] = "::ffff:192.0.2.1";

    rate_limit_set(fixture.limit, 1, 100);
    CU_ASSERT_EQUAL(take_many(client, 200, NOW_NS), 100);
    rate_limit_set(fixture.limit, PER_S, BURST);
    CU_ASSERT_EQUAL(take_many("::ffff:192.0.2.2", 20, NOW_NS), BURST);
    CU_ASSERT_EQUAL(take_many(client, 20, NOW_NS), 0); /* empty, and not emptier than that: */
    CU_ASSERT_EQUAL(take_many(client, 20, NOW_NS + NS_PER_S / PER_S), 1);
    rate_limit_set(fixture.limit, 0, 1);
    CU_ASSERT_EQUAL(take_many(client, 20, NOW_NS), 20);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a burst is served and no more", test_a_burst_is_served_and_no_more },
        { "a bucket is refilled by time", test_a_bucket_is_refilled_by_time },
        { "addresses have buckets of their own", test_addresses_have_buckets_of_their_own },
        { "a network of 64 bits is one client", test_a_network_of_64_bits_is_one_client },
        { "an empty bucket outlives a flood of others",
          test_an_empty_bucket_outlives_a_flood_of_others },
        { "threads share a bucket", test_threads_share_a_bucket },
        { "a limit that changes holds at once", test_a_limit_that_changes_holds_at_once },
        CU_TEST_INFO_NULL,
    };
    return run_suite("rate limit", set_up, tear_down, tests);
}
