/* issuerd ended and started again, in good order, by kill -9 under load, and twice at once on one
 * store: no code gives two tokens, no delivered token lacks its ledger entry. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/load.h"
#include "support/run.h"

enum { LOAD_THREADS = 8, KILLS = 3, RIVAL_CODES = 25, STOP_S = 15 * HEALTH_SLACK };

static struct {
    struct instance *instance;
    struct instance *other; /* on the same store */
    struct load *load;
    char good[API_CODE_SIZE];
    char spent[API_CODE_SIZE];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    fixture.other = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    instance_set(fixture.other, "tokens.code_lifetime_s=300");
    instance_set(fixture.other, "store.url=%s", instance_store_url(fixture.instance));
}

static void tear_down(void)
{
    load_free(take(fixture.load));
    instance_free(take(fixture.other));
    instance_free(take(fixture.instance));
}

static int64_t soon(void)
{
    return monotonic_ns() + HEAL_S * NS_PER_S;
}

/* A code that is good, and one that is spent. */
static bool make_codes(void)
{
    return api_make_code(fixture.instance, NULL, fixture.good)
        && api_make_code(fixture.instance, NULL, fixture.spent)
        && health_redeems_by(fixture.instance, fixture.spent, soon());
}

static void check_codes(const struct instance *instance)
{
    CU_ASSERT_TRUE(health_is_gone(instance, fixture.spent));
    CU_ASSERT_TRUE(health_redeems_by(instance, fixture.good, soon()));
    CU_ASSERT_TRUE(health_is_gone(instance, fixture.good));
}

/* ---- one server ---- */

static void test_a_restart_keeps_good_codes_good_and_spent_ones_spent(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && make_codes());
    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    check_codes(fixture.instance);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 2);
}

static void test_a_kill_keeps_good_codes_good_and_spent_ones_spent(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && make_codes());
    instance_kill(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    check_codes(fixture.instance);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 2);
}

/* A code whose answer was lost is good or spent: asked again, it gives its token or 400. */
static bool is_good_or_gone(const char *code)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = api_redeem(client, code);
    const bool is_either = is_token_reply(reply, NULL)
                        || is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH);
    http_close(client);
    return is_either;
}

static void check_book_after_a_kill(const struct load_book *book)
{
    CU_ASSERT_EQUAL(book->wrong, 0);
    for (unsigned i = 0; i < book->count; i++) {
        const struct load_code *code = &book->codes[i];
        if (code->outcome == LOAD_ISSUED) {
            CU_ASSERT_EQUAL(ledger_entries_of(fixture.instance, &code->token), 1);
            CU_ASSERT_TRUE(health_is_gone(fixture.instance, code->code));
        } else {
            CU_ASSERT_TRUE(is_good_or_gone(code->code));
            CU_ASSERT_TRUE(health_is_gone(fixture.instance, code->code));
        }
    }
    CU_ASSERT_EQUAL(ledger_doubles(fixture.instance), 0);
}

static bool is_under_way(const struct instance *instance)
{
    (void)instance;
    return load_issued(fixture.load) > 10 * LOAD_THREADS;
}

static void test_a_server_killed_under_load_gives_no_code_two_tokens(void)
{
    for (int i = 0; i < KILLS; i++) {
        CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
        fixture.load = load_start(fixture.instance, LOAD_THREADS);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.load);
        CU_ASSERT_TRUE(
            health_await(fixture.instance, is_under_way, monotonic_ns() + 60 * NS_PER_S));
        instance_kill(fixture.instance);
        const struct load_book *book = load_stop(fixture.load);
        CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
        check_book_after_a_kill(book);
        load_free(take(fixture.load));
        CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    }
}

static void test_a_server_stopped_under_load_finishes_what_it_began(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    fixture.load = load_start(fixture.instance, LOAD_THREADS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.load);
    CU_ASSERT_TRUE(health_await(fixture.instance, is_under_way, monotonic_ns() + 60 * NS_PER_S));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    const struct load_book *book = load_stop(fixture.load);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), book->issued);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    check_book_after_a_kill(book);
}

/* ---- two servers on one store ---- */

static void test_two_servers_on_one_store_know_each_others_codes(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && instance_start(fixture.other));
    CU_ASSERT_TRUE_FATAL(make_codes());
    CU_ASSERT_TRUE(health_is_gone(fixture.other, fixture.spent));
    check_codes(fixture.other);
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.good));
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 2);
}

struct rival {
    const struct instance *instance;
    char (*codes)[API_CODE_SIZE];
    unsigned issued;
    unsigned wrong;
};

static void *redeem_all(void *argument)
{
    struct rival *rival = argument;
    struct http_client *client = http_connect(instance_public_port(rival->instance));

    for (int i = 0; i < RIVAL_CODES; i++) {
        const struct http_reply *reply = api_redeem(client, rival->codes[i]);
        rival->issued += reply->status == 201;
        rival->wrong += reply->status != 201 && reply->status != 400;
    }
    http_close(client);
    return NULL;
}

static void test_of_two_servers_one_gives_each_token(void)
{
    static char codes[RIVAL_CODES][API_CODE_SIZE];
    pthread_t threads[4];
    struct rival rivals[4];
    unsigned issued = 0;
    unsigned wrong = 0;

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && instance_start(fixture.other));
    for (int i = 0; i < RIVAL_CODES; i++) {
        CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, codes[i]));
    }
    for (int i = 0; i < 4; i++) {
        rivals[i] = (struct rival){ .instance = i % 2 == 0 ? fixture.instance : fixture.other,
                                    .codes = codes };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, redeem_all, &rivals[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
        issued += rivals[i].issued;
        wrong += rivals[i].wrong;
    }
    CU_ASSERT_EQUAL(issued, RIVAL_CODES);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), RIVAL_CODES);
    CU_ASSERT_EQUAL(ledger_doubles(fixture.instance), 0);
}

static void test_two_servers_restarted_at_once_on_one_store_both_serve(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && instance_start(fixture.other));
    CU_ASSERT_TRUE_FATAL(make_codes());
    instance_kill(fixture.instance);
    instance_kill(fixture.other);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.other) && instance_start(fixture.instance));
    CU_ASSERT_TRUE(health_is_gone(fixture.other, fixture.spent));
    CU_ASSERT_TRUE(health_is_gone(fixture.instance, fixture.spent));
    check_codes(fixture.other);
    CU_ASSERT_TRUE(api_serves(fixture.instance) && api_serves(fixture.other));
    CU_ASSERT_EQUAL(ledger_doubles(fixture.instance), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a restart keeps good codes good and spent ones spent",
          test_a_restart_keeps_good_codes_good_and_spent_ones_spent },
        { "a kill keeps good codes good and spent ones spent",
          test_a_kill_keeps_good_codes_good_and_spent_ones_spent },
        { "a server killed under load gives no code two tokens",
          test_a_server_killed_under_load_gives_no_code_two_tokens },
        { "a server stopped under load finishes what it began",
          test_a_server_stopped_under_load_finishes_what_it_began },
        { "two servers on one store know each other's codes",
          test_two_servers_on_one_store_know_each_others_codes },
        { "of two servers one gives each token", test_of_two_servers_one_gives_each_token },
        { "two servers restarted at once on one store both serve",
          test_two_servers_restarted_at_once_on_one_store_both_serve },
        CU_TEST_INFO_NULL,
    };
    return run_suite("restart", set_up, tear_down, tests);
}
