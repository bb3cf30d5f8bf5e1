/*
 * issuerd and its signers in their sandboxes, with SoftHSM2: what somebody who runs code inside them
 * (tests/support/trespasser.c) cannot do, and what they say of it. That nothing else is missed, all the
 * other tests show, as they run with the sandboxes that are the default.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/run.h"

enum { SOON_S = 20, STOP_S = 30, PIDS_MAX = 16, FILTERED = 2 };

static struct {
    struct instance *instance;
    char library_path[512]; /* by which it is found: there are no blanks in LD_PRELOAD */
    char file[512];
    char outside[512]; /* a directory beside the instance's */
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    (void)snprintf(fixture.library_path, sizeof(fixture.library_path), "LD_LIBRARY_PATH=%s",
                   getenv("TEST_TRESPASSER_DIR"));
    (void)snprintf(fixture.outside, sizeof(fixture.outside), "%s/outside", getenv("TEST_DIR"));
    (void)mkdir(fixture.outside, 0700);
    instance_set_variable(fixture.instance, "LD_PRELOAD=trespasser.so");
    instance_set_variable(fixture.instance, fixture.library_path);
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

/* What SIGUSR1 has them open. */
static bool start_with_file(const char *path)
{
    (void)snprintf(fixture.file, sizeof(fixture.file), "TRESPASS_FILE=%s", path);
    instance_set_variable(fixture.instance, fixture.file);
    return instance_start(fixture.instance);
}

static bool start(void)
{
    return start_with_file(getenv("TEST_PIN_FILE"));
}

static bool has_logged_soon(const char *text)
{
    const int64_t deadline_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while (!instance_has_logged(fixture.instance, text) && monotonic_ns() < deadline_ns) {
        (void)usleep(5000);
    }
    return instance_has_logged(fixture.instance, text);
}

static bool ends_normally(void)
{
    return instance_stop(fixture.instance, STOP_S) == 0;
}

/* A number of /proc/PID/status; -1: no such line. */
static int status_number(pid_t pid, const char *name)
{
    char path[64];
    char line[256];
    int value = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            value = (int)strtol(line + strlen(name), NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return value;
}

static size_t children_of(pid_t parent, pid_t pids_out[static PIDS_MAX])
{
    size_t count = 0;
    DIR *all = opendir("/proc");

    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && count < PIDS_MAX && status_number(pid, "PPid:") == parent) {
            pids_out[count++] = pid;
        }
    }
    (void)closedir(all);
    return count;
}

/* issuerd's only child. */
static pid_t launcher(void)
{
    pid_t pids[PIDS_MAX];

    CU_ASSERT_EQUAL_FATAL(children_of(instance_pid(fixture.instance), pids), 1);
    return pids[0];
}

/* ---- as it is by default ---- */

static void test_both_are_limited_and_issue(void)
{
    pid_t signers[PIDS_MAX];

    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(status_number(instance_pid(fixture.instance), "Seccomp:"), FILTERED);
    CU_ASSERT_EQUAL(status_number(instance_pid(fixture.instance), "NoNewPrivs:"), 1);
    CU_ASSERT_EQUAL(children_of(launcher(), signers), 1);
    CU_ASSERT_EQUAL(status_number(signers[0], "Seccomp:"), FILTERED);
    CU_ASSERT_EQUAL(status_number(launcher(), "Seccomp:"), 0);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "sandbox.calls mode=enforce"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_issuerd_cannot_open_the_pin(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGUSR1), 0);
    CU_ASSERT_TRUE(has_logged_soon("trespass: open errno=13")); /* EACCES */
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_issuerd_cannot_open_the_systems_secrets(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_file("/etc/shadow"));
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGUSR1), 0);
    CU_ASSERT_TRUE(has_logged_soon("trespass: open errno=13"));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_issuerd_opens_its_store(void)
{
    CU_ASSERT_TRUE_FATAL(start_with_file(instance_store_path(fixture.instance)));
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGUSR1), 0);
    CU_ASSERT_TRUE(has_logged_soon("trespass: open errno=0"));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_issuerd_cannot_start_a_program(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGWINCH), 0);
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, STOP_S), 128 + SIGSYS);
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, "trespass: "));
}

static void test_a_call_that_is_not_issuerds_ends_it(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGUSR2), 0);
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, STOP_S), 128 + SIGSYS);
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, "trespass: "));
}

