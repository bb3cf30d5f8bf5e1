/* What is judged wrong with a server, and how its status is told. */
#include "core/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json_check.h"
#include "base/memory.h"
#include "support/run.h"

enum { NOW_S = 1780000000, DAY_S = 86400 };

static struct {
    struct service_status status;
    struct signer_key key;
    struct stored_key stored[STATUS_KEYS_MAX];
    struct problems problems;
    char buffer[STATUS_MAX];
    struct text text;
    cJSON *json;
} fixture;

/* One signer for tokens and one for checkpoints, both well. */
static void name_signer(struct status_signer *signer, const char *name)
{
    (void)snprintf(signer->is.name, sizeof(signer->is.name), "%s", name);
}

static void set_up(void)
{
    struct service_status *status = &fixture.status;

    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.key.kid, sizeof(fixture.key.kid), "%s", "the-kid");
    (void)snprintf(fixture.key.description, sizeof(fixture.key.description), "%s", "token=t");
    *status = (struct service_status){
        .now_s = NOW_S,
        .started_s = NOW_S - 1000,
        .issuer = "https://issuer.example",
        .ready = true,
        .signer_count = 2,
        .ledger = { .node = "node-1",
                    .epoch = 1,
                    .size = 100,
                    .checkpointed = 90,
                    .backlog_max = 1000,
                    .signer = "audit",
                    .checkpoint_s = NOW_S - 10 },
        .store = { .engine = "sqlite", .committed_s = NOW_S },
        .clock = { .is = { .name = "machine", .is_trusted = true, .time_s = NOW_S } },
        .edge = { .public_address = "http://127.0.0.1:8080", .connections_max = 10 }
    };
    for (size_t i = 0; i < 2; i++) {
        status->signers[i] =
            (struct status_signer){ .is = { .purpose = i == 0 ? SIGNER_TOKENS : SIGNER_CHECKPOINTS,
                                            .state = SIGNER_UP,
                                            .key = &fixture.key,
                                            .permitted = i == 0,
                                            .queue = 128 },
                                    .since_s = NOW_S - 900,
                                    .self_test_age_ms = 1500 };
        name_signer(&status->signers[i], i == 0 ? "main" : "audit");
    }
}

static void tear_down(void)
{
    cJSON_Delete(take(fixture.json));
}

static void add_signer(const char *name)
{
    struct status_signer *signer = &fixture.status.signers[fixture.status.signer_count++];

    *signer = fixture.status.signers[0];
    name_signer(signer, name);
}

static struct status_signer *signer(size_t index)
{
    return &fixture.status.signers[index];
}

static void fell(size_t index, enum signer_state state, int64_t seconds_ago)
{
    signer(index)->is.state = state;
    signer(index)->since_s = NOW_S - seconds_ago;
    signer(index)->self_test_age_ms = -1;
}

static size_t judge(void)
{
    status_judge(&fixture.status, &fixture.problems);
    return fixture.problems.count;
}

/* Each has words, and says what comes next. */
static const struct problem *problem(const char *name)
{
    const struct problem *found = NULL;

    for (size_t i = 0; i < fixture.problems.count; i++) {
        const struct problem *at = &fixture.problems.list[i];
        CU_ASSERT_TRUE(strlen(at->text) >= 20 && strlen(at->next) >= 20);
        found = strcmp(at->name, name) == 0 ? at : found;
    }
    return found;
}

/* The one problem there is, at this level and since then, and these words are in it. */
static bool is_only(const char *name, bool is_error, int64_t since_s, const char *words)
{
    const struct problem *found = judge() == 1 ? problem(name) : NULL;

    if (found != NULL && found->is_error == is_error && found->since_s == since_s
        && strstr(found->text, words) != NULL) {
        return true;
    }
    for (size_t i = 0; i < fixture.problems.count; i++) {
        printf("\n    %s %d %lld: %s", fixture.problems.list[i].name,
               fixture.problems.list[i].is_error, (long long)fixture.problems.list[i].since_s,
               fixture.problems.list[i].text);
    }
    return false;
}

