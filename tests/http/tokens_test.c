/* POST /api/v1/tokens to the letter of token.openapi.json, and all that it refuses. After every
 * refusal the code that the test holds is still good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/run.h"

#define JSON "Content-Type: application/json\r\n"
#define OLDER_PATH "/api/v1/connect/token"
#define OFFENDING "offending" /* part of what is refused: no answer may repeat it */

static struct {
    struct instance *instance;
    struct http_client *client;
    char code[API_CODE_SIZE]; /* fresh for every test */
    char token[API_TOKEN_SIZE];
    char *text;
    cJSON *part;
} fixture;

static void open_client(void)
{
    fixture.client = http_connect(instance_public_port(fixture.instance));
    if (!api_make_code(fixture.instance, NULL, fixture.code)) {
        fixture.code[0] = '\0';
    }
}

static void close_client(void)
{
    http_close(take(fixture.client));
    free(take(fixture.text));
    cJSON_Delete(take(fixture.part));
}

/* ---- what a token is ---- */

static void test_code_is_traded_for_a_token(void)
{
    const struct http_reply *reply = api_redeem(fixture.client, fixture.code);

    CU_ASSERT_TRUE(is_token_reply(reply, fixture.token));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, "\"expires_in\":3600"));
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Connection"), "");
}

static void test_older_path_trades_codes_too(void)
{
    char body[256];

    (void)snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\"}", fixture.code);
    CU_ASSERT_TRUE(is_token_reply(http_post_json(fixture.client, OLDER_PATH, body), NULL));
    CU_ASSERT_TRUE(is_error_reply(api_redeem(fixture.client, fixture.code), 400, API_CODE_GONE,
                                  "POST", TOKENS_PATH));
    CU_ASSERT_TRUE(is_error_reply(http_post_json(fixture.client, OLDER_PATH, body), 400,
                                  API_CODE_GONE, "POST", OLDER_PATH));
    CU_ASSERT_TRUE(is_error_reply(http_get(fixture.client, OLDER_PATH), 405, API_METHOD_NOT_ALLOWED,
                                  "GET", OLDER_PATH));
}

static void test_token_verifies_with_the_published_keys(void)
{
    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), fixture.token));
    const struct http_reply *jwks = http_get(fixture.client, "/.well-known/jwks.json");

    CU_ASSERT_EQUAL(jwks->status, 200);
    CU_ASSERT_TRUE(token_verifies(fixture.token, jwks->body));
}

static void test_changed_token_does_not_verify(void)
{
    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), fixture.token));
    const struct http_reply *jwks = http_get(fixture.client, "/.well-known/jwks.json");
    char *payload = strchr(fixture.token, '.') + 10;

    *payload = *payload == 'A' ? 'B' : 'A';
    CU_ASSERT_FALSE(token_verifies(fixture.token, jwks->body));
}

static const char *text_member(const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fixture.part, name));
    return text != NULL ? text : "";
}

static int64_t number_member(const char *name)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(fixture.part, name);
    return cJSON_IsNumber(number) ? (int64_t)number->valuedouble : -1;
}

static void test_header_has_alg_kid_and_typ_alone(void)
{
    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), fixture.token));
    fixture.part = token_part(fixture.token, 0);

    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.part), 3);
    CU_ASSERT_STRING_EQUAL(text_member("alg"), "ES256");
    CU_ASSERT_STRING_EQUAL(text_member("typ"), "at+jwt");
    CU_ASSERT_EQUAL(strlen(text_member("kid")), 43);
}

static void test_claims_are_those_of_the_request(void)
{
    const int64_t before_s = wall_s();
    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), fixture.token));
    fixture.part = token_part(fixture.token, 1);
    const int64_t issued_s = number_member("iat");

    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.part), 8);
    CU_ASSERT_STRING_EQUAL(text_member("iss"), "https://issuer.example");
    CU_ASSERT_STRING_EQUAL(text_member("aud"), "https://issuer.example");
    CU_ASSERT_STRING_EQUAL(text_member("sub"), HOLDER_DID);
    CU_ASSERT_STRING_EQUAL(text_member("client_id"), HOLDER_DID);
    CU_ASSERT_TRUE(issued_s >= before_s && issued_s <= wall_s());
    CU_ASSERT_EQUAL(number_member("nbf"), issued_s);
    CU_ASSERT_EQUAL(number_member("exp"), issued_s + 3600);
    CU_ASSERT_TRUE(strlen(text_member("jti")) >= 22);
}

