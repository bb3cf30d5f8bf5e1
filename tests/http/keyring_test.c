/*
 * A key's life as an operator leads it with issuerctl beside a running issuerd, and as a verifier
 * sees it: what is in the JWK Set when, which key signs when, rotation under load.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/health.h"
#include "support/program.h"
#include "support/run.h"

enum {
    DONE = 0,
    REFUSED = 1,
    USAGE = 64,
    RUN_S = 60,
    MAX_AGE_S = 1,
    SOON_S = 10 * HEALTH_SLACK,
    SETS_MAX = 32,
    TOKENS_MAX = 4096,
};

/* A JWK Set as it was from one time to another. */
struct set {
    char *text;
    int64_t first_s;
    int64_t last_s;
};

static struct {
    struct instance *instance;
    unsigned objects; /* made so far, by all tests: all are in one token */
    char *tokens[TOKENS_MAX];
    int64_t issued_s[TOKENS_MAX];
    size_t token_count;
    struct set sets[SETS_MAX];
    size_t set_count;
} fixture;

static void set_up(void)
{
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "issuer.jwks_max_age_s=%d", MAX_AGE_S);
    instance_set(fixture.instance, "tokens.lifetime_s=60");
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
    while (fixture.token_count > 0) {
        free(fixture.tokens[--fixture.token_count]);
    }
    while (fixture.set_count > 0) {
        free(fixture.sets[--fixture.set_count].text);
    }
}

/* ---- issuerctl ---- */

static const struct program_result *keys(const char *step, const char *what, const char *option,
                                         const char *value)
{
    const char *argv[10] = { "issuerctl", "--config", instance_conf_path(fixture.instance) };
    size_t count = 3;

    if (option != NULL) {
        argv[count++] = option;
    }
    if (option != NULL && value != NULL) {
        argv[count++] = value;
    }
    argv[count++] = "--"; /* a kid may begin with a hyphen */
    argv[count++] = "keys";
    argv[count++] = step;
    argv[count] = what;
    return program_run(argv, RUN_S);
}

static bool goes(const char *step, const char *kid)
{
    return program_ended(keys(step, kid, NULL, NULL), DONE, kid);
}

static bool goes_at_once(const char *step, const char *kid)
{
    return program_ended(keys(step, kid, "--emergency", "a test of haste"), DONE, kid);
}

static bool is_refused(const char *step, const char *kid, const char *words)
{
    return program_ended(keys(step, kid, NULL, NULL), REFUSED, words);
}

struct kid {
    char text[64];
};

/* A member of the key that the signer has now, as keys list --json gives it; "": none. */
static struct kid member_of_signer(const char *signer, const char *name)
{
    const struct program_result *result = keys("list", NULL, "--json", NULL);
    cJSON *list = cJSON_Parse(result->output);
    const cJSON *entry;
    struct kid found = { "" };

    cJSON_ArrayForEach(entry, list)
    {
        const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "signer"));
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, name));
        if (of != NULL && strcmp(of, signer) == 0 && value != NULL
            && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(entry, "on_device"))) {
            (void)snprintf(found.text, sizeof(found.text), "%s", value);
        }
    }
    cJSON_Delete(list);
    return found;
}

static struct kid kid_of(const char *signer)
{
    return member_of_signer(signer, "kid");
}

static bool has_state(const char *signer, const char *state)
{
    return strcmp(member_of_signer(signer, "state").text, state) == 0;
}

/* Points the signer at an object that is not there yet. */
static void name_new_object(const char *signer)
{
    instance_set(fixture.instance, "signer %s.uri=pkcs11:token=issuerd%%20test;object=ring-%u%s",
                 signer, fixture.objects++, strchr(getenv("TEST_KEY_URI"), '?'));
    instance_write_conf(fixture.instance);
}

static bool make_key(const char *signer)
{
    name_new_object(signer);
    return program_ended(keys("generate", signer, NULL, NULL), DONE, signer);
}