/* ---- the judgement ---- */

static void test_a_server_that_is_well_has_no_problem(void)
{
    CU_ASSERT_EQUAL(judge(), 0);
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, 0);
}

static void test_the_only_signer_that_is_down_is_an_error_with_its_cause(void)
{
    fell(0, SIGNER_DOWN, 35);
    fixture.status.ready = false;
    signer(0)->failure =
        (struct status_failure){ .time_s = NOW_S - 1, .text = "CKR_DEVICE_REMOVED" };
    CU_ASSERT_TRUE(is_only("signer.down", true, NOW_S - 35, "CKR_DEVICE_REMOVED"));
    CU_ASSERT_STRING_EQUAL(fixture.problems.list[0].about, "main");
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, NOW_S - 35);
}

static void test_one_of_two_signers_that_is_down_is_a_warning(void)
{
    add_signer("spare");
    fell(0, SIGNER_DOWN, 35);
    CU_ASSERT_TRUE(is_only("signer.down", false, NOW_S - 35, "Another signer signs meanwhile"));
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, 0);
}

static void test_issuing_stopped_when_the_last_signer_went(void)
{
    add_signer("spare");
    fell(0, SIGNER_DOWN, 3600);
    fell(2, SIGNER_LOCKED, 35);
    fixture.status.ready = false;
    CU_ASSERT_EQUAL(judge(), 2);
    CU_ASSERT_TRUE(problem("signer.down")->is_error && problem("signer.locked")->is_error);
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, NOW_S - 35);
}

static void test_a_signer_without_an_active_key_is_no_help(void)
{
    add_signer("next");
    signer(2)->is.permitted = false;
    fell(0, SIGNER_DOWN, 35);
    fixture.status.ready = false;
    CU_ASSERT_TRUE(is_only("signer.down", true, NOW_S - 35, "main"));
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, NOW_S - 35);
}

static void test_a_locked_signer_is_told_how_to_unlock_it(void)
{
    fell(0, SIGNER_LOCKED, 5);
    fixture.status.ready = false;
    CU_ASSERT_TRUE(is_only("signer.locked", true, NOW_S - 5, "PIN was refused"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "[signer main]"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "remove pin-refused-*"));
}

static void test_a_signer_locked_from_the_start_may_have_an_active_key(void)
{
    fell(0, SIGNER_LOCKED, 5);
    signer(0)->is.key = NULL;
    signer(0)->is.permitted = false;
    fixture.status.ready = false;
    CU_ASSERT_TRUE(is_only("signer.locked", true, NOW_S - 5, "PIN was refused"));
}

static void destroy_key_of(size_t index, const char *kid)
{
    struct stored_key *key = &fixture.stored[0];

    *key = (struct stored_key){ .state = KEY_DESTROYED };
    (void)snprintf(key->kid, sizeof(key->kid), "%s", kid);
    (void)snprintf(key->signer, sizeof(key->signer), "%s", signer(index)->is.name);
    fixture.status.keys[0] = (struct status_key){ .stored = key };
    fixture.status.key_count = 1;
}

static void test_a_signer_whose_key_was_destroyed_is_expected_to_be_down(void)
{
    add_signer("old");
    destroy_key_of(2, "the-kid");
    fell(2, SIGNER_DOWN, 35);
    signer(0)->is.key = &(struct signer_key){ .kid = "another" };
    CU_ASSERT_TRUE(is_only("signer.down", false, NOW_S - 35, "its key was destroyed"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "[signer old]"));
    signer(2)->is.key = NULL;
    CU_ASSERT_TRUE(is_only("signer.down", false, NOW_S - 35, "its key was destroyed"));
    destroy_key_of(2, "one-before");
    signer(2)->is.key = &fixture.key;
    CU_ASSERT_TRUE(is_only("signer.down", false, NOW_S - 35, "Another signer signs"));
}

