/*
 * A real TPM (swtpm) and the provider of its keys: what is refused and why, authorization values that
 * are never tried twice, and what a reset, a restart or full session slots cost: nothing. Run under
 * tests/support/with_swtpm.sh and tpm_keys.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "hsm/key_provider.h"
#include "support/run.h"
#include "support/uri.h"
#include "support/verify.h"

static struct {
    struct key_options options;
    struct device_key *key;
    struct error err;
    char uri[4096];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.options = (struct key_options){ .uri = getenv("TEST_KEY_URI"),
                                            .algorithm = JOSE_ALGORITHM_NONE,
                                            .sessions = 4,
                                            .deadline_ms = 10000 };
}

static void tear_down(void)
{
    if (fixture.key != NULL) {
        tpm_provider.close(take(fixture.key));
    }
}

static bool opens(void)
{
    tear_down();
    return tpm_provider.open(&fixture.options, &fixture.key, &fixture.err);
}

static bool signs(void)
{
    struct signature signature = { .length = 0 };

    return tpm_provider.sign(fixture.key, 0, "input", 5, &signature, &fixture.err)
        && signature_verifies(fixture.key->public_key, fixture.key->algorithm, "input", 5,
                              &signature);
}

static bool fails(bool done, enum error_code code, const char *words)
{
    const bool good =
        !done && fixture.err.code == code && strstr(error_line(&fixture.err).text, words) != NULL;
    if (!good) {
        fprintf(stderr, "\n%s: not \"%s\" but \"%s\"\n", fixture.options.uri, words,
                done ? "success" : error_line(&fixture.err).text);
    }
    return good;
}

static bool is_refused(enum error_code code, const char *words)
{
    return fails(opens(), code, words);
}

/* The test's URI with another text in the place of one. */
static void replace_in_uri(const char *old, const char *new)
{
    const char *uri = getenv("TEST_KEY_URI");
    const char *at = strstr(uri, old);

    (void)snprintf(fixture.uri, sizeof(fixture.uri), "%.*s%s%s", (int)(at - uri), uri, new,
                   at + strlen(old));
    fixture.options.uri = fixture.uri;
}

static void use_handle(const char *handle)
{
    replace_in_uri("0x81000001", handle);
}

static bool run(const char *command)
{
    return system(command) == 0;
}

static const char *control_path(void)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "%s/control", getenv("TEST_DIR"));
    return path;
}

/* ---- the key ---- */

static void test_a_good_key_says_what_and_where_it_is(void)
{
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(signs());
    CU_ASSERT_STRING_EQUAL(fixture.key->description, "TPM handle 0x81000001");
    CU_ASSERT_STRING_EQUAL(fixture.key->attributes,
                           "fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA sign");
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.key->device, "manufacturer \"IBM\" vendor \"SW"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.key->device, "firmware 20"));
    CU_ASSERT_EQUAL(fixture.key->sessions, 1);
}

static void test_a_password_signs_as_an_hmac_session_does(void)
{
    replace_in_uri("?tcti", "?auth=password&tcti");
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(signs());
}

static void test_a_key_that_could_do_more_or_leave_is_refused_by_attribute(void)
{
    use_handle("0x81000010");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "0x81000010: decrypt is set"));
    use_handle("0x81000011");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "0x81000011: fixedTPM is clear"));
    use_handle("0x81000012");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "0x81000012: restricted is set"));
}

static void test_a_key_of_another_kind_or_scheme_is_refused(void)
{
    use_handle("0x81000013");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "neither a P-256, a P-384 nor an RSA key"));
    use_handle("0x81000014");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "scheme (0x18, hash 0xc) is not that of ES256"));
    use_handle("0x81000015");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "is not that of PS256"));
    fixture.options.algorithm = JOSE_RS256;
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(signs());
}

/* ---- the configuration ---- */

static void test_a_tpm_that_is_not_there_may_come_back(void)
{
    replace_in_uri("/tpm&", "/none&");
    CU_ASSERT_TRUE(is_refused(ERROR_DEVICE_UNAVAILABLE, "no TPM can be reached"));
    replace_in_uri("swtpm:path", "nosuchtcti:path");
    CU_ASSERT_TRUE(is_refused(ERROR_DEVICE_UNAVAILABLE, "no TPM can be reached"));
}

