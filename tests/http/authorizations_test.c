/* Authorization requests: created by anyone, approved by who knows the client secret. Then what
 * each listener shows of itself. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/run.h"

#define JSON "Content-Type: application/json\r\n"
#define JWKS_PATH "/.well-known/jwks.json"
#define OLDER_PATH "/api/v1/authorize"
#define METADATA_PATH "/.well-known/openid-credential-issuer"
#define TEXT_31 "abcdefghijklmnopqrstuvwxyz01234"
#define TEXT_32 TEXT_31 "5"
#define TEXT_64 TEXT_32 TEXT_32
#define UNKNOWN_ID "01890a5d-ac96-774b-bcce-b302099a8057"

static struct {
    struct instance *instance;
    struct http_client *client; /* on the public port */
    struct http_client *admin;
    char id[API_ID_SIZE]; /* of an open request */
    char state[44];
    char nonce[44];
    char *body;
    cJSON *json;
} fixture;

static void connect_both(void)
{
    fixture.client = http_connect(instance_public_port(fixture.instance));
    fixture.admin = http_connect(instance_admin_port(fixture.instance));
    api_random_text(fixture.state);
    api_random_text(fixture.nonce);
    if (!api_create(fixture.client, fixture.id)) {
        fixture.id[0] = '\0';
    }
}

static void close_both(void)
{
    http_close(take(fixture.client));
    http_close(take(fixture.admin));
    free(take(fixture.body));
    cJSON_Delete(take(fixture.json));
}

static const char *text_member(const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fixture.json, name));
    return text != NULL ? text : "";
}

static void parse(const struct http_reply *reply)
{
    cJSON_Delete(fixture.json);
    fixture.json = cJSON_ParseWithLength(reply->body, reply->body_length);
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    const bool good = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return good;
}

static int64_t parse_date_time(const char *text)
{
    struct tm utc = { .tm_year = 0 };
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return end != NULL && *end == '\0' ? timegm(&utc) : -1;
}

/* An error, and then the same connections serve an honest request; nothing was made of this one. */
static void assert_refusal(const struct http_reply *reply, int status, int code, const char *method,
                           const char *path)
{
    CU_ASSERT_TRUE(is_error_reply(reply, status, code, method, path));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- create ---- */

/* Lives until the next call. */
static const char *body_of(const char *state, const char *nonce, const char *more)
{
    free(take(fixture.body));
    if (asprintf(&fixture.body, "{\"state\":\"%s\",\"nonce\":\"%s\"%s}", state, nonce, more) < 0) {
        abort();
    }
    return fixture.body;
}

static const struct http_reply *create(const char *state, const char *nonce, const char *more)
{
    return http_post_json(fixture.client, AUTHORIZATIONS_PATH, body_of(state, nonce, more));
}

static void assert_body_refused(const char *body)
{
    assert_refusal(http_post_json(fixture.client, AUTHORIZATIONS_PATH, body), 400,
                   API_INVALID_REQUEST, "POST", AUTHORIZATIONS_PATH);
}

static void test_request_is_created(void)
{
    const int64_t before_s = wall_s();
    const struct http_reply *reply = create(fixture.state, fixture.nonce, "");

    CU_ASSERT_EQUAL(reply->status, 201);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), "application/json");
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "no-store");
    parse(reply);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.json), 5);
    CU_ASSERT_TRUE(matches(text_member("id"),
                           "^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                           "[0-9a-f]{12}$"));
    CU_ASSERT_STRING_EQUAL(text_member("state"), fixture.state);
    CU_ASSERT_STRING_EQUAL(text_member("nonce"), fixture.nonce);
    CU_ASSERT_TRUE(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(fixture.json, "used")));
    const int64_t expires_s = parse_date_time(text_member("expires_at"));
    CU_ASSERT_TRUE(expires_s >= before_s + 600 && expires_s <= wall_s() + 600);
}