static void test_scope_is_a_claim_when_approved_with_one(void)
{
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, "openid credentials:read", fixture.code));
    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), fixture.token));
    fixture.part = token_part(fixture.token, 1);

    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.part), 9);
    CU_ASSERT_STRING_EQUAL(text_member("scope"), "openid credentials:read");
}

/* ---- bodies that are accepted, however odd ---- */

/* The template with the fixture's code for every '@'. Lives until the next call. */
static const char *filled(const char *template)
{
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);

    for (; *template != '\0'; template ++) {
        if (*template == '@') {
            fputs(fixture.code, stream);
        } else {
            fputc(*template, stream);
        }
    }
    fclose(stream);
    free(fixture.text);
    fixture.text = out;
    return out;
}

static bool is_accepted(const char *target, const char *headers, const char *template)
{
    return is_token_reply(http_request(fixture.client, "POST", target, headers, filled(template)),
                          NULL);
}

static void test_white_space_and_escapes_are_json_too(void)
{
    char template[128];

    /* "\u0061uthorization_code" is "authorization_code" */
    (void)snprintf(template, sizeof(template),
                   " {\r\n\t\"\\u0061uthorization_code\" : \"\\u%04x%.62s\" } ", fixture.code[0],
                   fixture.code + 1);
    CU_ASSERT_TRUE(is_accepted(TOKENS_PATH, JSON, template));
}

static void test_charset_utf_8_is_accepted(void)
{
    CU_ASSERT_TRUE(is_accepted(TOKENS_PATH, "content-type: Application/JSON; charset=UTF-8\r\n",
                               "{\"authorization_code\":\"@\"}"));
}

static void test_a_query_is_not_looked_at(void)
{
    CU_ASSERT_TRUE(is_accepted(TOKENS_PATH "?authorization_code=" OFFENDING, JSON,
                               "{\"authorization_code\":\"@\"}"));
}

/* A body of the fixture's code, padded with blanks to that many bytes. */
static const char *padded(size_t length)
{
    static char body[8192];
    const int used = snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\"}", fixture.code);
    memset(body + used, ' ', length - (size_t)used);
    body[length] = '\0';
    return body;
}

static void test_body_of_4_kib_is_accepted(void)
{
    CU_ASSERT_TRUE(is_token_reply(http_post_json(fixture.client, TOKENS_PATH, padded(4096)), NULL));
}

/* ---- refusals ---- */

/* The connection serves on, unless the reply announced its end: then it has ended. */
static bool code_is_still_good(bool was_closed)
{
    if (was_closed) {
        if (!http_is_closed_by_server(fixture.client)) {
            return false;
        }
        http_close(fixture.client);
        fixture.client = http_connect(instance_public_port(fixture.instance));
    }
    return is_token_reply(api_redeem(fixture.client, fixture.code), NULL);
}

static bool announces_close(const struct http_reply *reply)
{
    return strcmp(http_header(reply, "Connection"), "close") == 0;
}

static void assert_refusal(const struct http_reply *reply, int status, int code, const char *method,
                           const char *path)
{
    CU_ASSERT_TRUE(is_error_reply(reply, status, code, method, path));
    CU_ASSERT_PTR_NULL(strstr(reply->body, OFFENDING));
    CU_ASSERT_PTR_NULL(strstr(reply->head, OFFENDING));
    CU_ASSERT_PTR_NULL(strstr(reply->body, fixture.code));
    CU_ASSERT_TRUE(code_is_still_good(announces_close(reply)));
}

static void assert_type_refused(const char *headers)
{
    assert_refusal(http_request(fixture.client, "POST", TOKENS_PATH, headers,
                                filled("{\"authorization_code\":\"@\"}")),
                   415, API_UNSUPPORTED_MEDIA, "POST", TOKENS_PATH);
}

