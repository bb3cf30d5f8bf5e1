/* Many connections, too many, idle ones, and what becomes of them when the server is told to stop.
 * Every test has a server of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/run.h"

#define JWKS_PATH "/.well-known/jwks.json"

enum {
    CLIENTS_MAX = 1000,
    EXCHANGES = 20,
#ifdef SANITIZED
    DRAIN_S = 30,
#else
    DRAIN_S = 10, /* the server's promise */
#endif
};

static struct {
    struct instance *instance;
    struct http_client *clients[CLIENTS_MAX];
    size_t client_count;
} fixture;

static bool start(const char *const *settings)
{
    fixture.instance = instance_new(settings);
    return instance_start(fixture.instance);
}

/* The server must have ended well unless a test has ended it. */
static void stop(void)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        http_close(take(fixture.clients[i]));
    }
    fixture.client_count = 0;
    if (fixture.instance != NULL && instance_pid(fixture.instance) != 0) {
        CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    }
    instance_free(take(fixture.instance));
}

/* The fixture closes it. */
static struct http_client *open_client(const char *source)
{
    struct http_client *client = http_connect_from(source, instance_public_port(fixture.instance));
    fixture.clients[fixture.client_count++] = client;
    return client;
}

static void wait_ms(int64_t milliseconds)
{
    const struct timespec pause = timespec_from_ns(milliseconds * NS_PER_MS);
    (void)nanosleep(&pause, NULL);
}

/* ---- many ---- */

static void assert_honest_client_is_served(void)
{
    char code[API_CODE_SIZE];
    struct http_client *client = http_connect(instance_public_port(fixture.instance));

    for (int i = 0; i < EXCHANGES; i++) {
        CU_ASSERT_TRUE(api_make_code(fixture.instance, NULL, code));
        CU_ASSERT_TRUE(is_token_reply(api_redeem(client, code), NULL));
    }
    http_close(client);
}

static void test_honest_client_is_served_beside_1000_idle_connections(void)
{
    CU_ASSERT_TRUE_FATAL(start(NULL));
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        CU_ASSERT_TRUE(http_is_connected(open_client("127.0.0.2")));
    }
    assert_honest_client_is_served();
}

static void test_honest_client_is_served_beside_1000_half_requests(void)
{
    CU_ASSERT_TRUE_FATAL(start(NULL));
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        (void)http_send_text(open_client("127.0.0.2"), "GET /livez HTTP/1.1\r\nX-Half: ");
    }
    assert_honest_client_is_served();
}

/* With room for all: each is one that the server keeps, thread and all. */
static void test_honest_client_is_served_beside_1000_that_are_kept(void)
{
    static const char *const settings[] = { "public.connections=2000",
                                            "public.connections_per_address=1000",
                                            "public.idle_timeout_s=600", NULL };
    CU_ASSERT_TRUE_FATAL(start(settings));
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        CU_ASSERT_EQUAL(http_get(open_client("127.0.0.2"), JWKS_PATH)->status, 200);
    }
    assert_honest_client_is_served();
    CU_ASSERT_EQUAL(http_get(fixture.clients[0], JWKS_PATH)->status, 200);
    CU_ASSERT_EQUAL(http_get(fixture.clients[CLIENTS_MAX - 1], JWKS_PATH)->status, 200);
}

/* ---- too many ---- */

static void assert_over_limit(struct http_client *client, const char *code)
{
    const struct http_reply *reply = api_redeem(client, code);

    CU_ASSERT_TRUE(is_error_reply(reply, 503, API_OVERLOADED, "POST", TOKENS_PATH));
    CU_ASSERT_TRUE(strtol(http_header(reply, "Retry-After"), NULL, 10) >= 1);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Connection"), "close");
    CU_ASSERT_TRUE(http_is_closed_by_server(client));
}

/* A place that was given up is not free at once. */
static bool is_served_soon(const char *source, const char *code)
{
    for (int i = 0; i < 600; i++) {
        struct http_client *client =
            http_connect_from(source, instance_public_port(fixture.instance));
        const bool served = is_token_reply(api_redeem(client, code), NULL);
        http_close(client);
        if (served) {
            return true;
        }
        wait_ms(100);
    }
    return false;
}

static void test_connection_over_the_limit_is_answered_503(void)
{
    static const char *const settings[] = { "public.connections=8", NULL };
    char code[API_CODE_SIZE];
    char second[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(start(settings));
    CU_ASSERT_TRUE(api_make_code(fixture.instance, NULL, code));
    CU_ASSERT_TRUE(api_make_code(fixture.instance, NULL, second));
    wait_ms(500); /* the connections that made the codes are gone */
    for (size_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(http_get(open_client("127.0.0.1"), JWKS_PATH)->status, 200);
    }
    assert_over_limit(open_client("127.0.0.1"), code);
    assert_over_limit(open_client("127.0.0.2"), code);
    for (size_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(http_get(fixture.clients[i], JWKS_PATH)->status, 200);
    }
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.clients[7], code), NULL));
    http_close(take(fixture.clients[0]));
    CU_ASSERT_TRUE(is_served_soon("127.0.0.1", second));
}

