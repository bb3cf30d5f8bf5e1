#include "support/api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/base64url.h"
#include "base/digest.h"
#include "base/memory.h"

enum { BODY_SIZE = 2048 };

static void release_json(cJSON **json)
{
    cJSON_Delete(*json);
}

/* ---- requests ---- */

void api_random_text(char out[static 44])
{
    unsigned char bytes[32];
    random_bytes(bytes, sizeof(bytes));
    out[base64url_encode(out, bytes, sizeof(bytes))] = '\0';
}

bool reply_member(const struct http_reply *reply, const char *name, char *out, size_t size)
{
    scoped(release_json) cJSON *body = cJSON_ParseWithLength(reply->body, reply->body_length);
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(body, name);

    return cJSON_IsString(member) && snprintf(out, size, "%s", member->valuestring) < (int)size;
}

bool api_create(struct http_client *client, char id_out[static API_ID_SIZE])
{
    char state[44];
    char nonce[44];
    char body[BODY_SIZE];

    api_random_text(state);
    api_random_text(nonce);
    (void)snprintf(body, sizeof(body), "{\"state\":\"%s\",\"nonce\":\"%s\"}", state, nonce);
    const struct http_reply *reply = http_post_json(client, AUTHORIZATIONS_PATH, body);
    return reply->status == 201 && reply_member(reply, "id", id_out, API_ID_SIZE);
}

const struct http_reply *api_approve(const struct instance *instance, struct http_client *client,
                                     const char *id, const char *holder_did, const char *scope)
{
    scoped(release_json) cJSON *body = cJSON_CreateObject();
    char target[256];
    char headers[256];

    (void)snprintf(target, sizeof(target), AUTHORIZATIONS_PATH "/%s/approve", id);
    (void)snprintf(headers, sizeof(headers),
                   "Content-Type: application/json\r\nx-client-secret: %s\r\n",
                   instance_client_secret(instance));
    (void)cJSON_AddStringToObject(body, "holder_did", holder_did);
    if (scope != NULL) {
        (void)cJSON_AddStringToObject(body, "scope", scope);
    }
    char *printed = cJSON_PrintUnformatted(body);
    const struct http_reply *reply = http_request(client, "POST", target, headers, printed);
    cJSON_free(printed);
    return reply;
}

bool api_make_named_code(const struct instance *instance, const char *scope,
                         char id_out[static API_ID_SIZE], char code_out[static API_CODE_SIZE])
{
    struct http_client *client = http_connect(instance_public_port(instance));
    bool is_made = api_create(client, id_out);
    http_close(client);

    if (is_made) {
        client = http_connect(instance_admin_port(instance));
        is_made = reply_member(api_approve(instance, client, id_out, HOLDER_DID, scope), "code",
                               code_out, API_CODE_SIZE);
        http_close(client);
    }
    return is_made;
}

bool api_make_code(const struct instance *instance, const char *scope,
                   char code_out[static API_CODE_SIZE])
{
    char id[API_ID_SIZE];
    return api_make_named_code(instance, scope, id, code_out);
}

const struct http_reply *api_redeem(struct http_client *client, const char *code)
{
    char body[BODY_SIZE];
    (void)snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\"}", code);
    return http_post_json(client, TOKENS_PATH, body);
}

bool api_serves(const struct instance *instance)
{
    char code[API_CODE_SIZE];
    struct http_client *client = http_connect(instance_public_port(instance));

    const bool serves =
        api_make_code(instance, NULL, code) && is_token_reply(api_redeem(client, code), NULL);
    http_close(client);
    return serves;
}

/* ---- the contract ---- */

/* Says what does not hold, with the reply it does not hold for. */
__attribute__((format(printf, 2, 3))) static bool differs(const struct http_reply *reply,
                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, ", in: %.600s%.600s\n", reply->head, reply->body);
    return false;
}

static bool header_is(const struct http_reply *reply, const char *name, const char *wanted)
{
    const char *value = http_header(reply, name);
    return strcmp(value, wanted) == 0 || differs(reply, "%s should be %s", name, wanted);
}

static bool is_json_not_stored(const struct http_reply *reply, int status)
{
    if (reply->status != status) {
        return differs(reply, "the status should be %d, is %d", status, reply->status);
    }
    return header_is(reply, "Content-Type", "application/json")
        && header_is(reply, "Cache-Control", "no-store");
}

/* Exactly these members, in any order; a type letter before each name: s string, n number. */
static bool has_exactly(const struct http_reply *reply, const cJSON *body,
                        const char *const *members, size_t count)
{
    if (!cJSON_IsObject(body) || cJSON_GetArraySize(body) != (int)count) {
        return differs(reply, "the body should be an object of %zu members", count);
    }
    for (size_t i = 0; i < count; i++) {
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(body, members[i] + 1);
        if (members[i][0] == 's' ? !cJSON_IsString(member) : !cJSON_IsNumber(member)) {
            return differs(reply, "the member %s lacks, or has the wrong type", members[i] + 1);
        }
    }
    return true;
}

static double number_of(const cJSON *body, const char *name)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(body, name));
}

static const char *text_of(const cJSON *body, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body, name));
}

static bool is_number(double number, int wanted)
{
    return number >= wanted && number <= wanted;
}

bool is_error_reply(const struct http_reply *reply, int status, int code, const char *method,
                    const char *path)
{
    static const char *const members[] = { "sname",     "smessage", "ncode", "nstatusCode",
                                           "nhttpCode", "smethod",  "spath" };
    scoped(release_json) cJSON *body = cJSON_ParseWithLength(reply->body, reply->body_length);

    if (!is_json_not_stored(reply, status)
        || !has_exactly(reply, body, members, COUNT_OF(members))) {
        return false;
    }
    if (!is_number(number_of(body, "code"), code)
        || !is_number(number_of(body, "statusCode"), status)
        || !is_number(number_of(body, "httpCode"), status)) {
        return differs(reply, "code should be %d, statusCode and httpCode %d", code, status);
    }
    if (text_of(body, "name")[0] == '\0' || text_of(body, "message")[0] == '\0') {
        return differs(reply, "name and message should say something");
    }
    return (strcmp(text_of(body, "method"), method) == 0
            && strcmp(text_of(body, "path"), path) == 0)
        || differs(reply, "method and path should be %s %s", method, path);
}

bool is_refusal_reply(const struct http_reply *reply)
{
    return reply->status == 503 && atoi(http_header(reply, "Retry-After")) > 0;
}

bool is_token_reply(const struct http_reply *reply, char token_out[API_TOKEN_SIZE])
{
    static const char *const members[] = { "saccess_token", "stoken_type", "nexpires_in" };
    scoped(release_json) cJSON *body = cJSON_ParseWithLength(reply->body, reply->body_length);

    if (!is_json_not_stored(reply, 201) || !has_exactly(reply, body, members, COUNT_OF(members))) {
        return false;
    }
    if (strcmp(text_of(body, "token_type"), "Bearer") != 0 || number_of(body, "expires_in") < 1) {
        return differs(reply, "a Bearer token with a life should be here");
    }
    if (token_out != NULL) {
        (void)snprintf(token_out, API_TOKEN_SIZE, "%s", text_of(body, "access_token"));
    }
    return true;
}
