/*
 * SIGHUP: signers that come, go and change while the server issues. Keys are made by issuerctl, as an
 * operator would.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/load.h"
#include "support/program.h"
#include "support/run.h"
#include "support/uri.h"

#define TOKEN_PIN "71942-user" /* with_softhsm.sh's */

enum { RUN_S = 60, SOON_S = 10 * HEALTH_SLACK, THREADS = 4, PIDS_MAX = 16 };

static struct {
    struct instance *instance;
    struct load *load;
    unsigned objects; /* made so far, by all tests: all are in one token */
} fixture;

static void set_up(void)
{
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
}

/* Every test ends with a server that ends well. */
static void tear_down(void)
{
    load_free(take(fixture.load));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    instance_free(take(fixture.instance));
}

/* ---- keys ---- */

struct kid {
    char text[64];
};

static const struct program_result *keys(const char *step, const char *what)
{
    const char *const argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                 "--json",    "--",       "keys",
                                 step,        what,       NULL };
    return program_run(argv, RUN_S);
}

static struct kid kid_of(const char *signer)
{
    cJSON *list = cJSON_Parse(keys("list", NULL)->output);
    const cJSON *entry;
    struct kid found = { "" };

    cJSON_ArrayForEach(entry, list)
    {
        const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "signer"));
        const char *kid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "kid"));
        if (of != NULL && strcmp(of, signer) == 0 && kid != NULL
            && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(entry, "on_device"))) {
            (void)snprintf(found.text, sizeof(found.text), "%s", kid);
        }
    }
    cJSON_Delete(list);
    return found;
}

static void name_object(const char *signer, unsigned number)
{
    instance_set(fixture.instance, "signer %s.uri=pkcs11:token=issuerd%%20test;object=reload-%u%s",
                 signer, number, strchr(getenv("TEST_KEY_URI"), '?'));
    instance_set(fixture.instance, "signer %s.setenv=SOFTHSM2_CONF=%s", signer,
                 getenv("SOFTHSM2_CONF"));
}

/* Adds the signer to the configuration, with a key of its own. */
static bool make_signer(const char *signer)
{
    name_object(signer, fixture.objects++);
    instance_write_conf(fixture.instance);
    return program_ended(keys("generate", signer), 0, "");
}

static bool goes(const char *step, const struct kid *kid)
{
    return program_ended(keys(step, kid->text), 0, "");
}

/* As if the wait were over. */
static bool let_time_pass(void)
{
    return ledger_edit(fixture.instance, "UPDATE keys SET due_s = 1 WHERE due_s > 0");
}

/* ---- what is seen from outside ---- */

static bool has_logged(const char *text)
{
    return instance_has_logged(fixture.instance, text);
}

static bool is_published(const char *kid)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const bool found = strstr(http_get(client, "/.well-known/jwks.json")->body, kid) != NULL;

    http_close(client);
    return found;
}

static bool signs_with(const char *kid)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE] = "";
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const bool issued = api_make_code(fixture.instance, NULL, code)
                     && is_token_reply(api_redeem(client, code), token);
    cJSON *header = issued ? token_part(token, 0) : NULL;
    const char *used = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "kid"));
    const bool same = used != NULL && strcmp(used, kid) == 0;

    cJSON_Delete(header);
    http_close(client);
    return same;
}

typedef bool shows_fn(const char *kid);

static bool comes_to(shows_fn *shows, const char *kid, bool wanted)
{
    const int64_t until_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while (shows(kid) != wanted) {
        if (monotonic_ns() > until_ns) {
            return false;
        }
        (void)usleep(20000);
    }
    return true;
}

static size_t count_signers(void)
{
    pid_t pids[PIDS_MAX];
    return instance_signer_pids(fixture.instance, pids, PIDS_MAX);
}

/* The rest have ended. */
static bool comes_to_signers(size_t count)
{
    const int64_t until_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while (count_signers() != count) {
        if (monotonic_ns() > until_ns) {
            return false;
        }
        (void)usleep(10000);
    }
    return true;
}

static bool comes_to_run(pid_t pid, bool wanted)
{
    const int64_t until_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while ((kill(pid, 0) == 0) != wanted) {
        if (monotonic_ns() > until_ns) {
            return false;
        }
        (void)usleep(10000);
    }
    return true;
}

/* ---- load ---- */

static bool start_load(void)
{
    fixture.load = load_start(fixture.instance, THREADS);
    return fixture.load != NULL;
}

static bool nothing_was_lost(void)
{
    const struct load_book *book = load_stop(fixture.load);

    return book->issued == book->count && book->refusals == 0
        && ledger_agrees(fixture.instance, book, 0);
}

/* ---- come ---- */

