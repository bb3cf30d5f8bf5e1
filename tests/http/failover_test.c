/*
 * Two signers, each with its token and its key: one killed, stopped, broken, locked or slow under
 * load. The other takes over, nobody is told anything but 201 and 503, no code is burnt, and the first
 * comes back by itself.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/load.h"
#include "support/program.h"
#include "support/run.h"
#include "support/uri.h"

enum { LOAD_THREADS = 4, SETTLE_S = 30 * HEALTH_SLACK, RUN_S = 60, CROWD = 24 };

static struct {
    struct instance *instance;
    struct load *load;
    pid_t issuerd;
    bool has_second_token;
} fixture;

static bool run_ctl(const char *first, const char *second, const char *option, const char *value)
{
    const char *argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                           first,       second,     "second",
                           option,      value,      NULL };
    return program_run(argv, RUN_S)->status == 0;
}

/* The token of the test's own is "main"'s, behind the shim; "second" has one beside it. */
static void set_up(void)
{
    char so_pin[1024];

    fixture.load = NULL;
    fixture.issuerd = 0;
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    instance_use_shim(fixture.instance);
    instance_set(fixture.instance, "signer main.deadline_ms=%d", 1500 * HEALTH_SLACK);
    instance_set(fixture.instance, "signer second.deadline_ms=%d", 1500 * HEALTH_SLACK);
    instance_set(fixture.instance, "signer second.uri=pkcs11:token=second;object=signer%s",
                 strchr(getenv("TEST_KEY_URI"), '?'));
    instance_write_conf(fixture.instance);
    if (!fixture.has_second_token) {
        (void)snprintf(so_pin, sizeof(so_pin), "%s/so-pin", getenv("TEST_DIR"));
        fixture.has_second_token = run_ctl("token", "init", "--so-pin-file", so_pin)
                                && run_ctl("keys", "generate", NULL, NULL);
        CU_ASSERT_TRUE_FATAL(fixture.has_second_token);
    }
}

static void tear_down(void)
{
    load_free(take(fixture.load));
    if (fixture.issuerd != 0) {
        CU_ASSERT_EQUAL(instance_pid(fixture.instance), fixture.issuerd);
        CU_ASSERT_EQUAL(instance_stop(fixture.instance, 15 * HEALTH_SLACK), 0);
    }
    instance_free(take(fixture.instance));
}

/* ---- what is awaited ---- */

static double signatures_of(const char *signer)
{
    return health_signer_metric(fixture.instance, signer, "signatures_total");
}

static bool main_signs_within(int seconds)
{
    return health_signs_within(fixture.instance, "main", seconds);
}

static bool second_signs_within(int seconds)
{
    return health_signs_within(fixture.instance, "second", seconds);
}

static bool has_both(const struct instance *instance)
{
    pid_t pids[4];
    return instance_signer_pids(instance, pids, COUNT_OF(pids)) == 2;
}

static bool start(void)
{
    const int64_t deadline_ns = monotonic_ns() + SETTLE_S * NS_PER_S;
    const bool started = instance_start(fixture.instance)
                      && health_await(fixture.instance, health_is_ready, deadline_ns);
    fixture.issuerd = instance_pid(fixture.instance);
    return started;
}

static bool start_with_load(void)
{
    if (!start()) {
        return false;
    }
    fixture.load = load_start(fixture.instance, LOAD_THREADS);
    return fixture.load != NULL && main_signs_within(SETTLE_S);
}

static bool agrees(void)
{
    return ledger_agrees(fixture.instance, load_stop(fixture.load), 0);
}

/* ---- the faults ---- */

static void hurt_each_in_turn(int signal_number)
{
    for (int i = 0; i < 4; i++) {
        pid_t pids[2];
        CU_ASSERT_TRUE_FATAL(
            health_await(fixture.instance, has_both, monotonic_ns() + HEAL_S * NS_PER_S));
        CU_ASSERT_EQUAL_FATAL(instance_signer_pids(fixture.instance, pids, 2), 2);
        CU_ASSERT_EQUAL(kill(pids[i % 2], signal_number), 0);
        CU_ASSERT_TRUE(main_signs_within(HEAL_S));
    }
}

