/*
 * The PIN: tried once when it is wrong, ever, whoever asks; tried again when its file changes; and
 * never to be seen, as codes and tokens are not, in a log, an argument or an environment.
 */
#include <dirent.h>
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
#include "support/uri.h"

enum { TEXT_SIZE = 1024, STOP_S = 15 * HEALTH_SLACK, LOCKED_S = 5 };

static const char WRONG_PIN[] = "13579-wrong";

static struct {
    struct instance *instance;
    struct instance *rival;
    char pin_path[TEXT_SIZE];
    char right_pin[64];
    char code[API_CODE_SIZE];
} fixture;

static void write_pin(const char *pin)
{
    FILE *file = fopen(fixture.pin_path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(pin, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void read_right_pin(void)
{
    FILE *file = fopen(getenv("TEST_PIN_FILE"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(fixture.right_pin, sizeof(fixture.right_pin), file));
    fixture.right_pin[strcspn(fixture.right_pin, "\n")] = '\0';
    (void)fclose(file);
}

/* The key of the test's token through the shim, with a PIN file of our own. */
static void use_own_pin_file(struct instance *instance)
{
    const char *uri = getenv("TEST_KEY_URI");
    instance_set(instance, "signer main.uri=%.*s?module-path=%s&pin-source=file:%s",
                 (int)strcspn(uri, "?"), uri, uri_path(getenv("TEST_SHIM")).text,
                 uri_path(fixture.pin_path).text);
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    read_right_pin();
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "signer main.deadline_ms=%d", 1500 * HEALTH_SLACK);
    instance_set(fixture.instance, "log.level=debug");
    instance_use_shim(fixture.instance);
    (void)snprintf(fixture.pin_path, sizeof(fixture.pin_path), "%s/own pin",
                   instance_directory(fixture.instance));
    use_own_pin_file(fixture.instance);
}

static void tear_down(void)
{
    instance_free(take(fixture.rival));
    instance_free(take(fixture.instance));
}

/* How many lines of the file hold `text`. 0: there is no file. */
static unsigned count_lines(const char *path, const char *text)
{
    scoped(release_memory) char *line = NULL;
    FILE *file = fopen(path, "r");
    size_t size = 0;
    unsigned count = 0;

    while (file != NULL && getline(&line, &size, file) >= 0) {
        count += strstr(line, text) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return count;
}

static unsigned logins(void)
{
    return count_lines(instance_shim_log_path(fixture.instance), "C_Login ");
}

/* If not, what was logged tells who tried again. */
static bool logged_in_once(void)
{
    const unsigned count = logins();

    if (count != 1) {
        fprintf(stderr, "%u logins; ", count);
        instance_show_log(fixture.instance);
    }
    return count == 1;
}

static bool start_and_make_code(void)
{
    return instance_start(fixture.instance) && api_make_code(fixture.instance, NULL, fixture.code);
}

static const struct program_result *list_keys(void)
{
    const char *const argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                 "keys",      "list",     NULL };
    return program_run(argv, 60);
}

/* ---- a wrong PIN ---- */

static void test_a_wrong_pin_is_tried_once_ever_and_nobody_waits_for_it(void)
{
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_signer_locked{signer=\"main\"}"), 1);
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "signer.locked"));
    (void)sleep(LOCKED_S);
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(logged_in_once());

    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    instance_kill(fixture.instance);
    CU_ASSERT_TRUE(program_ended(list_keys(), 69, "PIN was refused"));
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(logged_in_once());
}

/* Two keys of one token: a wrong PIN for one is a wrong PIN for the other. */
static void test_signers_of_one_token_try_a_wrong_pin_once_between_them(void)
{
    instance_set(fixture.instance,
                 "signer spare.uri=pkcs11:token=issuerd%%20test;object=spare?module-path=%s"
                 "&pin-source=file:%s",
                 uri_path(getenv("TEST_SHIM")).text, uri_path(fixture.pin_path).text);
    instance_set(fixture.instance, "signer spare.setenv=SOFTHSM2_CONF=%s", getenv("SOFTHSM2_CONF"));
    instance_set(fixture.instance, "signer spare.setenv=SHIM_MODULE=%s", getenv("TEST_MODULE"));
    instance_set(fixture.instance, "signer spare.setenv=SHIM_LOG=%s",
                 instance_shim_log_path(fixture.instance));
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_signer_locked{signer=\"main\"}"), 1);
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_signer_locked{signer=\"spare\"}"), 1);
    (void)sleep(LOCKED_S);
    CU_ASSERT_TRUE(logged_in_once());

    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(logged_in_once());
}

static void test_two_servers_on_one_store_try_a_wrong_pin_once_and_both_take_the_right_one(void)
{
    fixture.rival = instance_new(NULL);
    instance_set(fixture.rival, "store.url=sqlite:%s", instance_store_path(fixture.instance));
    instance_use_shim(fixture.rival);
    use_own_pin_file(fixture.rival);
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.rival));
    (void)sleep(LOCKED_S);
    CU_ASSERT_TRUE(logged_in_once());
    CU_ASSERT_EQUAL(count_lines(instance_shim_log_path(fixture.rival), "C_Login "), 0);

    write_pin(fixture.right_pin);
    const int64_t until_ns = monotonic_ns() + HEAL_S * NS_PER_S;
    CU_ASSERT_TRUE(health_await(fixture.instance, health_is_ready, until_ns));
    CU_ASSERT_TRUE(health_await(fixture.rival, health_is_ready, until_ns));
    CU_ASSERT_EQUAL(logins(), 2);
    CU_ASSERT_EQUAL(count_lines(instance_shim_log_path(fixture.rival), "C_Login "), 1);
}