static void assert_body_refused(const char *template)
{
    assert_refusal(http_request(fixture.client, "POST", TOKENS_PATH, JSON, filled(template)), 400,
                   API_INVALID_REQUEST, "POST", TOKENS_PATH);
}

static void test_no_body_is_refused(void)
{
    assert_refusal(http_request(fixture.client, "POST", TOKENS_PATH, JSON, NULL), 400,
                   API_INVALID_REQUEST, "POST", TOKENS_PATH);
}

static void test_empty_body_is_refused(void)
{
    assert_body_refused("");
}

static void test_what_is_not_json_is_refused(void)
{
    assert_body_refused("authorization_code=@");
}

static void test_truncated_json_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\"");
}

static void test_what_follows_the_object_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\"}{}");
}

static void test_wrong_content_type_is_refused(void)
{
    assert_type_refused("Content-Type: text/" OFFENDING "\r\n");
}

static void test_form_content_type_is_refused(void)
{
    assert_type_refused("Content-Type: application/x-www-form-urlencoded\r\n");
}

static void test_content_type_that_begins_like_json_is_refused(void)
{
    assert_type_refused("Content-Type: application/jsonp\r\n");
}

static void test_charset_other_than_utf_8_is_refused(void)
{
    assert_type_refused("Content-Type: application/json; charset=utf-16\r\n");
}

static void test_missing_content_type_is_refused(void)
{
    assert_type_refused(NULL);
}

static void test_missing_member_is_refused(void)
{
    assert_body_refused("{}");
}

static void test_member_in_other_case_is_refused(void)
{
    assert_body_refused("{\"Authorization_Code\":\"@\"}");
}

static void test_extra_member_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\",\"" OFFENDING "\":1}");
}

static void test_duplicate_member_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\",\"authorization_code\":\"@\"}");
}

static void test_escaped_duplicate_member_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\",\"authorization\\u005fcode\":\"@\"}");
}

static void test_number_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":12345678901234567890123456789012}");
}

static void test_null_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":null}");
}

static void test_true_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":true}");
}

static void test_array_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":[\"@\"]}");
}

static void test_object_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":{\"authorization_code\":\"@\"}}");
}

static void test_top_level_array_is_refused(void)
{
    assert_body_refused("[{\"authorization_code\":\"@\"}]");
}

static void test_top_level_string_is_refused(void)
{
    assert_body_refused("\"@\"");
}

static void test_empty_code_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"\"}");
}

/* A body with a code of that many characters, the last of them `last`. */
static const char *code_of(size_t length, const char *last)
{
    static char body[512];
    char code[256];

    memset(code, 'x', length);
    memcpy(code, OFFENDING, strlen(OFFENDING));
    code[length - 1] = '\0';
    (void)snprintf(body, sizeof(body), "{\"authorization_code\":\"%s%s\"}", code, last);
    return body;
}

static void test_code_of_31_characters_is_refused(void)
{
    assert_body_refused(code_of(31, "x"));
}

static void test_code_of_129_characters_is_refused(void)
{
    assert_body_refused(code_of(129, "x"));
}

static void test_characters_outside_the_alphabet_are_refused(void)
{
    static const char *const characters[] = { "+",   "/",       "=",        ".",    " ", "~", "%41",
                                              "\\n", "\\u00e4", "\xc3\xa4", "\\\"", "'", ";" };
    for (size_t i = 0; i < COUNT_OF(characters); i++) {
        const struct http_reply *reply =
            http_post_json(fixture.client, TOKENS_PATH, code_of(43, characters[i]));
        CU_ASSERT_TRUE(is_error_reply(reply, 400, API_INVALID_REQUEST, "POST", TOKENS_PATH));
        CU_ASSERT_PTR_NULL(strstr(reply->body, OFFENDING));
    }
    assert_body_refused(code_of(43, "*"));
}

static void test_byte_order_mark_is_refused(void)
{
    assert_body_refused("\xef\xbb\xbf{\"authorization_code\":\"@\"}");
}

static void test_nul_escape_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\\u0000" OFFENDING "\"}");
}

