/* GET /api/v1/status of a real server: each figure moves as what it stands for does. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/program.h"
#include "support/run.h"

#define STATUS_PATH "/api/v1/status"

enum { SOON_S = 10 * HEALTH_SLACK, RUN_S = 60 };

static struct {
    struct instance *instance;
    cJSON *status; /* as it was when last asked */
    char code[API_CODE_SIZE];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    instance_set(fixture.instance, "ledger.node=node-1");
}

static void tear_down(void)
{
    cJSON_Delete(take(fixture.status));
    instance_free(take(fixture.instance));
}

static bool start(void)
{
    return instance_start(fixture.instance)
        && health_await(fixture.instance, health_is_ready, monotonic_ns() + SOON_S * NS_PER_S);
}

/* ---- what it says ---- */

static bool ask(void)
{
    struct http_client *client = http_connect(instance_admin_port(fixture.instance));
    const struct http_reply *reply = http_get(client, STATUS_PATH);

    cJSON_Delete(take(fixture.status));
    fixture.status = reply->status == 200 ? cJSON_Parse(reply->body) : NULL;
    http_close(client);
    return fixture.status != NULL;
}

/* "signers/0/name" */
static const cJSON *member(const char *path)
{
    char name[64];
    const cJSON *at = fixture.status;

    while (*path != '\0') {
        const size_t length = strcspn(path, "/");
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, path);
        at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(name))
                               : cJSON_GetObjectItemCaseSensitive(at, name);
        path += length + (path[length] == '/');
    }
    return at;
}

/* -1: null, or not there. */
static double number(const char *path)
{
    const cJSON *found = member(path);
    return cJSON_IsNumber(found) ? found->valuedouble : -1;
}

static const char *text(const char *path)
{
    const char *found = cJSON_GetStringValue(member(path));
    return found != NULL ? found : "";
}

static bool is_text(const char *path, const char *wanted)
{
    return strcmp(text(path), wanted) == 0;
}

static bool has_problem(const char *name, const char *level)
{
    const cJSON *problem;

    cJSON_ArrayForEach(problem, member("problems"))
    {
        const char *at = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(problem, "name"));
        const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(problem, "level"));
        if (at != NULL && of != NULL && strcmp(at, name) == 0 && strcmp(of, level) == 0) {
            return true;
        }
    }
    return false;
}

typedef bool says_fn(void);

/* True once it says so. */
static bool comes_to(says_fn *says)
{
    const int64_t until_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while (!ask() || !says()) {
        if (monotonic_ns() > until_ns) {
            char *printed = cJSON_Print(fixture.status);
            printf("\n    %s", printed != NULL ? printed : "no status");
            free(printed);
            return false;
        }
        (void)usleep(20000);
    }
    return true;
}

static bool is_well(void)
{
    return cJSON_IsTrue(member("ready")) && cJSON_GetArraySize(member("problems")) == 0;
}

static int redeem(const char *code)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const int status = api_redeem(client, code)->status;

    http_close(client);
    return status;
}

static bool make_code(void)
{
    return api_make_code(fixture.instance, NULL, fixture.code);
}

/* ---- the tests ---- */

static bool has_noted_use(void)
{
    return number("keys/0/last_expiry") > number("time");
}