static void test_presentation_definition_is_given_back(void)
{
    static const char definition[] =
        "{\"id\":\"d1\",\"input_descriptors\":[{\"id\":\"a\",\"constraints\":{\"fields\":[{"
        "\"path\":[\"$.vc.type\"],\"filter\":{\"type\":\"string\",\"minimum\":-1.5}}]}}],"
        "\"name\":\"\\u00e4\\\"\\\\\"}";
    char more[512];
    (void)snprintf(more, sizeof(more), ",\"presentation_definition\":%s", definition);
    const struct http_reply *reply = create(fixture.state, fixture.nonce, more);

    CU_ASSERT_EQUAL(reply->status, 201);
    parse(reply);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.json), 6);
    cJSON *wanted = cJSON_Parse(definition);
    CU_ASSERT_TRUE(cJSON_Compare(
        wanted, cJSON_GetObjectItemCaseSensitive(fixture.json, "presentation_definition"), true));
    cJSON_Delete(wanted);
}

static void test_32_and_64_characters_are_accepted(void)
{
    CU_ASSERT_EQUAL(create(TEXT_32, TEXT_64, "")->status, 201);
    CU_ASSERT_EQUAL(create(TEXT_64, TEXT_32, "")->status, 201);
}

static void test_state_of_31_characters_is_refused(void)
{
    assert_body_refused(body_of(TEXT_31, fixture.nonce, ""));
}

static void test_state_of_65_characters_is_refused(void)
{
    assert_body_refused(body_of(TEXT_64 "x", fixture.nonce, ""));
}

static void test_nonce_of_31_characters_is_refused(void)
{
    assert_body_refused(body_of(fixture.state, TEXT_31, ""));
}

static void test_nonce_of_65_characters_is_refused(void)
{
    assert_body_refused(body_of(fixture.state, TEXT_64 "x", ""));
}

static void test_characters_outside_the_alphabet_are_refused(void)
{
    static const char *const characters[] = { "+", ".", " ", "=", "\\n", "\\u00e4", "'", "%41" };

    for (size_t i = 0; i < COUNT_OF(characters); i++) {
        char text[80];
        (void)snprintf(text, sizeof(text), TEXT_32 "%s", characters[i]);
        assert_body_refused(body_of(text, fixture.nonce, ""));
        assert_body_refused(body_of(fixture.state, text, ""));
    }
}

static void test_missing_members_are_refused(void)
{
    assert_body_refused("{}");
    assert_body_refused("{\"state\":\"" TEXT_32 "\"}");
    assert_body_refused("{\"nonce\":\"" TEXT_32 "\"}");
}

static void test_wrong_types_are_refused(void)
{
    assert_body_refused("{\"state\":1,\"nonce\":\"" TEXT_32 "\"}");
    assert_body_refused("{\"state\":\"" TEXT_32 "\",\"nonce\":null}");
    assert_body_refused(body_of(fixture.state, fixture.nonce, ",\"presentation_definition\":[]"));
    assert_body_refused(body_of(fixture.state, fixture.nonce, ",\"presentation_definition\":null"));
}

static void test_extra_and_duplicate_members_are_refused(void)
{
    assert_body_refused(body_of(fixture.state, fixture.nonce, ",\"holder_did\":\"did:a:b\""));
    assert_body_refused(body_of(fixture.state, fixture.nonce, ",\"state\":\"" TEXT_32 "\""));
    assert_body_refused(
        body_of(fixture.state, fixture.nonce, ",\"presentation_definition\":{\"a\":1,\"a\":2}"));
}

static void test_same_pair_of_state_and_nonce_is_refused(void)
{
    CU_ASSERT_EQUAL(create(fixture.state, fixture.nonce, "")->status, 201);
    assert_body_refused(body_of(fixture.state, fixture.nonce, ""));
    /* Either alone may come again. */
    CU_ASSERT_EQUAL(create(fixture.state, fixture.state, "")->status, 201);
    CU_ASSERT_EQUAL(create(fixture.nonce, fixture.nonce, "")->status, 201);
}

static const char *body_of_length(size_t length)
{
    const char *body = body_of(fixture.state, fixture.nonce, "");
    const size_t used = strlen(body);
    char *padded = xcalloc(length + 1, 1);

    memset(padded, ' ', length);
    memcpy(padded, body, used);
    free(fixture.body);
    fixture.body = padded;
    return padded;
}

static void test_body_of_64_kib_is_accepted(void)
{
    CU_ASSERT_EQUAL(
        http_post_json(fixture.client, AUTHORIZATIONS_PATH, body_of_length(65536))->status, 201);
}