static void test_connection_over_the_limit_of_its_address_is_answered_503(void)
{
    static const char *const settings[] = { "public.connections_per_address=4", NULL };
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(start(settings));
    CU_ASSERT_TRUE(api_make_code(fixture.instance, NULL, code));
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(http_get(open_client("127.0.0.2"), JWKS_PATH)->status, 200);
    }
    assert_over_limit(open_client("127.0.0.2"), code);
    CU_ASSERT_TRUE(is_token_reply(api_redeem(open_client("127.0.0.1"), code), NULL));
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(http_get(fixture.clients[i], JWKS_PATH)->status, 200);
    }
    CU_ASSERT_TRUE(api_make_code(fixture.instance, NULL, code));
    http_close(take(fixture.clients[2]));
    CU_ASSERT_TRUE(is_served_soon("127.0.0.2", code));
}

static void test_admin_is_served_when_the_public_port_is_full(void)
{
    static const char *const settings[] = { "public.connections=2", NULL };

    CU_ASSERT_TRUE_FATAL(start(settings));
    for (size_t i = 0; i < 40; i++) {
        (void)open_client("127.0.0.2");
    }
    struct http_client *admin = http_connect(instance_admin_port(fixture.instance));
    CU_ASSERT_EQUAL(http_get(admin, "/livez")->status, 200);
    CU_ASSERT_EQUAL(http_get(admin, "/metrics")->status, 200);
    http_close(admin);
}

/* ---- idle ---- */

static void test_idle_connection_is_closed(void)
{
    static const char *const settings[] = { "public.idle_timeout_s=1", NULL };

    CU_ASSERT_TRUE_FATAL(start(settings));
    struct http_client *client = open_client("127.0.0.1");
    CU_ASSERT_EQUAL(http_get(client, JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(http_is_closed_by_server(client));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_connection_in_use_is_kept(void)
{
    static const char *const settings[] = { "public.idle_timeout_s=2", NULL };

    CU_ASSERT_TRUE_FATAL(start(settings));
    struct http_client *client = open_client("127.0.0.1");
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(http_get(client, JWKS_PATH)->status, 200);
        wait_ms(200);
    }
    CU_ASSERT_EQUAL(http_get(client, JWKS_PATH)->status, 200);
}

/* ---- the end ---- */

enum { IN_FLIGHT = 4 };

static const char *const slow_settings[] = {
    "signer main.sessions=4", "signer main.deadline_ms=10000",
    "signer main.queue_ms=10000", /* a self-test is slow, too */
    "tokens.code_lifetime_s=600", NULL
};

/* The value of a gauge of the signer "main". */
static long signer_gauge(struct http_client *admin, const char *name)
{
    char label[128];
    (void)snprintf(label, sizeof(label), "\n%s{signer=\"main\"} ", name);
    const char *line = strstr(http_get(admin, "/metrics")->body, label);
    return line != NULL ? strtol(line + strlen(label), NULL, 10) : -1;
}

/* Codes whose exchanges are inside the device, which takes its time. */
static bool begin_slow_exchanges(char codes[IN_FLIGHT][API_CODE_SIZE], const char *faults)
{
    struct http_client *admin = http_connect(instance_admin_port(fixture.instance));
    bool are_in_flight = false;

    for (size_t i = 0; i < IN_FLIGHT; i++) {
        if (!api_make_code(fixture.instance, NULL, codes[i])) {
            return false;
        }
    }
    instance_set_faults(fixture.instance, faults);
    wait_ms(50); /* the shim looks every 2 ms */
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        char request[512];
        (void)snprintf(request, sizeof(request),
                       "POST " TOKENS_PATH " HTTP/1.1\r\nHost: a\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                       "{\"authorization_code\":\"%s\"}",
                       strlen("{\"authorization_code\":\"\"}") + strlen(codes[i]), codes[i]);
        (void)http_send_text(open_client("127.0.0.1"), request);
    }
    for (int i = 0; i < 600 && !are_in_flight; i++) {
        are_in_flight = signer_gauge(admin, "issuerd_signer_in_flight") >= IN_FLIGHT;
    }
    http_close(admin);
    return are_in_flight;
}

/* After a restart: what was delivered is spent, what was not is still good. */
static void assert_no_exchange_is_half_done(char codes[IN_FLIGHT][API_CODE_SIZE],
                                            const bool delivered[IN_FLIGHT])
{
    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        const struct http_reply *reply = api_redeem(client, codes[i]);
        CU_ASSERT_TRUE(delivered[i] ? is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH)
                                    : is_token_reply(reply, NULL));
    }
    http_close(client);
}

