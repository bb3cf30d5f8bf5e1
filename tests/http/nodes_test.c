/*
 * Two issuerd on one database, each with a ledger of its own: rivals for a code meet across the nodes,
 * what one does shows at the other, one dies and the other goes on, and the time is the database's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/memory.h"
#include "contract/postgresql_fixture.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/health.h"
#include "support/load.h"
#include "support/program.h"
#include "support/run.h"

#define LIST_PATH "/api/v1/tokens/revoked"
#define ISSUED "entry::json ->> 'kind' = 'issued'"

enum {
    A,
    B,
    NODES,
    RIVALS = 32, /* on each node */
    ROUNDS_MAX = 100,
#ifdef SANITIZED
    ROUNDS = 24,
#else
    ROUNDS = ROUNDS_MAX,
#endif
    SOON_S = 10 * HEALTH_SLACK,
    RUN_S = 60,
    LOAD_THREADS = 3,
    CALM_TOKENS = 12,
    SKEW_S = 30,
    CLOSE_S = 5,
    LOOK_US = 5000,
};

static struct {
    PGconn *database;
    struct instance *nodes[NODES];
    struct load *loads[NODES];
    unsigned objects; /* in the token, made so far */

    char codes[ROUNDS_MAX][API_CODE_SIZE];
    size_t round;
    pthread_barrier_t barrier;
    pthread_mutex_t lock; /* over all below */
    unsigned tokens[ROUNDS_MAX];
    unsigned refused;
    unsigned others;
    char jtis[ROUNDS_MAX][64];
} fixture = { .lock = PTHREAD_MUTEX_INITIALIZER };

DEFINE_RELEASE(release_client, struct http_client, http_close)

static void set_up(void)
{
    static const char *const names[NODES] = { "a", "b" };
    const char *url = store_fixture_make();

    CU_ASSERT_PTR_NOT_NULL_FATAL(url);
    fixture.database = PQconnectdb(url);
    CU_ASSERT_EQUAL_FATAL(PQstatus(fixture.database), CONNECTION_OK);
    for (int i = 0; i < NODES; i++) {
        fixture.nodes[i] = instance_new(NULL);
        instance_set(fixture.nodes[i], "store.url=%s", url);
        instance_set(fixture.nodes[i], "store.state_dir=%s", instance_directory(fixture.nodes[i]));
        instance_set(fixture.nodes[i], "ledger.node=%s", names[i]);
        instance_set(fixture.nodes[i], "tokens.code_lifetime_s=300");
        instance_set(fixture.nodes[i], "issuer.jwks_max_age_s=1");
    }
}

static void tear_down(void)
{
    for (int i = 0; i < NODES; i++) {
        load_free(take(fixture.loads[i]));
        instance_free(take(fixture.nodes[i]));
    }
    PQfinish(take(fixture.database));
    store_fixture_remove();
}

/* A signer that another node's login comes in the way of is up a moment later. */
static bool start_ready(int node)
{
    return instance_start(fixture.nodes[node])
        && health_await(fixture.nodes[node], health_is_ready,
                        monotonic_ns() + 2 * HEAL_S * NS_PER_S);
}

static bool start_both(void)
{
    return start_ready(A) && start_ready(B);
}

/* ---- asking the database ---- */

/* What `sql` selects; the caller clears. $1 is `parameter`; NULL: it has none. */
static PGresult *run_sql(const char *sql, const char *parameter)
{
    PGresult *result =
        PQexecParams(fixture.database, sql, parameter != NULL, NULL, &parameter, NULL, NULL, 0);
    const ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        (void)fprintf(stderr, "%s: %s\n", sql, PQresultErrorMessage(result));
    }
    return result;
}

/* The one number that it selects; -1: none. */
static int64_t select_number(const char *sql, const char *parameter)
{
    PGresult *result = run_sql(sql, parameter);
    const int64_t number =
        PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;

    PQclear(result);
    return number;
}

