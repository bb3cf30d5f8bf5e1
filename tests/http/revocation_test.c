/*
 * A spent code that is redeemed again, and what follows: the ledger says so, its token is revoked, and
 * every server on the store lists it within a second, in a JWT that only its own type can be taken
 * for. The operator's way to revoke a token ends in the same list.
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/program.h"
#include "support/run.h"
#include "support/uri.h"

#define LIST_PATH "/api/v1/tokens/revoked"
#define LIST_TYPE "application/revoked-tokens+jwt"
#define LONG_JTI "AZ_-AAAAAAAAAAAAAAAAAAAAAAAA" /* and four digits: the longest there is */
#define UNKNOWN_JTI "AZbuPtd9d0W2kYl9yT3bZw"

enum {
    VISIBLE_S = HEALTH_SLACK, /* a revocation shows within a second */
    LEAVES_S = 5 * HEALTH_SLACK,
    RIVALS = 64,
    LIST_MAX = 4000,
    LIST_SIZE = 256 * 1024,
    HOLD_MS = 4000,
    DONE = 0,
    REFUSED = 1,
    USAGE = 64,
    RUN_S = 60,
    WORDS_MAX = 12,
};

static struct {
    struct instance *instance;
    struct instance *other; /* on the same store */
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];
    char jti[64];
    char list[LIST_SIZE]; /* the last that was got */
    char etag[64];
    cJSON *claims; /* its payload */
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    fixture.other = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    instance_set(fixture.other, "store.url=sqlite:%s", instance_store_path(fixture.instance));
}

static void tear_down(void)
{
    cJSON_Delete(take(fixture.claims));
    instance_free(take(fixture.other));
    instance_free(take(fixture.instance));
}

DEFINE_RELEASE(release_client, struct http_client, http_close)

/* ---- asking the server ---- */

static bool has_jti(const char *token, char jti_out[static 64])
{
    cJSON *claims = token_part(token, 1);
    const char *jti = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, "jti"));

    (void)snprintf(jti_out, 64, "%s", jti != NULL ? jti : "");
    cJSON_Delete(claims);
    return jti_out[0] != '\0';
}

/* A fresh code, spent for a token of that jti. */
static bool spend_code(void)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.instance));
    return api_make_code(fixture.instance, NULL, fixture.code)
        && is_token_reply(api_redeem(client, fixture.code), fixture.token)
        && has_jti(fixture.token, fixture.jti);
}

/* Its status; the list and its claims are in the fixture. */
static int get_list(const struct instance *instance, const char *headers)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(instance));
    const struct http_reply *reply = http_request(client, "GET", LIST_PATH, headers, NULL);

    (void)snprintf(fixture.etag, sizeof(fixture.etag), "%s", http_header(reply, "ETag"));
    (void)snprintf(fixture.list, sizeof(fixture.list), "%s", reply->body);
    cJSON_Delete(take(fixture.claims));
    fixture.claims = reply->status == 200 ? token_part(fixture.list, 1) : NULL;
    return reply->status;
}

static const cJSON *claim(const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(fixture.claims, name);
}

static int listed_count(void)
{
    return cJSON_GetArraySize(claim("revoked"));
}

static bool lists(const char *jti)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, claim("revoked"))
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, jti) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_listed(const struct instance *instance)
{
    return get_list(instance, NULL) == 200 && lists(fixture.jti);
}

static bool is_not_listed(const struct instance *instance)
{
    return get_list(instance, NULL) == 200 && !lists(fixture.jti);
}

static bool is_empty(const struct instance *instance)
{
    return get_list(instance, NULL) == 200 && listed_count() == 0;
}

static bool is_full(const struct instance *instance)
{
    return get_list(instance, NULL) == 200 && listed_count() == LIST_MAX;
}

static bool is_complete(const struct instance *instance)
{
    return get_list(instance, NULL) == 200 && cJSON_IsTrue(claim("complete"));
}

