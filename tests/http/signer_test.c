/*
 * The signer killed, stopped, and served by a module that crashes, fails, hangs or signs wrongly:
 * answers in time, no code burnt, no bad token, back by itself, issuerd still the same process.
 */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/load.h"
#include "support/run.h"

enum { LOAD_THREADS = 4, SETTLE_S = 30 * HEALTH_SLACK };

static struct {
    struct instance *instance;
    struct load *load;
    pid_t issuerd;
    char code[API_CODE_SIZE];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    /* The bounds are for this deadline, whatever else the tests' servers have. */
    instance_set(fixture.instance, "signer main.deadline_ms=%d", 1500 * HEALTH_SLACK);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    instance_use_shim(fixture.instance);
}

/* Every test ends so: the issuerd that was started is there, unhurt, and ends in good order. */
static void tear_down(void)
{
    load_free(take(fixture.load));
    if (fixture.issuerd != 0) {
        CU_ASSERT_EQUAL(instance_pid(fixture.instance), fixture.issuerd);
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

static bool make_code(void)
{
    return api_make_code(fixture.instance, NULL, fixture.code);
}

static int64_t heal_deadline(void)
{
    return monotonic_ns() + HEAL_S * NS_PER_S;
}

static bool is_refused_for_now(void)
{
    return health_is_refused_for_now(fixture.instance, fixture.code);
}

static bool redeems_by(int64_t deadline_ns)
{
    return health_redeems_by(fixture.instance, fixture.code, deadline_ns);
}

static double signer_metric(const char *name)
{
    return health_signer_metric(fixture.instance, "main", name);
}

/* ---- the process ---- */

static bool is_another_signer(pid_t before)
{
    const pid_t now = instance_signer_pid(fixture.instance);
    return now != 0 && now != before;
}

/* Hurts the signer under load, again and again. True if each time another one served in time. */
static bool survives_under_load(int signal_number, int times)
{
    for (int i = 0; i < times; i++) {
        const pid_t before = instance_signer_pid(fixture.instance);
        if (before == 0 || !make_code() || kill(before, signal_number) != 0
            || !redeems_by(heal_deadline()) || !make_code() || !redeems_by(heal_deadline())
            || !is_another_signer(before)) {
            return false;
        }
    }
    return true;
}

static bool agrees(unsigned tokens_of_the_test)
{
    return ledger_agrees(fixture.instance, load_stop(fixture.load), tokens_of_the_test);
}

static bool is_under_way(const struct instance *instance)
{
    (void)instance;
    return load_issued(fixture.load) > 2 * LOAD_THREADS;
}

static bool start_load(void)
{
    fixture.load = load_start(fixture.instance, LOAD_THREADS);
    return fixture.load != NULL
        && health_await(fixture.instance, is_under_way, monotonic_ns() + SETTLE_S * NS_PER_S);
}

static void test_a_signer_killed_under_load_burns_no_code_and_is_back(void)
{
    CU_ASSERT_TRUE_FATAL(start() && start_load());
    CU_ASSERT_TRUE(survives_under_load(SIGKILL, 3));
    CU_ASSERT_TRUE(agrees(6));
    CU_ASSERT_TRUE(signer_metric("restarts_total") >= 3);
}

static void test_a_signer_stopped_under_load_burns_no_code_and_is_back(void)
{
    CU_ASSERT_TRUE_FATAL(start() && start_load());
    CU_ASSERT_TRUE(survives_under_load(SIGSTOP, 2));
    CU_ASSERT_TRUE(agrees(4));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.stuck"));
}

/* State 'T' of each thread (proc(5)). */
static bool has_running_thread(pid_t pid)
{
    char pattern[64];
    glob_t tasks;
    bool any = false;

    (void)snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stat", (int)pid);
    if (glob(pattern, 0, NULL, &tasks) != 0) {
        return true;
    }
    for (size_t i = 0; i < tasks.gl_pathc && !any; i++) {
        char state = '?';
        FILE *file = fopen(tasks.gl_pathv[i], "r");
        any = file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1 || state != 'T';
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    globfree(&tasks);
    return any;
}

/* kill() returns before each thread of a process that sleeps has stopped. */
static bool stop_all_threads(pid_t pid)
{
    const int64_t deadline_ns = monotonic_ns() + SETTLE_S * NS_PER_S;

    if (kill(pid, SIGSTOP) != 0) {
        return false;
    }
    while (has_running_thread(pid)) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(1000);
    }
    return true;
}

static void test_a_signer_stopped_while_idle_is_noticed_by_the_first_request(void)
{
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    const pid_t before = instance_signer_pid(fixture.instance);
    const int64_t deadline_ns = heal_deadline();
    CU_ASSERT_TRUE_FATAL(stop_all_threads(before));
    CU_ASSERT_TRUE(is_refused_for_now());
    CU_ASSERT_TRUE(redeems_by(deadline_ns));
    CU_ASSERT_TRUE(is_another_signer(before));
}

static bool is_healed(const struct instance *instance)
{
    return instance_has_logged(instance, "signer.stuck") && health_is_ready(instance);
}

static void test_a_signer_stopped_while_idle_is_replaced_without_a_request(void)
{
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    const pid_t before = instance_signer_pid(fixture.instance);
    const int64_t deadline_ns = heal_deadline();
    CU_ASSERT_TRUE_FATAL(stop_all_threads(before));
    CU_ASSERT_TRUE(health_await(fixture.instance, is_healed, deadline_ns));
    CU_ASSERT_TRUE(is_another_signer(before));
    CU_ASSERT_TRUE(redeems_by(heal_deadline()));
}

static void test_a_signer_killed_while_idle_is_back_before_anyone_asks(void)
{
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    const pid_t before = instance_signer_pid(fixture.instance);
    CU_ASSERT_EQUAL_FATAL(kill(before, SIGKILL), 0);
    CU_ASSERT_TRUE(redeems_by(heal_deadline()));
    CU_ASSERT_TRUE(is_another_signer(before));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.died"));
}

/* A zombie does not run: in a container process 1 may never reap it. */
static bool is_running(pid_t pid)
{
    char path[64];
    char state = 'Z';

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    const bool is_read = file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
    if (file != NULL) {
        (void)fclose(file);
    }
    return is_read && state != 'Z';
}

static void test_signers_that_issuerd_leaves_behind_end_with_it(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    const pid_t signer = instance_signer_pid(fixture.instance);
    CU_ASSERT_TRUE_FATAL(signer > 0);
    instance_kill(fixture.instance);
    fixture.issuerd = 0;
    const int64_t deadline_ns = heal_deadline();
    while (is_running(signer) && monotonic_ns() < deadline_ns) {
        (void)usleep(10000);
    }
    CU_ASSERT_FALSE(is_running(signer));
}

/* ---- the module ---- */

/* The faults are on: refused in time, and told to the operator. Then off: healed in time. */
static void check_fault_that_lasts(const char *faults)
{
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    CU_ASSERT_EQUAL(signer_metric("up"), 1);
    CU_ASSERT_EQUAL(signer_metric("restarts_total"), 0);
    instance_set_faults(fixture.instance, faults);
    CU_ASSERT_TRUE(is_refused_for_now());
    CU_ASSERT_TRUE(health_await(fixture.instance, health_is_not_ready, heal_deadline()));
    CU_ASSERT_TRUE(is_refused_for_now());
    CU_ASSERT_EQUAL(signer_metric("up"), 0);
    (void)sleep(2); /* it is tried again meanwhile, in vain */
    CU_ASSERT_TRUE(is_refused_for_now());
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 0);

    instance_set_faults(fixture.instance, "");
    const int64_t deadline_ns = heal_deadline();
    CU_ASSERT_TRUE(redeems_by(deadline_ns));
    CU_ASSERT_TRUE(health_await(fixture.instance, health_is_ready, deadline_ns));
    CU_ASSERT_EQUAL(signer_metric("up"), 1);
    CU_ASSERT_TRUE(signer_metric("restarts_total") >= 1);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 1);
}