static void test_a_signer_ends_likewise_and_is_started_again(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    const pid_t before = instance_signer_pid(fixture.instance);
    CU_ASSERT_EQUAL_FATAL(kill(before, SIGUSR2), 0);
    CU_ASSERT_TRUE(has_logged_soon("signer.forbidden_call signer=main"));
    CU_ASSERT_TRUE(
        health_await(fixture.instance, health_is_ready, monotonic_ns() + SOON_S * NS_PER_S));
    CU_ASSERT_NOT_EQUAL(instance_signer_pid(fixture.instance), before);
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, "trespass: "));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_a_key_in_memory_has_less_than_a_token_of_files(void)
{
    instance_use_audit_file(fixture.instance, "ES256");
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(has_logged_soon("signer.sandbox signer=audit sandbox=memory mode=enforce"));
    CU_ASSERT_TRUE(has_logged_soon("signer.sandbox signer=main sandbox=files mode=enforce"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

/* ---- as an operator sets it ---- */

static void test_an_unknown_module_is_watched_until_it_is_trusted(void)
{
    instance_use_shim(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(has_logged_soon("signer.sandbox signer=main sandbox=network mode=log"));
    instance_set(fixture.instance, "signer main.sandbox=files");
    instance_set(fixture.instance, "signer main.sandbox_mode=enforce");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged_soon("signer.sandbox signer=main sandbox=files mode=enforce"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_in_log_mode_all_goes_on(void)
{
    instance_set(fixture.instance, "issuer.sandbox_mode=log");
    instance_set(fixture.instance, "signer main.sandbox_mode=log");
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(status_number(instance_pid(fixture.instance), "Seccomp:"), FILTERED);
    CU_ASSERT_TRUE(
        instance_has_logged(fixture.instance, "signer.sandbox signer=main sandbox=files mode=log"));
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGUSR1), 0);
    CU_ASSERT_TRUE(has_logged_soon("trespass: open errno=0"));
    CU_ASSERT_EQUAL(kill(instance_pid(fixture.instance), SIGUSR2), 0);
    CU_ASSERT_TRUE(has_logged_soon("trespass: sync done"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

static void test_it_can_be_off(void)
{
    instance_set(fixture.instance, "issuer.sandbox_mode=off");
    instance_set(fixture.instance, "signer main.sandbox_mode=off");
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(status_number(instance_pid(fixture.instance), "Seccomp:"), 0);
    CU_ASSERT_EQUAL(status_number(instance_signer_pid(fixture.instance), "Seccomp:"), 0);
    CU_ASSERT_TRUE(ends_normally());
}

static void test_a_signers_sandbox_changes_at_a_reload(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_set(fixture.instance, "signer main.sandbox=network");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(
        instance_has_logged(fixture.instance, "config.reloaded changed='signer main.sandbox'"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

/* ---- reload ---- */

static void test_a_reload_says_which_file_lies_outside(void)
{
    char path[600];

    CU_ASSERT_TRUE_FATAL(start());
    (void)snprintf(path, sizeof(path), "%s/secret", fixture.outside);
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs("another-client-secret", file);
    CU_ASSERT_EQUAL(fclose(file), 0);
    instance_set(fixture.instance, "admin.client_secret_file=%s", path);
    CU_ASSERT_FALSE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged_soon("outside/secret lies outside of what issuerd may open"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance)); /* as it advised */
    CU_ASSERT_TRUE(ends_normally());
}

static void test_a_resolver_waits_for_the_next_start(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_set(fixture.instance, "did.resolver_url=https://resolver.example");
    CU_ASSERT_FALSE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged_soon("names cannot be resolved: restart issuerd"));
    CU_ASSERT_TRUE(ends_normally());
}

/* ---- the launcher ---- */

static void test_without_its_launcher_issuerd_ends_to_be_started_again(void)
{
    enum { EX_SOFTWARE = 70 };

    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(kill(launcher(), SIGKILL), 0);
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, STOP_S), EX_SOFTWARE);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "launcher.died"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(ends_normally());
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "both are limited, and issue", test_both_are_limited_and_issue },
        { "issuerd cannot open the PIN", test_issuerd_cannot_open_the_pin },
        { "issuerd cannot open the system's secrets",
          test_issuerd_cannot_open_the_systems_secrets },
        { "issuerd opens its store", test_issuerd_opens_its_store },
        { "issuerd cannot start a program", test_issuerd_cannot_start_a_program },
        { "a call that is not issuerd's ends it", test_a_call_that_is_not_issuerds_ends_it },
        { "a signer ends likewise and is started again",
          test_a_signer_ends_likewise_and_is_started_again },
        { "a key in memory has less than a token of files",
          test_a_key_in_memory_has_less_than_a_token_of_files },
        { "an unknown module is watched until it is trusted",
          test_an_unknown_module_is_watched_until_it_is_trusted },
        { "in log mode all goes on", test_in_log_mode_all_goes_on },
        { "it can be off", test_it_can_be_off },
        { "a signer's sandbox changes at a reload", test_a_signers_sandbox_changes_at_a_reload },
        { "a reload says which file lies outside", test_a_reload_says_which_file_lies_outside },
        { "a resolver waits for the next start", test_a_resolver_waits_for_the_next_start },
        { "without its launcher issuerd ends, to be started again",
          test_without_its_launcher_issuerd_ends_to_be_started_again },
        CU_TEST_INFO_NULL,
    };
    return run_suite("sandboxed", set_up, tear_down, tests);
}