/* ---- asking a node ---- */

static bool make_code(int node, char code_out[static API_CODE_SIZE])
{
    return api_make_code(fixture.nodes[node], NULL, code_out);
}

static bool redeems(int node, const char *code, char token_out[static API_TOKEN_SIZE])
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.nodes[node]));
    return is_token_reply(api_redeem(client, code), token_out);
}

static void read_claim(const char *token, const char *name, char *out, size_t size)
{
    cJSON *claims = token_part(token, 1);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, name));

    (void)snprintf(out, size, "%s", value != NULL ? value : "");
    cJSON_Delete(claims);
}

static bool has_item(const cJSON *list, const char *text)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0) {
            return true;
        }
    }
    return false;
}

/* What a node may serve. */
typedef bool shows_fn(int node, const char *text);

static bool lists_as_revoked(int node, const char *jti)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.nodes[node]));
    const struct http_reply *reply = http_get(client, LIST_PATH);
    cJSON *claims = reply->status == 200 ? token_part(reply->body, 1) : NULL;
    const bool found = has_item(cJSON_GetObjectItemCaseSensitive(claims, "revoked"), jti);

    cJSON_Delete(claims);
    return found;
}

static bool publishes(int node, const char *kid)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.nodes[node]));
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");
    return reply->status == 200 && strstr(reply->body, kid) != NULL;
}

static bool withholds(int node, const char *kid)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.nodes[node]));
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");
    return reply->status == 200 && strstr(reply->body, kid) == NULL;
}

/* True once both nodes show it; says how long it took. */
static bool both_show(shows_fn *shows, const char *text, const char *what)
{
    const int64_t start_ns = monotonic_ns();
    const int64_t deadline_ns = start_ns + SOON_S * NS_PER_S;

    for (int node = 0; node < NODES; node++) {
        while (!shows(node, text)) {
            if (monotonic_ns() > deadline_ns) {
                return false;
            }
            (void)usleep(LOOK_US);
        }
        (void)printf("  %s at node %c after %lld ms\n", what, 'a' + node,
                     (long long)((monotonic_ns() - start_ns) / NS_PER_MS));
    }
    return true;
}

/* An auditor's verdict on the trees of both nodes. */
static bool trees_verify(void)
{
    const char *const argv[] = { "issuerctl", "--config", instance_conf_path(fixture.nodes[A]),
                                 "ledger",    "verify",   NULL };
    return program_ended(program_run(argv, RUN_S), 0, "a/1")
        && program_ended(program_run(argv, RUN_S), 0, "b/1");
}

/* ---- rivals ---- */

static void enter_reply(const struct http_reply *reply, size_t round)
{
    char token[API_TOKEN_SIZE];
    const bool is_token = reply->status == 201 && is_token_reply(reply, token);
    const bool is_gone =
        !is_token && is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH);

    pthread_mutex_lock(&fixture.lock);
    fixture.tokens[round] += is_token;
    fixture.refused += is_gone;
    fixture.others += !is_token && !is_gone;
    if (is_token) {
        read_claim(token, "jti", fixture.jtis[round], sizeof(fixture.jtis[round]));
    }
    pthread_mutex_unlock(&fixture.lock);
}

static void *race(void *argument)
{
    const struct instance *node = argument;
    scoped(release_client) struct http_client *client = http_connect(instance_public_port(node));

    for (size_t round = 0; round < ROUNDS; round++) {
        (void)pthread_barrier_wait(&fixture.barrier);
        enter_reply(api_redeem(client, fixture.codes[round]), round);
    }
    return NULL;
}

static void run_race(void)
{
    pthread_t threads[NODES * RIVALS];

    memset(fixture.tokens, 0, sizeof(fixture.tokens));
    fixture.refused = fixture.others = 0;
    (void)pthread_barrier_init(&fixture.barrier, NULL, COUNT_OF(threads));
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        if (pthread_create(&threads[i], NULL, race, fixture.nodes[i % NODES]) != 0) {
            abort(); /* the others would wait for it for ever */
        }
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_barrier_destroy(&fixture.barrier);
}

