/* GET /openapi.json: the API as OpenAPI 3.1, printed once, from the table of routes. What the
 * operations share is components.json, which the build embeds. */
#include "http/endpoint.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/memory.h"
#include "http/document.h"
#include "http/routes.h"

enum { DOCUMENT_MAX = 64 * 1024 };

static const char components[] = {
#include "http/components.inc"
};

/* ---- statuses ---- */

struct status {
    int status;
    const char *component; /* of components.json's responses */
};

static const struct status statuses[] = {
    { 304, "NotModified" },
    { 400, "BadRequest" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "NotFound" },
    { 408, "RequestTimeout" },
    { 409, "Conflict" },
    { 413, "PayloadTooLarge" },
    { 415, "UnsupportedMediaType" },
    { 429, "TooManyRequests" },
    { 431, "RequestHeaderFieldsTooLarge" },
    { 500, "InternalServerError" },
    { 503, "ServiceUnavailable" },
};

static bool names_error(const struct route *route, int status)
{
    for (size_t i = 0; i < ROUTE_ERRORS_MAX; i++) {
        if (route->errors[i] == status) {
            return true;
        }
    }
    return false;
}

/* 405 is no operation's answer: it says that there is none. */
static bool may_answer(const struct route *route, int status)
{
    switch (status) {
    case 304:
        return route->is_cached;
    case 401:
        return route->needs_secret;
    case 403: /* the client's certificate */
        return (route->roles & 1U << SERVER_ADMIN) != 0;
    case 415:
        return route->body_limit > 0;
    case 429:
        return route->limited;
    case 400: /* framing */
    case 408:
    case 413:
    case 431:
    case 500:
    case 503:
        return true;
    default:
        return names_error(route, status);
    }
}

/* ---- operations ---- */

static void add_named(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add_json_string(text, value);
}

static void add_reference(struct text *text, const char *kind, const char *name)
{
    text_add(text, "{\"$ref\":\"#/components/");
    text_add(text, kind);
    text_add(text, "/");
    text_add(text, name);
    text_add(text, "\"}");
}

static void add_content(struct text *text, const char *type, const char *schema)
{
    add_named(text, ",\"content\":{", type != NULL ? type : "application/json");
    text_add(text, ":{\"schema\":");
    if (schema != NULL) {
        add_reference(text, "schemas", schema);
    } else {
        text_add(text, "{\"type\":\"string\"}");
    }
    text_add(text, "}}");
}

static void add_responses(struct text *text, const struct route *route)
{
    const struct route_success *success = &route->success;

    text_add(text, ",\"responses\":{\"");
    text_add_number(text, success->status);
    add_named(text, "\":{\"description\":", success->description);
    add_content(text, success->content_type, success->schema);
    if (route->is_cached) {
        text_add(text, ",\"headers\":{\"ETag\":");
        add_reference(text, "headers", "ETag");
        text_add(text, ",\"Cache-Control\":");
        add_reference(text, "headers", "Cache-Control");
        text_add(text, "}");
    }
    text_add(text, "}");
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        if (may_answer(route, statuses[i].status)) {
            text_add(text, ",\"");
            text_add_number(text, statuses[i].status);
            text_add(text, "\":");
            add_reference(text, "responses", statuses[i].component);
        }
    }
    text_add(text, "}");
}

static void add_tags(struct text *text, const struct route *route)
{
    const bool is_public = (route->roles & 1U << SERVER_PUBLIC) != 0;
    const bool is_admin = (route->roles & 1U << SERVER_ADMIN) != 0;

    text_add(text, ",\"tags\":[");
    text_add(text, is_public ? "\"public\"" : "");
    text_add(text, is_public && is_admin ? "," : "");
    text_add(text, is_admin ? "\"admin\"" : "");
    text_add(text, "]");
}

static void add_request(struct text *text, const struct route *route)
{
    if (strstr(route->path, "{id}") != NULL) {
        text_add(text, ",\"parameters\":[");
        add_reference(text, "parameters", "id");
        text_add(text, "]");
    }
    if (route->request_schema != NULL) {
        text_add(text, ",\"requestBody\":{\"required\":true");
        add_content(text, NULL, route->request_schema);
        text_add(text, "}");
    }
    if (route->needs_secret) {
        text_add(text, ",\"security\":[{\"clientSecret\":[]}]");
    }
}

static void add_operation(struct text *text, const struct route *route)
{
    char method[16] = "";
    for (size_t i = 0; i < sizeof(method) - 1 && route->method[i] != '\0'; i++) {
        method[i] = (char)tolower((unsigned char)route->method[i]);
    }

    text_add_json_string(text, route->path);
    add_named(text, ":{", method);
    add_named(text, ":{\"operationId\":", route->operation);
    add_named(text, ",\"summary\":", route->summary);
    if (route->stands_for != NULL) {
        text_add(text, ",\"deprecated\":true");
        add_named(text,
                  ",\"description\":\"An older path. Use the one that replaced it.\","
                  "\"x-stands-for\":",
                  route->stands_for);
    }
    add_tags(text, route);
    add_request(text, route);
    add_responses(text, route);
    text_add(text, "}}");
}

/* ---- the document ---- */

static const char head[] =
    "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"issuerd\",\"version\":\"" ISSUERD_VERSION "\","
    "\"description\":\"Trades single-use authorization codes for access tokens whose signing key "
    "never leaves an HSM. Any other path is answered 404, any other method 405 with Allow, both "
    "with an ErrorResponseDto; HEAD is served wherever GET is.\"},"
    "\"servers\":[{\"url\":\"/\"}],\"security\":[],\"tags\":["
    "{\"name\":\"public\",\"description\":\"On the public listener\"},"
    "{\"name\":\"admin\",\"description\":\"On the admin listener, which others do not reach\"}],"
    "\"paths\":{";

static char document[DOCUMENT_MAX];
static size_t document_length; /* 0: it did not fit */

static void print_document(void)
{
    struct text text = text_over(document, sizeof(document));
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    text_add(&text, head);
    for (size_t i = 0; i < count; i++) {
        text_add(&text, i > 0 ? "," : "");
        add_operation(&text, &routes[i]);
    }
    text_add(&text, "},\"components\":");
    text_add(&text, components);
    text_add(&text, "}");
    if (!text.overflowed) {
        cJSON_Minify(document);
        document_length = strlen(document);
    }
}

bool openapi_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                      struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)site;
    (void)pthread_once(&once, print_document);
    if (document_length == 0) {
        return fail(err, ERROR_INTERNAL, "the API's document does not fit");
    }
    struct text text = reply_text(reply, document_length + 1);
    text_add_bytes(&text, document, document_length);
    return reply_document(request, reply, &text, DOCUMENT_MAX_AGE_S, err);
}