static bool within(const struct instance *instance, bool (*holds)(const struct instance *),
                   int seconds)
{
    return health_await(instance, holds, monotonic_ns() + seconds * NS_PER_S);
}

/* ---- asking the store ---- */

/* The one number that the statement selects, or 0 where it selects none; ?1 is the fixture's jti. -1:
 * it failed. */
static int64_t run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    int result = SQLITE_ERROR;

    if (sqlite3_open_v2(instance_store_path(fixture.instance), &db, SQLITE_OPEN_READWRITE, NULL)
            == SQLITE_OK
        && sqlite3_busy_timeout(db, 10000) == SQLITE_OK
        && sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK) {
        (void)sqlite3_bind_text(statement, 1, fixture.jti, -1, SQLITE_STATIC);
        result = sqlite3_step(statement);
    }
    if (result == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    } else if (result == SQLITE_DONE) {
        number = 0;
    } else {
        (void)fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return number;
}

/* How many entries of the kind the ledger has about the fixture's token. */
static int64_t entries(const char *kind)
{
    char sql[160];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM ledger WHERE jti = ?1 AND entry ->> 'kind' = '%s'", kind);
    return run_sql(sql);
}

/* ---- a replay ---- */

static void test_a_second_redeem_is_refused_and_revokes_the_token(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_empty(fixture.instance));
    CU_ASSERT_TRUE_FATAL(spend_code());
    CU_ASSERT_EQUAL(entries("revoked"), 0);

    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(entries("replayed"), 1); /* before the answer left */
    CU_ASSERT_EQUAL(entries("revoked"), 1);
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "code.replayed"));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "token.revoked"));
}

static void test_a_third_redeem_revokes_nothing_more(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(entries("replayed"), 2);
    CU_ASSERT_EQUAL(entries("revoked"), 1);
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_EQUAL(listed_count(), 1);
}

static void test_the_entries_name_the_token_and_its_authorization(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(run_sql("SELECT count(*) FROM ledger l JOIN authorizations a ON a.jti = l.jti"
                            " WHERE l.jti = ?1 AND l.entry ->> 'kind' = 'replayed'"
                            " AND l.entry ->> 'authorization' = a.uuid"),
                    1);
    CU_ASSERT_EQUAL(run_sql("SELECT count(*) FROM ledger r JOIN ledger i ON i.jti = r.jti"
                            " WHERE r.jti = ?1 AND r.entry ->> 'kind' = 'revoked'"
                            " AND i.entry ->> 'kind' = 'issued'"
                            " AND r.entry ->> 'expires' = i.entry ->> 'expires'"
                            " AND r.entry ->> 'reason' = 'replayed'"),
                    1);
}

static void test_an_expired_code_is_no_replay(void)
{
    instance_set(fixture.instance, "tokens.code_lifetime_s=1");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, fixture.code));
    (void)sleep(2);
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(run_sql("SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'replayed'"), 0);
    CU_ASSERT_TRUE(is_empty(fixture.instance));
}

/* It was good when it was looked up, and is refused in the transaction. */
static void test_a_code_that_expires_while_its_token_is_signed_is_no_replay(void)
{
    instance_use_shim(fixture.instance);
    instance_set(fixture.instance, "signer main.deadline_ms=10000");
    instance_set(fixture.instance, "tokens.code_lifetime_s=2");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    instance_set_faults(fixture.instance, "C_Sign delay_us=3000000\n");
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, fixture.code));
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(run_sql("SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'replayed'"), 0);
    CU_ASSERT_EQUAL(run_sql("SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'issued'"), 0);
}

static void test_a_replay_after_the_tokens_end_revokes_nothing(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_EQUAL_FATAL(run_sql("UPDATE authorizations SET token_expires_s = 1 WHERE jti = ?1"),
                          0);
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(entries("replayed"), 1);
    CU_ASSERT_EQUAL(entries("revoked"), 0);
}