static bool list_all(int node, const char *unused)
{
    (void)unused;
    for (size_t i = 0; i < ROUNDS; i++) {
        if (!lists_as_revoked(node, fixture.jtis[i])) {
            return false;
        }
    }
    return true;
}

static void test_rivals_on_both_nodes_get_one_token_for_a_code(void)
{
    CU_ASSERT_TRUE_FATAL(start_both());
    for (size_t i = 0; i < ROUNDS; i++) {
        CU_ASSERT_TRUE_FATAL(make_code((int)(i % NODES), fixture.codes[i]));
    }
    run_race();
    for (size_t i = 0; i < ROUNDS; i++) {
        CU_ASSERT_EQUAL(fixture.tokens[i], 1);
    }
    CU_ASSERT_EQUAL(fixture.refused, ROUNDS * (NODES * RIVALS - 1));
    CU_ASSERT_EQUAL(fixture.others, 0);

    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM ledger WHERE " ISSUED, NULL), ROUNDS);
    CU_ASSERT_EQUAL(select_number("SELECT count(DISTINCT entry::json ->> 'authorization')"
                                  " FROM ledger WHERE " ISSUED,
                                  NULL),
                    ROUNDS);
    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM ledger"
                                  " WHERE entry::json ->> 'kind' = 'revoked'",
                                  NULL),
                    ROUNDS);
    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM ledger"
                                  " WHERE entry::json ->> 'kind' = 'replayed'",
                                  NULL),
                    ROUNDS * (NODES * RIVALS - 1));
    CU_ASSERT_TRUE(select_number("SELECT count(DISTINCT id >> 40) FROM ledger WHERE " ISSUED, NULL)
                   == NODES);
    CU_ASSERT_TRUE(both_show(list_all, NULL, "all revoked"));
    CU_ASSERT_TRUE(trees_verify());
}

/* ---- from node to node ---- */

static void test_a_code_of_one_node_is_redeemed_at_the_other_and_spent_at_both(void)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];
    scoped(release_client) struct http_client *client = NULL;

    CU_ASSERT_TRUE_FATAL(start_both());
    CU_ASSERT_TRUE_FATAL(make_code(A, code));
    CU_ASSERT_TRUE_FATAL(redeems(B, code, token));
    client = http_connect(instance_public_port(fixture.nodes[A]));
    CU_ASSERT_TRUE(token_verifies(token, http_get(client, "/.well-known/jwks.json")->body));
    CU_ASSERT_TRUE(health_is_gone(fixture.nodes[A], code));
    CU_ASSERT_TRUE(health_is_gone(fixture.nodes[B], code));
}

static void test_a_replay_at_one_node_revokes_the_token_at_both(void)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];
    char jti[64];

    CU_ASSERT_TRUE_FATAL(start_both());
    CU_ASSERT_TRUE_FATAL(make_code(A, code) && redeems(A, code, token));
    read_claim(token, "jti", jti, sizeof(jti));
    CU_ASSERT_FALSE(lists_as_revoked(A, jti));
    CU_ASSERT_FALSE(lists_as_revoked(B, jti));
    CU_ASSERT_TRUE(health_is_gone(fixture.nodes[B], code));
    CU_ASSERT_TRUE(both_show(lists_as_revoked, jti, "revoked"));
}

/* ---- a commit that is not answered ---- */

