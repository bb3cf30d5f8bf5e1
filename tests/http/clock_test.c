/* A wall clock that is set while issuerd runs, and one that is wrong when it starts: libfaketime, with the
 * other clocks left true. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/program.h"
#include "support/run.h"
#include "support/store_query.h"

enum { HOUR_S = 3600, CLOSE_S = 20, THREADS = 4, TOKENS = 20 };
enum { DONE = 0, REFUSED = 1, USAGE = 64, RUN_S = 60 };

#define IN_FLIGHT "issuerd_signer_in_flight{signer=\"main\"}"

static struct {
    struct instance *instance;
    char file[1200]; /* where libfaketime reads how far the clock is off */
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];
} fixture;

DEFINE_RELEASE(release_client, struct http_client, http_close)

/* ---- the clock ---- */

/* How far the server's clock is off from now on. The old file or the new one is there, whole. */
static void set_clock(int seconds)
{
    char new_path[1300];

    (void)snprintf(new_path, sizeof(new_path), "%s.new", fixture.file);
    FILE *file = fopen(new_path, "we");
    CU_ASSERT_TRUE_FATAL(file != NULL && fprintf(file, "%+d\n", seconds) > 0 && fclose(file) == 0);
    CU_ASSERT_EQUAL_FATAL(rename(new_path, fixture.file), 0);
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    (void)snprintf(fixture.file, sizeof(fixture.file), "%s/clock",
                   instance_directory(fixture.instance));
    set_clock(0);
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

static bool start(void)
{
    (void)setenv("LD_PRELOAD", getenv("TEST_FAKETIME"), 1);
    (void)setenv("FAKETIME_TIMESTAMP_FILE", fixture.file, 1);
    (void)setenv("FAKETIME_NO_CACHE", "1", 1);
    (void)setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
    const bool started = instance_start(fixture.instance);
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("FAKETIME_TIMESTAMP_FILE");
    (void)unsetenv("FAKETIME_NO_CACHE");
    (void)unsetenv("FAKETIME_DONT_FAKE_MONOTONIC");
    return started;
}

static int64_t heal_deadline(void)
{
    return monotonic_ns() + HEAL_S * NS_PER_S;
}

static bool becomes_ready(void)
{
    return health_await(fixture.instance, health_is_ready, heal_deadline());
}

static bool is_told(const struct instance *instance)
{
    return instance_has_logged(instance, "clock.untrusted");
}

static bool is_told_trusted(const struct instance *instance)
{
    return instance_has_logged(instance, "clock.trusted");
}

static bool tells_within_time(bool (*told)(const struct instance *))
{
    return health_await(fixture.instance, told, heal_deadline());
}

/* ---- requests ---- */

static bool make_code(void)
{
    return api_make_code(fixture.instance, NULL, fixture.code);
}

/* 201, with a token that was issued when the clock was so far off. */
static bool redeems_at(int offset_s)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.instance));

    if (!is_token_reply(api_redeem(client, fixture.code), fixture.token)) {
        return false;
    }
    cJSON *claims = token_part(fixture.token, 1);
    const double issued_s = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(claims, "iat"));
    cJSON_Delete(claims);
    return llabs((int64_t)issued_s - (wall_s() + offset_s)) <= CLOSE_S;
}

static bool is_untrusted(const struct http_reply *reply, const char *path)
{
    return is_refusal_reply(reply) && is_error_reply(reply, 503, API_CLOCK_UNTRUSTED, "POST", path);
}

static bool redeem_is_refused(void)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.instance));
    return is_untrusted(api_redeem(client, fixture.code), TOKENS_PATH);
}

static bool create_is_refused(void)
{
    static const char body[] = "{\"state\":\"0123456789abcdef0123456789abcdef\","
                               "\"nonce\":\"0123456789abcdef0123456789abcdef\"}";
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.instance));
    return is_untrusted(http_post_json(client, AUTHORIZATIONS_PATH, body), AUTHORIZATIONS_PATH);
}

/* No entry of the ledger has a time that is so far from now. */
static bool has_only_times_near(int offset_s)
{
    char sql[256];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM ledger WHERE abs(CAST(entry ->> 'time' AS BIGINT) - "
                   "%" PRId64 ") > 600",
                   wall_s() + offset_s);
    return store_number(fixture.instance, sql, NULL, NULL) == 0;
}

/* ---- jumps ---- */

