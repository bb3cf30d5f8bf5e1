/*
 * More work than a slow device does: what it can do in time is done, the rest is refused at once or
 * when its turn comes too late, no code is burnt, and nobody takes the device for a broken one.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/load.h"
#include "support/run.h"

enum { BURST = 20, LOAD_THREADS = 16, SETTLE_S = 30 * HEALTH_SLACK, SELF_TESTS = 3 };

struct client {
    pthread_t thread;
    char code[API_CODE_SIZE];
    bool issued;
    bool refused;
};

static struct {
    struct instance *instance;
    struct load *load;
    pid_t issuerd;
    struct client clients[BURST];
    pthread_barrier_t barrier;
    unsigned issued;
    unsigned refused;
    int64_t mark_ns;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_use_shim(fixture.instance);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    instance_set(fixture.instance, "log.level=debug");
    instance_set(fixture.instance, "signer main.sessions=1");
    instance_set(fixture.instance, "signer main.queue_ms=500");
    instance_set(fixture.instance, "signer main.deadline_ms=%d", 1500 * HEALTH_SLACK);
}

static double signer_metric(const char *name)
{
    return health_signer_metric(fixture.instance, "main", name);
}

/* Every test ends so: a signer that was busy, and nothing worse. */
static void tear_down(void)
{
    load_free(take(fixture.load));
    if (fixture.issuerd != 0) {
        CU_ASSERT_EQUAL(signer_metric("restarts_total"), 0);
        CU_ASSERT_EQUAL(ledger_doubles(fixture.instance), 0);
        CU_ASSERT_EQUAL(instance_stop(fixture.instance, 15 * HEALTH_SLACK), 0);
    }
    instance_free(take(fixture.instance));
}

static bool start(void)
{
    const bool started =
        instance_start(fixture.instance)
        && health_await(fixture.instance, health_is_ready, monotonic_ns() + SETTLE_S * NS_PER_S);
    fixture.issuerd = instance_pid(fixture.instance);
    return started;
}

/* ---- all at once ---- */

static void *redeem(void *argument)
{
    struct client *self = argument;
    struct http_client *client = http_connect(instance_public_port(fixture.instance));

    (void)pthread_barrier_wait(&fixture.barrier);
    const struct http_reply *reply = api_redeem(client, self->code);
    self->issued = reply->status == 201 && is_token_reply(reply, NULL);
    self->refused = !self->issued && is_error_reply(reply, 503, API_OVERLOADED, "POST", TOKENS_PATH)
                 && atoi(http_header(reply, "Retry-After")) > 0;
    http_close(client);
    return NULL;
}

static bool make_codes(void)
{
    bool made = true;
    for (size_t i = 0; i < BURST && made; i++) {
        made = api_make_code(fixture.instance, NULL, fixture.clients[i].code);
    }
    return made;
}

static void redeem_all_at_once(void)
{
    (void)pthread_barrier_init(&fixture.barrier, NULL, BURST);
    for (size_t i = 0; i < BURST; i++) {
        if (pthread_create(&fixture.clients[i].thread, NULL, redeem, &fixture.clients[i]) != 0) {
            abort(); /* the others would wait for it for ever */
        }
    }
    for (size_t i = 0; i < BURST; i++) {
        (void)pthread_join(fixture.clients[i].thread, NULL);
        fixture.issued += fixture.clients[i].issued;
        fixture.refused += fixture.clients[i].refused;
    }
    (void)pthread_barrier_destroy(&fixture.barrier);
}

/* Who has no token yet was told to come again, and then has one, too. */
static void check_burst(void)
{
    CU_ASSERT_TRUE(fixture.refused > 0);
    CU_ASSERT_EQUAL(fixture.issued + fixture.refused, BURST);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), fixture.issued);
    CU_ASSERT_EQUAL(
        health_metric(fixture.instance, "issuerd_exchanges_total{result=\"overloaded\"}"),
        fixture.refused);

    instance_set_faults(fixture.instance, "");
    for (size_t i = 0; i < BURST; i++) {
        CU_ASSERT_TRUE(fixture.clients[i].issued
                       || health_redeems_by(fixture.instance, fixture.clients[i].code,
                                            monotonic_ns() + HEAL_S * NS_PER_S));
    }
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), BURST);
}

static void test_what_a_slow_device_would_be_late_with_is_refused_at_once(void)
{
    instance_set_faults(fixture.instance, "C_Sign delay_us=300000\n");
    CU_ASSERT_TRUE_FATAL(start() && make_codes());
    redeem_all_at_once();
    CU_ASSERT_TRUE(fixture.issued > 0);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "queue is full"));
    check_burst();
}

static void test_what_waits_for_too_long_behind_a_slow_signature_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(start() && make_codes()); /* a fast device, for all that is known */
    instance_set_faults(fixture.instance, "C_Sign delay_us=700000\n");
    redeem_all_at_once(); /* all of it may be late: behind a self-test */
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "did not come in time"));
    check_burst();
}

/* ---- for a while ---- */

static bool is_proven_since_mark(const struct instance *instance)
{
    (void)instance;
    const double age_s = signer_metric("self_test_age_seconds");
    return age_s >= 0 && age_s < (double)(monotonic_ns() - fixture.mark_ns) / 1e9;
}

static void test_a_device_with_a_full_queue_proves_itself_all_the_same(void)
{
    instance_set_faults(fixture.instance, "C_Sign delay_us=100000\n");
    CU_ASSERT_TRUE_FATAL(start());
    fixture.load = load_start(fixture.instance, LOAD_THREADS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.load);
    for (int i = 0; i < SELF_TESTS; i++) {
        fixture.mark_ns = monotonic_ns();
        CU_ASSERT_TRUE(health_await(fixture.instance, is_proven_since_mark,
                                    fixture.mark_ns + HEAL_S * NS_PER_S));
    }
    const struct load_book *book = load_stop(fixture.load);
    CU_ASSERT_EQUAL(book->wrong, 0);
    CU_ASSERT_EQUAL(book->unanswered, 0);
    CU_ASSERT_TRUE(book->refusals > 0);
    CU_ASSERT_TRUE(book->slowest_ns <= ANSWER_S * NS_PER_S);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), book->issued);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "what a slow device would be late with is refused at once",
          test_what_a_slow_device_would_be_late_with_is_refused_at_once },
        { "what waits for too long behind a slow signature is refused",
          test_what_waits_for_too_long_behind_a_slow_signature_is_refused },
        { "a device with a full queue proves itself all the same",
          test_a_device_with_a_full_queue_proves_itself_all_the_same },
        CU_TEST_INFO_NULL,
    };
    return run_suite("overload", set_up, tear_down, tests);
}