/* Node A's client is answered when its time is over, node B's when the store was asked in vain. */
static void test_a_token_whose_commit_was_in_doubt_goes_to_who_asks_again_once(void)
{
    char codes[NODES][API_CODE_SIZE];
    char good[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];

    instance_set(fixture.nodes[A], "signer main.deadline_ms=1500");
    instance_set(fixture.nodes[B], "signer main.deadline_ms=10000");
    CU_ASSERT_TRUE_FATAL(start_both());
    CU_ASSERT_TRUE_FATAL(make_code(A, codes[A]) && make_code(B, codes[B]) && make_code(A, good));
    CU_ASSERT_TRUE_FATAL(postgresql_fixture_wait_for_standby("nobody"));
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.nodes[A], codes[A]));
    CU_ASSERT_FALSE(redeems(B, codes[B], token));
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.nodes[A], codes[A]));
    CU_ASSERT_TRUE(health_is_refused_for_now(fixture.nodes[A], good));
    CU_ASSERT_TRUE_FATAL(postgresql_fixture_wait_for_standby(""));

    const int64_t deadline_ns = monotonic_ns() + HEAL_S * NS_PER_S;
    CU_ASSERT_TRUE(health_redeems_by(fixture.nodes[A], codes[A], deadline_ns));
    CU_ASSERT_TRUE(health_redeems_by(fixture.nodes[B], codes[B], deadline_ns));
    CU_ASSERT_TRUE(health_redeems_by(fixture.nodes[A], good, deadline_ns));
    CU_ASSERT_TRUE(health_is_gone(fixture.nodes[A], codes[A]));
    for (int node = 0; node < NODES; node++) {
        CU_ASSERT_TRUE(instance_has_logged(fixture.nodes[node], "token.delivered_late"));
    }
    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM ledger WHERE " ISSUED, NULL), 3);
    CU_ASSERT_EQUAL(select_number("SELECT count(*) FROM ledger"
                                  " WHERE entry::json ->> 'kind' = 'replayed'",
                                  NULL),
                    1);
}

/* ---- the keyring ---- */

static const struct program_result *keys(const char *step, const char *what, const char *option,
                                         const char *value)
{
    const char *argv[10] = { "issuerctl", "--config", instance_conf_path(fixture.nodes[A]) };
    size_t count = 3;

    if (option != NULL) {
        argv[count++] = option;
    }
    if (value != NULL) {
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
    return program_ended(keys(step, kid, "--emergency", "a test of haste"), 0, kid);
}

static void read_kid(const char *signer, char *out, size_t size)
{
    cJSON *list = cJSON_Parse(keys("list", NULL, "--json", NULL)->output);
    const cJSON *entry = NULL;

    out[0] = '\0';
    cJSON_ArrayForEach(entry, list)
    {
        const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "signer"));
        const char *kid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "kid"));
        if (of != NULL && strcmp(of, signer) == 0 && kid != NULL) {
            (void)snprintf(out, size, "%s", kid);
        }
    }
    cJSON_Delete(list);
}

/* Both nodes have the signer; the key is in the token that both use. */
static bool make_next_key(void)
{
    for (int i = 0; i < NODES; i++) {
        instance_set(fixture.nodes[i], "signer next.uri=pkcs11:token=issuerd%%20test;object=n%u%s",
                     fixture.objects, strchr(getenv("TEST_KEY_URI"), '?'));
        instance_write_conf(fixture.nodes[i]);
    }
    fixture.objects++;
    return program_ended(keys("generate", "next", NULL, NULL), 0, "next");
}

static bool signs_with(int node, const char *kid)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];

    if (!make_code(node, code) || !redeems(node, code, token)) {
        return false;
    }
    cJSON *header = token_part(token, 0);
    const char *used = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "kid"));
    const bool same = used != NULL && strcmp(used, kid) == 0;
    cJSON_Delete(header);
    return same;
}