static void test_a_signer_whose_self_test_is_old_is_not_taken_for_one_that_works(void)
{
    signer(0)->self_test_age_ms = SELF_TEST_MAX_AGE_S * 1000 - 1;
    CU_ASSERT_EQUAL(judge(), 0);
    signer(0)->self_test_age_ms = SELF_TEST_MAX_AGE_S * 1000;
    fixture.status.ready = false;
    CU_ASSERT_TRUE(is_only("signer.unproven", true, NOW_S - 900, "self-test"));
    signer(0)->self_test_age_ms = -1; /* none since it came up */
    CU_ASSERT_TRUE(is_only("signer.unproven", true, NOW_S - 900, "self-test"));
}

static void test_the_audit_signer_that_is_down_stops_nothing_yet(void)
{
    fell(1, SIGNER_DOWN, 60);
    CU_ASSERT_TRUE(is_only("signer.down", false, NOW_S - 60, "checkpoints wait"));
}

static void test_wrong_signatures_are_told_for_as_long_as_they_are_known(void)
{
    signer(0)->is.wrong_signatures = 2;
    CU_ASSERT_TRUE(is_only("signer.wrong_signatures", false, 0, "2 signatures"));
}

static void test_no_active_key_is_an_error(void)
{
    signer(0)->is.permitted = false;
    fixture.status.ready = false;
    CU_ASSERT_TRUE(is_only("keys.none_active", true, 0, "No signer has an active key"));
}

static void test_a_key_that_no_signer_has_is_told_while_it_should_sign(void)
{
    static const char absence[] = "no signer of this configuration has it";
    struct stored_key *key = &fixture.stored[0];

    *key = (struct stored_key){ .kid = "gone", .state = KEY_ACTIVE };
    fixture.status.keys[0] = (struct status_key){ .stored = key, .absence = absence };
    fixture.status.key_count = 1;
    CU_ASSERT_TRUE(is_only("key.missing", false, 0, absence));
    key->state = KEY_PUBLISHED;
    CU_ASSERT_TRUE(is_only("key.missing", false, 0, "gone is published"));
    key->state = KEY_RETIRING;
    CU_ASSERT_EQUAL(judge(), 0);
    key->state = KEY_ACTIVE;
    fixture.status.keys[0].absence = NULL;
    CU_ASSERT_EQUAL(judge(), 0);
}

static void test_a_ledger_that_stops_issuing_says_why(void)
{
    fixture.status.ready = false;
    fixture.status.ledger.size = 1091;
    fixture.status.ledger.stopped_s = NOW_S - 7;
    fixture.status.ledger.checkpoint_failing_s = NOW_S - 70;
    CU_ASSERT_TRUE(is_only("ledger.backlog", true, NOW_S - 7, "1001 entries"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "signer audit"));
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, NOW_S - 7);
    fixture.status.ledger.is_rolled_back = true;
    CU_ASSERT_TRUE(is_only("ledger.rolled_back", true, NOW_S - 7, "older"));
}

static void test_checkpoints_that_fail_are_a_warning_first(void)
{
    fixture.status.ledger.checkpoint_failing_s = NOW_S - 70;
    CU_ASSERT_TRUE(is_only("ledger.checkpoint_failed", false, NOW_S - 70, "10 entries"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "Over 1000"));
}

static void test_a_store_that_fails_is_told_by_its_engine(void)
{
    fixture.status.ready = false;
    fixture.status.store.failing_s = NOW_S - 4;
    fixture.status.store.failure = (struct status_failure){ .time_s = NOW_S, .text = "disk full" };
    CU_ASSERT_TRUE(is_only("store.failing", true, NOW_S - 4, "disk full"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "df"));
    fixture.status.store.engine = "postgresql";
    CU_ASSERT_TRUE(is_only("store.failing", true, NOW_S - 4, "disk full"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "PostgreSQL"));
}