static void test_the_operators_tool_tries_a_wrong_pin_once_as_well(void)
{
    write_pin(WRONG_PIN);
    instance_write_conf(fixture.instance);
    CU_ASSERT_TRUE(program_ended(list_keys(), 69, "PIN"));
    CU_ASSERT_TRUE(program_ended(list_keys(), 69, "PIN was refused"));
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(logged_in_once());
}

static void test_a_pin_file_that_is_rewritten_is_tried_again_at_once(void)
{
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(logged_in_once());

    write_pin(fixture.right_pin);
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_EQUAL(logins(), 2);
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_signer_locked{signer=\"main\"}"), 0);
}

static void test_a_second_wrong_pin_is_tried_once_too(void)
{
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    (void)usleep(20000); /* the kernel's clock for files ticks every few milliseconds */
    write_pin("24680-wrong");
    (void)sleep(LOCKED_S);
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(logins(), 2);
}

static void test_a_restart_with_the_right_pin_serves(void)
{
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    instance_kill(fixture.instance);
    write_pin(fixture.right_pin);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_EQUAL(logins(), 2);
}

static void test_the_right_pin_is_given_once_a_start(void)
{
    write_pin(fixture.right_pin);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(logged_in_once());
}

/* ---- what must not be seen ---- */

static bool file_holds(const char *path, const char *text)
{
    scoped(release_memory) char *content = xcalloc(1, 1 << 20);
    FILE *file = fopen(path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const size_t length = fread(content, 1, 1 << 20, file);
    (void)fclose(file);
    CU_ASSERT_TRUE(length > 0);
    return memmem(content, length, text, strlen(text)) != NULL;
}

static bool process_shows(pid_t pid, const char *text)
{
    static const char *const files[] = { "cmdline", "environ" };
    bool shows = false;

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
        if (access(path, R_OK) == 0) { /* as root; to others a process of ours shows nothing */
            shows = shows || file_holds(path, text);
        }
    }
    return shows;
}

static void check_unseen(const char *secret)
{
    CU_ASSERT_FALSE(file_holds(instance_log_path(fixture.instance), secret));
    CU_ASSERT_FALSE(file_holds(instance_conf_path(fixture.instance), secret));
    CU_ASSERT_FALSE(process_shows(instance_pid(fixture.instance), secret));
    CU_ASSERT_FALSE(process_shows(instance_signer_pid(fixture.instance), secret));
}

static void test_pins_codes_tokens_and_secrets_are_not_to_be_seen(void)
{
    char token[API_TOKEN_SIZE];
    struct http_client *client = NULL;

    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    write_pin(fixture.right_pin);
    CU_ASSERT_TRUE_FATAL(
        health_await(fixture.instance, health_is_ready, monotonic_ns() + HEAL_S * NS_PER_S));
    client = http_connect(instance_public_port(fixture.instance));
    const bool issued = is_token_reply(api_redeem(client, fixture.code), token);
    const bool refused =
        api_redeem(client, fixture.code)->status == 400
        && api_redeem(client, "a-code-that-nobody-ever-made-0123456789")->status == 404;
    http_close(client);
    CU_ASSERT_TRUE_FATAL(issued && refused);

    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "token.issued")); /* it is debug */
    check_unseen(WRONG_PIN);
    check_unseen(fixture.right_pin);
    check_unseen(fixture.code);
    check_unseen("a-code-that-nobody-ever-made");
    check_unseen(instance_client_secret(fixture.instance));
    check_unseen(strrchr(token, '.') + 1);
    check_unseen(token);
    *strrchr(token, '.') = '\0';
    check_unseen(strrchr(token, '.') + 1);
}

static void test_what_is_written_is_for_its_owner_alone(void)
{
    write_pin(WRONG_PIN);
    CU_ASSERT_TRUE_FATAL(start_and_make_code());
    DIR *directory = opendir(instance_directory(fixture.instance));
    CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode)) {
            CU_ASSERT_EQUAL(status.st_mode & 077, 0);
        }
    }
    (void)closedir(directory);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a wrong PIN is tried once, ever, and nobody waits for it",
          test_a_wrong_pin_is_tried_once_ever_and_nobody_waits_for_it },
        { "signers of one token try a wrong PIN once between them",
          test_signers_of_one_token_try_a_wrong_pin_once_between_them },
        { "two servers on one store try a wrong PIN once, and both take the right one",
          test_two_servers_on_one_store_try_a_wrong_pin_once_and_both_take_the_right_one },
        { "the operator's tool tries a wrong PIN once as well",
          test_the_operators_tool_tries_a_wrong_pin_once_as_well },
        { "a PIN file that is rewritten is tried again at once",
          test_a_pin_file_that_is_rewritten_is_tried_again_at_once },
        { "a second wrong PIN is tried once too", test_a_second_wrong_pin_is_tried_once_too },
        { "a restart with the right PIN serves", test_a_restart_with_the_right_pin_serves },
        { "the right PIN is given once a start", test_the_right_pin_is_given_once_a_start },
        { "PINs, codes, tokens and secrets are not to be seen",
          test_pins_codes_tokens_and_secrets_are_not_to_be_seen },
        { "what is written is for its owner alone", test_what_is_written_is_for_its_owner_alone },
        CU_TEST_INFO_NULL,
    };
    return run_suite("PIN", set_up, tear_down, tests);
}
