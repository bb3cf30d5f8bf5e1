/* What issuerd refuses to start with, and says why; and what it starts with all the same, because
 * waiting may help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/program.h"
#include "support/run.h"

enum { CONFIG_STATUS = 78, RUN_S = 60, PATH_SIZE = 1024 };

static struct {
    struct instance *instance;
    char code[API_CODE_SIZE];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

static bool is_refused(const char *words)
{
    const char *const argv[] = { "issuerd", "--config", instance_conf_path(fixture.instance),
                                 NULL };

    instance_write_conf(fixture.instance);
    const struct program_result *result = program_run(argv, RUN_S);
    return program_ended(result, CONFIG_STATUS, words) && result->output[0] == '\0';
}

/* TEST_KEY_URI with another path part. */
static void set_uri_path(const char *path)
{
    instance_set(fixture.instance, "signer main.uri=%s%s", path,
                 strchr(getenv("TEST_KEY_URI"), '?'));
}

static bool run_ctl(const char *first, const char *second, const char *option, const char *value)
{
    const char *const argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                 first,       second,     "main",
                                 option,      value,      NULL };
    instance_write_conf(fixture.instance);
    return program_ended(program_run(argv, RUN_S), 0, "");
}

static const char *so_pin_path(void)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/so-pin", getenv("TEST_DIR"));
    return path;
}

/* ---- sockets that are passed ---- */

/* As descriptor 3, opened by the shell as `redirection` says, of that name. */
static bool is_refused_with(const char *redirection, const char *name, const char *words)
{
    char script[2 * PATH_SIZE];

    instance_write_conf(fixture.instance);
    (void)snprintf(script, sizeof(script),
                   "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=%s exec \"$TEST_ISSUERD\" --config "
                   "'%s' 3%s",
                   name, instance_conf_path(fixture.instance), redirection);
    const char *const argv[] = { "sh", "-c", script, NULL };
    return program_ended(program_run(argv, RUN_S), CONFIG_STATUS, words);
}

static void test_what_is_passed_and_no_listening_socket_is_refused(void)
{
    CU_ASSERT_TRUE(is_refused_with("</dev/null", "public", "none that listens for streams"));
    CU_ASSERT_TRUE(is_refused_with("</dev/null", "admin", "[admin]"));
    CU_ASSERT_TRUE(is_refused_with("</dev/null", "issuerd.socket", "FileDescriptorName="));
    CU_ASSERT_TRUE(is_refused_with("<&-", "public", "that was passed"));
}

static void test_a_socket_that_is_not_where_listen_says_is_refused(void)
{
    instance_pass_sockets(fixture.instance);
    instance_set(fixture.instance, "public.listen=127.0.0.1:1");
    CU_ASSERT_FALSE(instance_start(fixture.instance));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "listen is http://127.0.0.1:1:"));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "[public]"));
}

/* ---- the module ---- */

static void set_module(const char *path)
{
    scoped(release_memory) char *uri = key_uri_through(path);
    instance_set(fixture.instance, "signer main.uri=%s", uri);
}

static void test_a_module_that_is_not_there_is_refused(void)
{
    set_module("/nonexistent/module.so");
    CU_ASSERT_TRUE(is_refused("/nonexistent/module.so"));
}

static void test_a_file_that_is_no_module_is_refused(void)
{
    set_module("/etc/passwd");
    CU_ASSERT_TRUE(is_refused("/etc/passwd"));
    set_module("/lib/x86_64-linux-gnu/libc.so.6");
    CU_ASSERT_TRUE(is_refused("libc.so.6"));
}

/* ---- the key ---- */

static void test_a_key_that_is_not_there_is_refused_by_name(void)
{
    set_uri_path("pkcs11:token=issuerd%20test;object=missing");
    CU_ASSERT_TRUE(is_refused("token=issuerd%20test;object=missing: no such private key"));
}

static void test_several_keys_are_refused(void)
{
    set_uri_path("pkcs11:token=issuerd%20test;object=second");
    CU_ASSERT_TRUE_FATAL(run_ctl("keys", "generate", NULL, NULL));
    set_uri_path("pkcs11:token=issuerd%20test");
    CU_ASSERT_TRUE(is_refused("private keys match pkcs11:token=issuerd%20test"));
    set_uri_path("pkcs11:token=issuerd%20test;object=second");
    CU_ASSERT_TRUE(instance_start(fixture.instance) && api_serves(fixture.instance));
}

static bool make_extractable_key(const char *label)
{
    char pin[PATH_SIZE] = "";
    FILE *file = fopen(getenv("TEST_PIN_FILE"), "r");
    if (file == NULL || fgets(pin, sizeof(pin), file) == NULL) {
        return false;
    }
    (void)fclose(file);
    pin[strcspn(pin, "\n")] = '\0';
    const char *const argv[] = { "pkcs11-tool",   "--module",      getenv("TEST_MODULE"),
                                 "--login",       "--pin",         pin,
                                 "--label",       label,           "--token-label",
                                 "issuerd test",  "--keypairgen",  "--key-type",
                                 "EC:prime256v1", "--extractable", NULL };
    return program_ended(program_run(argv, RUN_S), 0, "");
}

static void test_a_key_that_can_leave_the_token_is_refused_by_attribute(void)
{
    CU_ASSERT_TRUE_FATAL(make_extractable_key("leaves"));
    set_uri_path("pkcs11:token=issuerd%20test;object=leaves");
    CU_ASSERT_TRUE(is_refused("EXTRACTABLE"));
    CU_ASSERT_TRUE(is_refused("leaves"));
}