static void test_the_keyring_is_one_for_both_nodes(void)
{
    char old[64];
    char new[64];

    CU_ASSERT_TRUE_FATAL(start_both()); /* a first start makes its key active */
    CU_ASSERT_EQUAL(instance_stop(fixture.nodes[A], SOON_S), 0);
    CU_ASSERT_EQUAL(instance_stop(fixture.nodes[B], SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(make_next_key());
    CU_ASSERT_TRUE_FATAL(start_both());
    read_kid("main", old, sizeof(old));
    read_kid("next", new, sizeof(new));
    CU_ASSERT_TRUE(old[0] != '\0' && new[0] != '\0');
    CU_ASSERT_TRUE(publishes(A, old) && publishes(B, old));
    CU_ASSERT_TRUE(withholds(A, new) && withholds(B, new));

    CU_ASSERT_TRUE(goes("publish", new));
    CU_ASSERT_TRUE(both_show(publishes, new, "published"));
    CU_ASSERT_TRUE(signs_with(A, old) && signs_with(B, old));
    CU_ASSERT_TRUE(goes("activate", new));
    CU_ASSERT_TRUE(goes("retire", old));
    CU_ASSERT_TRUE(both_show(withholds, old, "retired"));
    CU_ASSERT_TRUE(both_show(signs_with, new, "signs with the new key"));
}

/* ---- one dies ---- */

static bool is_calm(int node)
{
    const int64_t deadline_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while (load_calm_ns(fixture.loads[node], CALM_TOKENS) < 0) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_US);
    }
    return true;
}

static bool start_load(int node)
{
    fixture.loads[node] = load_start(fixture.nodes[node], LOAD_THREADS);
    return fixture.loads[node] != NULL && is_calm(node);
}

/* Each token that was delivered is in the ledger, once, its code spent for it. */
static unsigned count_missing(const struct load_book *book)
{
    char hash[BASE64URL_LENGTH(sizeof(struct digest)) + 1];
    unsigned missing = 0;

    for (unsigned i = 0; i < book->count; i++) {
        const struct load_code *code = &book->codes[i];
        if (code->outcome == LOAD_ISSUED) {
            hash[base64url_encode(hash, code->token.bytes, sizeof(code->token.bytes))] = '\0';
            missing +=
                select_number("SELECT count(*) FROM ledger l JOIN authorizations a"
                              " ON a.jti = l.jti WHERE " ISSUED " AND entry::json ->> 'token' = $1"
                              " AND entry::json ->> 'authorization' = a.uuid"
                              " AND a.redeemed_s IS NOT NULL",
                              hash)
                != 1;
        }
    }
    return missing;
}

static void test_a_node_that_is_killed_leaves_the_other_at_work_and_comes_back(void)
{
    unsigned issued = 0;
    unsigned unanswered = 0;

    CU_ASSERT_TRUE_FATAL(start_both());
    CU_ASSERT_TRUE_FATAL(start_load(A) && start_load(B));
    instance_kill(fixture.nodes[A]);
    load_mark(fixture.loads[B]);
    CU_ASSERT_TRUE(is_calm(B));
    const struct load_book *book = load_stop(fixture.loads[A]);
    issued += book->issued;
    unanswered += book->unanswered;
    CU_ASSERT_EQUAL(book->wrong, 0);
    CU_ASSERT_EQUAL(count_missing(book), 0);
    load_free(take(fixture.loads[A]));

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.nodes[A]) && start_load(A));
    for (int node = 0; node < NODES; node++) {
        book = load_stop(fixture.loads[node]);
        issued += book->issued;
        CU_ASSERT_EQUAL(book->wrong + book->unanswered, 0);
        CU_ASSERT_EQUAL(count_missing(book), 0);
    }
    const int64_t entered = select_number("SELECT count(*) FROM ledger WHERE " ISSUED, NULL);
    CU_ASSERT_TRUE(entered >= issued && entered <= issued + unanswered);
    CU_ASSERT_TRUE(trees_verify());
}

/* ---- the clock ---- */

/* Starts node b with a wall clock that is `skew` off. */
static bool start_skewed(const char *skew)
{
    (void)setenv("LD_PRELOAD", getenv("TEST_FAKETIME"), 1);
    (void)setenv("FAKETIME", skew, 1);
    (void)setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
    const bool started = start_ready(B);
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("FAKETIME");
    (void)unsetenv("FAKETIME_DONT_FAKE_MONOTONIC");
    return started;
}

