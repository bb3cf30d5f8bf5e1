/* POST /api/v1/authorizations, a wallet's POST .../{id}/validate, the admin's POST .../{id}/approve. */
#include "http/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/digest.h"
#include "base/memory.h"
#include "http/json_body.h"

enum { AROUND_THE_DEFINITION = 2048 };

static void release_printed(char **text)
{
    cJSON_free(*text);
}

/* RFC 3339, UTC. */
static void add_date_time(struct text *text, int64_t time_s)
{
    const time_t time = time_s;
    char printed[40];
    struct tm utc;

    (void)strftime(printed, sizeof(printed), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &utc));
    text_add_json_string(text, printed);
}

static void add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add_json_string(text, value);
}

static bool reply_authorization(struct reply *reply, int status,
                                const struct authorization *authorization, struct error *err)
{
    const char *definition = authorization->presentation_definition;
    const size_t definition_length = definition != NULL ? strlen(definition) : 0;
    struct text text = reply_text(reply, definition_length + AROUND_THE_DEFINITION);

    add_member(&text, "{\"id\":", authorization->id);
    if (definition != NULL) {
        text_add(&text, ",\"presentation_definition\":");
        text_add(&text, definition);
    }
    add_member(&text, ",\"state\":", authorization->state);
    add_member(&text, ",\"nonce\":", authorization->nonce);
    text_add(&text, ",\"expires_at\":");
    add_date_time(&text, authorization->expires_s);
    if (authorization->code[0] != '\0') {
        add_member(&text, ",\"code\":", authorization->code);
        add_member(&text, ",\"holder_did\":", authorization->holder_did);
    }
    text_add(&text, ",\"used\":false}");
    return reply_set_text(reply, status, &text, err);
}

bool authorizations_endpoint(const struct site *site, const struct request *request,
                             struct reply *reply, struct error *err)
{
    scoped(release_json) cJSON *body = NULL;
    scoped(release_printed) char *definition_text = NULL;
    scoped(authorization_clear) struct authorization created = { .id = "" };
    cJSON *definition = NULL;
    struct authorization_request wanted = { .state = NULL };
    const struct json_member members[] = {
        { .name = "state", .type = JSON_TEXT, .required = true, .text_out = &wanted.state },
        { .name = "nonce", .type = JSON_TEXT, .required = true, .text_out = &wanted.nonce },
        { .name = "presentation_definition", .type = JSON_OBJECT, .object_out = &definition },
    };

    if (!json_body_parse(request, members, COUNT_OF(members), &body, err)) {
        return false;
    }
    if (definition != NULL) {
        definition_text = cJSON_PrintUnformatted(definition);
        wanted.presentation_definition = definition_text;
    }
    return service_create_authorization(site->service, &wanted, &created, err)
        && reply_authorization(reply, 201, &created, err);
}

static bool parse_validation(const struct request *request, struct validation_request *validation,
                             cJSON **submission_out, cJSON **body_out, struct error *err)
{
    const struct json_member members[] = {
        { .name = "vp",
          .type = JSON_TEXT,
          .required = true,
          .hint = ", a JWT VP: a presentation with an embedded proof is not accepted",
          .text_out = &validation->vp },
        { .name = "state", .type = JSON_TEXT, .required = true, .text_out = &validation->state },
        { .name = "nonce", .type = JSON_TEXT, .required = true, .text_out = &validation->nonce },
        { .name = "presentation_submission", .type = JSON_OBJECT, .object_out = submission_out },
        { .name = "id", .type = JSON_TEXT, .required = true, .text_out = &validation->id },
    };
    /* The last stands in the body of the older path alone. */
    const size_t count = COUNT_OF(members) - (validation->id != NULL ? 1 : 0);

    return json_body_parse(request, members, count, body_out, err);
}

static bool validate(const struct site *site, const struct request *request, const char *id,
                     struct reply *reply, struct error *err)
{
    scoped(release_json) cJSON *body = NULL;
    scoped(release_printed) char *submission_text = NULL;
    scoped(authorization_clear) struct authorization validated = { .id = "" };
    struct validation_request validation = { .id = id };
    cJSON *submission = NULL;

    if (!parse_validation(request, &validation, &submission, &body, err)) {
        return false;
    }
    if (submission != NULL) {
        submission_text = cJSON_PrintUnformatted(submission);
        validation.presentation_submission = submission_text;
    }
    return service_validate(site->service, &validation, request->received_ns, &validated, err)
        && reply_authorization(reply, 200, &validated, err);
}

bool validate_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                       struct error *err)
{
    return validate(site, request, request->id, reply, err);
}

bool verify_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                     struct error *err)
{
    return validate(site, request, NULL, reply, err);
}

/* Digests are compared, in constant time: neither content nor length of the secret shows. */
bool approve_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                      struct error *err)
{
    scoped(release_json) cJSON *body = NULL;
    scoped(authorization_clear) struct authorization approved = { .id = "" };
    struct approval_request approval = { .id = request->id };
    const struct json_member members[] = {
        { .name = "holder_did",
          .type = JSON_TEXT,
          .required = true,
          .text_out = &approval.holder_did },
        { .name = "scope", .type = JSON_TEXT, .text_out = &approval.scope },
    };

    return json_body_parse(request, members, COUNT_OF(members), &body, err)
        && service_approve(site->service, &approval, &approved, err)
        && reply_authorization(reply, 200, &approved, err);
}