static void test_an_auth_file_that_is_not_there_or_open_to_others_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(run("printf x >\"$TEST_DIR/open\" && chmod 644 \"$TEST_DIR/open\""));
    replace_in_uri("/auth", "/missing");
    CU_ASSERT_TRUE(is_refused(ERROR_CONFIG, "missing"));
    replace_in_uri("/auth", "/open");
    CU_ASSERT_TRUE(is_refused(ERROR_CONFIG, "chmod 600"));
    fixture.options.uri = "tpm:handle=1?x";
    CU_ASSERT_TRUE(is_refused(ERROR_CONFIG, "uri: must begin with tpm:handle="));
}

/* ---- the authorization value ---- */

static void use_wrong_auth(void)
{
    CU_ASSERT_TRUE_FATAL(run("printf wrong-auth >\"$TEST_DIR/wrong\""));
    replace_in_uri("/auth", "/wrong");
}

static void test_a_wrong_auth_is_locked_and_not_retried(void)
{
    use_wrong_auth();
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(fails(signs(), ERROR_KEY_LOCKED, "TPM2_Sign"));
    CU_ASSERT_TRUE(fails(signs(), ERROR_KEY_LOCKED, "0x9a2"));
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

/* Each failed signature is one try: nothing in the provider tries again. Then the TPM is in lock-out,
 * in which not even the right value is taken. */
static void test_each_refusal_costs_one_try_and_lockout_is_told(void)
{
    use_handle("0x81000016");
    CU_ASSERT_TRUE_FATAL(run("printf wrong-auth >\"$TEST_DIR/wrong\""));
    char *auth = strstr(fixture.uri, "/auth");
    CU_ASSERT_PTR_NOT_NULL_FATAL(auth);
    memcpy(auth, "/wrong", sizeof("/wrong"));
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_EQUAL(lockout_counter(), 0);
    for (int tries = 1; tries <= 3; tries++) {
        CU_ASSERT_TRUE(fails(signs(), ERROR_KEY_LOCKED, "0x98e"));
        CU_ASSERT_EQUAL(lockout_counter(), tries);
    }
    CU_ASSERT_TRUE(fails(signs(), ERROR_KEY_LOCKED, "0x921"));
    use_handle("0x81000016");
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(fails(signs(), ERROR_KEY_LOCKED, "0x921"));
    CU_ASSERT_TRUE(run("TPM2TOOLS_TCTI=\"$TEST_TCTI\" tpm2_dictionarylockout -c"));
    CU_ASSERT_TRUE(signs());
}

/* ---- what passes ---- */

static void test_a_reset_tpm_is_started_and_signs_on(void)
{
    CU_ASSERT_TRUE_FATAL(opens());
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(run("swtpm_ioctl -i --unix \"$TEST_TPM_SOCKET.ctrl\""));
        CU_ASSERT_TRUE(signs());
    }
}

static void test_a_tpm_that_was_replaced_by_its_like_signs_on(void)
{
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE_FATAL(run("kill -9 \"$(cat \"$TEST_TPM_PID_FILE\")\""));
    CU_ASSERT_TRUE(fails(signs(), ERROR_DEVICE_UNAVAILABLE, "no TPM can be reached"));
    CU_ASSERT_TRUE(fails(signs(), ERROR_DEVICE_UNAVAILABLE, "no TPM can be reached"));
    CU_ASSERT_TRUE_FATAL(run("\"$TEST_SUPPORT/swtpm_start.sh\""));
    CU_ASSERT_TRUE(signs());
}