static void test_body_above_64_kib_is_refused(void)
{
    assert_refusal(http_post_json(fixture.client, AUTHORIZATIONS_PATH, body_of_length(65537)), 413,
                   API_TOO_LARGE, "POST", AUTHORIZATIONS_PATH);
}

static void test_get_of_authorizations_is_refused(void)
{
    const struct http_reply *reply = http_get(fixture.client, AUTHORIZATIONS_PATH);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "POST");
    assert_refusal(reply, 405, API_METHOD_NOT_ALLOWED, "GET", AUTHORIZATIONS_PATH);
}

/* ---- approve ---- */

static char *approve_path(const char *id)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), AUTHORIZATIONS_PATH "/%s/approve", id);
    return path;
}

static const struct http_reply *approve(const char *holder_did, const char *scope)
{
    return api_approve(fixture.instance, fixture.admin, fixture.id, holder_did, scope);
}

/* The request is still open: it can be approved, and the code is good. */
static void assert_still_open(void)
{
    char code[API_CODE_SIZE] = "";
    CU_ASSERT_TRUE(reply_member(approve(HOLDER_DID, NULL), "code", code, sizeof(code)));
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, code), NULL));
}

static void test_approved_request_has_a_code(void)
{
    const int64_t before_s = wall_s();
    const struct http_reply *reply = approve(HOLDER_DID, "openid");

    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "no-store");
    parse(reply);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.json), 7);
    CU_ASSERT_STRING_EQUAL(text_member("id"), fixture.id);
    CU_ASSERT_STRING_EQUAL(text_member("holder_did"), HOLDER_DID);
    CU_ASSERT_TRUE(matches(text_member("code"), "^[A-Za-z0-9_-]{43}$"));
    const int64_t expires_s = parse_date_time(text_member("expires_at"));
    CU_ASSERT_TRUE(expires_s >= before_s + 60 && expires_s <= wall_s() + 60);
}

static void test_older_path_creates_requests_too(void)
{
    const struct http_reply *reply =
        http_post_json(fixture.client, OLDER_PATH, body_of(fixture.state, fixture.nonce, ""));

    CU_ASSERT_EQUAL(reply->status, 201);
    CU_ASSERT_TRUE(reply_member(reply, "id", fixture.id, sizeof(fixture.id)));
    CU_ASSERT_EQUAL(approve(HOLDER_DID, NULL)->status, 200);
}

static void test_older_path_refuses_with_its_own_name(void)
{
    assert_refusal(http_post_json(fixture.client, OLDER_PATH, "{}"), 400, API_INVALID_REQUEST,
                   "POST", OLDER_PATH);
    const struct http_reply *reply = http_get(fixture.client, OLDER_PATH);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "POST");
    assert_refusal(reply, 405, API_METHOD_NOT_ALLOWED, "GET", OLDER_PATH);
}

static void test_approving_without_a_secret_is_refused(void)
{
    CU_ASSERT_TRUE(is_error_reply(http_post_json(fixture.admin, approve_path(fixture.id),
                                                 "{\"holder_did\":\"" HOLDER_DID "\"}"),
                                  401, API_UNAUTHORIZED, "POST", approve_path(fixture.id)));
    assert_still_open();
}

static void assert_secret_refused(const char *secret)
{
    char headers[512];
    (void)snprintf(headers, sizeof(headers), JSON "x-client-secret: %s\r\n", secret);
    const struct http_reply *reply = http_request(fixture.admin, "POST", approve_path(fixture.id),
                                                  headers, "{\"holder_did\":\"" HOLDER_DID "\"}");

    CU_ASSERT_TRUE(is_error_reply(reply, 401, API_UNAUTHORIZED, "POST", approve_path(fixture.id)));
    CU_ASSERT_TRUE(secret[0] == '\0' || strstr(reply->body, secret) == NULL);
}

static void test_wrong_secrets_are_refused(void)
{
    char nearly[64];
    const char *secret = instance_client_secret(fixture.instance);

    assert_secret_refused("guessed");
    assert_secret_refused("");
    (void)snprintf(nearly, sizeof(nearly), "%.*s", (int)strlen(secret) - 1, secret);
    assert_secret_refused(nearly);
    (void)snprintf(nearly, sizeof(nearly), "%sx", secret);
    assert_secret_refused(nearly);
    assert_still_open();
}