static void test_a_module_that_aborts_takes_only_its_signer_down(void)
{
    check_fault_that_lasts("C_Sign abort\n");
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.died"));
}

static void test_a_device_that_fails_for_long_is_back_once_it_works(void)
{
    check_fault_that_lasts("C_Sign rv=0x30\n");
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "CKR_DEVICE_ERROR"));
}

static void test_a_device_that_hangs_is_back_once_it_works(void)
{
    check_fault_that_lasts("C_Sign hang\n");
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.stuck"));
}

static void test_a_signature_with_a_wrong_bit_never_leaves(void)
{
    check_fault_that_lasts("C_Sign flip\n");
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "does not verify"));
    CU_ASSERT_TRUE(signer_metric("wrong_signatures_total") >= 2);
}

static void test_a_device_that_is_gone_is_back_once_it_works(void)
{
    check_fault_that_lasts("C_Sign rv=0x32\nC_GetSlotList rv=0x30\n"); /* CKR_DEVICE_REMOVED */
}

static void test_lost_sessions_are_opened_again(void)
{
    check_fault_that_lasts("C_Sign rv=0xb3\nC_SignInit rv=0xb3\n"); /* CKR_SESSION_HANDLE_INVALID */
}

/* Each process of the signer meets the fault once, a while after its start. */
static void check_fault_that_passes(const char *faults)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_set_faults(fixture.instance, faults);
    CU_ASSERT_TRUE_FATAL(start_load());
    (void)sleep(3);
    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(make_code() && redeems_by(heal_deadline()));
    CU_ASSERT_TRUE(agrees(1));
}