static void test_a_clock_that_is_not_trusted_says_what_it_is_off_by(void)
{
    struct status_clock *clock = &fixture.status.clock;

    fixture.status.ready = false;
    clock->is.is_trusted = false;
    clock->is.deviation_s = 3600;
    clock->since_s = NOW_S - 9;
    CU_ASSERT_TRUE(
        is_only("clock.untrusted", true, NOW_S - 9, "machine was set: it is off by 3600 s"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.problems.list[0].next, "issuerctl clock confirm"));
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, NOW_S - 9);
    clock->is.deviation_s = -3600;
    clock->is.is_behind_ledger = true;
    fixture.status.signers[0].is.permitted = false; /* as at such a start */
    CU_ASSERT_TRUE(is_only("clock.untrusted", true, NOW_S - 9, "3600 s behind the ledger"));
}

static void test_issuing_stopped_with_the_first_of_several_causes(void)
{
    fixture.status.ready = false;
    fixture.status.store.failing_s = NOW_S - 40;
    fixture.status.store.failure.time_s = NOW_S - 1;
    fell(0, SIGNER_DOWN, 35);
    CU_ASSERT_EQUAL(judge(), 2);
    CU_ASSERT_EQUAL(fixture.problems.stopped_s, NOW_S - 40);
}

static void test_load_that_is_too_much_is_a_warning(void)
{
    fixture.status.last_10_s[EXCHANGE_OVERLOADED] = 3;
    CU_ASSERT_TRUE(is_only("overload", false, 0, "3 exchanges"));
    fixture.status.last_10_s[EXCHANGE_OVERLOADED] = 0;
    fixture.status.last_60_s[EXCHANGE_INTERNAL] = 1;
    CU_ASSERT_TRUE(is_only("internal", false, 0, "internal error"));
    fixture.status.last_60_s[EXCHANGE_INTERNAL] = 0;
    fixture.status.edge.connections = 10;
    CU_ASSERT_TRUE(is_only("connections", false, 0, "All 10"));
}

static void test_a_certificate_is_told_of_before_it_expires(void)
{
    struct certificate_status *certificate = &fixture.status.edge.certificates[0];

    fixture.status.edge.certificate_count = 1;
    *certificate =
        (struct certificate_status){ .listener = "public", .expires_s = NOW_S + 30 * DAY_S };
    CU_ASSERT_EQUAL(judge(), 0);
    certificate->expires_s--;
    CU_ASSERT_TRUE(is_only("certificate.expires", false, 0, "29 days"));
    certificate->expires_s = NOW_S - 5;
    CU_ASSERT_TRUE(is_only("certificate.expired", false, NOW_S - 5, "public"));
}

static void test_a_server_that_is_not_ready_always_says_why(void)
{
    fixture.status.ready = false;
    (void)!fail(&fixture.status.reason, ERROR_STORE_UNAVAILABLE, "the store does not answer");
    CU_ASSERT_TRUE(is_only("not_ready", true, 0, "the store does not answer"));
}

static void test_errors_come_first(void)
{
    fixture.status.ready = false;
    signer(1)->is.wrong_signatures = 1;
    fell(1, SIGNER_DOWN, 10);
    fixture.status.store.failing_s = NOW_S;
    fixture.status.store.failure.time_s = NOW_S;
    fixture.status.last_10_s[EXCHANGE_OVERLOADED] = 1;
    fixture.status.ledger.is_rolled_back = true;
    fixture.status.ledger.stopped_s = NOW_S;
    CU_ASSERT_EQUAL(judge(), 5);
    CU_ASSERT_STRING_EQUAL(fixture.problems.list[0].name, "ledger.rolled_back");
    CU_ASSERT_STRING_EQUAL(fixture.problems.list[1].name, "store.failing");
    CU_ASSERT_STRING_EQUAL(fixture.problems.list[2].name, "signer.down");
    CU_ASSERT_STRING_EQUAL(fixture.problems.list[3].name, "signer.wrong_signatures");
    CU_ASSERT_STRING_EQUAL(fixture.problems.list[4].name, "overload");
}