static void test_one_killed_under_load_is_stood_in_for_and_comes_back(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    hurt_each_in_turn(SIGKILL);
    CU_ASSERT_TRUE(agrees());
}

static void test_one_stopped_under_load_is_stood_in_for_and_comes_back(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    hurt_each_in_turn(SIGSTOP);
    CU_ASSERT_TRUE(agrees());
}

static void test_a_device_that_is_gone_is_stood_in_for_until_it_is_back(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    instance_set_faults(fixture.instance, "C_Sign rv=0x32\nC_OpenSession rv=0xe0\n");
    CU_ASSERT_TRUE(second_signs_within(ANSWER_S));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 200);
    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(main_signs_within(HEAL_S));
    CU_ASSERT_TRUE(agrees());
}

static void test_a_device_that_hangs_is_stood_in_for_within_a_deadline(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    instance_set_faults(fixture.instance, "C_Sign hang\n");
    CU_ASSERT_TRUE(second_signs_within(ANSWER_S));
    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(main_signs_within(2 * HEAL_S)); /* it may hang once more in its next start */
    CU_ASSERT_TRUE(agrees());
}

static void test_a_locked_token_leaves_the_work_to_the_other(void)
{
    char path[1024];
    char code[API_CODE_SIZE];
    const char *uri = getenv("TEST_KEY_URI");
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/wrong-pin", instance_directory(fixture.instance));
    file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("not-the-pin\n", file);
    (void)fclose(file);
    instance_set(fixture.instance, "signer main.uri=%.*spin-source=file:%s",
                 (int)(strstr(uri, "pin-source=") - uri), uri, uri_path(path).text);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.locked"));
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, code));
    CU_ASSERT_TRUE(health_redeems_by(fixture.instance, code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_EQUAL(signatures_of("main"), 0);
    CU_ASSERT_TRUE(signatures_of("second") >= 1);
}

/* From its first self-test on it is known how slow it is. */
static bool main_is_proven(const struct instance *instance)
{
    return health_metric(instance, "issuerd_signer_self_test_age_seconds{signer=\"main\"}") >= 0;
}

static void test_work_that_a_slow_device_has_no_room_for_goes_to_the_other(void)
{
    instance_set(fixture.instance, "signer main.sessions=1");
    instance_set(fixture.instance, "signer main.queue_ms=250");
    instance_set_faults(fixture.instance, "C_Sign delay_us=300000\n");
    CU_ASSERT_TRUE_FATAL(
        start()
        && health_await(fixture.instance, main_is_proven, monotonic_ns() + SETTLE_S * NS_PER_S));
    fixture.load = load_start(fixture.instance, CROWD);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.load);
    CU_ASSERT_TRUE(main_signs_within(SETTLE_S));
    CU_ASSERT_TRUE(signatures_of("second") > signatures_of("main"));
    CU_ASSERT_EQUAL(load_stop(fixture.load)->refusals, 0);
    CU_ASSERT_TRUE(agrees());
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "one killed under load is stood in for and comes back",
          test_one_killed_under_load_is_stood_in_for_and_comes_back },
        { "one stopped under load is stood in for and comes back",
          test_one_stopped_under_load_is_stood_in_for_and_comes_back },
        { "a device that is gone is stood in for until it is back",
          test_a_device_that_is_gone_is_stood_in_for_until_it_is_back },
        { "a device that hangs is stood in for within a deadline",
          test_a_device_that_hangs_is_stood_in_for_within_a_deadline },
        { "a locked token leaves the work to the other",
          test_a_locked_token_leaves_the_work_to_the_other },
        { "work that a slow device has no room for goes to the other",
          test_work_that_a_slow_device_has_no_room_for_goes_to_the_other },
        CU_TEST_INFO_NULL,
    };
    return run_suite("failover", set_up, tear_down, tests);
}