static void test_a_device_error_now_and_then_burns_no_code(void)
{
    check_fault_that_passes("C_Sign rv=0x30 after=40 count=1\n");
}

static void test_a_wrong_bit_now_and_then_never_leaves_and_nobody_notices(void)
{
    check_fault_that_passes("C_Sign flip after=40 count=1\n");
    CU_ASSERT_EQUAL(load_stop(fixture.load)->refusals, 0);
    CU_ASSERT_EQUAL(signer_metric("wrong_signatures_total"), 1);
    CU_ASSERT_EQUAL(signer_metric("restarts_total"), 0);
}

static void test_a_crash_now_and_then_burns_no_code(void)
{
    check_fault_that_passes("C_Sign abort after=40 count=1\n");
}

static void test_a_hang_now_and_then_burns_no_code(void)
{
    check_fault_that_passes("C_Sign hang after=40 count=1\n");
}

/* Lines with "BEFORE pid=PID AFTER". */
static unsigned count_in_shim_log(const char *before, pid_t pid, const char *after)
{
    scoped(release_memory) char *line = NULL;
    char text[64];
    size_t size = 0;
    unsigned count = 0;
    FILE *file = fopen(instance_shim_log_path(fixture.instance), "r");

    (void)snprintf(text, sizeof(text), "%s pid=%d %s", before, pid, after);
    while (file != NULL && getline(&line, &size, file) >= 0) {
        count += strstr(line, text) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return count;
}

static bool has_died(const struct instance *instance)
{
    return instance_has_logged(instance, "signer.died");
}

/* One worker finds its login gone, and begins another, which takes a while; then another worker finds
 * the device gone. */
static void test_a_signer_that_gives_up_lets_a_login_come_to_its_end(void)
{
    CU_ASSERT_TRUE_FATAL(start() && start_load());
    const pid_t signer = instance_signer_pid(fixture.instance);
    CU_ASSERT_EQUAL(count_in_shim_log("C_Login", signer, "rv=0x0"), 1);
    instance_set_faults(fixture.instance, "C_Sign close_sessions times=1\n"
                                          "C_Login delay_us=300000 times=1\n"
                                          "C_SignInit rv=0x32 delay_us=100000 after=1 times=1\n");
    CU_ASSERT_TRUE(health_await(fixture.instance, has_died, heal_deadline()));
    CU_ASSERT_EQUAL(count_in_shim_log("fault", signer, "C_Login"), 1);
    CU_ASSERT_EQUAL(count_in_shim_log("C_Login", signer, "rv=0x0"), 2);
    CU_ASSERT_TRUE(make_code() && redeems_by(heal_deadline()));
    CU_ASSERT_TRUE(agrees(1));
}

static void test_a_store_that_keeps_answers_waiting_is_not_taken_for_a_stuck_device(void)
{
    instance_set(fixture.instance, "signer main.deadline_ms=%d", 300 * HEALTH_SLACK);
    CU_ASSERT_TRUE_FATAL(start() && start_load());
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(ledger_hold(fixture.instance, 800));
        (void)usleep(100000);
    }
    CU_ASSERT_TRUE(agrees(0));
    CU_ASSERT_EQUAL(signer_metric("restarts_total"), 0);
}