static void check_jump(int seconds)
{
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready() && make_code());
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_clock_trusted"), 1);
    set_clock(seconds);
    CU_ASSERT_TRUE(redeem_is_refused());
    CU_ASSERT_TRUE(create_is_refused());
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_clock_trusted"), 0);
    CU_ASSERT_EQUAL(
        health_metric(fixture.instance, "issuerd_exchanges_total{result=\"clock_untrusted\"}"), 1);
    CU_ASSERT_TRUE(tells_within_time(is_told));
    CU_ASSERT_TRUE(redeem_is_refused()); /* the code is not gone, either */

    set_clock(0);
    CU_ASSERT_TRUE(becomes_ready());
    CU_ASSERT_TRUE(redeems_at(0));
    CU_ASSERT_TRUE(tells_within_time(is_told_trusted));
    CU_ASSERT_TRUE(has_only_times_near(0));
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, "store.failed"));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, ANSWER_S + HEAL_S), 0);
}

static void test_a_clock_that_jumps_ahead_stops_issuing_until_it_is_back(void)
{
    check_jump(HOUR_S);
}

static void test_a_clock_that_jumps_back_stops_issuing_until_it_is_right(void)
{
    check_jump(-HOUR_S);
}

static void test_a_jump_of_seconds_is_none(void)
{
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready() && make_code());
    set_clock(4);
    CU_ASSERT_TRUE(redeems_at(4));
    set_clock(0);
    CU_ASSERT_TRUE(make_code() && redeems_at(0));
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, "clock."));
    set_clock(7);
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
}

/* ---- a jump while the token is being signed ---- */

static bool is_signing(const struct instance *instance)
{
    return health_metric(instance, IN_FLIGHT) > 0;
}

static void *jump_while_it_signs(void *unused)
{
    (void)unused;
    if (health_await(fixture.instance, is_signing, heal_deadline())) {
        set_clock(HOUR_S);
    }
    return NULL;
}

/* As it is one code, perhaps for that another is at it: libfaketime cuts waits at conditions short. */
static void *redeem_in_vain(void *refused)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.instance));

    *(bool *)refused = is_refusal_reply(api_redeem(client, fixture.code));
    return NULL;
}

static bool rivals_are_refused(void)
{
    pthread_t threads[THREADS];
    bool refused[THREADS] = { false };
    bool all = true;

    for (size_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, redeem_in_vain, &refused[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        all = all && refused[i];
    }
    return all;
}

static void test_a_jump_during_the_signature_lets_no_token_out(void)
{
    pthread_t thread;

    instance_use_shim(fixture.instance);
    instance_set(fixture.instance, "signer main.deadline_ms=5000");
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready() && make_code());
    instance_set_faults(fixture.instance, "C_Sign delay_us=500000\n");
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, jump_while_it_signs, NULL), 0);
    CU_ASSERT_TRUE(rivals_are_refused());
    (void)pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 0);

    instance_set_faults(fixture.instance, "");
    set_clock(0);
    CU_ASSERT_TRUE(becomes_ready());
    CU_ASSERT_TRUE(redeems_at(0));
}

/* ---- load ---- */

static bool jump_once(struct load *load, int seconds)
{
    const unsigned goal = load_issued(load) + TOKENS;
    const int64_t deadline_ns = heal_deadline();

    while (load_issued(load) < goal && monotonic_ns() < deadline_ns) {
        (void)usleep(10000);
    }
    set_clock(seconds);
    (void)usleep(300000);
    set_clock(0);
    return load_issued(load) >= goal;
}

static void test_a_clock_that_jumps_under_load_costs_no_code_and_no_token(void)
{
    const struct load_options options = { .threads = THREADS,
                                          .pause_us = 3000,
                                          .is_persistent = true };

    CU_ASSERT_TRUE_FATAL(start() && becomes_ready());
    struct load *load = load_start_with(fixture.instance, &options);
    CU_ASSERT_PTR_NOT_NULL_FATAL(load);
    CU_ASSERT_TRUE(jump_once(load, HOUR_S) && jump_once(load, -HOUR_S) && jump_once(load, 60));
    CU_ASSERT_TRUE(becomes_ready());
    CU_ASSERT_TRUE(ledger_agrees(fixture.instance, load_stop(load), 0));
    CU_ASSERT_TRUE(has_only_times_near(0));
    load_free(load);
}

/* ---- a clock that is wrong from the start ---- */

static void test_a_clock_behind_the_ledger_issues_nothing_until_it_is_right(void)
{
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready() && make_code());
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, HEAL_S), 0);
    set_clock(-HOUR_S);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(tells_within_time(is_told));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "it is behind the ledger"));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_TRUE(redeem_is_refused());
    CU_ASSERT_TRUE(has_only_times_near(0));

    set_clock(0);
    CU_ASSERT_TRUE(becomes_ready());
    CU_ASSERT_TRUE(redeems_at(0));
    CU_ASSERT_TRUE(has_only_times_near(0));
    CU_ASSERT_EQUAL(store_number(fixture.instance,
                                 "SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'started'",
                                 NULL, NULL),
                    2);
}

/* ---- an operator ---- */