/* ---- rivals ---- */

struct rivals {
    pthread_barrier_t barrier;
    pthread_mutex_t lock; /* over the rest */
    unsigned issued;
    unsigned refused;
};

static void *redeem_at_once(void *argument)
{
    struct rivals *rivals = argument;
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    char token[API_TOKEN_SIZE];

    (void)pthread_barrier_wait(&rivals->barrier);
    const struct http_reply *reply = api_redeem(client, fixture.code);
    const bool is_token = reply->status == 201 && is_token_reply(reply, token);
    pthread_mutex_lock(&rivals->lock);
    rivals->issued += is_token;
    rivals->refused += reply->status == 400;
    if (is_token) {
        (void)has_jti(token, fixture.jti);
    }
    pthread_mutex_unlock(&rivals->lock);
    http_close(client);
    return NULL;
}

static void test_64_rivals_for_a_code_revoke_its_token_once(void)
{
    struct rivals rivals = { .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t threads[RIVALS];

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, fixture.code));
    (void)pthread_barrier_init(&rivals.barrier, NULL, RIVALS);
    for (int i = 0; i < RIVALS; i++) {
        if (pthread_create(&threads[i], NULL, redeem_at_once, &rivals) != 0) {
            abort(); /* the others would wait for it for ever */
        }
    }
    for (int i = 0; i < RIVALS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_barrier_destroy(&rivals.barrier);
    CU_ASSERT_EQUAL(rivals.issued, 1);
    CU_ASSERT_EQUAL(rivals.refused, RIVALS - 1);
    CU_ASSERT_EQUAL(entries("issued"), 1);
    CU_ASSERT_EQUAL(entries("replayed"), RIVALS - 1);
    CU_ASSERT_EQUAL(entries("revoked"), 1);
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_EQUAL(listed_count(), 1);
}

/* ---- other servers, and later ---- */

static void test_another_server_on_the_store_lists_it_within_a_second(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && instance_start(fixture.other));
    CU_ASSERT_TRUE_FATAL(spend_code());
    CU_ASSERT_TRUE(is_not_listed(fixture.other));
    CU_ASSERT_TRUE(health_is_gone(fixture.other, fixture.code)); /* spent at the first */
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_TRUE(within(fixture.other, is_listed, VISIBLE_S));
}

static void test_a_server_that_starts_lists_it_from_the_first_answer_on(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    instance_kill(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_listed(fixture.instance));
}

static void test_an_expired_token_leaves_the_list(void)
{
    char sql[160];

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    (void)snprintf(sql, sizeof(sql),
                   "UPDATE revoked_tokens SET token_expires_s = %lld WHERE jti = ?1",
                   (long long)wall_s() + 1);
    CU_ASSERT_EQUAL_FATAL(run_sql(sql), 0);
    CU_ASSERT_TRUE(within(fixture.instance, is_not_listed, LEAVES_S));
}

/* ---- the list ---- */

static bool verifies(const char *jwt)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.instance));
    const struct http_reply *jwks = http_get(client, "/.well-known/jwks.json");
    return jwks->status == 200 && token_verifies(jwt, jwks->body);
}

static void check_header(void)
{
    cJSON *header = token_part(fixture.list, 0);

    CU_ASSERT_EQUAL(cJSON_GetArraySize(header), 3);
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "typ")),
                           "revoked-tokens+jwt"); /* an access token's is at+jwt (RFC 9068 4) */
    cJSON_Delete(header);
}

static void test_the_list_verifies_with_the_published_keys_and_is_no_access_token(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_TRUE_FATAL(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_TRUE(verifies(fixture.list));
    check_header();
    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.claims), 5); /* no sub, aud, client_id, jti */
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(claim("iss")), "https://issuer.example");
    const double issued_s = cJSON_GetNumberValue(claim("iat"));
    CU_ASSERT_TRUE(issued_s <= (double)wall_s() && issued_s > (double)wall_s() - 150);
    CU_ASSERT_EQUAL(cJSON_GetNumberValue(claim("exp")), issued_s + 300);
    CU_ASSERT_TRUE(cJSON_IsTrue(claim("complete")));
    CU_ASSERT_TRUE(cJSON_IsArray(claim("revoked")));
}