static void test_nul_byte_is_refused(void)
{
    char request[512];
    char body[128];
    const int body_length =
        snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\"}", fixture.code) + 1;
    const int length =
        snprintf(request, sizeof(request),
                 "POST " TOKENS_PATH " HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: %d\r\n\r\n%s",
                 body_length, body);

    CU_ASSERT_TRUE(http_send(fixture.client, request, (size_t)length + 1));
    assert_refusal(http_receive(fixture.client, "POST"), 400, API_INVALID_REQUEST, "POST",
                   TOKENS_PATH);
}

static void test_invalid_utf_8_is_refused(void)
{
    assert_body_refused("{\"authorization_code\":\"@\xc0\xaf\"}");
}

static void test_deep_nesting_is_refused(void)
{
    char body[4001];
    memset(body, '[', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    assert_body_refused(body);
}

static void assert_too_large(size_t length)
{
    assert_refusal(http_post_json(fixture.client, TOKENS_PATH, padded(length)), 413, API_TOO_LARGE,
                   "POST", TOKENS_PATH);
}

static void test_body_of_4_kib_and_a_byte_is_refused(void)
{
    assert_too_large(4097);
}

static void test_body_of_5_kib_is_refused(void)
{
    assert_too_large(5 * 1024);
}

static void test_body_announced_as_endless_is_refused(void)
{
    CU_ASSERT_TRUE(http_send_text(fixture.client,
                                  "POST " TOKENS_PATH " HTTP/1.1\r\nHost: a\r\n" JSON
                                  "Content-Length: 18446744073709551615\r\n\r\n{"));
    const struct http_reply *reply = http_receive(fixture.client, "POST");
    CU_ASSERT_TRUE(reply->status == 413 || reply->status == 400);
    CU_ASSERT_TRUE(code_is_still_good(true));
}

/* ---- codes that are well-formed, and no good ---- */

static void assert_unknown(const char *body)
{
    assert_refusal(http_post_json(fixture.client, TOKENS_PATH, body), 404, API_CODE_UNKNOWN, "POST",
                   TOKENS_PATH);
}

static void test_unknown_code_of_43_characters_is_not_found(void)
{
    assert_unknown(code_of(43, "x"));
}

static void test_unknown_code_of_32_characters_is_not_found(void)
{
    assert_unknown(code_of(32, "-"));
}

static void test_unknown_code_of_128_characters_is_not_found(void)
{
    assert_unknown(code_of(128, "_"));
}

static void test_code_with_a_changed_character_is_not_found(void)
{
    char other[API_CODE_SIZE];

    memcpy(other, fixture.code, sizeof(other));
    other[5] = other[5] == 'A' ? 'B' : 'A';
    CU_ASSERT_TRUE(is_error_reply(api_redeem(fixture.client, other), 404, API_CODE_UNKNOWN, "POST",
                                  TOKENS_PATH));
    CU_ASSERT_TRUE(code_is_still_good(false));
}

static void test_spent_code_is_refused(void)
{
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
    for (int i = 0; i < 3; i++) {
        const struct http_reply *reply = api_redeem(fixture.client, fixture.code);
        CU_ASSERT_TRUE(is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH));
        CU_ASSERT_PTR_NULL(strstr(reply->body, fixture.code));
    }
}

/* ---- methods and paths ---- */

static void assert_method_refused(const char *method)
{
    const struct http_reply *reply = http_request(fixture.client, method, TOKENS_PATH, NULL, NULL);

    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "POST");
    assert_refusal(reply, 405, API_METHOD_NOT_ALLOWED, method, TOKENS_PATH);
}

static void test_get_is_refused(void)
{
    assert_method_refused("GET");
}

static void test_put_is_refused(void)
{
    assert_method_refused("PUT");
}

static void test_delete_is_refused(void)
{
    assert_method_refused("DELETE");
}

static void test_options_is_refused(void)
{
    assert_method_refused("OPTIONS");
}

static void test_trace_is_refused(void)
{
    assert_method_refused("TRACE");
}

static void test_method_in_lower_case_is_refused(void)
{
    assert_method_refused("post");
}