static void test_what_is_in_flight_is_answered_before_the_end(void)
{
    char codes[IN_FLIGHT][API_CODE_SIZE];
    bool delivered[IN_FLIGHT];

    fixture.instance = instance_new(slow_settings);
    instance_use_shim(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE_FATAL(begin_slow_exchanges(codes, "C_Sign delay_us=2000000\n"));
    const int port = instance_public_port(fixture.instance);
    instance_terminate(fixture.instance);
    bool is_refused = false;
    for (int i = 0; i < 100 && !is_refused; i++) {
        struct http_client *late = http_connect(port);
        is_refused = !http_is_connected(late);
        http_close(late);
        wait_ms(10);
    }
    CU_ASSERT_TRUE(is_refused);
    CU_ASSERT_TRUE(http_is_quiet(fixture.clients[0], 1)); /* that was while it was in flight */
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        const struct http_reply *reply = http_receive(fixture.clients[i], "POST");
        delivered[i] = is_token_reply(reply, NULL);
        CU_ASSERT_TRUE(delivered[i]);
        CU_ASSERT_STRING_EQUAL(http_header(reply, "Connection"), "close");
        CU_ASSERT_TRUE(http_is_closed_by_server(fixture.clients[i]));
    }
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, DRAIN_S), 0);
    assert_no_exchange_is_half_done(codes, delivered);
}

static void test_kill_leaves_no_exchange_half_done(void)
{
    char codes[IN_FLIGHT][API_CODE_SIZE];
    bool delivered[IN_FLIGHT];

    fixture.instance = instance_new(slow_settings);
    instance_use_shim(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE_FATAL(begin_slow_exchanges(codes, "C_Sign delay_us=2000000\n"));
    instance_kill(fixture.instance);
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        delivered[i] = is_token_reply(http_receive(fixture.clients[i], "POST"), NULL);
    }
    assert_no_exchange_is_half_done(codes, delivered);
}

static void test_idle_connections_do_not_delay_the_end(void)
{
    static const char *const settings[] = { "public.idle_timeout_s=600", "public.head_timeout_s=60",
                                            NULL };

    CU_ASSERT_TRUE_FATAL(start(settings));
    for (size_t i = 0; i < 20; i++) {
        struct http_client *client = open_client("127.0.0.1");
        CU_ASSERT_TRUE(i % 2 == 0 || http_get(client, JWKS_PATH)->status == 200);
    }
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, DRAIN_S), 0);
    for (size_t i = 0; i < 20; i++) {
        CU_ASSERT_TRUE(http_is_closed_by_server(fixture.clients[i]));
    }
}

static void test_half_a_request_does_not_delay_the_end_for_long(void)
{
    static const char *const settings[] = { "public.body_timeout_s=120", "public.head_timeout_s=60",
                                            NULL };

    CU_ASSERT_TRUE_FATAL(start(settings));
    CU_ASSERT_TRUE(http_send_text(open_client("127.0.0.1"), "POST " TOKENS_PATH " HTTP/1.1\r\n"));
    CU_ASSERT_TRUE(http_send_text(open_client("127.0.0.1"),
                                  "POST " TOKENS_PATH " HTTP/1.1\r\nHost: a\r\n"
                                  "Content-Type: application/json\r\n"
                                  "Content-Length: 100\r\n\r\n{"));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, DRAIN_S + 5), 0);
}

/* The tests hold 1,000 connections; the server gets the limit that a shell gives it. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an honest client is served beside 1,000 idle connections",
          test_honest_client_is_served_beside_1000_idle_connections },
        { "an honest client is served beside 1,000 half requests",
          test_honest_client_is_served_beside_1000_half_requests },
        { "an honest client is served beside 1,000 connections that are kept",
          test_honest_client_is_served_beside_1000_that_are_kept },
        { "a connection over the limit is answered 503",
          test_connection_over_the_limit_is_answered_503 },
        { "a connection over the limit of its address is answered 503",
          test_connection_over_the_limit_of_its_address_is_answered_503 },
        { "the admin is served when the public port is full",
          test_admin_is_served_when_the_public_port_is_full },
        { "an idle connection is closed", test_idle_connection_is_closed },
        { "a connection in use is kept", test_connection_in_use_is_kept },
        { "what is in flight is answered before the end",
          test_what_is_in_flight_is_answered_before_the_end },
        { "a kill leaves no exchange half done", test_kill_leaves_no_exchange_half_done },
        { "idle connections do not delay the end", test_idle_connections_do_not_delay_the_end },
        { "half a request does not delay the end for long",
          test_half_a_request_does_not_delay_the_end_for_long },
        CU_TEST_INFO_NULL,
    };

    raise_file_limit();
    return run_suite("connections", NULL, stop, tests);
}