static void test_an_algorithm_of_another_key_type_is_refused(void)
{
    instance_set(fixture.instance, "signer main.algorithm=RS256");
    CU_ASSERT_TRUE(is_refused("RS256"));
}

/* ---- the PIN file ---- */

static void test_a_pin_file_open_to_others_is_refused(void)
{
    const char *pin = getenv("TEST_PIN_FILE");

    CU_ASSERT_EQUAL_FATAL(chmod(pin, 0644), 0);
    const bool refused = is_refused(pin);
    CU_ASSERT_EQUAL(chmod(pin, 0600), 0);
    CU_ASSERT_TRUE(refused);
}

/* ---- the token ---- */

/* The same PIN in a file that is another one. issuerd may have tried it on the token before the token
 * had it. */
static void renew_pin_file(void)
{
    const char *const argv[] = { "sh", "-c",
                                 "install -m 600 \"$TEST_PIN_FILE\" \"$TEST_PIN_FILE.new\" &&"
                                 " mv \"$TEST_PIN_FILE.new\" \"$TEST_PIN_FILE\"",
                                 NULL };
    CU_ASSERT_TRUE_FATAL(program_ended(program_run(argv, RUN_S), 0, ""));
}

static void test_a_token_that_is_not_there_is_waited_for(void)
{
    char token[64];

    (void)snprintf(token, sizeof(token), "pkcs11:token=late-%d;object=late", getpid());
    set_uri_path(token);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const pid_t issuerd = instance_pid(fixture.instance);
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "late-"));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "issuerd test")); /* which are there */
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, fixture.code));
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));

    CU_ASSERT_TRUE_FATAL(run_ctl("token", "init", "--so-pin-file", so_pin_path()));
    renew_pin_file();
    CU_ASSERT_TRUE_FATAL(run_ctl("keys", "generate", NULL, NULL));
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_EQUAL(instance_pid(fixture.instance), issuerd);
}

/* ---- keys in files ---- */

static void use_key_file(void)
{
    char path[PATH_SIZE];
    const char *const argv[] = {
        "openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-out",    path,      NULL
    };

    (void)snprintf(path, sizeof(path), "%s/key.pem", instance_directory(fixture.instance));
    CU_ASSERT_TRUE_FATAL(program_ended(program_run(argv, RUN_S), 0, ""));
    instance_set(fixture.instance, "signer main.uri=file:%s", path);
}

static void test_a_key_file_is_refused_outside_development(void)
{
    use_key_file();
    CU_ASSERT_TRUE(is_refused("development"));
    instance_set(fixture.instance, "issuer.environment=production");
    CU_ASSERT_TRUE(is_refused("development"));
}

static void test_a_key_file_signs_in_development(void)
{
    use_key_file();
    instance_set(fixture.instance, "issuer.environment=development");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, "read", fixture.code));
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
}

/* ---- several signers ---- */

static bool main_is_down(const struct instance *instance)
{
    return health_metric(instance, "issuerd_signer_up{signer=\"main\"}") == 0;
}

static void test_when_one_signer_is_down_the_next_signs(void)
{
    char path[PATH_SIZE];

    use_key_file();
    (void)snprintf(path, sizeof(path), "%s/key.pem", instance_directory(fixture.instance));
    instance_use_shim(fixture.instance);
    instance_set(fixture.instance, "issuer.environment=development");
    instance_set(fixture.instance, "signer spare.uri=file:%s", path);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && api_serves(fixture.instance));
    instance_set_faults(fixture.instance, "C_Sign rv=0x30\n");
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, fixture.code));
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    /* The shim looks for its rules now and then: the redeem may have come before, a self-test has not. */
    CU_ASSERT_TRUE_FATAL(
        health_await(fixture.instance, main_is_down, monotonic_ns() + 2 * HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(health_is_ready(fixture.instance));
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_TRUE(api_serves(fixture.instance));
    }
    CU_ASSERT_TRUE(main_is_down(fixture.instance));
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_signer_up{signer=\"spare\"}"), 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "what is passed and no listening socket is refused",
          test_what_is_passed_and_no_listening_socket_is_refused },
        { "a socket that is not where listen says is refused",
          test_a_socket_that_is_not_where_listen_says_is_refused },
        { "a module that is not there is refused", test_a_module_that_is_not_there_is_refused },
        { "a file that is no module is refused", test_a_file_that_is_no_module_is_refused },
        { "a key that is not there is refused by name",
          test_a_key_that_is_not_there_is_refused_by_name },
        { "several keys are refused", test_several_keys_are_refused },
        { "a key that can leave the token is refused by attribute",
          test_a_key_that_can_leave_the_token_is_refused_by_attribute },
        { "an algorithm of another key type is refused",
          test_an_algorithm_of_another_key_type_is_refused },
        { "a PIN file open to others is refused", test_a_pin_file_open_to_others_is_refused },
        { "a token that is not there is waited for", test_a_token_that_is_not_there_is_waited_for },
        { "a key file is refused outside development",
          test_a_key_file_is_refused_outside_development },
        { "a key file signs in development", test_a_key_file_signs_in_development },
        { "when one signer is down the next signs", test_when_one_signer_is_down_the_next_signs },
        CU_TEST_INFO_NULL,
    };
    return run_suite("start", set_up, tear_down, tests);
}