static void test_method_that_nobody_knows_is_refused(void)
{
    assert_method_refused("BREW");
}

static void test_head_is_refused_without_a_body(void)
{
    const struct http_reply *reply = http_request(fixture.client, "HEAD", TOKENS_PATH, NULL, NULL);

    CU_ASSERT_EQUAL(reply->status, 405);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Allow"), "POST");
    CU_ASSERT_TRUE(code_is_still_good(announces_close(reply)));
}

static void test_put_with_a_code_is_refused(void)
{
    assert_refusal(http_request(fixture.client, "PUT", TOKENS_PATH, JSON,
                                filled("{\"authorization_code\":\"@\"}")),
                   405, API_METHOD_NOT_ALLOWED, "PUT", TOKENS_PATH);
}

static void test_method_override_is_not_looked_at(void)
{
    assert_refusal(http_request(fixture.client, "PUT", TOKENS_PATH,
                                JSON "X-HTTP-Method-Override: POST\r\n",
                                filled("{\"authorization_code\":\"@\"}")),
                   405, API_METHOD_NOT_ALLOWED, "PUT", TOKENS_PATH);
}

static void test_code_in_the_query_of_a_get_is_refused(void)
{
    char target[256];
    (void)snprintf(target, sizeof(target), TOKENS_PATH "?authorization_code=%s", fixture.code);
    assert_refusal(http_get(fixture.client, target), 405, API_METHOD_NOT_ALLOWED, "GET",
                   TOKENS_PATH);
}

static void test_code_in_the_query_of_a_post_is_refused(void)
{
    char target[256];
    (void)snprintf(target, sizeof(target), TOKENS_PATH "?authorization_code=%s", fixture.code);
    assert_refusal(http_request(fixture.client, "POST", target, JSON, NULL), 400,
                   API_INVALID_REQUEST, "POST", TOKENS_PATH);
}

static void test_code_in_a_header_is_refused(void)
{
    char headers[256];
    (void)snprintf(headers, sizeof(headers),
                   JSON "authorization_code: %s\r\nCookie: authorization_code=%s\r\n", fixture.code,
                   fixture.code);
    assert_refusal(http_request(fixture.client, "POST", TOKENS_PATH, headers, "{}"), 400,
                   API_INVALID_REQUEST, "POST", TOKENS_PATH);
}

static void assert_path_unknown(const char *path)
{
    assert_refusal(
        http_request(fixture.client, "POST", path, JSON, filled("{\"authorization_code\":\"@\"}")),
        404, API_NO_ROUTE, "POST", path);
}

static void test_wrong_path_is_not_found(void)
{
    assert_path_unknown("/api/v1/token");
}

static void test_trailing_slash_is_not_found(void)
{
    assert_path_unknown(TOKENS_PATH "/");
}

static void test_other_spellings_of_the_path_are_not_found(void)
{
    assert_path_unknown("/api/v1/Tokens");
}

static void test_doubled_slash_is_not_found(void)
{
    assert_path_unknown("/api/v1//tokens");
}

static void test_dot_segments_are_not_found(void)
{
    assert_path_unknown("/api/v1/x/../tokens");
}

static void test_escaped_path_is_not_found(void)
{
    assert_path_unknown("/api/v1/%74okens");
}

static void test_escaped_nul_in_the_path_is_not_found(void)
{
    assert_path_unknown(TOKENS_PATH "%00");
}

static void test_quotes_in_the_path_are_escaped_in_the_answer(void)
{
    assert_path_unknown("/\"},\"code\":\"\\");
}

/* ---- other configurations ---- */

static struct instance *other; /* a test's own server; ended by end_other() */

static void end_other(void)
{
    close_client();
    instance_free(take(other));
}

static void start_other(const char *const *settings)
{
    other = instance_new(settings);
    http_close(take(fixture.client));
    fixture.code[0] = '\0';
    if (instance_start(other)) {
        fixture.client = http_connect(instance_public_port(other));
        (void)!api_make_code(other, NULL, fixture.code);
    }
}

