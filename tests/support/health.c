#include "support/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"

enum { LOOK_EVERY_US = 10000, SOME = 20 };

DEFINE_RELEASE(release_client, struct http_client, http_close)

int health_ready_status(const struct instance *instance)
{
    scoped(release_client) struct http_client *client = http_connect(instance_admin_port(instance));
    return http_get(client, "/readyz")->status;
}

double health_metric(const struct instance *instance, const char *sample)
{
    scoped(release_client) struct http_client *client = http_connect(instance_admin_port(instance));
    const struct http_reply *reply = http_get(client, "/metrics");
    const size_t length = strlen(sample);

    for (const char *line = reply->body; reply->status == 200 && line != NULL;
         line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, length) == 0 && line[length] == ' ') {
            return strtod(line + length, NULL);
        }
    }
    return -1;
}

bool health_await(const struct instance *instance, bool (*holds)(const struct instance *),
                  int64_t deadline_ns)
{
    while (!holds(instance)) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_EVERY_US);
    }
    return true;
}

bool health_is_ready(const struct instance *instance)
{
    return health_ready_status(instance) == 200;
}

bool health_is_not_ready(const struct instance *instance)
{
    return health_ready_status(instance) == 503;
}

double health_signer_metric(const struct instance *instance, const char *signer, const char *name)
{
    char sample[96];
    (void)snprintf(sample, sizeof(sample), "issuerd_signer_%s{signer=\"%s\"}", name, signer);
    return health_metric(instance, sample);
}

bool health_signs_within(const struct instance *instance, const char *signer, int seconds)
{
    const int64_t deadline_ns = monotonic_ns() + seconds * NS_PER_S;
    const double goal = health_signer_metric(instance, signer, "signatures_total") + SOME;

    while (health_signer_metric(instance, signer, "signatures_total") < goal) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_EVERY_US);
    }
    return true;
}

bool health_has_signer(const struct instance *instance)
{
    return instance_signer_pid(instance) != 0;
}

/* True for 503 with Retry-After, in time. Anything else is said on stderr. */
static bool is_refusal(const struct http_reply *reply, int64_t took_ns)
{
    const char *after = http_header(reply, "Retry-After");

    if (reply->status == 503 && after != NULL && atoi(after) > 0
        && took_ns <= ANSWER_S * NS_PER_S) {
        return true;
    }
    fprintf(stderr, "status %d, Retry-After %s, after %lld ms: %s\n", reply->status,
            after != NULL ? after : "-", (long long)(took_ns / NS_PER_MS),
            reply->status != 0 && reply->status != 201 ? reply->body : "");
    return false;
}

bool health_is_refused_for_now(const struct instance *instance, const char *code)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(instance));
    const int64_t start_ns = monotonic_ns();
    const struct http_reply *reply = api_redeem(client, code);
    return is_refusal(reply, monotonic_ns() - start_ns);
}

bool health_is_gone(const struct instance *instance, const char *code)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(instance));
    return is_error_reply(api_redeem(client, code), 400, API_CODE_GONE, "POST", TOKENS_PATH);
}

static bool verifies(const struct instance *instance, const char *token)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(instance));
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");
    return reply->status == 200 && token_verifies(token, reply->body);
}

bool health_redeems_by(const struct instance *instance, const char *code, int64_t deadline_ns)
{
    scoped(release_client) struct http_client *client =
        http_connect(instance_public_port(instance));
    char token[API_TOKEN_SIZE];

    for (;;) {
        const int64_t start_ns = monotonic_ns();
        const struct http_reply *reply = api_redeem(client, code);
        if (reply->status == 201) {
            return is_token_reply(reply, token) && verifies(instance, token);
        }
        if (!is_refusal(reply, monotonic_ns() - start_ns) || monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_EVERY_US);
    }
}
