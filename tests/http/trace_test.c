/* A request's traceparent is in the log's lines of that request, and in no others. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "support/api.h"
#include "support/run.h"

#define FIRST "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define SECOND "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

static struct {
    struct instance *instance;
    struct http_client *client;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "log.level=debug");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    fixture.client = http_connect(instance_public_port(fixture.instance));
}

static void tear_down(void)
{
    http_close(take(fixture.client));
    instance_free(take(fixture.instance));
}

/* A redeem over the one connection. `trace` NULL: without the header. */
static int redeem(const char *code, const char *trace)
{
    char headers[256] = "Content-Type: application/json\r\n";
    char body[256];

    if (trace != NULL) {
        (void)snprintf(headers, sizeof(headers),
                       "Content-Type: application/json\r\ntraceparent: %s\r\n", trace);
    }
    (void)snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\"}", code);
    return http_request(fixture.client, "POST", TOKENS_PATH, headers, body)->status;
}

static bool has_logged(const char *text)
{
    return instance_has_logged(fixture.instance, text);
}

static void test_a_token_s_line_has_the_trace_of_its_request(void)
{
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, code));
    CU_ASSERT_EQUAL(redeem(code, FIRST), 201);
    CU_ASSERT_TRUE(has_logged("token.issued traceparent=" FIRST " jti="));
}

static void test_a_refusal_s_line_has_it(void)
{
    CU_ASSERT_EQUAL(redeem("short", FIRST), 400);
    CU_ASSERT_TRUE(has_logged("http.refused traceparent=" FIRST " status=400"));
    CU_ASSERT_EQUAL(
        http_request(fixture.client, "GET", "/nowhere", "traceparent: " SECOND "\r\n", NULL)
            ->status,
        404);
    CU_ASSERT_TRUE(has_logged("http.refused traceparent=" SECOND " status=404"));
}

static void test_a_replay_s_line_has_it(void)
{
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, code));
    CU_ASSERT_EQUAL(redeem(code, FIRST), 201);
    CU_ASSERT_EQUAL(redeem(code, SECOND), 400);
    CU_ASSERT_TRUE(has_logged("code.replayed traceparent=" SECOND));
}

static void test_the_next_request_of_the_connection_has_its_own_or_none(void)
{
    CU_ASSERT_EQUAL(redeem("short", FIRST), 400);
    CU_ASSERT_EQUAL(redeem("short too", NULL), 400);
    CU_ASSERT_TRUE(has_logged("http.refused status=400"));
}

static void test_what_is_no_traceparent_does_not_reach_the_log(void)
{
    CU_ASSERT_EQUAL(redeem("short", "00-zz"), 400);
    CU_ASSERT_EQUAL(redeem("short", FIRST "-and-more"), 400);
    CU_ASSERT_TRUE(has_logged("http.refused status=400"));
    CU_ASSERT_FALSE(has_logged("traceparent="));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a token's line has the trace of its request",
          test_a_token_s_line_has_the_trace_of_its_request },
        { "a refusal's line has it", test_a_refusal_s_line_has_it },
        { "a replay's line has it", test_a_replay_s_line_has_it },
        { "the next request of the connection has its own, or none",
          test_the_next_request_of_the_connection_has_its_own_or_none },
        { "what is no traceparent does not reach the log",
          test_what_is_no_traceparent_does_not_reach_the_log },
        CU_TEST_INFO_NULL,
    };
    return run_suite("trace", set_up, tear_down, tests);
}