static void test_a_server_that_is_well_says_so(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(comes_to(is_well));
    CU_ASSERT_TRUE(is_text("node", "node-1"));
    CU_ASSERT_TRUE(cJSON_IsNull(member("stopped_since")));
    CU_ASSERT_TRUE(is_text("signers/0/name", "main"));
    CU_ASSERT_TRUE(is_text("signers/0/state", "up"));
    CU_ASSERT_TRUE(cJSON_IsTrue(member("signers/0/permitted")));
    CU_ASSERT_TRUE(number("signers/0/self_test_age_s") >= 0);
    CU_ASSERT_TRUE(number("signers/0/self_test_age_s") <= 10);
    CU_ASSERT_TRUE(cJSON_IsNull(member("signers/0/last_error")));
    CU_ASSERT_TRUE(is_text("keys/0/state", "active"));
    CU_ASSERT_TRUE(is_text("keys/0/kid", text("signers/0/kid")));
    CU_ASSERT_TRUE(comes_to(has_noted_use));
    CU_ASSERT_TRUE(is_text("ledger/tree", "node-1/1"));
    CU_ASSERT_TRUE(cJSON_IsNull(member("ledger/signer")));
    CU_ASSERT_TRUE(is_text("store/engine", "sqlite"));
    CU_ASSERT_TRUE(cJSON_IsTrue(member("store/good")));
    CU_ASSERT_TRUE(number("store/last_commit") >= number("started"));
    CU_ASSERT_TRUE(cJSON_IsNull(member("exchanges/last_issued")));
}

static bool has_counted_one(void)
{
    return number("exchanges/last_10_s/issued") == 1 && number("exchanges/last_60_s/issued") == 1;
}

static void test_an_exchange_is_counted_in_all_places(void)
{
    CU_ASSERT_TRUE_FATAL(start() && ask() && make_code());
    const double entries = number("ledger/size");
    const double signatures = number("signers/0/signatures");

    CU_ASSERT_EQUAL(redeem(fixture.code), 201);
    CU_ASSERT_TRUE_FATAL(ask());
    CU_ASSERT_EQUAL(number("exchanges/total/issued"), 1);
    CU_ASSERT_EQUAL(number("ledger/size"), entries + 1);
    CU_ASSERT_TRUE(number("signers/0/signatures") > signatures);
    CU_ASSERT_TRUE(number("exchanges/last_issued") >= number("started"));
    CU_ASSERT_TRUE(number("exchanges/last_issued") <= number("time") + 1);
    CU_ASSERT_TRUE(comes_to(has_counted_one));
    CU_ASSERT_EQUAL(number("latency/exchange/count"), 1);
    CU_ASSERT_TRUE(number("latency/exchange/p50_ms") > 0);
    CU_ASSERT_TRUE(number("latency/exchange/p99_ms") >= number("latency/exchange/p50_ms"));
    CU_ASSERT_TRUE(number("latency/sign/count") >= 1);
    CU_ASSERT_TRUE(number("latency/commit/count") >= 1);
    double sum = 0;
    const cJSON *second;
    cJSON_ArrayForEach(second, member("exchanges/history/issued"))
    {
        sum += second->valuedouble;
    }
    CU_ASSERT_EQUAL(sum, 1);
}

static void test_refusals_are_counted_by_their_reason(void)
{
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    CU_ASSERT_EQUAL(redeem(fixture.code), 201);
    CU_ASSERT_EQUAL(redeem(fixture.code), 400);
    CU_ASSERT_EQUAL(redeem("0123456789012345678901234567890123456789012"), 404);
    CU_ASSERT_EQUAL(redeem("short"), 400);
    CU_ASSERT_TRUE_FATAL(ask());
    CU_ASSERT_EQUAL(number("exchanges/total/issued"), 1);
    CU_ASSERT_EQUAL(number("exchanges/total/spent_code"), 1);
    CU_ASSERT_EQUAL(number("exchanges/total/unknown_code"), 1);
    CU_ASSERT_EQUAL(number("exchanges/total/invalid_request"), 1);
    CU_ASSERT_TRUE(is_well());
}

static bool has_restarted(void)
{
    return number("signers/0/restarts") == 1 && is_text("signers/0/state", "up") && is_well();
}