/* As if the wait were over. */
static bool let_time_pass(void)
{
    sqlite3 *db = NULL;
    const bool done =
        sqlite3_open_v2(instance_store_path(fixture.instance), &db, SQLITE_OPEN_READWRITE, NULL)
            == SQLITE_OK
        && sqlite3_busy_timeout(db, 10000) == SQLITE_OK
        && sqlite3_exec(db, "UPDATE keys SET due_s = 1 WHERE due_s > 0", NULL, NULL, NULL)
               == SQLITE_OK;
    (void)sqlite3_close(db);
    return done;
}

/* ---- what a verifier sees ---- */

/* Notes the JWK Set as it is now. */
static const char *look(void)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const int64_t now_s = wall_s();
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");
    struct set *last = fixture.set_count > 0 ? &fixture.sets[fixture.set_count - 1] : NULL;

    CU_ASSERT_EQUAL(reply->status, 200);
    if (last == NULL || strcmp(last->text, reply->body) != 0) {
        CU_ASSERT_TRUE_FATAL(fixture.set_count < SETS_MAX);
        last = &fixture.sets[fixture.set_count++];
        *last = (struct set){ .text = xstrdup(reply->body), .first_s = now_s };
    }
    last->last_s = now_s;
    http_close(client);
    return last->text;
}

static bool is_published(const char *kid)
{
    return strstr(look(), kid) != NULL;
}

static bool is_in_did_document(const char *kid)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = http_get(client, "/.well-known/did.json");
    const bool found = strstr(reply->body, kid) != NULL;

    CU_ASSERT_EQUAL(reply->status, 200);
    http_close(client);
    return found;
}

/* The list of revoked tokens. */
static bool is_key_of_list(const char *kid)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = http_get(client, "/api/v1/tokens/revoked");
    cJSON *header = reply->status == 200 ? token_part(reply->body, 0) : NULL;
    const char *used = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "kid"));
    const bool same = used != NULL && strcmp(used, kid) == 0 && token_verifies(reply->body, look());

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

/* True once the key is in the JWK Set, or is not. */
static bool comes_to_be_published(const char *kid, bool wanted)
{
    return comes_to(is_published, kid, wanted);
}

/* A token, kept; NULL: anything but 503 and then a 201 was the answer. */
static const char *issue(void)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];
    const int64_t until_ns = monotonic_ns() + SOON_S * NS_PER_S;
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    bool issued = false;

    if (api_make_code(fixture.instance, NULL, code) && fixture.token_count < TOKENS_MAX) {
        const struct http_reply *reply = api_redeem(client, code);
        while (reply->status == 503 && monotonic_ns() < until_ns) {
            (void)usleep(20000);
            reply = api_redeem(client, code);
        }
        issued = is_token_reply(reply, token);
    }
    http_close(client);
    if (!issued) {
        return NULL;
    }
    fixture.issued_s[fixture.token_count] = wall_s();
    return fixture.tokens[fixture.token_count++] = xstrdup(token);
}

static bool signs_with(const char *kid)
{
    const char *token = issue();
    cJSON *header = token != NULL ? token_part(token, 0) : NULL;
    const char *used = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "kid"));
    const bool same = used != NULL && strcmp(used, kid) == 0 && token_verifies(token, look());

    cJSON_Delete(header);
    return same;
}

static bool comes_to_sign_with(const char *kid)
{
    const int64_t until_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while (!signs_with(kid)) {
        if (monotonic_ns() > until_ns) {
            return false;
        }
    }
    return true;
}

/* ---- a key's life ---- */