static void test_wrong_secret_is_told_before_anything_else(void)
{
    /* Neither the body nor the id is looked at for who does not know it. */
    CU_ASSERT_TRUE(is_error_reply(http_request(fixture.admin, "POST", approve_path(UNKNOWN_ID),
                                               JSON "x-client-secret: wrong\r\n", "{"),
                                  401, API_UNAUTHORIZED, "POST", approve_path(UNKNOWN_ID)));
}

static void assert_id_unknown(const char *id)
{
    const struct http_reply *reply =
        api_approve(fixture.instance, fixture.admin, id, HOLDER_DID, NULL);
    CU_ASSERT_TRUE(is_error_reply(reply, 404, API_REQUEST_NOT_FOUND, "POST", approve_path(id)));
}

static void test_unknown_id_is_not_found(void)
{
    assert_id_unknown(UNKNOWN_ID);
}

static void test_malformed_ids_are_not_found(void)
{
    assert_id_unknown("1");
    assert_id_unknown("01890a5d-ac96-774b-bcce-b302099a805");
    assert_id_unknown("01890A5D-AC96-774B-BCCE-B302099A8057");
    assert_id_unknown("'%20OR%201=1%20--");
    assert_id_unknown("..");
    assert_still_open();
}

static void test_missing_and_endless_ids_are_no_path(void)
{
    char id[129];
    memset(id, 'a', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    CU_ASSERT_EQUAL(api_approve(fixture.instance, fixture.admin, "", HOLDER_DID, NULL)->status,
                    404);
    http_close(fixture.admin);
    fixture.admin = http_connect(instance_admin_port(fixture.instance));
    CU_ASSERT_EQUAL(api_approve(fixture.instance, fixture.admin, id, HOLDER_DID, NULL)->status,
                    404);
}

static void test_approving_twice_is_a_conflict(void)
{
    char code[API_CODE_SIZE] = "";

    CU_ASSERT_TRUE(reply_member(approve(HOLDER_DID, NULL), "code", code, sizeof(code)));
    CU_ASSERT_TRUE(is_error_reply(approve("did:example:other", NULL), 409, API_CONFLICT, "POST",
                                  approve_path(fixture.id)));
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, code), NULL));
    CU_ASSERT_TRUE(is_error_reply(approve(HOLDER_DID, NULL), 409, API_CONFLICT, "POST",
                                  approve_path(fixture.id)));
}

static void test_bad_dids_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "did",
        "did:",
        "did:key",
        "did:key:",
        "did::abc",
        "DID:key:abc",
        "did:KEY:abc",
        "did:key:abc:",
        "did:key:abc/path",
        "did:key:abc?query",
        "did:key:abc#fragment",
        "did:key:a b",
        " did:key:abc",
        "did:key:abc ",
        "did:key:abc\n",
        "did:key:%4",
        "did:key:\"}",
        "did:key:\xc3\xa4",
        "https://example.com",
        "did:key:\\u0041;",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CU_ASSERT_TRUE(is_error_reply(approve(bad[i], NULL), 400, API_INVALID_REQUEST, "POST",
                                      approve_path(fixture.id)));
    }
    assert_still_open();
}

static void test_did_above_its_limit_is_refused(void)
{
    char did[1024];
    memset(did, 'a', sizeof(did) - 1);
    did[sizeof(did) - 1] = '\0';
    memcpy(did, "did:key:", 8);
    CU_ASSERT_TRUE(is_error_reply(approve(did, NULL), 400, API_INVALID_REQUEST, "POST",
                                  approve_path(fixture.id)));
    did[512] = '\0';
    CU_ASSERT_EQUAL(approve(did, NULL)->status, 200);
}

static void test_bad_scopes_are_refused(void)
{
    static const char *const bad[] = { "",      " ",      " a",          "a ",   "a  b",
                                       "a\tb",  "a\nb",   "a\"b",        "a\\b", "\xc3\xa4",
                                       "a\x7f", "a\r\nb", "\xe2\x80\xae" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CU_ASSERT_TRUE(is_error_reply(approve(HOLDER_DID, bad[i]), 400, API_INVALID_REQUEST, "POST",
                                      approve_path(fixture.id)));
    }
    assert_still_open();
}