static void test_a_signer_that_was_killed_says_when_and_why(void)
{
    CU_ASSERT_TRUE_FATAL(start() && comes_to(is_well));
    const double since = number("signers/0/since");
    (void)sleep(2);
    CU_ASSERT_EQUAL_FATAL(kill(instance_signer_pid(fixture.instance), SIGKILL), 0);
    CU_ASSERT_TRUE(comes_to(has_restarted));
    CU_ASSERT_TRUE(number("signers/0/since") > since);
    CU_ASSERT_PTR_NOT_NULL(strstr(text("signers/0/last_error/text"), "ended"));
    CU_ASSERT_TRUE(number("signers/0/last_error/time") >= since + 1);
}

static bool is_down(void)
{
    return has_problem("signer.down", "error") && is_text("signers/0/state", "down");
}

static void test_a_signer_that_is_down_is_an_error_until_it_is_back(void)
{
    instance_use_shim(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start() && make_code());
    instance_set_faults(fixture.instance, "C_Sign rv=0x30\nC_GetSlotList rv=0x30\n");
    CU_ASSERT_TRUE(comes_to(is_down));
    CU_ASSERT_TRUE(cJSON_IsFalse(member("ready")));
    CU_ASSERT_TRUE(number("stopped_since") >= number("started"));
    CU_ASSERT_EQUAL(number("stopped_since"), number("signers/0/since"));
    const double since = number("signers/0/since");
    CU_ASSERT_TRUE(cJSON_IsNull(member("signers/0/self_test_age_s")));
    CU_ASSERT_EQUAL(redeem(fixture.code), 503);
    (void)sleep(2); /* it is tried again meanwhile, in vain */
    CU_ASSERT_TRUE_FATAL(ask());
    CU_ASSERT_EQUAL(number("signers/0/since"), since);
    CU_ASSERT_PTR_NOT_NULL(strstr(text("signers/0/last_error/text"), "CKR_DEVICE_ERROR"));
    CU_ASSERT_EQUAL(number("exchanges/total/signer_down"), 1);
    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(comes_to(is_well));
    CU_ASSERT_EQUAL(redeem(fixture.code), 201);
}

static bool is_locked(void)
{
    return has_problem("signer.locked", "error") && is_text("signers/0/state", "locked");
}

static void test_a_signer_whose_pin_is_refused_is_locked(void)
{
    instance_use_shim(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start());
    instance_set_faults(fixture.instance, "C_Login rv=0xa0\n"); /* CKR_PIN_INCORRECT */
    CU_ASSERT_EQUAL_FATAL(kill(instance_signer_pid(fixture.instance), SIGKILL), 0);
    CU_ASSERT_TRUE(comes_to(is_locked));
    CU_ASSERT_PTR_NOT_NULL(strstr(text("problems/0/next"), "[signer main]"));
}

static bool store_fails(void)
{
    return has_problem("store.failing", "error") && !cJSON_IsTrue(member("ready"));
}

static void test_a_store_that_fails_is_told_and_forgotten_when_it_is_well(void)
{
    CU_ASSERT_TRUE_FATAL(start() && comes_to(is_well));
    CU_ASSERT_TRUE_FATAL(ledger_edit(fixture.instance, "ALTER TABLE heartbeat RENAME TO away"));
    CU_ASSERT_TRUE(comes_to(store_fails));
    CU_ASSERT_FALSE(cJSON_IsTrue(member("store/good")));
    CU_ASSERT_TRUE(number("store/failing_since") >= number("started"));
    CU_ASSERT_TRUE(strlen(text("store/last_error/text")) > 0);
    CU_ASSERT_TRUE_FATAL(ledger_edit(fixture.instance, "ALTER TABLE away RENAME TO heartbeat"));
    CU_ASSERT_TRUE(comes_to(is_well));
    CU_ASSERT_TRUE(cJSON_IsNull(member("store/failing_since")));
}

static bool has_checkpoint(void)
{
    return number("ledger/checkpoint/size") > 0 && number("ledger/backlog") == 0;
}

static bool checkpoints_fail(void)
{
    return has_problem("ledger.backlog", "error") && is_text("ledger/stopped", "backlog")
        && has_problem("signer.down", "warning"); /* a moment later */
}