static void test_a_new_signer_signs_once_its_key_is_published_and_active(void)
{
    CU_ASSERT_TRUE_FATAL(make_signer("main"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid old = kid_of("main");
    CU_ASSERT_TRUE(signs_with(old.text));
    const pid_t first = instance_signer_pid(fixture.instance);

    CU_ASSERT_TRUE_FATAL(make_signer("next"));
    const struct kid new = kid_of("next");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged("config.reloaded changed='signer next (new)'\n"));
    CU_ASSERT_TRUE(comes_to_signers(2));
    CU_ASSERT_EQUAL(kill(first, 0), 0); /* the other one is left alone */
    CU_ASSERT_FALSE(is_published(new.text));
    CU_ASSERT_TRUE(signs_with(old.text));

    CU_ASSERT_TRUE(goes("publish", &new));
    CU_ASSERT_TRUE(comes_to(is_published, new.text, true));
    CU_ASSERT_TRUE(signs_with(old.text));
    CU_ASSERT_TRUE(let_time_pass());
    CU_ASSERT_TRUE(goes("activate", &new));
    CU_ASSERT_TRUE(goes("retire", &old));
    CU_ASSERT_TRUE(comes_to(signs_with, new.text, true));
    CU_ASSERT_TRUE(is_published(old.text));
    CU_ASSERT_TRUE(health_signer_metric(fixture.instance, "next", "signatures_total") >= 1);
}

/* As at the start: a device that is not there is no reason to do without the others. */
static void test_a_new_signer_whose_key_is_not_there_is_down_beside_the_others(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    name_object("next", 1000000);
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "next", "up"), 0);
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "main", "up"), 1);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    instance_drop(fixture.instance, "signer next");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(comes_to_signers(1));
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "next", "up"), -1);
}

/* ---- go ---- */

static void test_a_signer_that_goes_ends_and_its_key_stays_published(void)
{
    CU_ASSERT_TRUE_FATAL(make_signer("main") && make_signer("other"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid gone = kid_of("main");
    const struct kid other = kid_of("other");
    CU_ASSERT_TRUE(signs_with(gone.text));
    pid_t pids[PIDS_MAX];
    CU_ASSERT_EQUAL_FATAL(instance_signer_pids(fixture.instance, pids, PIDS_MAX), 2);

    instance_drop(fixture.instance, "signer main");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged("config.reloaded changed='signer main (gone)'\n"));
    CU_ASSERT_TRUE(signs_with(other.text));
    CU_ASSERT_TRUE(comes_to_signers(1));
    CU_ASSERT_TRUE(comes_to_run(pids[0], false) != comes_to_run(pids[1], false));
    CU_ASSERT_TRUE(has_logged("<5>signer.left signer=main\n"));
    CU_ASSERT_TRUE(is_published(gone.text)); /* its tokens live */
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "main", "up"), -1);
}

static void test_signers_come_and_go_under_load_and_no_exchange_is_lost(void)
{
    CU_ASSERT_TRUE_FATAL(make_signer("main") && make_signer("other"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && start_load());
    for (int i = 0; i < 6; i++) {
        const bool is_main = i % 2 == 0;
        instance_drop(fixture.instance, is_main ? "signer main" : "signer other");
        CU_ASSERT_TRUE(instance_reload(fixture.instance));
        name_object(is_main ? "main" : "other", fixture.objects - (is_main ? 2 : 1));
        CU_ASSERT_TRUE(instance_reload(fixture.instance));
        CU_ASSERT_TRUE(load_goes_on(fixture.load, 5));
    }
    CU_ASSERT_TRUE(nothing_was_lost());
    CU_ASSERT_TRUE(comes_to_signers(2));
}

/* ---- change ---- */

static void test_a_signer_changes_under_load_and_no_exchange_is_lost(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && start_load());
    const pid_t first = instance_signer_pid(fixture.instance);
    for (int i = 0; i < 8; i++) {
        instance_set(fixture.instance, "signer main.sessions=%d", 2 + i % 3);
        instance_set(fixture.instance, "signer main.queue=%d", 40 + i);
        CU_ASSERT_TRUE(instance_reload(fixture.instance));
        CU_ASSERT_TRUE(load_goes_on(fixture.load, 5));
    }
    CU_ASSERT_TRUE(nothing_was_lost());
    CU_ASSERT_TRUE(comes_to_signers(1));
    CU_ASSERT_NOT_EQUAL(instance_signer_pid(fixture.instance), first);
    CU_ASSERT_TRUE(has_logged("changed='signer main.sessions, signer main.queue'"));
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "main", "queue_limit"), 47);
}

static void test_the_ledgers_signer_changes_and_checkpoints_go_on(void)
{
    instance_use_audit_key(fixture.instance);
    instance_set(fixture.instance, "ledger.checkpoint_s=1");
    instance_set(fixture.instance, "ledger.backlog_max=4");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    instance_set(fixture.instance, "signer audit.sessions=1");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(comes_to_signers(2));
    for (int i = 0; i < 12; i++) { /* more than may wait for a checkpoint */
        (void)health_await(fixture.instance, health_is_ready, monotonic_ns() + SOON_S * NS_PER_S);
        CU_ASSERT_TRUE(api_serves(fixture.instance));
    }
    CU_ASSERT_FALSE(has_logged("ledger.checkpoint_failed"));
}

/* ---- refused ---- */