static void test_expired_code_is_refused(void)
{
    static const char *const settings[] = { "tokens.code_lifetime_s=1", NULL };

    start_other(settings);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_NOT_EQUAL(fixture.code[0], '\0');
    (void)sleep(2);
    const struct http_reply *reply = api_redeem(fixture.client, fixture.code);
    CU_ASSERT_TRUE(is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH));
    CU_ASSERT_PTR_NULL(strstr(reply->body, fixture.code));
    CU_ASSERT_TRUE(api_serves(other));
    CU_ASSERT_EQUAL(instance_stop(other, 30), 0);
}

static void test_lifetime_and_audience_are_the_configured_ones(void)
{
    static const char *const settings[] = { "tokens.lifetime_s=120",
                                            "tokens.audience=https://credentials.example", NULL };

    start_other(settings);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    const struct http_reply *reply = api_redeem(fixture.client, fixture.code);
    CU_ASSERT_TRUE_FATAL(is_token_reply(reply, fixture.token));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, "\"expires_in\":120}"));
    fixture.part = token_part(fixture.token, 1);
    CU_ASSERT_STRING_EQUAL(text_member("aud"), "https://credentials.example");
    CU_ASSERT_EQUAL(number_member("exp"), number_member("iat") + 120);
    CU_ASSERT_EQUAL(instance_stop(other, 30), 0);
}

