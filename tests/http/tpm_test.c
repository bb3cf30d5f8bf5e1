/*
 * A server whose key is in a TPM (swtpm): reset, killed, hung, broken and in lock-out, under load or
 * alone; and one with a TPM and a token, which stand in for each other. Run under with_swtpm.sh,
 * tpm_keys.sh and with_softhsm.sh.
 */
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
#include "support/program.h"
#include "support/run.h"

enum { LOAD_THREADS = 4, SETTLE_S = 30 * HEALTH_SLACK, RUN_S = 60 };

static struct {
    struct instance *instance;
    struct load *load;
    pid_t issuerd;
    char code[API_CODE_SIZE];
} fixture;

/* ---- the TPM ---- */

static bool run(const char *command)
{
    return system(command) == 0;
}

static bool reset_tpm(void)
{
    return run("swtpm_ioctl -i --unix \"$TEST_TPM_SOCKET.ctrl\" >/dev/null");
}

static bool signal_tpm(const char *name)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "kill -%s \"$(cat \"$TEST_TPM_PID_FILE\")\"", name);
    return run(command);
}

static bool start_tpm(void)
{
    return run("\"$TEST_SUPPORT/swtpm_start.sh\"");
}

/* A TPM that cannot write its state is in failure mode. */
static bool break_tpm(void)
{
    (void)run("mv \"$TEST_TPM_STATE\" \"$TEST_TPM_STATE.away\" &&"
              " swtpm_ioctl -i --unix \"$TEST_TPM_SOCKET.ctrl\" >/dev/null 2>&1");
    return run("test -d \"$TEST_TPM_STATE.away\"");
}

static bool mend_tpm(void)
{
    return run("mv \"$TEST_TPM_STATE.away\" \"$TEST_TPM_STATE\"") && reset_tpm();
}

static int lockout_counter(void)
{
    FILE *pipe = popen("TPM2TOOLS_TCTI=\"$TEST_TCTI\" tpm2_getcap properties-variable"
                       " | sed -n 's/.*LOCKOUT_COUNTER: *//p'",
                       "r");
    int counter = -1;

    (void)!fscanf(pipe, "%i", &counter);
    (void)pclose(pipe);
    return counter;
}

/* ---- the server ---- */

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "signer main.uri=%s", getenv("TEST_TPM_KEY_URI"));
    instance_set(fixture.instance, "signer main.deadline_ms=%d", 1500 * HEALTH_SLACK);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
}

/* Another key of the TPM, or another file of those beside its own. */
static void use_key(const char *handle, const char *auth_file)
{
    const char *query = strchr(getenv("TEST_TPM_KEY_URI"), '?');

    instance_set(fixture.instance, "signer main.uri=tpm:handle=%s%.*s%s", handle,
                 (int)(strlen(query) - strlen("auth")), query, auth_file);
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

static bool start(void)
{
    const int64_t deadline_ns = monotonic_ns() + SETTLE_S * NS_PER_S;
    const bool started = instance_start(fixture.instance)
                      && health_await(fixture.instance, health_is_ready, deadline_ns);
    fixture.issuerd = instance_pid(fixture.instance);
    return started;
}

static bool tpm_signs_within(int seconds)
{
    return health_signs_within(fixture.instance, "main", seconds);
}

static bool token_signs_within(int seconds)
{
    return health_signs_within(fixture.instance, "token", seconds);
}

static bool start_with_load(void)
{
    if (!start()) {
        return false;
    }
    fixture.load = load_start(fixture.instance, LOAD_THREADS);
    return fixture.load != NULL && tpm_signs_within(SETTLE_S);
}

static bool agrees(void)
{
    return ledger_agrees(fixture.instance, load_stop(fixture.load), 0);
}

static bool make_code(void)
{
    return api_make_code(fixture.instance, NULL, fixture.code);
}

static bool redeems_in_time(void)
{
    return health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S);
}

/* ---- what befalls it ---- */

static void test_a_tpm_reset_under_load_burns_no_code_and_nobody_restarts(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(reset_tpm());
        CU_ASSERT_TRUE(tpm_signs_within(HEAL_S));
    }
    CU_ASSERT_TRUE(agrees());
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.tpm_connected_again"));
}

static void test_a_tpm_killed_under_load_is_signed_with_once_it_is_back(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_TRUE(signal_tpm("KILL"));
        CU_ASSERT_TRUE_FATAL(health_await(fixture.instance, health_is_not_ready,
                                          monotonic_ns() + HEAL_S * NS_PER_S));
        CU_ASSERT_TRUE(start_tpm());
        CU_ASSERT_TRUE(tpm_signs_within(HEAL_S));
    }
    CU_ASSERT_TRUE(agrees());
}