static void test_a_key_goes_through_its_life_step_by_step(void)
{
    CU_ASSERT_TRUE_FATAL(make_key("main"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid old = kid_of("main");
    CU_ASSERT_TRUE(has_state("main", "active"));
    CU_ASSERT_TRUE(signs_with(old.text));

    CU_ASSERT_TRUE_FATAL(make_key("next"));
    const struct kid new = kid_of("next");
    CU_ASSERT_TRUE(has_state("next", "generated"));
    CU_ASSERT_TRUE(is_refused("activate", new.text, "publish it first"));
    CU_ASSERT_TRUE(is_refused("destroy", new.text, "retire it first"));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_FALSE(is_published(new.text));
    CU_ASSERT_TRUE(signs_with(old.text));

    CU_ASSERT_TRUE(goes("publish", new.text));
    CU_ASSERT_TRUE(comes_to_be_published(new.text, true));
    CU_ASSERT_TRUE(is_published(old.text));
    CU_ASSERT_TRUE(signs_with(old.text));
    CU_ASSERT_TRUE(is_refused("activate", new.text, "verifiers may have a JWK Set without it"));
    CU_ASSERT_TRUE(let_time_pass());
    CU_ASSERT_TRUE(goes("activate", new.text));

    CU_ASSERT_TRUE(is_key_of_list(old.text));
    CU_ASSERT_TRUE(goes("retire", old.text));
    CU_ASSERT_TRUE(is_refused("retire", new.text, "the only active one"));
    CU_ASSERT_TRUE(comes_to_sign_with(new.text));
    CU_ASSERT_TRUE(comes_to(is_key_of_list, new.text, true));
    CU_ASSERT_TRUE(is_published(old.text));
    CU_ASSERT_TRUE(is_refused("retire", old.text, "by itself"));
    CU_ASSERT_TRUE(is_refused("destroy", old.text, "retire it first"));
    CU_ASSERT_TRUE(let_time_pass());
    CU_ASSERT_TRUE(comes_to_be_published(old.text, false));
    CU_ASSERT_TRUE(is_refused("activate", old.text, "does not come back"));

    CU_ASSERT_TRUE(goes("destroy", old.text));
    CU_ASSERT_STRING_EQUAL(kid_of("main").text, "");
    CU_ASSERT_TRUE(is_refused("destroy", old.text, "destroyed"));
    CU_ASSERT_TRUE(signs_with(new.text));
}

static void test_an_emergency_waits_for_nothing_and_is_written_down(void)
{
    char sql[256];
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;

    CU_ASSERT_TRUE_FATAL(make_key("main"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid old = kid_of("main");
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(make_key("next"));
    const struct kid new = kid_of("next");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));

    CU_ASSERT_EQUAL(keys("activate", new.text, "--emergency", "")->status, USAGE);
    CU_ASSERT_TRUE(goes_at_once("activate", new.text));
    CU_ASSERT_TRUE(goes_at_once("retire", old.text));
    CU_ASSERT_TRUE(comes_to_be_published(old.text, false));
    CU_ASSERT_TRUE(comes_to_sign_with(new.text));

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'key'"
                   " AND entry ->> 'kid' = '%s' AND entry ->> 'state' = 'retired'"
                   " AND entry ->> 'reason' = 'a test of haste'",
                   old.text);
    CU_ASSERT_EQUAL_FATAL(
        sqlite3_open_v2(instance_store_path(fixture.instance), &db, SQLITE_OPEN_READONLY, NULL),
        SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_step(rows), SQLITE_ROW);
    CU_ASSERT_EQUAL(sqlite3_column_int(rows, 0), 1);
    (void)sqlite3_finalize(rows);
    (void)sqlite3_close(db);
}

static void test_a_key_that_changed_under_its_name_is_not_used(void)
{
    CU_ASSERT_TRUE_FATAL(make_key("main"));
    CU_ASSERT_TRUE_FATAL(make_key("other"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid other = kid_of("other");
    CU_ASSERT_TRUE(has_state("main", "active"));
    CU_ASSERT_TRUE(has_state("other", "active"));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);

    CU_ASSERT_TRUE_FATAL(make_key("main"));
    const struct kid new = kid_of("main");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "its signer has another key now"));
    CU_ASSERT_TRUE(has_state("main", "generated"));
    CU_ASSERT_FALSE(is_published(new.text));
    CU_ASSERT_TRUE(signs_with(other.text));
}

static void test_a_key_that_vanished_is_missed_and_another_signs(void)
{
    CU_ASSERT_TRUE_FATAL(make_key("main"));
    CU_ASSERT_TRUE_FATAL(make_key("other"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid gone = kid_of("main");
    const struct kid other = kid_of("other");
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);

    name_new_object("main");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "no such private key"));
    CU_ASSERT_TRUE(signs_with(other.text));
    CU_ASSERT_TRUE(is_published(gone.text)); /* its tokens live */
}

