/*
 * 64 clients behind a barrier, all with the same code: one token, and otherwise 400. The ledger in
 * the store agrees to the token.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/digest.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/run.h"
#include "support/store_query.h"

enum {
    RIVALS = 64,
    ROUNDS_MAX = 200,
#ifdef SANITIZED
    ROUNDS = 24,
#else
    ROUNDS = ROUNDS_MAX,
#endif
    ROUNDS_SLOW = 24, /* with TEST_SLOW=1: under valgrind, say */
};

static struct {
    struct instance *instance;
    size_t rounds;
    char codes[ROUNDS_MAX][API_CODE_SIZE];
    pthread_barrier_t barrier;
    pthread_mutex_t lock; /* over all below */
    size_t delivered;     /* tokens */
    size_t refused;       /* 400, spent */
    size_t others;        /* anything else */
    char tokens[ROUNDS_MAX * 2][API_TOKEN_SIZE];
    size_t tokens_of_round[ROUNDS_MAX];
    bool has_run;
} fixture = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the race ---- */

static void enter_reply(const struct http_reply *reply, size_t round)
{
    char token[API_TOKEN_SIZE];
    const bool is_token = reply->status == 201 && is_token_reply(reply, token);
    const bool is_refusal =
        !is_token && is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH);

    pthread_mutex_lock(&fixture.lock);
    if (is_token && fixture.delivered < COUNT_OF(fixture.tokens)) {
        memcpy(fixture.tokens[fixture.delivered++], token, sizeof(token));
        fixture.tokens_of_round[round]++;
    }
    fixture.refused += is_refusal;
    fixture.others += !is_token && !is_refusal;
    pthread_mutex_unlock(&fixture.lock);
}

static void *race(void *argument)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));

    for (size_t round = 0; round < fixture.rounds; round++) {
        (void)pthread_barrier_wait(&fixture.barrier);
        enter_reply(api_redeem(client, fixture.codes[round]), round);
    }
    http_close(client);
    return argument;
}

static bool run_race(void)
{
    pthread_t threads[RIVALS];

    for (size_t i = 0; i < fixture.rounds; i++) {
        if (!api_make_code(fixture.instance, NULL, fixture.codes[i])) {
            return false;
        }
    }
    (void)pthread_barrier_init(&fixture.barrier, NULL, RIVALS);
    for (size_t i = 0; i < RIVALS; i++) {
        if (pthread_create(&threads[i], NULL, race, NULL) != 0) {
            abort(); /* the others would wait for it for ever */
        }
    }
    for (size_t i = 0; i < RIVALS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_barrier_destroy(&fixture.barrier);
    return true;
}

static void run_race_once(void)
{
    if (!fixture.has_run) {
        fixture.has_run = true;
        CU_ASSERT_TRUE(run_race());
    }
}

static void test_each_code_brings_one_token(void)
{
    CU_ASSERT_EQUAL(fixture.delivered, fixture.rounds);
    for (size_t i = 0; i < fixture.rounds; i++) {
        CU_ASSERT_EQUAL(fixture.tokens_of_round[i], 1);
    }
}

static void test_everyone_else_is_answered_400(void)
{
    CU_ASSERT_EQUAL(fixture.refused, fixture.rounds * (RIVALS - 1));
    CU_ASSERT_EQUAL(fixture.others, 0);
}

static void test_every_token_verifies(void)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *jwks = http_get(client, "/.well-known/jwks.json");

    for (size_t i = 0; i < fixture.delivered; i++) {
        CU_ASSERT_TRUE(token_verifies(fixture.tokens[i], jwks->body));
    }
    http_close(client);
}

/* ---- what the ledger holds ---- */