static void test_however_much_is_wrong_it_is_bounded(void)
{
    fixture.status.ready = false;
    fixture.status.signer_count = SIGNERS_MAX;
    for (size_t i = 0; i < SIGNERS_MAX; i++) {
        *signer(i) = *signer(0);
        fell(i, SIGNER_DOWN, 1);
        signer(i)->is.wrong_signatures = UINT64_MAX;
        signer(i)->failure.time_s = NOW_S;
        memset(signer(i)->failure.text, 'x', sizeof(signer(i)->failure.text) - 1);
    }
    fixture.status.key_count = STATUS_KEYS_MAX;
    for (size_t i = 0; i < STATUS_KEYS_MAX; i++) {
        fixture.stored[i].state = KEY_ACTIVE;
        fixture.status.keys[i] =
            (struct status_key){ .stored = &fixture.stored[i], .absence = "none has it" };
    }
    CU_ASSERT_TRUE(judge() < PROBLEMS_MAX);
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
    status_print(&fixture.status, &fixture.text);
    CU_ASSERT_FALSE(fixture.text.overflowed);
}

/* ---- the object ---- */

static const cJSON *print(void)
{
    struct error err;

    cJSON_Delete(take(fixture.json));
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
    status_print(&fixture.status, &fixture.text);
    CU_ASSERT_FALSE(fixture.text.overflowed);
    CU_ASSERT_TRUE(json_check(fixture.buffer, fixture.text.length, &err));
    fixture.json = cJSON_Parse(fixture.buffer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.json);
    return fixture.json;
}

/* "signers/0/name" */
static const cJSON *member(const char *path)
{
    char name[64];
    const cJSON *at = fixture.json;

    while (*path != '\0') {
        const size_t length = strcspn(path, "/");
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, path);
        at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(name))
                               : cJSON_GetObjectItemCaseSensitive(at, name);
        path += length + (path[length] == '/');
    }
    return at;
}

static bool is_text(const char *path, const char *wanted)
{
    const char *text = cJSON_GetStringValue(member(path));
    return text != NULL && strcmp(text, wanted) == 0;
}

static bool is_number(const char *path, double wanted)
{
    const cJSON *number = member(path);
    return cJSON_IsNumber(number) && number->valuedouble > wanted - 0.0005
        && number->valuedouble < wanted + 0.0005;
}

static void test_what_is_there_is_told(void)
{
    fixture.status.total[EXCHANGE_ISSUED] = 7;
    fixture.status.last_10_s[EXCHANGE_SPENT] = 2;
    fixture.status.history[59].counts[EXCHANGE_KIND_FAILED] = 4;
    fixture.status.issued_s = NOW_S - 3;
    fixture.status.latencies[LATENCY_SIGN] =
        (struct recent_latency){ .count = 9, .p50_ms = 1.25, .p99_ms = 7 };
    (void)print();
    CU_ASSERT_TRUE(is_number("time", NOW_S));
    CU_ASSERT_TRUE(is_number("started", NOW_S - 1000));
    CU_ASSERT_TRUE(cJSON_IsTrue(member("ready")));
    CU_ASSERT_TRUE(is_number("exchanges/total/issued", 7));
    CU_ASSERT_TRUE(is_number("exchanges/last_10_s/spent_code", 2));
    CU_ASSERT_TRUE(is_number("exchanges/history/failed/59", 4));
    CU_ASSERT_TRUE(is_number("exchanges/last_issued", NOW_S - 3));
    CU_ASSERT_TRUE(is_number("latency/sign/p50_ms", 1.25));
    CU_ASSERT_TRUE(is_text("signers/0/state", "up"));
    CU_ASSERT_TRUE(is_text("signers/1/purpose", "checkpoints"));
    CU_ASSERT_TRUE(is_number("signers/0/self_test_age_s", 1.5));
    CU_ASSERT_TRUE(is_text("ledger/tree", "node-1/1"));
    CU_ASSERT_TRUE(is_number("ledger/backlog", 10));
    CU_ASSERT_TRUE(is_text("store/engine", "sqlite"));
    CU_ASSERT_TRUE(is_text("public/address", "http://127.0.0.1:8080"));
}