static void test_spent_code_is_refused_after_a_restart(void)
{
    start_other(NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
    instance_kill(other);
    CU_ASSERT_TRUE_FATAL(instance_start(other));
    http_close(fixture.client);
    fixture.client = http_connect(instance_public_port(other));
    CU_ASSERT_TRUE(is_error_reply(api_redeem(fixture.client, fixture.code), 400, API_CODE_GONE,
                                  "POST", TOKENS_PATH));
    CU_ASSERT_EQUAL(instance_stop(other, 30), 0);
}

static void test_code_is_good_after_a_restart(void)
{
    start_other(NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    instance_kill(other);
    CU_ASSERT_TRUE_FATAL(instance_start(other));
    http_close(fixture.client);
    fixture.client = http_connect(instance_public_port(other));
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
    CU_ASSERT_EQUAL(instance_stop(other, 30), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a code is traded for a token", test_code_is_traded_for_a_token },
        { "the older path trades codes too", test_older_path_trades_codes_too },
        { "a token verifies with the published keys", test_token_verifies_with_the_published_keys },
        { "a changed token does not verify", test_changed_token_does_not_verify },
        { "a token's header has alg, kid and typ alone", test_header_has_alg_kid_and_typ_alone },
        { "a token's claims are those of the request", test_claims_are_those_of_the_request },
        { "scope is a claim when approved with one", test_scope_is_a_claim_when_approved_with_one },
        { "white space and escapes are JSON too", test_white_space_and_escapes_are_json_too },
        { "charset=utf-8 is accepted", test_charset_utf_8_is_accepted },
        { "a query is not looked at", test_a_query_is_not_looked_at },
        { "a body of 4 KiB is accepted", test_body_of_4_kib_is_accepted },
        { "no body is refused", test_no_body_is_refused },
        { "an empty body is refused", test_empty_body_is_refused },
        { "what is not JSON is refused", test_what_is_not_json_is_refused },
        { "truncated JSON is refused", test_truncated_json_is_refused },
        { "what follows the object is refused", test_what_follows_the_object_is_refused },
        { "a wrong content type is refused", test_wrong_content_type_is_refused },
        { "a form's content type is refused", test_form_content_type_is_refused },
        { "a content type that begins like JSON's is refused",
          test_content_type_that_begins_like_json_is_refused },
        { "a charset other than UTF-8 is refused", test_charset_other_than_utf_8_is_refused },
        { "a missing content type is refused", test_missing_content_type_is_refused },
        { "a missing member is refused", test_missing_member_is_refused },
        { "a member in other case is refused", test_member_in_other_case_is_refused },
        { "an extra member is refused", test_extra_member_is_refused },
        { "a duplicate member is refused", test_duplicate_member_is_refused },
        { "a duplicate member in disguise is refused", test_escaped_duplicate_member_is_refused },
        { "a number is refused", test_number_is_refused },
        { "null is refused", test_null_is_refused },
        { "true is refused", test_true_is_refused },
        { "an array is refused", test_array_is_refused },
        { "an object is refused", test_object_is_refused },
        { "an array around it all is refused", test_top_level_array_is_refused },
        { "a bare string is refused", test_top_level_string_is_refused },
        { "an empty code is refused", test_empty_code_is_refused },
        { "a code of 31 characters is refused", test_code_of_31_characters_is_refused },
        { "a code of 129 characters is refused", test_code_of_129_characters_is_refused },
        { "characters outside the alphabet are refused",
          test_characters_outside_the_alphabet_are_refused },
        { "a byte order mark is refused", test_byte_order_mark_is_refused },
        { "an escaped NUL is refused", test_nul_escape_is_refused },
        { "a NUL byte is refused", test_nul_byte_is_refused },
        { "invalid UTF-8 is refused", test_invalid_utf_8_is_refused },
        { "deep nesting is refused", test_deep_nesting_is_refused },
        { "a body of 4 KiB and a byte is refused", test_body_of_4_kib_and_a_byte_is_refused },
        { "a body of 5 KiB is refused", test_body_of_5_kib_is_refused },
        { "a body announced as endless is refused", test_body_announced_as_endless_is_refused },
        { "an unknown code of 43 characters is not found",
          test_unknown_code_of_43_characters_is_not_found },
        { "an unknown code of 32 characters is not found",
          test_unknown_code_of_32_characters_is_not_found },
        { "an unknown code of 128 characters is not found",
          test_unknown_code_of_128_characters_is_not_found },
        { "a code with a changed character is not found",
          test_code_with_a_changed_character_is_not_found },
        { "a spent code is refused", test_spent_code_is_refused },
        { "GET is refused", test_get_is_refused },
        { "PUT is refused", test_put_is_refused },
        { "DELETE is refused", test_delete_is_refused },
        { "OPTIONS is refused", test_options_is_refused },
        { "TRACE is refused", test_trace_is_refused },
        { "a method in lower case is refused", test_method_in_lower_case_is_refused },
        { "a method that nobody knows is refused", test_method_that_nobody_knows_is_refused },
        { "HEAD is refused without a body", test_head_is_refused_without_a_body },
        { "PUT with a good code is refused", test_put_with_a_code_is_refused },
        { "a method override is not looked at", test_method_override_is_not_looked_at },
        { "a code in the query of a GET is refused", test_code_in_the_query_of_a_get_is_refused },
        { "a code in the query of a POST is refused", test_code_in_the_query_of_a_post_is_refused },
        { "a code in a header is refused", test_code_in_a_header_is_refused },
        { "a wrong path is not found", test_wrong_path_is_not_found },
        { "a trailing slash is not found", test_trailing_slash_is_not_found },
        { "other spellings of the path are not found",
          test_other_spellings_of_the_path_are_not_found },
        { "a doubled slash is not found", test_doubled_slash_is_not_found },
        { "dot segments are not found", test_dot_segments_are_not_found },
        { "an escaped path is not found", test_escaped_path_is_not_found },
        { "an escaped NUL in the path is not found", test_escaped_nul_in_the_path_is_not_found },
        { "quotes in the path are escaped in the answer",
          test_quotes_in_the_path_are_escaped_in_the_answer },
        CU_TEST_INFO_NULL,
    };
    CU_TestInfo other_tests[] = {
        { "an expired code is refused", test_expired_code_is_refused },
        { "lifetime and audience are the configured ones",
          test_lifetime_and_audience_are_the_configured_ones },
        { "a spent code is refused after a restart", test_spent_code_is_refused_after_a_restart },
        { "a code is good after a restart", test_code_is_good_after_a_restart },
        CU_TEST_INFO_NULL,
    };

    fixture.instance = instance_new(NULL);
    if (!instance_start(fixture.instance)) {
        return 1;
    }
    int failed = run_suite("tokens", open_client, close_client, tests);
    const int status = instance_stop(fixture.instance, 30);
    instance_free(fixture.instance);
    failed |= run_suite("tokens of other configurations", NULL, end_other, other_tests);
    return failed != 0 || status != 0;
}