static void assert_approval_refused(int status, int code, const char *headers, const char *body)
{
    char all[256];
    (void)snprintf(all, sizeof(all), "%sx-client-secret: %s\r\n", headers,
                   instance_client_secret(fixture.instance));
    const struct http_reply *reply =
        http_request(fixture.admin, "POST", approve_path(fixture.id), all, body);
    CU_ASSERT_TRUE(is_error_reply(reply, status, code, "POST", approve_path(fixture.id)));
}

static void test_bodies_of_other_forms_are_refused(void)
{
    assert_approval_refused(400, API_INVALID_REQUEST, JSON, NULL);
    assert_approval_refused(400, API_INVALID_REQUEST, JSON, "{}");
    assert_approval_refused(400, API_INVALID_REQUEST, JSON, "{\"holder_did\":null}");
    assert_approval_refused(400, API_INVALID_REQUEST, JSON,
                            "{\"holder_did\":\"" HOLDER_DID "\",\"extra\":1}");
    assert_approval_refused(400, API_INVALID_REQUEST, JSON,
                            "{\"holder_did\":\"" HOLDER_DID "\",\"scope\":[\"a\"]}");
    assert_approval_refused(415, API_UNSUPPORTED_MEDIA, "Content-Type: text/plain\r\n",
                            "{\"holder_did\":\"" HOLDER_DID "\"}");
    http_close(fixture.admin);
    fixture.admin = http_connect(instance_admin_port(fixture.instance));
    assert_still_open();
}

static void test_getting_an_approval_is_refused(void)
{
    const char *path = approve_path(fixture.id);
    const struct http_reply *reply = http_get(fixture.admin, path);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "POST");
    CU_ASSERT_TRUE(is_error_reply(reply, 405, API_METHOD_NOT_ALLOWED, "GET", path));
    assert_still_open();
}

/* ---- two listeners ---- */

static void test_public_port_has_no_admin_paths(void)
{
    static const char *const paths[] = { "/livez", "/readyz", "/metrics" };

    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        CU_ASSERT_TRUE(
            is_error_reply(http_get(fixture.client, paths[i]), 404, API_NO_ROUTE, "GET", paths[i]));
    }
    CU_ASSERT_TRUE(
        is_error_reply(api_approve(fixture.instance, fixture.client, fixture.id, HOLDER_DID, NULL),
                       404, API_NO_ROUTE, "POST", approve_path(fixture.id)));
    http_close(fixture.client);
    fixture.client = http_connect(instance_public_port(fixture.instance));
    assert_still_open();
}

static void test_admin_port_has_no_public_paths(void)
{
    CU_ASSERT_TRUE(
        is_error_reply(http_get(fixture.admin, JWKS_PATH), 404, API_NO_ROUTE, "GET", JWKS_PATH));
    CU_ASSERT_TRUE(is_error_reply(http_get(fixture.admin, METADATA_PATH), 404, API_NO_ROUTE, "GET",
                                  METADATA_PATH));
    CU_ASSERT_TRUE(is_error_reply(http_get(fixture.admin, TOKENS_PATH), 404, API_NO_ROUTE, "GET",
                                  TOKENS_PATH));
    CU_ASSERT_TRUE(is_error_reply(http_get(fixture.admin, AUTHORIZATIONS_PATH), 404, API_NO_ROUTE,
                                  "GET", AUTHORIZATIONS_PATH));
    CU_ASSERT_TRUE(
        is_error_reply(http_get(fixture.admin, OLDER_PATH), 404, API_NO_ROUTE, "GET", OLDER_PATH));
}

/* ---- health and metrics ---- */

static void test_server_is_live_and_ready(void)
{
    CU_ASSERT_EQUAL(http_get(fixture.admin, "/livez")->status, 200);
    const struct http_reply *reply = http_get(fixture.admin, "/readyz");
    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "no-store");
}

static void test_health_takes_get_and_head_alone(void)
{
    const struct http_reply *reply = http_request(fixture.admin, "HEAD", "/readyz", NULL, NULL);
    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_TRUE(strtoul(http_header(reply, "Content-Length"), NULL, 10) > 0);
    reply = http_request(fixture.admin, "POST", "/readyz", NULL, NULL);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "GET, HEAD");
    CU_ASSERT_TRUE(is_error_reply(reply, 405, API_METHOD_NOT_ALLOWED, "POST", "/readyz"));
}