static void test_what_is_not_there_is_null(void)
{
    static const char *const paths[] = { "stopped_since",           "exchanges/last_issued",
                                         "latency/exchange/p50_ms", "signers/0/last_error",
                                         "signers/0/kid",           "signers/0/self_test_age_s",
                                         "ledger/signer",           "ledger/backlog_max",
                                         "ledger/checkpoint/time",  "ledger/stopped",
                                         "store/last_error",        "store/last_commit" };

    signer(0)->is.key = NULL;
    signer(0)->self_test_age_ms = -1;
    fixture.status.ledger.signer = NULL;
    fixture.status.ledger.backlog_max = 0;
    fixture.status.ledger.checkpoint_s = 0;
    fixture.status.store.committed_s = 0;
    (void)print();
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        CU_ASSERT_TRUE(cJSON_IsNull(member(paths[i])));
    }
}

static void test_what_a_device_says_cannot_break_the_object(void)
{
    signer(0)->failure = (struct status_failure){ .time_s = NOW_S, .text = "\"\\\n\x80 end" };
    (void)snprintf(fixture.key.description, sizeof(fixture.key.description), "%s", "\xff\"}]");
    (void)print();
    CU_ASSERT_TRUE(is_text("signers/0/last_error/text", "\"\\?? end"));
    CU_ASSERT_TRUE(is_text("signers/0/key", "?\"}]"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a server that is well has no problem", test_a_server_that_is_well_has_no_problem },
        { "the only signer that is down is an error with its cause",
          test_the_only_signer_that_is_down_is_an_error_with_its_cause },
        { "one of two signers that is down is a warning",
          test_one_of_two_signers_that_is_down_is_a_warning },
        { "issuing stopped when the last signer went",
          test_issuing_stopped_when_the_last_signer_went },
        { "a signer without an active key is no help",
          test_a_signer_without_an_active_key_is_no_help },
        { "a locked signer is told how to unlock it",
          test_a_locked_signer_is_told_how_to_unlock_it },
        { "a signer locked from the start may have an active key",
          test_a_signer_locked_from_the_start_may_have_an_active_key },
        { "a signer whose key was destroyed is expected to be down",
          test_a_signer_whose_key_was_destroyed_is_expected_to_be_down },
        { "a signer whose self test is old is not taken for one that works",
          test_a_signer_whose_self_test_is_old_is_not_taken_for_one_that_works },
        { "the audit signer that is down stops nothing yet",
          test_the_audit_signer_that_is_down_stops_nothing_yet },
        { "wrong signatures are told for as long as they are known",
          test_wrong_signatures_are_told_for_as_long_as_they_are_known },
        { "no active key is an error", test_no_active_key_is_an_error },
        { "a key that no signer has is told while it should sign",
          test_a_key_that_no_signer_has_is_told_while_it_should_sign },
        { "a ledger that stops issuing says why", test_a_ledger_that_stops_issuing_says_why },
        { "checkpoints that fail are a warning first",
          test_checkpoints_that_fail_are_a_warning_first },
        { "a store that fails is told by its engine",
          test_a_store_that_fails_is_told_by_its_engine },
        { "a clock that is not trusted says what it is off by",
          test_a_clock_that_is_not_trusted_says_what_it_is_off_by },
        { "issuing stopped with the first of several causes",
          test_issuing_stopped_with_the_first_of_several_causes },
        { "load that is too much is a warning", test_load_that_is_too_much_is_a_warning },
        { "a certificate is told of before it expires",
          test_a_certificate_is_told_of_before_it_expires },
        { "a server that is not ready always says why",
          test_a_server_that_is_not_ready_always_says_why },
        { "errors come first", test_errors_come_first },
        { "however much is wrong it is bounded", test_however_much_is_wrong_it_is_bounded },
        { "what is there is told", test_what_is_there_is_told },
        { "what is not there is null", test_what_is_not_there_is_null },
        { "what a device says cannot break the object",
          test_what_a_device_says_cannot_break_the_object },
        CU_TEST_INFO_NULL,
    };
    return run_suite("status", set_up, tear_down, tests);
}
