/* issuerctl status, against a started issuerd: what it shows, and how it ends. */
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/program.h"
#include "support/run.h"

enum {
    DONE = 0,
    REFUSED = 1,
    USAGE = 64,
    UNAVAILABLE = 69,
    RUN_S = 60,
    WATCH_S = 4 * HEALTH_SLACK,
    SOON_S = 10 * HEALTH_SLACK,
};

static struct {
    struct instance *instance;
    char url[64];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "ledger.node=node-1");
    instance_use_shim(fixture.instance);
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

static bool start(void)
{
    const bool started =
        instance_start(fixture.instance)
        && health_await(fixture.instance, health_is_ready, monotonic_ns() + SOON_S * NS_PER_S);

    (void)snprintf(fixture.url, sizeof(fixture.url), "http://127.0.0.1:%d",
                   instance_admin_port(fixture.instance));
    return started;
}

/* `option` and `more` NULL: none. */
static const struct program_result *status_of(const char *url, const char *option, const char *more,
                                              int seconds)
{
    const char *argv[] = { "issuerctl", "status", "--url", url, option, more, NULL };
    return program_run(argv, seconds);
}

static const struct program_result *configured_status(void)
{
    const char *argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance), "status",
                           NULL };
    return program_run(argv, RUN_S);
}

static bool says(const struct program_result *result, const char *words)
{
    if (strstr(result->output, words) == NULL) {
        printf("\n    lacks \"%s\":\n%s%s", words, result->output, result->errors);
        return false;
    }
    return true;
}

static void test_a_server_that_issues_is_shown_on_a_screen(void)
{
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(start() && api_make_code(fixture.instance, NULL, code));
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    CU_ASSERT_EQUAL(api_redeem(client, code)->status, 201);
    http_close(client);
    const struct program_result *result = status_of(fixture.url, NULL, NULL, RUN_S);
    CU_ASSERT_EQUAL(result->status, DONE);
    CU_ASSERT_TRUE(says(result, "node-1, https://"));
    CU_ASSERT_TRUE(says(result, "\nISSUING "));
    CU_ASSERT_TRUE(says(result, "main    tokens  up "));
    CU_ASSERT_TRUE(says(result, "ES256  main    active"));
    CU_ASSERT_TRUE(says(result, "ledger   node-1/1, "));
    CU_ASSERT_TRUE(says(result, "not signed: no audit key"));
    CU_ASSERT_TRUE(says(result, "store    sqlite, commits, last commit"));
    CU_ASSERT_TRUE(says(result, "since start\n  issued "));
    CU_ASSERT_STRING_EQUAL(result->errors, "");
}

static void test_a_server_that_does_not_issue_is_shown_with_what_comes_next(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_set_faults(fixture.instance, "C_Sign rv=0x30\nC_GetSlotList rv=0x30\n");
    CU_ASSERT_TRUE_FATAL(
        health_await(fixture.instance, health_is_not_ready, monotonic_ns() + SOON_S * NS_PER_S));
    const struct program_result *result = status_of(fixture.url, NULL, NULL, RUN_S);
    CU_ASSERT_EQUAL(result->status, REFUSED);
    CU_ASSERT_TRUE(says(result, "\nNOT ISSUING since 2"));
    CU_ASSERT_TRUE(says(result, "ERROR    Signer main is down"));
    CU_ASSERT_TRUE(says(result, "\n  next     issuerd tries again by itself"));
    CU_ASSERT_EQUAL(status_of(fixture.url, "--json", NULL, RUN_S)->status, REFUSED);
}

static void test_a_machine_gets_the_server_s_own_answer(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    const struct program_result *result = status_of(fixture.url, "--json", NULL, RUN_S);
    cJSON *json = cJSON_Parse(result->output);
    CU_ASSERT_EQUAL(result->status, DONE);
    CU_ASSERT_TRUE(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ready")));
    CU_ASSERT_TRUE(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(json, "signers")));
    cJSON_Delete(json);
}

static void test_the_address_is_the_configuration_s(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(program_ended(configured_status(), USAGE, "--url")); /* any port */
    instance_set(fixture.instance, "admin.listen=127.0.0.1:%d",
                 instance_admin_port(fixture.instance));
    instance_write_conf(fixture.instance);
    CU_ASSERT_TRUE(program_ended(configured_status(), DONE, "\nISSUING "));
}

static void test_it_is_shown_each_second_anew(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    const struct program_result *result = status_of(fixture.url, "--watch", NULL, WATCH_S);
    CU_ASSERT_EQUAL(result->status, -1); /* it went on until it was killed */
    const char *first = strstr(result->output, "\nISSUING ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_NOT_NULL(strstr(first + 1, "\nISSUING "));
    CU_ASSERT_PTR_NULL(strchr(result->output, '\033')); /* for a terminal alone */
}

static void test_a_server_that_is_gone_is_watched_until_it_is_back(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_kill(fixture.instance);
    const struct program_result *result = status_of(fixture.url, "--watch", NULL, WATCH_S);
    CU_ASSERT_EQUAL(result->status, -1);
    CU_ASSERT_TRUE(says(result, "no answer"));
}

static void test_no_answer_is_no_status(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    char public_url[64];
    (void)snprintf(public_url, sizeof(public_url), "http://127.0.0.1:%d",
                   instance_public_port(fixture.instance));
    CU_ASSERT_TRUE(program_ended(status_of(public_url, NULL, NULL, RUN_S), UNAVAILABLE,
                                 "is it the admin listener"));
    instance_kill(fixture.instance);
    CU_ASSERT_TRUE(
        program_ended(status_of(fixture.url, NULL, NULL, RUN_S), UNAVAILABLE, "no answer"));
    CU_ASSERT_TRUE(
        program_ended(status_of(fixture.url, "--json", NULL, RUN_S), UNAVAILABLE, "no answer"));
}

static void test_without_an_address_it_is_asked_for(void)
{
    const char *argv[] = { "issuerctl", "status", NULL };
    CU_ASSERT_TRUE(program_ended(program_run(argv, RUN_S), USAGE, "--config"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a server that issues is shown on a screen",
          test_a_server_that_issues_is_shown_on_a_screen },
        { "a server that does not issue is shown with what comes next",
          test_a_server_that_does_not_issue_is_shown_with_what_comes_next },
        { "a machine gets the server's own answer", test_a_machine_gets_the_server_s_own_answer },
        { "the address is the configuration's", test_the_address_is_the_configuration_s },
        { "it is shown each second anew", test_it_is_shown_each_second_anew },
        { "a server that is gone is watched until it is back",
          test_a_server_that_is_gone_is_watched_until_it_is_back },
        { "no answer is no status", test_no_answer_is_no_status },
        { "without an address it is asked for", test_without_an_address_it_is_asked_for },
        CU_TEST_INFO_NULL,
    };
    return run_suite("status_ctl", set_up, tear_down, tests);
}