static void test_a_ledger_that_waits_for_its_audit_key_says_so(void)
{
    instance_use_audit_shim(fixture.instance);
    instance_set(fixture.instance, "ledger.checkpoint_s=1");
    instance_set(fixture.instance, "ledger.backlog_max=2");
    CU_ASSERT_TRUE_FATAL(start() && comes_to(has_checkpoint));
    CU_ASSERT_TRUE(is_text("ledger/signer", "audit"));
    CU_ASSERT_EQUAL(number("ledger/backlog_max"), 2);
    CU_ASSERT_TRUE(number("ledger/checkpoint/time") >= number("started") - 1);
    instance_set_faults(fixture.instance, "C_Sign rv=0x30\nC_GetSlotList rv=0x30\n");
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_TRUE(make_code());
        (void)redeem(fixture.code);
    }
    CU_ASSERT_TRUE(comes_to(checkpoints_fail));
    CU_ASSERT_TRUE(number("ledger/backlog") > 2);
    CU_ASSERT_EQUAL(number("stopped_since"), number("ledger/stopped_since"));
    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(comes_to(is_well));
}

static const char *const *ctl(const char *step, const char *what)
{
    static const char *argv[10];

    argv[0] = "issuerctl";
    argv[1] = "--config";
    argv[2] = instance_conf_path(fixture.instance);
    argv[3] = "--emergency";
    argv[4] = "a test of haste";
    argv[5] = "--";
    argv[6] = "keys";
    argv[7] = step;
    argv[8] = what;
    return argv;
}

static bool has_retired_key(void)
{
    return is_text("keys/0/state", "retired") && has_problem("keys.none_active", "error");
}

static void test_a_key_that_is_retired_is_shown_in_its_state(void)
{
    CU_ASSERT_TRUE_FATAL(start() && comes_to(is_well));
    const double since = number("keys/0/since");
    (void)sleep(1);
    CU_ASSERT_EQUAL(program_run(ctl("retire", text("keys/0/kid")), RUN_S)->status, 0);
    CU_ASSERT_TRUE(comes_to(has_retired_key));
    CU_ASSERT_TRUE(number("keys/0/since") > since);
    CU_ASSERT_FALSE(cJSON_IsTrue(member("signers/0/permitted")));
    CU_ASSERT_FALSE(cJSON_IsTrue(member("ready")));
}

static void test_the_status_is_for_the_admin_listener_alone(void)
{
    struct http_client *client;

    CU_ASSERT_TRUE_FATAL(start());
    client = http_connect(instance_public_port(fixture.instance));
    CU_ASSERT_EQUAL(http_get(client, STATUS_PATH)->status, 404);
    CU_ASSERT_EQUAL(http_get(client, "/")->status, 404);
    http_close(client);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a server that is well says so", test_a_server_that_is_well_says_so },
        { "an exchange is counted in all places", test_an_exchange_is_counted_in_all_places },
        { "refusals are counted by their reason", test_refusals_are_counted_by_their_reason },
        { "a signer that was killed says when and why",
          test_a_signer_that_was_killed_says_when_and_why },
        { "a signer that is down is an error until it is back",
          test_a_signer_that_is_down_is_an_error_until_it_is_back },
        { "a signer whose PIN is refused is locked", test_a_signer_whose_pin_is_refused_is_locked },
        { "a store that fails is told, and forgotten when it is well",
          test_a_store_that_fails_is_told_and_forgotten_when_it_is_well },
        { "a ledger that waits for its audit key says so",
          test_a_ledger_that_waits_for_its_audit_key_says_so },
        { "a key that is retired is shown in its state",
          test_a_key_that_is_retired_is_shown_in_its_state },
        { "the status is for the admin listener alone",
          test_the_status_is_for_the_admin_listener_alone },
        CU_TEST_INFO_NULL,
    };
    return run_suite("status", set_up, tear_down, tests);
}