static void assert_refused(const char *words)
{
    const pid_t signer = instance_signer_pid(fixture.instance);

    CU_ASSERT_FALSE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged(words));
    CU_ASSERT_TRUE(comes_to_signers(1));
    CU_ASSERT_EQUAL(instance_signer_pid(fixture.instance), signer);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_FALSE(has_logged("config.reloaded"));
}

static void test_the_last_active_key_is_not_given_up(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    instance_set(fixture.instance, "metadata.display_name=Not this");
    CU_ASSERT_TRUE_FATAL(make_signer("main"));
    assert_refused("no signer with an active key would be left");
    instance_drop(fixture.instance, "signer main");
    CU_ASSERT_TRUE_FATAL(make_signer("new"));
    assert_refused("no signer with an active key would be left");
    CU_ASSERT_EQUAL(ledger_keys(fixture.instance), 3); /* the others are as issuerctl made them */
}

static void test_a_configuration_without_a_signer_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    instance_drop(fixture.instance, "signer main");
    assert_refused("setting='[signer NAME]' problem='is required and missing");
}

static void test_a_successor_that_does_not_come_up_leaves_what_works(void)
{
    char path[512];

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    (void)snprintf(path, sizeof(path), "%s/wrong-pin", instance_directory(fixture.instance));
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("87654321", file);
    fclose(file);
    instance_set(fixture.instance, "signer main.uri=%.*spin-source=file:%s",
                 (int)(strstr(getenv("TEST_KEY_URI"), "pin-source=") - getenv("TEST_KEY_URI")),
                 getenv("TEST_KEY_URI"), uri_path(path).text);
    assert_refused("the one that works is kept");
    CU_ASSERT_FALSE(has_logged("87654321"));
    name_object("main", 1000000);
    assert_refused("no such private key");
}

/* A copy of the token's PIN, which can change. */
static void write_pin(const char *pin)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/pin", instance_directory(fixture.instance));
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(pin, file);
    fclose(file);
    instance_set(fixture.instance, "signer main.uri=%.*spin-source=file:%s",
                 (int)(strstr(getenv("TEST_KEY_URI"), "pin-source=") - getenv("TEST_KEY_URI")),
                 getenv("TEST_KEY_URI"), uri_path(path).text);
}

static void test_a_pin_that_was_written_is_tried(void)
{
    write_pin(TOKEN_PIN);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const pid_t before = instance_signer_pid(fixture.instance);
    write_pin(TOKEN_PIN "0");
    assert_refused("the one that works is kept");
    (void)usleep(20000); /* another time of the file */
    write_pin(TOKEN_PIN);
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(comes_to_signers(1));
    const pid_t after = instance_signer_pid(fixture.instance);
    CU_ASSERT_NOT_EQUAL(after, before);
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_EQUAL(instance_signer_pid(fixture.instance), after);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_a_key_that_cannot_do_what_is_asked_refuses_the_reload(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    instance_set(fixture.instance, "signer next.uri=%s", getenv("TEST_KEY_URI"));
    instance_set(fixture.instance, "signer next.setenv=SOFTHSM2_CONF=%s", getenv("SOFTHSM2_CONF"));
    instance_set(fixture.instance, "signer next.algorithm=RS256"); /* of a P-256 key */
    instance_set(fixture.instance, "metadata.display_name=Later");
    assert_refused("config.refused effect='all is as before' error=");
    instance_drop(fixture.instance, "signer next");
    CU_ASSERT_TRUE(instance_reload(fixture.instance)); /* of the one before nothing was kept */
    CU_ASSERT_TRUE(has_logged("config.reloaded changed='metadata.display_name'\n"));
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "a new signer signs once its key is published and active",
          test_a_new_signer_signs_once_its_key_is_published_and_active },
        { "a new signer whose key is not there is down beside the others",
          test_a_new_signer_whose_key_is_not_there_is_down_beside_the_others },
        { "a signer that goes ends, and its key stays published",
          test_a_signer_that_goes_ends_and_its_key_stays_published },
        { "signers come and go under load, and no exchange is lost",
          test_signers_come_and_go_under_load_and_no_exchange_is_lost },
        { "a signer changes under load, and no exchange is lost",
          test_a_signer_changes_under_load_and_no_exchange_is_lost },
        { "the ledger's signer changes, and checkpoints go on",
          test_the_ledgers_signer_changes_and_checkpoints_go_on },
        { "the last active key is not given up", test_the_last_active_key_is_not_given_up },
        { "a configuration without a signer is refused",
          test_a_configuration_without_a_signer_is_refused },
        { "a successor that does not come up leaves what works",
          test_a_successor_that_does_not_come_up_leaves_what_works },
        { "a PIN that was written is tried", test_a_pin_that_was_written_is_tried },
        { "a key that cannot do what is asked refuses the reload",
          test_a_key_that_cannot_do_what_is_asked_refuses_the_reload },
        CU_TEST_INFO_NULL,
    };
    return run_suite("reload signers", set_up, tear_down, tests);
}