static void test_the_did_document_holds_the_active_keys_alone(void)
{
    CU_ASSERT_TRUE_FATAL(make_key("main"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid old = kid_of("main");
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(make_key("next"));
    const struct kid new = kid_of("next");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_in_did_document(old.text));
    CU_ASSERT_FALSE(is_in_did_document(new.text));

    CU_ASSERT_TRUE(goes("publish", new.text));
    CU_ASSERT_TRUE(comes_to_be_published(new.text, true));
    CU_ASSERT_TRUE(is_in_did_document(old.text));
    CU_ASSERT_FALSE(is_in_did_document(new.text));

    CU_ASSERT_TRUE(let_time_pass());
    CU_ASSERT_TRUE(goes("activate", new.text));
    CU_ASSERT_TRUE(comes_to(is_in_did_document, new.text, true));
    CU_ASSERT_TRUE(is_in_did_document(old.text));

    CU_ASSERT_TRUE(issue() != NULL); /* for whose life the retiring key stays published */
    CU_ASSERT_TRUE(goes("retire", old.text));
    CU_ASSERT_TRUE(comes_to(is_in_did_document, old.text, false));
    CU_ASSERT_TRUE(is_published(old.text));
    CU_ASSERT_TRUE(is_in_did_document(new.text));
}

/* ---- rotation under load ---- */

static bool issue_for(int64_t ns)
{
    const int64_t until_ns = monotonic_ns() + ns;

    do {
        (void)look();
        if (issue() == NULL) {
            return false;
        }
    } while (monotonic_ns() < until_ns);
    return true;
}

/* The one that was active is retired when the next has been published for long enough. */
static bool rotate(const char *from, const char *to)
{
    const int64_t until_ns = monotonic_ns() + 4 * SOON_S * NS_PER_S;

    if (!goes("publish", to)) {
        return false;
    }
    while (keys("activate", to, NULL, NULL)->status == REFUSED && monotonic_ns() < until_ns) {
        if (!issue_for(NS_PER_S / 4)) {
            return false;
        }
    }
    return issue_for(NS_PER_S) && goes("retire", from) && issue_for(2 * NS_PER_S);
}

/* Every token verifies with what a verifier may have: any JWK Set from MAX_AGE_S before it on. */
static void check_every_token(void)
{
    size_t checks = 0;

    for (size_t i = 0; i < fixture.token_count; i++) {
        for (size_t j = 0; j < fixture.set_count; j++) {
            if (fixture.sets[j].last_s >= fixture.issued_s[i] - MAX_AGE_S) {
                CU_ASSERT_TRUE(token_verifies(fixture.tokens[i], fixture.sets[j].text));
                checks++;
            }
        }
    }
    CU_ASSERT_TRUE(checks >= fixture.token_count);
    CU_ASSERT_TRUE(fixture.token_count > 20);
}

static void test_every_token_verifies_through_rotations_and_a_restart(void)
{
    CU_ASSERT_TRUE_FATAL(make_key("main"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    const struct kid first = kid_of("main");
    CU_ASSERT_TRUE_FATAL(make_key("second"));
    CU_ASSERT_TRUE_FATAL(make_key("third"));
    const struct kid second = kid_of("second");
    const struct kid third = kid_of("third");
    CU_ASSERT_TRUE(issue_for(NS_PER_S / 2));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));

    CU_ASSERT_TRUE(rotate(first.text, second.text));
    CU_ASSERT_TRUE(signs_with(second.text));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(signs_with(second.text));
    CU_ASSERT_TRUE(rotate(second.text, third.text));
    CU_ASSERT_TRUE(signs_with(third.text));
    CU_ASSERT_TRUE(fixture.set_count >= 3);
    check_every_token();
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "a key goes through its life step by step",
          test_a_key_goes_through_its_life_step_by_step },
        { "an emergency waits for nothing and is written down",
          test_an_emergency_waits_for_nothing_and_is_written_down },
        { "a key that changed under its name is not used",
          test_a_key_that_changed_under_its_name_is_not_used },
        { "a key that vanished is missed and another signs",
          test_a_key_that_vanished_is_missed_and_another_signs },
        { "the DID document holds the active keys alone",
          test_the_did_document_holds_the_active_keys_alone },
        { "every token verifies through rotations and a restart",
          test_every_token_verifies_through_rotations_and_a_restart },
        CU_TEST_INFO_NULL,
    };
    return run_suite("keyring", set_up, tear_down, tests);
}