static void test_a_changed_list_does_not_verify(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_EQUAL_FATAL(get_list(fixture.instance, NULL), 200);
    CU_ASSERT_TRUE(verifies(fixture.list));
    char *payload = strchr(fixture.list, '.') + 10;
    *payload = *payload == 'A' ? 'B' : 'A';
    CU_ASSERT_FALSE(verifies(fixture.list));
}

static void test_a_client_that_has_the_list_is_told_so_until_it_changes(void)
{
    char headers[128];
    scoped(release_client) struct http_client *client = NULL;

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = http_get(client, LIST_PATH);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), LIST_TYPE);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "public, max-age=1");
    (void)snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", http_header(reply, "ETag"));
    CU_ASSERT_EQUAL(get_list(fixture.instance, headers), 304);
    CU_ASSERT_STRING_EQUAL(fixture.list, "");

    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_EQUAL(get_list(fixture.instance, headers), 200);
    CU_ASSERT_TRUE(lists(fixture.jti));
    CU_ASSERT_EQUAL(http_request(client, "HEAD", LIST_PATH, NULL, NULL)->status, 200);
    CU_ASSERT_TRUE(is_error_reply(http_request(client, "DELETE", LIST_PATH, NULL, NULL), 405,
                                  API_METHOD_NOT_ALLOWED, "DELETE", LIST_PATH));
}

static void test_a_list_that_stays_as_it_is_is_not_signed_again(void)
{
    char headers[128];

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    (void)snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", fixture.etag);
    (void)sleep(2); /* it is looked at four times */
    CU_ASSERT_EQUAL(get_list(fixture.instance, headers), 304);
}

/* Tokens of the jtis …0001 to …4001, revoked in this order. */
static bool revoke_one_too_many(void)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= %d)"
                   " INSERT INTO revoked_tokens (jti, token_expires_s, revoked_s)"
                   " SELECT printf('" LONG_JTI "%%04d', i), %lld, %lld + i FROM n",
                   LIST_MAX, (long long)wall_s() + 3600, (long long)wall_s() - 2 * LIST_MAX);
    return run_sql(sql) == 0;
}

static void test_of_4001_tokens_the_list_has_the_4000_revoked_last(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && revoke_one_too_many());
    CU_ASSERT_TRUE(within(fixture.instance, is_full, VISIBLE_S));
    CU_ASSERT_TRUE(cJSON_IsFalse(claim("complete")));
    CU_ASSERT_FALSE(lists(LONG_JTI "0001"));
    CU_ASSERT_TRUE(lists(LONG_JTI "0002"));
    CU_ASSERT_TRUE(lists(LONG_JTI "4001"));
    CU_ASSERT_TRUE(verifies(fixture.list));

    (void)snprintf(fixture.jti, sizeof(fixture.jti), LONG_JTI "0001");
    CU_ASSERT_EQUAL(run_sql("DELETE FROM revoked_tokens WHERE jti = ?1"), 0);
    CU_ASSERT_TRUE(within(fixture.instance, is_complete, VISIBLE_S));
    CU_ASSERT_EQUAL(listed_count(), LIST_MAX);
    CU_ASSERT_TRUE(api_serves(fixture.instance)); /* tokens went on beside it */
}

/* ---- what is missing ---- */

static void *hold_store(void *argument)
{
    (void)ledger_hold(fixture.instance, HOLD_MS);
    return argument;
}

/* Redeems the spent code until it is not answered 400, some times at most. How often it was. */
static int64_t replay_until_refused(int *status_out)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    int64_t told = 0;

    do {
        *status_out = api_redeem(client, fixture.code)->status;
        told += *status_out == 400;
    } while (*status_out == 400 && told < 10000);
    http_close(client);
    return told;
}

