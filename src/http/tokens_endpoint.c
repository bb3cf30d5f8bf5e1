/* /api/v1/tokens: trades an authorization code for an access token; lists the revoked ones. */
#include "http/endpoint.h"

#include "base/crash_point.h"
#include "base/memory.h"
#include "http/document.h"
#include "http/json_body.h"

enum {
    AROUND_THE_TOKEN = 96,
    LIST_MAX_AGE_S = 1, /* a revocation shows at a node within as much */
};

static bool reply_token(struct reply *reply, const struct access_token *token, struct error *err)
{
    struct text text = reply_text(reply, token->jwt_length + AROUND_THE_TOKEN);

    CRASH_POINT(ANSWER_BEGUN);
    text_add(&text, "{\"access_token\":\"");
    text_add_bytes(&text, token->jwt, token->jwt_length);
    text_add(&text, "\",\"token_type\":\"Bearer\",\"expires_in\":");
    text_add_number(&text, token->lifetime_s);
    text_add(&text, "}");
    return reply_set_text(reply, 201, &text, err);
}

static bool redeem(const struct site *site, const struct request *request, const char *code,
                   struct reply *reply, struct error *err)
{
    scoped(access_token_clear) struct access_token token = { .jwt = NULL };

    return service_redeem(site->service, code, request->received_ns, &token, err)
        && reply_token(reply, &token, err);
}

bool tokens_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                     struct error *err)
{
    scoped(release_json) cJSON *body = NULL;
    const char *code = NULL;
    const struct json_member members[] = {
        { .name = "authorization_code", .type = JSON_TEXT, .required = true, .text_out = &code },
    };

    if (!json_body_parse(request, members, COUNT_OF(members), &body, err)) {
        service_count_refusal(site->service, err->code, request->received_ns);
        return false;
    }
    CRASH_POINT(REQUEST_PARSED);
    return redeem(site, request, code, reply, err);
}

bool revoked_tokens_endpoint(const struct site *site, const struct request *request,
                             struct reply *reply, struct error *err)
{
    struct text text = reply_text(reply, REVOKED_LIST_MAX);

    if (!service_print_revoked_tokens(site->service, &text, err)
        || !reply_document(request, reply, &text, LIST_MAX_AGE_S, err)) {
        return false;
    }
    reply->content_type = "application/revoked-tokens+jwt";
    return true;
}
