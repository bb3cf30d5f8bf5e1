/*
 * One issuerd after the other on the same listening sockets, as under systemd's .socket units: the test
 * holds them open, and no client that sends a request sees it refused, reset or unanswered.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/run.h"

#define JWKS_PATH "/.well-known/jwks.json"

enum {
    RESTARTS = 4,
    CLIENTS = 6,
    CALM_MS = 400,   /* of load between two restarts */
    GRACE_MS = 1000, /* what a connection that rests has before it is closed */
    STOP_S = 15 * HEALTH_SLACK,
};

static struct {
    struct instance *instance;
    struct http_client *client;
    struct http_client *other;
    pthread_t threads[2 * CLIENTS];
    unsigned thread_count;
    _Atomic bool stopping;
    _Atomic unsigned issued;
    _Atomic unsigned kept; /* answers on connections that are kept */
    _Atomic unsigned told; /* of those, with Connection: close */
    _Atomic unsigned lost; /* requests that were not answered as they should */
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
}

static void stop_clients(void)
{
    atomic_store(&fixture.stopping, true);
    while (fixture.thread_count > 0) {
        (void)pthread_join(fixture.threads[--fixture.thread_count], NULL);
    }
}

static void tear_down(void)
{
    stop_clients();
    http_close(take(fixture.client));
    http_close(take(fixture.other));
    instance_free(take(fixture.instance));
}

static bool restart(void)
{
    return instance_stop(fixture.instance, STOP_S) == 0 && instance_start(fixture.instance);
}

static void wait_ms(int64_t milliseconds)
{
    const struct timespec pause = timespec_from_ns(milliseconds * NS_PER_MS);
    (void)nanosleep(&pause, NULL);
}

/* ---- the sockets ---- */

static void test_passed_sockets_are_served_and_told(void)
{
    instance_pass_sockets(fixture.instance);
    const int port = instance_public_port(fixture.instance);
    const int admin_port = instance_admin_port(fixture.instance);

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_EQUAL(instance_public_port(fixture.instance), port);
    CU_ASSERT_EQUAL(instance_admin_port(fixture.instance), admin_port);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
}

static void test_who_comes_between_two_servers_is_served_by_the_second(void)
{
    instance_pass_sockets(fixture.instance);
    fixture.client = http_connect(instance_public_port(fixture.instance));
    CU_ASSERT_TRUE_FATAL(http_is_connected(fixture.client));
    CU_ASSERT_TRUE(http_send_text(fixture.client, "GET " JWKS_PATH " HTTP/1.1\r\n"
                                                  "Host: issuer.example\r\n\r\n"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_EQUAL(http_receive(fixture.client, "GET")->status, 200);
    CU_ASSERT_TRUE_FATAL(restart());
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- connections that rest ---- */

/* The server has been told to end meanwhile. */
static bool is_answered_for_the_last_time(struct http_client *client)
{
    const struct http_reply *reply = http_get(client, JWKS_PATH);
    return reply->status == 200 && strcmp(http_header(reply, "Connection"), "close") == 0
        && http_is_closed_by_server(client);
}

static void test_a_connection_that_rests_has_a_while_for_one_more_request(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    struct http_client *kept = fixture.client =
        http_connect(instance_public_port(fixture.instance));
    struct http_client *fresh = fixture.other =
        http_connect(instance_public_port(fixture.instance));
    CU_ASSERT_EQUAL(http_get(kept, JWKS_PATH)->status, 200);
    instance_terminate(fixture.instance);
    wait_ms(GRACE_MS / 2);
    CU_ASSERT_TRUE(is_answered_for_the_last_time(kept));
    CU_ASSERT_TRUE(is_answered_for_the_last_time(fresh));
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, STOP_S), 0);
}

static void test_meanwhile_new_connections_are_served(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    fixture.client = http_connect(instance_public_port(fixture.instance));
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
    instance_terminate(fixture.instance);
    wait_ms(GRACE_MS / 2);
    fixture.other = http_connect(instance_public_port(fixture.instance));
    CU_ASSERT_TRUE(is_answered_for_the_last_time(fixture.other));
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.client));
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, STOP_S), 0);
}

/* ---- under load ---- */

static void note(bool is_good, _Atomic unsigned *count)
{
    atomic_fetch_add(is_good ? count : &fixture.lost, 1);
}

/* Each request on a connection of its own. */
static void *exchange_codes(void *argument)
{
    (void)argument;

    while (!atomic_load(&fixture.stopping)) {
        char code[API_CODE_SIZE];
        if (!api_make_code(fixture.instance, NULL, code)) {
            note(false, NULL);
            continue;
        }
        struct http_client *client = http_connect(instance_public_port(fixture.instance));
        note(is_token_reply(api_redeem(client, code), NULL), &fixture.issued);
        http_close(client);
    }
    return NULL;
}

/* Keeps its connection until an answer says that it is the last, and does not look for other signs. */
static void *keep_asking(void *argument)
{
    struct http_client *client = NULL;
    unsigned seed = (unsigned)(uintptr_t)argument;

    while (!atomic_load(&fixture.stopping)) {
        if (client == NULL) {
            client = http_connect(instance_public_port(fixture.instance));
        }
        const struct http_reply *reply = http_get(client, JWKS_PATH);
        const bool is_last = strcmp(http_header(reply, "Connection"), "close") == 0;
        note(reply->status == 200, &fixture.kept);
        if (is_last || reply->status == 0) {
            atomic_fetch_add(&fixture.told, is_last);
            http_close(take(client));
        }
        wait_ms(1 + rand_r(&seed) % 100);
    }
    http_close(client);
    return NULL;
}

static bool start_clients(void)
{
    for (unsigned i = 0; i < 2 * CLIENTS; i++) {
        if (pthread_create(&fixture.threads[i], NULL, i % 2 == 0 ? exchange_codes : keep_asking,
                           (void *)(uintptr_t)i)
            != 0) {
            return false;
        }
        fixture.thread_count++;
    }
    return true;
}

static void test_restarts_under_load_lose_no_connection_and_no_exchange(void)
{
    instance_pass_sockets(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && start_clients());
    for (int i = 0; i < RESTARTS; i++) {
        wait_ms(CALM_MS);
        const unsigned before = fixture.issued;
        CU_ASSERT_TRUE_FATAL(restart());
        CU_ASSERT_TRUE(fixture.issued > before);
    }
    wait_ms(CALM_MS);
    stop_clients();
    fprintf(stderr, "%d restarts: %u tokens; %u answers on kept connections, %u of them the last\n",
            RESTARTS, fixture.issued, fixture.kept, fixture.told);
    CU_ASSERT_EQUAL(fixture.lost, 0);
    CU_ASSERT_TRUE(fixture.told >= RESTARTS * CLIENTS);
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), fixture.issued);
    CU_ASSERT_EQUAL(ledger_doubles(fixture.instance), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "passed sockets are served, and told", test_passed_sockets_are_served_and_told },
        { "who comes between two servers is served by the second",
          test_who_comes_between_two_servers_is_served_by_the_second },
        { "a connection that rests has a while for one more request",
          test_a_connection_that_rests_has_a_while_for_one_more_request },
        { "meanwhile new connections are served", test_meanwhile_new_connections_are_served },
        { "restarts under load lose no connection and no exchange",
          test_restarts_under_load_lose_no_connection_and_no_exchange },
        CU_TEST_INFO_NULL,
    };
    return run_suite("handover", set_up, tear_down, tests);
}