static void test_a_replay_that_cannot_be_recorded_is_not_answered_400(void)
{
    pthread_t holder;
    int status = 0;

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_EQUAL_FATAL(pthread_create(&holder, NULL, hold_store, NULL), 0);
    const int64_t told = replay_until_refused(&status);
    CU_ASSERT_EQUAL(status, 503);
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.instance, fixture.code));
    (void)pthread_join(holder, NULL);
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_TRUE(entries("replayed") >= told + 1);
    CU_ASSERT_EQUAL(entries("revoked"), 1);
}

/* Nothing is signed for a replay, so nothing is waited for. */
static void test_a_replay_is_recorded_and_the_list_served_while_the_signer_hangs(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_EQUAL_FATAL(kill(instance_signer_pid(fixture.instance), SIGSTOP), 0);
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code));
    CU_ASSERT_EQUAL(entries("revoked"), 1);
    CU_ASSERT_EQUAL(get_list(fixture.instance, NULL), 200);
    CU_ASSERT_TRUE(
        within(fixture.instance, is_listed, HEAL_S)); /* by a signer that was restarted */
}

static void write_pin(const char *path, const char *pin)
{
    FILE *file = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(pin, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void test_without_a_signer_since_the_start_there_is_no_list(void)
{
    const char *uri = getenv("TEST_KEY_URI");
    char path[1024];
    scoped(release_client) struct http_client *client = NULL;

    (void)snprintf(path, sizeof(path), "%s/pin", instance_directory(fixture.instance));
    instance_set(fixture.instance, "signer main.uri=%.*s?module-path=%s&pin-source=file:%s",
                 (int)strcspn(uri, "?"), uri, getenv("TEST_MODULE"), uri_path(path).text);
    write_pin(path, "not-the-pin");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = http_get(client, LIST_PATH);
    CU_ASSERT_TRUE(is_error_reply(reply, 503, API_NO_SIGNER, "GET", LIST_PATH));
    CU_ASSERT_TRUE(atoi(http_header(reply, "Retry-After")) > 0);
}

/* ---- issuerctl tokens ---- */

/* With these words, up to a NULL. */
__attribute__((sentinel)) static const struct program_result *ctl(const char *first, ...)
{
    const char *argv[WORDS_MAX] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                    "tokens" };
    size_t count = 4;
    va_list words;

    va_start(words, first);
    for (const char *word = first; word != NULL && count < WORDS_MAX - 1;
         word = va_arg(words, const char *)) {
        argv[count++] = word;
    }
    va_end(words);
    return program_run(argv, RUN_S);
}

static void test_an_operator_revokes_a_token(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(program_ended(ctl("revoke", fixture.jti, "--reason", "lost phone", NULL), DONE,
                                 "is revoked"));
    CU_ASSERT_TRUE(within(fixture.instance, is_listed, VISIBLE_S));
    CU_ASSERT_EQUAL(run_sql("SELECT count(*) FROM ledger WHERE jti = ?1"
                            " AND entry ->> 'kind' = 'revoked'"
                            " AND entry ->> 'reason' = 'lost phone'"),
                    1);
    CU_ASSERT_TRUE(program_ended(ctl("revoked", NULL), DONE, fixture.jti));
    CU_ASSERT_TRUE(program_ended(ctl("revoked", NULL), DONE, "lost phone"));
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.code)); /* and the server goes on */
    CU_ASSERT_EQUAL(entries("revoked"), 1);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_a_machine_reads_what_became_of_it(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    cJSON *revoked = cJSON_Parse(ctl("revoke", fixture.jti, "--json", NULL)->output);
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItem(revoked, "jti")), fixture.jti);
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItem(revoked, "state")), "revoked");
    cJSON_Delete(revoked);

    cJSON *all = cJSON_Parse(ctl("revoked", "--json", NULL)->output);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(all), 1);
    CU_ASSERT_STRING_EQUAL(
        cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(all, 0), "jti")), fixture.jti);
    cJSON_Delete(all);
}