static const struct program_result *run_issuerctl(const char *first, const char *second,
                                                  const char *third)
{
    char url[64];
    const char *const argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                 "--url",     url,        first,
                                 second,      third,      NULL };

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", instance_admin_port(fixture.instance));
    return program_run(argv, RUN_S);
}

static int64_t confirmations(void)
{
    return store_number(fixture.instance,
                        "SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'clock'", NULL, NULL);
}

/* The answer's status. */
static int post_confirmation(const char *secret, const char *body)
{
    char headers[256];
    scoped(release_client) struct http_client *client =
        http_connect(instance_admin_port(fixture.instance));

    (void)snprintf(headers, sizeof(headers),
                   "Content-Type: application/json\r\nx-client-secret: %s\r\n", secret);
    return http_request(client, "POST", "/api/v1/clock/confirm", headers, body)->status;
}

static void test_what_is_not_a_right_confirmation_changes_nothing(void)
{
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready());
    const char *secret = instance_client_secret(fixture.instance);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{\"deviation_s\":0}"), 409); /* it is trusted */
    set_clock(HOUR_S);
    CU_ASSERT_EQUAL(post_confirmation("wrong", "{\"deviation_s\":3600}"), 401);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{\"deviation_s\":3500}"), 409);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{\"deviation_s\":-3600}"), 409);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{\"deviation_s\":3600.5}"), 400);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{\"deviation_s\":1e300}"), 400);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{\"deviation_s\":\"3600\"}"), 400);
    CU_ASSERT_EQUAL(post_confirmation(secret, "{}"), 400);
    CU_ASSERT_TRUE(program_ended(run_issuerctl("clock", "confirm", NULL), USAGE, "needs --yes"));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_EQUAL(confirmations(), 0);
}

static void test_an_operator_takes_a_clock_that_was_set_for_right(void)
{
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready());
    CU_ASSERT_TRUE(program_ended(run_issuerctl("clock", NULL, NULL), DONE, "it is trusted"));
    set_clock(HOUR_S);
    CU_ASSERT_TRUE(program_ended(run_issuerctl("clock", NULL, NULL), REFUSED,
                                 "it was set, and is 3600 s ahead of what it should be: 2"));
    CU_ASSERT_TRUE(program_ended(run_issuerctl("status", NULL, NULL), REFUSED,
                                 "The clock of the machine was set: it is off by 3600 s."));
    CU_ASSERT_TRUE(
        program_ended(run_issuerctl("clock", "confirm", "--yes"), DONE, "it is trusted"));
    CU_ASSERT_TRUE(becomes_ready());
    CU_ASSERT_TRUE(make_code() && redeems_at(HOUR_S));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "clock.confirmed"));
    CU_ASSERT_EQUAL(confirmations(), 1);
    set_clock(0); /* now this is a jump */
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);

    CU_ASSERT_EQUAL(instance_stop(fixture.instance, HEAL_S), 0);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(
        program_ended(run_issuerctl("clock", "--json", NULL), REFUSED, "\"behind_ledger\":true"));
    CU_ASSERT_TRUE(
        program_ended(run_issuerctl("clock", "confirm", "--yes"), DONE, "it is trusted"));
    CU_ASSERT_TRUE(becomes_ready());
    CU_ASSERT_TRUE(make_code() && redeems_at(0));
    CU_ASSERT_EQUAL(confirmations(), 2);
    CU_ASSERT_TRUE(program_ended(run_issuerctl("ledger", "verify", NULL), DONE, ""));

    CU_ASSERT_EQUAL(instance_stop(fixture.instance, HEAL_S), 0);
    CU_ASSERT_TRUE_FATAL(start() && becomes_ready()); /* it stays confirmed */
    CU_ASSERT_TRUE(make_code() && redeems_at(0));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a clock that jumps ahead stops issuing until it is back",
          test_a_clock_that_jumps_ahead_stops_issuing_until_it_is_back },
        { "a clock that jumps back stops issuing until it is right",
          test_a_clock_that_jumps_back_stops_issuing_until_it_is_right },
        { "a jump of seconds is none", test_a_jump_of_seconds_is_none },
        { "a jump during the signature lets no token out",
          test_a_jump_during_the_signature_lets_no_token_out },
        { "a clock that jumps under load costs no code and no token",
          test_a_clock_that_jumps_under_load_costs_no_code_and_no_token },
        { "a clock behind the ledger issues nothing until it is right",
          test_a_clock_behind_the_ledger_issues_nothing_until_it_is_right },
        { "what is not a right confirmation changes nothing",
          test_what_is_not_a_right_confirmation_changes_nothing },
        { "an operator takes a clock that was set for right",
          test_an_operator_takes_a_clock_that_was_set_for_right },
        CU_TEST_INFO_NULL,
    };
    return run_suite("clock", set_up, tear_down, tests);
}