static void test_metrics_are_prometheus_text(void)
{
    static const char line_pattern[] =
        "^(# HELP [a-z_]+ [^\n]+|# TYPE [a-z_]+ (counter|gauge|histogram)|"
        "[a-z_]+(\\{[a-z_]+=\"[^\"\\]*\"(,[a-z_]+=\"[^\"\\]*\")*\\})? "
        "(-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?|[+-]Inf|NaN))$";
    const struct http_reply *reply = http_get(fixture.admin, "/metrics");
    char *rest = NULL;

    CU_ASSERT_EQUAL_FATAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), "text/plain; version=0.0.4");
    CU_ASSERT_EQUAL(reply->body[reply->body_length - 1], '\n');
    fixture.body = xstrdup(reply->body);
    for (char *line = strtok_r(fixture.body, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!matches(line, line_pattern)) {
            (void)fprintf(stderr, "no line of Prometheus text: %s\n", line);
            CU_FAIL("a line that Prometheus would not read");
        }
    }
}

/* The value of the sample whose line begins so; -1: none. */
static double sample(const char *name)
{
    const struct http_reply *reply = http_get(fixture.admin, "/metrics");
    const size_t length = strlen(name);

    for (const char *line = reply->body; line != NULL && *line != '\0';) {
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            return strtod(line + length, NULL);
        }
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return -1;
}

static void test_metrics_count_exchanges_by_result(void)
{
    static const char issued[] = "issuerd_exchanges_total{result=\"issued\"}";
    static const char spent[] = "issuerd_exchanges_total{result=\"spent_code\"}";
    static const char unknown[] = "issuerd_exchanges_total{result=\"unknown_code\"}";
    static const char invalid[] = "issuerd_exchanges_total{result=\"invalid_request\"}";
    static const char count[] = "issuerd_exchange_seconds_count";
    const double before[] = { sample(issued), sample(spent), sample(unknown), sample(invalid),
                              sample(count) };
    char code[API_CODE_SIZE] = "";

    CU_ASSERT_TRUE(api_make_code(fixture.instance, NULL, code));
    CU_ASSERT_EQUAL(api_redeem(fixture.client, code)->status, 201);
    CU_ASSERT_EQUAL(api_redeem(fixture.client, code)->status, 400);
    CU_ASSERT_EQUAL(api_redeem(fixture.client, TEXT_64)->status, 404);
    CU_ASSERT_EQUAL(api_redeem(fixture.client, TEXT_31)->status, 400);
    CU_ASSERT_EQUAL(http_post_json(fixture.client, TOKENS_PATH, "{}")->status, 400);
    CU_ASSERT_DOUBLE_EQUAL(sample(issued), before[0] + 1, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(sample(spent), before[1] + 1, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(sample(unknown), before[2] + 1, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(sample(invalid), before[3] + 2, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(sample(count), before[4] + 5, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(sample("issuerd_exchange_seconds_bucket{le=\"+Inf\"}"), before[4] + 5,
                           0.1);
}

static void test_metrics_tell_of_signer_store_and_connections(void)
{
    CU_ASSERT_TRUE(sample("issuerd_connections") >= 1);
    CU_ASSERT_TRUE(sample("issuerd_sign_seconds_count") >= 1);
    CU_ASSERT_TRUE(sample("issuerd_commit_seconds_count") >= 1);
    const struct http_reply *reply = http_get(fixture.admin, "/metrics");
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, "signer=\"main\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, "queue"));
}

/* ---- metadata ---- */

static void test_keys_are_published_without_private_members(void)
{
    const struct http_reply *reply = http_get(fixture.client, JWKS_PATH);

    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), "application/json");
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "public, max-age=300");
    parse(reply);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.json), 1);
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(fixture.json, "keys");
    CU_ASSERT_EQUAL(cJSON_GetArraySize(keys), 1);
    static const char *const names[] = { "kty", "use", "alg", "kid", "crv", "x", "y" };
    const cJSON *key = cJSON_GetArrayItem(keys, 0);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(key), COUNT_OF(names));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CU_ASSERT_TRUE(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(key, names[i])));
    }
}