static void test_what_cannot_be_revoked_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_TRUE(program_ended(ctl("revoke", UNKNOWN_JTI, NULL), REFUSED, "no token"));
    CU_ASSERT_TRUE(program_ended(ctl("revoke", "no.jti", NULL), USAGE, "jti"));
    CU_ASSERT_TRUE(
        program_ended(ctl("revoke", fixture.jti, "--reason", "", NULL), USAGE, "reason"));
    CU_ASSERT_TRUE(program_ended(ctl("revoke", fixture.jti, NULL), DONE, "is revoked"));
    CU_ASSERT_TRUE(program_ended(ctl("revoke", fixture.jti, NULL), REFUSED, "already"));
    CU_ASSERT_EQUAL(entries("revoked"), 1);
}

static void test_an_expired_token_needs_no_revocation(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && spend_code());
    CU_ASSERT_EQUAL_FATAL(run_sql("UPDATE ledger SET entry = json_set(entry, '$.expires', 1)"
                                  " WHERE jti = ?1"),
                          0);
    CU_ASSERT_TRUE(program_ended(ctl("revoke", fixture.jti, NULL), REFUSED, "expired"));
    CU_ASSERT_EQUAL(entries("revoked"), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a second redeem is refused and revokes the token",
          test_a_second_redeem_is_refused_and_revokes_the_token },
        { "a third redeem revokes nothing more", test_a_third_redeem_revokes_nothing_more },
        { "the entries name the token and its authorization",
          test_the_entries_name_the_token_and_its_authorization },
        { "an expired code is no replay", test_an_expired_code_is_no_replay },
        { "a code that expires while its token is signed is no replay",
          test_a_code_that_expires_while_its_token_is_signed_is_no_replay },
        { "a replay after the token's end revokes nothing",
          test_a_replay_after_the_tokens_end_revokes_nothing },
        { "64 rivals for a code revoke its token once",
          test_64_rivals_for_a_code_revoke_its_token_once },
        { "another server on the store lists it within a second",
          test_another_server_on_the_store_lists_it_within_a_second },
        { "a server that starts lists it from the first answer on",
          test_a_server_that_starts_lists_it_from_the_first_answer_on },
        { "an expired token leaves the list", test_an_expired_token_leaves_the_list },
        { "the list verifies with the published keys and is no access token",
          test_the_list_verifies_with_the_published_keys_and_is_no_access_token },
        { "a changed list does not verify", test_a_changed_list_does_not_verify },
        { "a client that has the list is told so until it changes",
          test_a_client_that_has_the_list_is_told_so_until_it_changes },
        { "a list that stays as it is is not signed again",
          test_a_list_that_stays_as_it_is_is_not_signed_again },
        { "of 4001 tokens the list has the 4000 revoked last",
          test_of_4001_tokens_the_list_has_the_4000_revoked_last },
        { "a replay that cannot be recorded is not answered 400",
          test_a_replay_that_cannot_be_recorded_is_not_answered_400 },
        { "a replay is recorded and the list served while the signer hangs",
          test_a_replay_is_recorded_and_the_list_served_while_the_signer_hangs },
        { "without a signer since the start there is no list",
          test_without_a_signer_since_the_start_there_is_no_list },
        { "an operator revokes a token", test_an_operator_revokes_a_token },
        { "a machine reads what became of it", test_a_machine_reads_what_became_of_it },
        { "what cannot be revoked is refused", test_what_cannot_be_revoked_is_refused },
        { "an expired token needs no revocation", test_an_expired_token_needs_no_revocation },
        CU_TEST_INFO_NULL,
    };
    return run_suite("revocation", set_up, tear_down, tests);
}