/* What node b believes the time is: the Date of its answers. */
static int64_t time_of_b(void)
{
    struct tm date = { 0 };
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(fixture.nodes[B]));
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");

    return strptime(http_header(reply, "Date"), "%a, %d %b %Y %H:%M:%S GMT", &date) != NULL
             ? timegm(&date)
             : -1;
}

static bool is_near(int64_t a, int64_t b)
{
    return llabs(a - b) <= CLOSE_S;
}

/* A code of node a that is good for so long by the database's clock. */
static bool make_code_for(int seconds, char code_out[static API_CODE_SIZE])
{
    char id[API_ID_SIZE];
    char sql[256];

    if (!api_make_named_code(fixture.nodes[A], NULL, id, code_out)) {
        return false;
    }
    (void)snprintf(sql, sizeof(sql),
                   "UPDATE authorizations SET code_expires_s ="
                   " extract(epoch FROM clock_timestamp())::bigint + %d WHERE uuid = $1"
                   " RETURNING 1",
                   seconds);
    return select_number(sql, id) == 1;
}

static bool is_issued_now(const char *token)
{
    cJSON *claims = token_part(token, 1);
    const double issued_s = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(claims, "iat"));

    cJSON_Delete(claims);
    return is_near((int64_t)issued_s, wall_s());
}

static void test_a_node_whose_clock_is_slow_refuses_what_has_expired(void)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];

    CU_ASSERT_TRUE_FATAL(start_ready(A) && start_skewed("-30s"));
    CU_ASSERT_TRUE(is_near(time_of_b(), wall_s() - SKEW_S));
    CU_ASSERT_TRUE_FATAL(make_code_for(-1, code));
    CU_ASSERT_TRUE(health_is_gone(fixture.nodes[B], code));
    CU_ASSERT_TRUE_FATAL(make_code(A, code) && redeems(B, code, token));
    CU_ASSERT_TRUE(is_issued_now(token));
}

static void test_a_node_whose_clock_is_fast_redeems_what_is_good(void)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];

    CU_ASSERT_TRUE_FATAL(start_ready(A) && start_skewed("+30s"));
    CU_ASSERT_TRUE(is_near(time_of_b(), wall_s() + SKEW_S));
    CU_ASSERT_TRUE_FATAL(make_code_for(SKEW_S - 2 * CLOSE_S, code));
    CU_ASSERT_TRUE_FATAL(redeems(B, code, token));
    CU_ASSERT_TRUE(is_issued_now(token));
    CU_ASSERT_TRUE_FATAL(make_code(B, code));
    CU_ASSERT_TRUE_FATAL(redeems(A, code, token));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "rivals on both nodes get one token for a code",
          test_rivals_on_both_nodes_get_one_token_for_a_code },
        { "a code of one node is redeemed at the other and spent at both",
          test_a_code_of_one_node_is_redeemed_at_the_other_and_spent_at_both },
        { "a replay at one node revokes the token at both",
          test_a_replay_at_one_node_revokes_the_token_at_both },
        { "a token whose commit was in doubt goes to who asks again, once",
          test_a_token_whose_commit_was_in_doubt_goes_to_who_asks_again_once },
        { "the keyring is one for both nodes", test_the_keyring_is_one_for_both_nodes },
        { "a node that is killed leaves the other at work and comes back",
          test_a_node_that_is_killed_leaves_the_other_at_work_and_comes_back },
        { "a node whose clock is slow refuses what has expired",
          test_a_node_whose_clock_is_slow_refuses_what_has_expired },
        { "a node whose clock is fast redeems what is good",
          test_a_node_whose_clock_is_fast_redeems_what_is_good },
        CU_TEST_INFO_NULL,
    };
    return run_suite("nodes", set_up, tear_down, tests);
}