static void test_a_tpm_that_hangs_is_signed_with_once_it_answers(void)
{
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    CU_ASSERT_TRUE_FATAL(signal_tpm("STOP"));
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(
        health_await(fixture.instance, health_is_not_ready, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(signal_tpm("CONT"));
    CU_ASSERT_TRUE(redeems_in_time());
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.stuck"));
}

static void test_a_tpm_in_failure_mode_is_told_and_signed_with_once_it_is_well(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_load());
    CU_ASSERT_TRUE_FATAL(break_tpm());
    CU_ASSERT_TRUE(
        health_await(fixture.instance, health_is_not_ready, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(mend_tpm());
    CU_ASSERT_TRUE(tpm_signs_within(HEAL_S));
    CU_ASSERT_TRUE(agrees());
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "TPM failure"));
}

/* Without noDA the TPM counts: one wrong try at the start, and none after it, whoever asks. */
static void test_a_wrong_auth_is_tried_once_until_its_file_changes(void)
{
    CU_ASSERT_TRUE_FATAL(run("TPM2TOOLS_TCTI=\"$TEST_TCTI\" tpm2_dictionarylockout -c"));
    CU_ASSERT_EQUAL_FATAL(lockout_counter(), 0);
    CU_ASSERT_TRUE_FATAL(run("printf wrong >\"$TEST_TPM_DIR/other\""));
    use_key("0x81000016", "other");
    instance_write_conf(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    fixture.issuerd = instance_pid(fixture.instance);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.locked"));
    CU_ASSERT_EQUAL(lockout_counter(), 1);
    (void)sleep(3);
    const char *list[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                           "keys",      "list",     NULL };
    CU_ASSERT_TRUE(program_ended(program_run(list, RUN_S), 69, "refused before"));
    CU_ASSERT_EQUAL(lockout_counter(), 1);
    CU_ASSERT_TRUE(run("cp \"$TEST_TPM_DIR/auth\" \"$TEST_TPM_DIR/other\""));
    CU_ASSERT_TRUE(
        health_await(fixture.instance, health_is_ready, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(make_code() && redeems_in_time());
    CU_ASSERT_EQUAL(lockout_counter(), 1);
}

/* In lock-out the TPM refuses the right value too; it is not asked again until the file is written. */
static void test_a_tpm_in_lockout_is_left_alone(void)
{
    use_key("0x81000016", "auth");
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    CU_ASSERT_TRUE_FATAL(run("export TPM2TOOLS_TCTI=\"$TEST_TCTI\"; tpm2_flushcontext -l;"
                             " for i in 1 2 3; do tpm2_sign -Q -c 0x81000016 -p wrong -g sha256 -o "
                             "\"$TEST_TPM_DIR/signature\""
                             " \"$TEST_TPM_PID_FILE\" 2>/dev/null; done; :"));
    CU_ASSERT_EQUAL(lockout_counter(), 3);
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(
        health_await(fixture.instance, health_is_not_ready, monotonic_ns() + HEAL_S * NS_PER_S));
    (void)sleep(2);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.locked"));
    CU_ASSERT_TRUE(run("export TPM2TOOLS_TCTI=\"$TEST_TCTI\"; tpm2_flushcontext -l;"
                       " tpm2_dictionarylockout -c"));
    CU_ASSERT_TRUE(run("cp -p \"$TEST_TPM_DIR/auth\" \"$TEST_TPM_DIR/new\" &&"
                       " mv \"$TEST_TPM_DIR/new\" \"$TEST_TPM_DIR/auth\""));
    CU_ASSERT_TRUE(redeems_in_time());
}

static void test_a_token_stands_in_for_a_tpm_and_the_tpm_comes_back(void)
{
    instance_set(fixture.instance, "signer token.uri=%s", getenv("TEST_KEY_URI"));
    instance_set(fixture.instance, "signer token.setenv=SOFTHSM2_CONF=%s", getenv("SOFTHSM2_CONF"));
    instance_set(fixture.instance, "signer token.deadline_ms=%d", 1500 * HEALTH_SLACK);
    CU_ASSERT_TRUE_FATAL(start_with_load());
    CU_ASSERT_TRUE(signal_tpm("KILL"));
    CU_ASSERT_TRUE(token_signs_within(ANSWER_S));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 200);
    CU_ASSERT_TRUE(start_tpm());
    CU_ASSERT_TRUE(tpm_signs_within(HEAL_S));
    CU_ASSERT_TRUE(agrees());
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "a TPM reset under load burns no code and nobody restarts",
          test_a_tpm_reset_under_load_burns_no_code_and_nobody_restarts },
        { "a TPM killed under load is signed with once it is back",
          test_a_tpm_killed_under_load_is_signed_with_once_it_is_back },
        { "a TPM that hangs is signed with once it answers",
          test_a_tpm_that_hangs_is_signed_with_once_it_answers },
        { "a TPM in failure mode is told and signed with once it is well",
          test_a_tpm_in_failure_mode_is_told_and_signed_with_once_it_is_well },
        { "a wrong auth is tried once until its file changes",
          test_a_wrong_auth_is_tried_once_until_its_file_changes },
        { "a TPM in lock-out is left alone", test_a_tpm_in_lockout_is_left_alone },
        { "a token stands in for a TPM and the TPM comes back",
          test_a_token_stands_in_for_a_tpm_and_the_tpm_comes_back },
        CU_TEST_INFO_NULL,
    };
    return run_suite("tpm", set_up, tear_down, tests);
}