/* A TCTI that keeps time-outs, as that of /dev/tpmrm0 does and swtpm's does not. */
static void test_a_tpm_that_does_not_answer_is_given_up_at_the_deadline(void)
{
    const char *uri = getenv("TEST_KEY_URI");
    const char *inner = strstr(uri, "tcti=") + strlen("tcti=");

    (void)!snprintf(fixture.uri, sizeof(fixture.uri), "%.*s%s:%s", (int)(inner - uri), uri,
                    uri_path(getenv("TEST_TCTI_SHIM")).text, inner);
    fixture.options.uri = fixture.uri;
    fixture.options.deadline_ms = 300;
    CU_ASSERT_TRUE_FATAL(run("echo 'TPM2_Sign mute after=1' >\"$TEST_DIR/control\""));
    (void)setenv("SHIM_CONTROL", control_path(), 1);
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(signs());
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_TRUE(fails(signs(), ERROR_DEVICE_UNAVAILABLE, "TPM2_Sign"));
    CU_ASSERT_TRUE(monotonic_ns() - start_ns >= 250 * NS_PER_MS);
}

/* As a killed signer leaves them behind: swtpm has room for three loaded sessions. */
static bool leave_a_session_behind(void)
{
    int status = 1;
    const pid_t child = fork();

    if (child == 0) {
        _exit(opens() ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void test_sessions_of_dead_processes_are_flushed_when_the_slots_are_full(void)
{
    for (int i = 0; i < 7; i++) {
        CU_ASSERT_TRUE(leave_a_session_behind());
    }
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(signs());
    CU_ASSERT_TRUE(leave_a_session_behind());
    CU_ASSERT_TRUE(leave_a_session_behind());
    CU_ASSERT_TRUE(leave_a_session_behind());
    CU_ASSERT_TRUE(signs()); /* whose session another's flush has taken */
}

static void test_a_session_s_handle_that_is_another_s_now_is_no_wrong_auth(void)
{
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(signs());
    CU_ASSERT_TRUE_FATAL(run("TPM2TOOLS_TCTI=\"$TEST_TCTI\" tpm2_flushcontext -l"));
    CU_ASSERT_TRUE(leave_a_session_behind());
    CU_ASSERT_TRUE(signs());
}

static void test_a_destroyed_key_is_gone(void)
{
    use_handle("0x81000010");
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_POLICY, "decrypt"));
    use_handle("0x81000016");
    CU_ASSERT_TRUE_FATAL(opens());
    CU_ASSERT_TRUE(tpm_provider.destroy(fixture.key, &fixture.err));
    CU_ASSERT_TRUE(is_refused(ERROR_KEY_NOT_FOUND, "0x81000016: no key at this handle"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a good key says what and where it is", test_a_good_key_says_what_and_where_it_is },
        { "a password signs as an HMAC session does",
          test_a_password_signs_as_an_hmac_session_does },
        { "a key that could do more or leave is refused by attribute",
          test_a_key_that_could_do_more_or_leave_is_refused_by_attribute },
        { "a key of another kind or scheme is refused",
          test_a_key_of_another_kind_or_scheme_is_refused },
        { "a TPM that is not there may come back", test_a_tpm_that_is_not_there_may_come_back },
        { "an auth file that is not there or open to others is refused",
          test_an_auth_file_that_is_not_there_or_open_to_others_is_refused },
        { "a wrong auth is locked and not retried", test_a_wrong_auth_is_locked_and_not_retried },
        { "each refusal costs one try and lock-out is told",
          test_each_refusal_costs_one_try_and_lockout_is_told },
        { "a session's handle that is another's now is no wrong auth",
          test_a_session_s_handle_that_is_another_s_now_is_no_wrong_auth },
        { "a reset TPM is started and signs on", test_a_reset_tpm_is_started_and_signs_on },
        { "a TPM that was replaced by its like signs on",
          test_a_tpm_that_was_replaced_by_its_like_signs_on },
        { "a TPM that does not answer is given up at the deadline",
          test_a_tpm_that_does_not_answer_is_given_up_at_the_deadline },
        { "sessions of dead processes are flushed when the slots are full",
          test_sessions_of_dead_processes_are_flushed_when_the_slots_are_full },
        { "a destroyed key is gone", test_a_destroyed_key_is_gone },
        CU_TEST_INFO_NULL,
    };
    return run_suite("tpm provider", set_up, tear_down, tests);
}