static const struct http_reply *get_if_none_match(const char *tag)
{
    char headers[512];
    (void)snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", tag);
    return http_request(fixture.client, "GET", JWKS_PATH, headers, NULL);
}

static void test_keys_that_are_known_are_not_sent_again(void)
{
    char tag[128];
    char tags[256];
    const char *given = http_header(http_get(fixture.client, JWKS_PATH), "ETag");
    (void)snprintf(tag, sizeof(tag), "%s", given);
    CU_ASSERT_TRUE(matches(tag, "^\"[!#-~]+\"$"));

    const struct http_reply *reply = get_if_none_match(tag);
    CU_ASSERT_EQUAL(reply->status, 304);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "ETag"), tag);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "public, max-age=300");
    (void)snprintf(tags, sizeof(tags), "\"other\", W/%s", tag);
    CU_ASSERT_EQUAL(get_if_none_match(tags)->status, 304);
    CU_ASSERT_EQUAL(get_if_none_match("*")->status, 304);
    CU_ASSERT_EQUAL(get_if_none_match("\"other\"")->status, 200);
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
}

static void test_head_of_the_keys_has_the_headers_of_get(void)
{
    char tag[128];
    const struct http_reply *reply = http_get(fixture.client, JWKS_PATH);
    const size_t length = reply->body_length;
    (void)snprintf(tag, sizeof(tag), "%s", http_header(reply, "ETag"));

    reply = http_request(fixture.client, "HEAD", JWKS_PATH, NULL, NULL);
    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "ETag"), tag);
    CU_ASSERT_EQUAL(strtoul(http_header(reply, "Content-Length"), NULL, 10), length);
    CU_ASSERT_TRUE(http_is_quiet(fixture.client, 100)); /* no body followed */
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
}

static void test_posting_keys_is_refused(void)
{
    const struct http_reply *reply = http_request(fixture.client, "POST", JWKS_PATH, NULL, NULL);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "GET, HEAD");
    assert_refusal(reply, 405, API_METHOD_NOT_ALLOWED, "POST", JWKS_PATH);
}

static void test_metadata_names_issuer_and_endpoints(void)
{
    const struct http_reply *reply = http_get(fixture.client, METADATA_PATH);

    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), "application/json");
    parse(reply);
    CU_ASSERT_STRING_EQUAL(text_member("credential_issuer"), "https://issuer.example");
    CU_ASSERT_STRING_EQUAL(text_member("token_endpoint"), "https://issuer.example/api/v1/tokens");
    CU_ASSERT_STRING_EQUAL(text_member("authorize_endpoint"),
                           "https://issuer.example/api/v1/authorizations");
    CU_ASSERT_STRING_EQUAL(text_member("credential_endpoint"), "https://credentials.example/c");
    CU_ASSERT_FALSE(cJSON_HasObjectItem(fixture.json, "schema_endpoint"));
    const cJSON *display =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(fixture.json, "display"), 0);
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(display, "name")),
                           "An Issuer");
}

/* ---- the bound on open requests ---- */

static struct instance *other; /* the test's own server */

static void end_other(void)
{
    close_both();
    instance_free(take(other));
}

static void test_requests_above_the_bound_are_refused_until_one_is_approved(void)
{
    static const char *const settings[] = { "store.max_open_requests=3", NULL };
    char ids[3][API_ID_SIZE];
    char id[API_ID_SIZE];

    other = instance_new(settings);
    CU_ASSERT_TRUE_FATAL(instance_start(other));
    fixture.client = http_connect(instance_public_port(other));
    fixture.admin = http_connect(instance_admin_port(other));
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        CU_ASSERT_TRUE(api_create(fixture.client, ids[i]));
    }
    api_random_text(fixture.state);
    const struct http_reply *reply = create(fixture.state, fixture.state, "");
    CU_ASSERT_TRUE(is_error_reply(reply, 503, API_OVERLOADED, "POST", AUTHORIZATIONS_PATH));
    CU_ASSERT_TRUE(strtol(http_header(reply, "Retry-After"), NULL, 10) >= 1);

    CU_ASSERT_EQUAL(api_approve(other, fixture.admin, ids[0], HOLDER_DID, NULL)->status, 200);
    CU_ASSERT_TRUE(api_create(fixture.client, id));
    CU_ASSERT_FALSE(api_create(fixture.client, id));
    CU_ASSERT_EQUAL(instance_stop(other, 30), 0);
}