/* The one number that `sql` selects; with a token, its $1 is the token's hash and $2 its jti. */
static int64_t select_number(const char *sql, const char *token)
{
    char text[BASE64URL_LENGTH(sizeof(struct digest)) + 1] = "";

    if (token == NULL) {
        return store_number(fixture.instance, sql, NULL, NULL);
    }
    cJSON *claims = token_part(token, 1);
    const char *jti = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, "jti"));
    const struct digest hash = sha256(token, strlen(token));
    (void)base64url_encode(text, hash.bytes, sizeof(hash.bytes));
    const int64_t number = store_number(fixture.instance, sql, text, jti);
    cJSON_Delete(claims);
    return number;
}

static void test_ledger_has_an_entry_for_each_token_and_no_other(void)
{
    CU_ASSERT_EQUAL(
        select_number("SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'issued'", NULL),
        (int64_t)fixture.rounds);
    for (size_t i = 0; i < fixture.delivered; i++) {
        CU_ASSERT_EQUAL(
            select_number("SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'issued'"
                          " AND entry ->> 'token' = $1 AND jti = $2",
                          fixture.tokens[i]),
            1);
    }
}

static void test_no_jti_is_there_twice(void)
{
    CU_ASSERT_EQUAL(
        select_number("SELECT count(DISTINCT jti) FROM ledger WHERE entry ->> 'kind' = 'issued'",
                      NULL),
        (int64_t)fixture.rounds);
}

static void test_each_code_is_spent_for_the_token_in_the_ledger(void)
{
    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM authorizations a JOIN ledger l"
                                  " ON l.entry ->> 'authorization' = a.uuid AND l.jti = a.jti"
                                  " WHERE a.redeemed_s IS NOT NULL"
                                  " AND l.entry ->> 'kind' = 'issued'",
                                  NULL),
                    (int64_t)fixture.rounds);
}

static int64_t count_entries(const char *kind)
{
    char sql[128];

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM ledger WHERE entry ->> 'kind' = '%s'",
                   kind);
    return select_number(sql, NULL);
}

static void test_every_refusal_is_in_the_ledger_and_every_token_revoked_once(void)
{
    CU_ASSERT_EQUAL(count_entries("replayed"), (int64_t)fixture.refused);
    CU_ASSERT_EQUAL(count_entries("revoked"), (int64_t)fixture.rounds);
    CU_ASSERT_EQUAL(
        select_number("SELECT count(DISTINCT jti) FROM ledger WHERE entry ->> 'kind' = 'revoked'",
                      NULL),
        (int64_t)fixture.rounds);
}

static void test_no_code_is_in_the_store_as_it_is(void)
{
    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM authorizations WHERE code_hash IS NOT NULL"
                                  " AND length(code_hash) <> 32",
                                  NULL),
                    0);
}

int main(void)
{
    static const char *const settings[] = { "tokens.code_lifetime_s=600", NULL };
    CU_TestInfo tests[] = {
        { "each code brings one token", test_each_code_brings_one_token },
        { "everyone else is answered 400", test_everyone_else_is_answered_400 },
        { "every token verifies", test_every_token_verifies },
        { "the ledger has an entry for each token and no other",
          test_ledger_has_an_entry_for_each_token_and_no_other },
        { "no jti is there twice", test_no_jti_is_there_twice },
        { "each code is spent for the token in the ledger",
          test_each_code_is_spent_for_the_token_in_the_ledger },
        { "every refusal is in the ledger and every token revoked once",
          test_every_refusal_is_in_the_ledger_and_every_token_revoked_once },
        { "no code is in the store as it is", test_no_code_is_in_the_store_as_it_is },
        CU_TEST_INFO_NULL,
    };

    fixture.rounds = getenv("TEST_SLOW") != NULL ? ROUNDS_SLOW : ROUNDS;
    fixture.instance = instance_new(settings);
    if (!instance_start(fixture.instance)) {
        return 1;
    }
    const int failed = run_suite("rivals", run_race_once, NULL, tests);
    const int status = instance_stop(fixture.instance, 30);
    instance_free(fixture.instance);
    return failed != 0 || status != 0;
}