static void test_a_slow_device_is_slow_and_nothing_else(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_set_faults(fixture.instance, "C_Sign delay_us=20000\n");
    CU_ASSERT_TRUE_FATAL(start_load());
    (void)sleep(2);
    CU_ASSERT_EQUAL(load_stop(fixture.load)->refusals, 0);
    CU_ASSERT_TRUE(agrees(0));
    CU_ASSERT_EQUAL(signer_metric("restarts_total"), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a signer killed under load burns no code and is back",
          test_a_signer_killed_under_load_burns_no_code_and_is_back },
        { "a signer stopped under load burns no code and is back",
          test_a_signer_stopped_under_load_burns_no_code_and_is_back },
        { "a signer stopped while idle is noticed by the first request",
          test_a_signer_stopped_while_idle_is_noticed_by_the_first_request },
        { "a signer stopped while idle is replaced without a request",
          test_a_signer_stopped_while_idle_is_replaced_without_a_request },
        { "a signer killed while idle is back before anyone asks",
          test_a_signer_killed_while_idle_is_back_before_anyone_asks },
        { "signers that issuerd leaves behind end with it",
          test_signers_that_issuerd_leaves_behind_end_with_it },
        { "a module that aborts takes only its signer down",
          test_a_module_that_aborts_takes_only_its_signer_down },
        { "a device that fails for long is back once it works",
          test_a_device_that_fails_for_long_is_back_once_it_works },
        { "a device that hangs is back once it works",
          test_a_device_that_hangs_is_back_once_it_works },
        { "a signature with a wrong bit never leaves",
          test_a_signature_with_a_wrong_bit_never_leaves },
        { "a device that is gone is back once it works",
          test_a_device_that_is_gone_is_back_once_it_works },
        { "lost sessions are opened again", test_lost_sessions_are_opened_again },
        { "a device error now and then burns no code",
          test_a_device_error_now_and_then_burns_no_code },
        { "a wrong bit now and then never leaves and nobody notices",
          test_a_wrong_bit_now_and_then_never_leaves_and_nobody_notices },
        { "a crash now and then burns no code", test_a_crash_now_and_then_burns_no_code },
        { "a hang now and then burns no code", test_a_hang_now_and_then_burns_no_code },
        { "a signer that gives up lets a login come to its end",
          test_a_signer_that_gives_up_lets_a_login_come_to_its_end },
        { "a store that keeps answers waiting is not taken for a stuck device",
          test_a_store_that_keeps_answers_waiting_is_not_taken_for_a_stuck_device },
        { "a slow device is slow and nothing else", test_a_slow_device_is_slow_and_nothing_else },
        CU_TEST_INFO_NULL,
    };
    return run_suite("signer", set_up, tear_down, tests);
}