int main(void)
{
    static const char *const settings[] = {
        "metadata.credential_endpoint=https://credentials.example/c",
        "metadata.display_name=An Issuer", NULL
    };
    CU_TestInfo tests[] = {
        { "a request is created", test_request_is_created },
        { "a presentation definition is given back", test_presentation_definition_is_given_back },
        { "32 and 64 characters are accepted", test_32_and_64_characters_are_accepted },
        { "a state of 31 characters is refused", test_state_of_31_characters_is_refused },
        { "a state of 65 characters is refused", test_state_of_65_characters_is_refused },
        { "a nonce of 31 characters is refused", test_nonce_of_31_characters_is_refused },
        { "a nonce of 65 characters is refused", test_nonce_of_65_characters_is_refused },
        { "characters outside the alphabet are refused",
          test_characters_outside_the_alphabet_are_refused },
        { "missing members are refused", test_missing_members_are_refused },
        { "wrong types are refused", test_wrong_types_are_refused },
        { "extra and duplicate members are refused", test_extra_and_duplicate_members_are_refused },
        { "the same pair of state and nonce is refused",
          test_same_pair_of_state_and_nonce_is_refused },
        { "a body of 64 KiB is accepted", test_body_of_64_kib_is_accepted },
        { "a body above 64 KiB is refused", test_body_above_64_kib_is_refused },
        { "GET of authorizations is refused", test_get_of_authorizations_is_refused },
        { "an approved request has a code", test_approved_request_has_a_code },
        { "the older path creates requests too", test_older_path_creates_requests_too },
        { "the older path refuses with its own name", test_older_path_refuses_with_its_own_name },
        { "approving without a secret is refused", test_approving_without_a_secret_is_refused },
        { "wrong secrets are refused", test_wrong_secrets_are_refused },
        { "a wrong secret is told before anything else",
          test_wrong_secret_is_told_before_anything_else },
        { "an unknown id is not found", test_unknown_id_is_not_found },
        { "malformed ids are not found", test_malformed_ids_are_not_found },
        { "a missing or endless id is no path", test_missing_and_endless_ids_are_no_path },
        { "approving twice is a conflict", test_approving_twice_is_a_conflict },
        { "bad DIDs are refused", test_bad_dids_are_refused },
        { "a DID above its limit is refused", test_did_above_its_limit_is_refused },
        { "bad scopes are refused", test_bad_scopes_are_refused },
        { "bodies of other forms are refused", test_bodies_of_other_forms_are_refused },
        { "getting an approval is refused", test_getting_an_approval_is_refused },
        { "the public port has no admin paths", test_public_port_has_no_admin_paths },
        { "the admin port has no public paths", test_admin_port_has_no_public_paths },
        { "the server is live and ready", test_server_is_live_and_ready },
        { "health takes GET and HEAD alone", test_health_takes_get_and_head_alone },
        { "metrics are Prometheus text", test_metrics_are_prometheus_text },
        { "metrics count exchanges by result", test_metrics_count_exchanges_by_result },
        { "metrics tell of signer, store and connections",
          test_metrics_tell_of_signer_store_and_connections },
        { "keys are published without private members",
          test_keys_are_published_without_private_members },
        { "keys that are known are not sent again", test_keys_that_are_known_are_not_sent_again },
        { "HEAD of the keys has the headers of GET", test_head_of_the_keys_has_the_headers_of_get },
        { "posting keys is refused", test_posting_keys_is_refused },
        { "metadata names the issuer and its endpoints", test_metadata_names_issuer_and_endpoints },
        CU_TEST_INFO_NULL,
    };
    CU_TestInfo other_tests[] = {
        { "requests above the bound are refused until one is approved",
          test_requests_above_the_bound_are_refused_until_one_is_approved },
        CU_TEST_INFO_NULL,
    };

    fixture.instance = instance_new(settings);
    if (!instance_start(fixture.instance)) {
        return 1;
    }
    int failed = run_suite("authorizations", connect_both, close_both, tests);
    const int status = instance_stop(fixture.instance, 30);
    instance_free(fixture.instance);
    failed |= run_suite("the bound on open requests", NULL, end_other, other_tests);
    return failed != 0 || status != 0;
}
