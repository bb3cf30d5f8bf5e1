/* One address may make so many requests, another as many; and only a trusted proxy speaks for another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/run.h"

enum { BURST = 3, MANY = 40 };

static struct {
    struct instance *instance;
    struct http_client *client;
} fixture;

static bool start(const char *more)
{
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "public.requests_per_s=1");
    instance_set(fixture.instance, "public.requests_burst=%d", BURST);
    if (more != NULL) {
        instance_set(fixture.instance, "%s", more);
    }
    if (!instance_start(fixture.instance)) {
        return false;
    }
    fixture.client = http_connect(instance_public_port(fixture.instance));
    return true;
}

static void stop(void)
{
    http_close(take(fixture.client));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    instance_free(take(fixture.instance));
}

static const struct http_reply *create(const char *headers)
{
    char state[44];
    char nonce[44];
    char body[160];
    char all[256];

    api_random_text(state);
    api_random_text(nonce);
    (void)snprintf(body, sizeof(body), "{\"state\":\"%s\",\"nonce\":\"%s\"}", state, nonce);
    (void)snprintf(all, sizeof(all), "Content-Type: application/json\r\n%s", headers);
    return http_request(fixture.client, "POST", AUTHORIZATIONS_PATH, all, body);
}

/* How many of MANY were created. Sets *refused_out to how many were answered 429, in good form. */
static unsigned create_many(const char *headers, unsigned *refused_out)
{
    unsigned created = 0;

    *refused_out = 0;
    for (unsigned i = 0; i < MANY; i++) {
        const struct http_reply *reply = create(headers);
        created += reply->status == 201;
        *refused_out +=
            is_error_reply(reply, 429, API_TOO_MANY_REQUESTS, "POST", AUTHORIZATIONS_PATH)
            && strcmp(http_header(reply, "Retry-After"), "1") == 0;
    }
    return created;
}

static void test_beyond_the_burst_the_answer_is_429(void)
{
    unsigned refused = 0;

    CU_ASSERT_TRUE_FATAL(start(NULL));
    const unsigned created = create_many("", &refused);
    CU_ASSERT_TRUE(created >= BURST);
    CU_ASSERT_TRUE(refused > 0);
    CU_ASSERT_EQUAL(created + refused, MANY);
    CU_ASSERT_TRUE(http_is_connected(fixture.client));
    CU_ASSERT_TRUE(health_metric(fixture.instance, "issuerd_rate_limited_total") >= refused);
    stop();
}

static void test_validating_is_limited_with_it_and_the_rest_is_not(void)
{
    static const char path[] = AUTHORIZATIONS_PATH "/01890a5d-ac96-774b-bcce-b302099a8057/validate";
    unsigned refused = 0;
    unsigned validations_refused = 0;
    unsigned others_refused = 0;

    CU_ASSERT_TRUE_FATAL(start(NULL));
    (void)create_many("", &refused);
    for (unsigned i = 0; i < MANY; i++) {
        validations_refused += http_post_json(fixture.client, path, "{}")->status == 429;
        others_refused += http_post_json(fixture.client, TOKENS_PATH, "{}")->status == 429;
        others_refused += http_get(fixture.client, "/.well-known/jwks.json")->status == 429;
    }
    CU_ASSERT_TRUE(validations_refused > 0);
    CU_ASSERT_EQUAL(others_refused, 0);
    stop();
}

static void test_a_stranger_speaks_for_nobody_else(void)
{
    unsigned refused = 0;
    char header[64];

    CU_ASSERT_TRUE_FATAL(start(NULL));
    (void)create_many("", &refused);
    for (unsigned i = 0, still_refused = 0; i < MANY; i++) {
        (void)snprintf(header, sizeof(header), "X-Forwarded-For: 192.0.2.%u\r\n", i);
        still_refused += create(header)->status == 429;
        if (i == MANY - 1) {
            CU_ASSERT_TRUE(still_refused > 0);
        }
    }
    stop();
}

static void test_a_trusted_proxy_speaks_for_each_of_its_clients(void)
{
    unsigned refused = 0;
    char header[128];

    CU_ASSERT_TRUE_FATAL(start("public.trusted_proxy=127.0.0.0/8"));
    (void)create_many("X-Forwarded-For: 192.0.2.1\r\n", &refused);
    CU_ASSERT_TRUE(refused > 0);
    for (unsigned i = 2; i < MANY; i++) {
        (void)snprintf(header, sizeof(header),
                       "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.%u\r\n", i);
        CU_ASSERT_EQUAL(create(header)->status, 201);
    }
    (void)create_many("Forwarded: for=192.0.2.77\r\nX-Forwarded-For: 192.0.2.1\r\n", &refused);
    CU_ASSERT_TRUE(refused > 0);
    stop();
}

static void test_zero_is_no_limit(void)
{
    unsigned refused = 0;

    CU_ASSERT_TRUE_FATAL(start("public.requests_per_s=0"));
    CU_ASSERT_EQUAL(create_many("", &refused), MANY);
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "beyond the burst the answer is 429", test_beyond_the_burst_the_answer_is_429 },
        { "validating is limited with it, and the rest is not",
          test_validating_is_limited_with_it_and_the_rest_is_not },
        { "a stranger speaks for nobody else", test_a_stranger_speaks_for_nobody_else },
        { "a trusted proxy speaks for each of its clients",
          test_a_trusted_proxy_speaks_for_each_of_its_clients },
        { "zero is no limit", test_zero_is_no_limit },
        CU_TEST_INFO_NULL,
    };
    return run_suite("flood", NULL, NULL, tests);
}
