/*
 * HTTP messages that two readers could read in two ways, that never end, or that come in an unusual
 * manner (RFC 9112). Whatever was sent, one request gets one answer, nothing of a refused one is
 * acted upon, and the code that the test holds is still good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "support/api.h"
#include "support/run.h"

#define HOST "Host: issuer.example\r\n"
#define JSON "Content-Type: application/json\r\n"
#define LENGTH "Content-Length: #\r\n" /* of BODY */
#define BODY "{\"authorization_code\":\"@\"}"
#define POST_TOKENS "POST " TOKENS_PATH " HTTP/1.1\r\n"
#define JWKS_PATH "/.well-known/jwks.json"
#define GET_JWKS "GET " JWKS_PATH " HTTP/1.1\r\n" HOST "\r\n"

static struct {
    struct instance *instance;
    struct http_client *client;
    char code[API_CODE_SIZE]; /* fresh for every test */
    char *text;
    size_t text_length;
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
}

/* The template with the fixture's code for '@', the length of BODY for '#' and a NUL for '~'. Lives
 * until the next call. */
static const char *filled(const char *template)
{
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);

    for (; *template != '\0'; template ++) {
        if (*template == '@') {
            fputs(fixture.code, stream);
        } else if (*template == '#') {
            fprintf(stream, "%zu", strlen(BODY) - 1 + strlen(fixture.code));
        } else {
            fputc(*template == '~' ? '\0' : *template, stream);
        }
    }
    fclose(stream);
    free(fixture.text);
    fixture.text = out;
    fixture.text_length = size;
    return out;
}

static const struct http_reply *send_filled(const char *template)
{
    (void)filled(template);
    (void)http_send(fixture.client, fixture.text, fixture.text_length);
    return http_receive(fixture.client, "POST");
}

static void reconnect(void)
{
    http_close(fixture.client);
    fixture.client = http_connect(instance_public_port(fixture.instance));
}

/* Redeems it, and leaves another code and another connection for what comes next. */
static bool code_is_still_good(void)
{
    reconnect();
    const bool is_good = is_token_reply(api_redeem(fixture.client, fixture.code), NULL);
    reconnect();
    return is_good && api_make_code(fixture.instance, NULL, fixture.code);
}

/* One answer of this kind, then the end of the connection; nothing was acted upon. */
static void assert_refused_as(const char *template, int status, int code, const char *method,
                              const char *path)
{
    const struct http_reply *reply = send_filled(template);

    CU_ASSERT_TRUE(is_error_reply(reply, status, code, method, path));
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Connection"), "close");
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.client));
    CU_ASSERT_TRUE(code_is_still_good());
}

static void assert_refused(const char *template)
{
    assert_refused_as(template, 400, API_INVALID_FRAMING, "POST", TOKENS_PATH);
}

/* The same where libmicrohttpd answers, before we are asked, with a body of its own or none. After
 * a Content-Length that is no number, 0.9.75 sends its head twice. */
static void assert_refused_below_us(const char *template)
{
    const int status = send_filled(template)->status;

    CU_ASSERT_TRUE(status == 0 || (status >= 400 && status < 500) || status == 505);
    CU_ASSERT_TRUE(http_ends(fixture.client));
    CU_ASSERT_TRUE(code_is_still_good());
}

/* ---- lengths ---- */

static void test_plain_request_is_served(void)
{
    CU_ASSERT_TRUE(is_token_reply(send_filled(POST_TOKENS HOST JSON LENGTH "\r\n" BODY), NULL));
}

static void test_two_equal_content_lengths_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH LENGTH "\r\n" BODY);
}

static void test_two_different_content_lengths_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "Content-Length: 0\r\n\r\n" BODY);
}

static void test_a_zero_content_length_before_another_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON "Content-Length: 0\r\n" LENGTH "\r\n" BODY);
}

static void test_content_length_with_transfer_encoding_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "Transfer-Encoding: chunked\r\n\r\n" BODY);
}

static void test_transfer_encoding_before_content_length_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON "Transfer-Encoding: chunked\r\n" LENGTH "\r\n" BODY);
}

static void test_chunks_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
}

static void test_transfer_encodings_nobody_knows_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "Transfer-Encoding: identity\r\n\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH "transfer-encoding: xchunked\r\n\r\n" BODY);
}

static void test_content_lengths_that_are_no_number_are_refused(void)
{
    static const char *const bad[] = {
        POST_TOKENS HOST JSON "Content-Length: +#\r\n\r\n" BODY,
        POST_TOKENS HOST JSON "Content-Length: -1\r\n\r\n" BODY,
        POST_TOKENS HOST JSON "Content-Length: 0x20\r\n\r\n" BODY,
        POST_TOKENS HOST JSON "Content-Length: #, #\r\n\r\n" BODY,
        POST_TOKENS HOST JSON "Content-Length: # #\r\n\r\n" BODY,
        POST_TOKENS HOST JSON "Content-Length: #.0\r\n\r\n" BODY,
        POST_TOKENS HOST JSON "Content-Length: 99999999999999999999999\r\n\r\n" BODY,
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_refused_below_us(bad[i]);
    }
}

/* ---- header fields ---- */

static void test_header_name_with_a_space_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X Y: 1\r\n\r\n" BODY);
}

static void test_space_before_the_colon_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y : 1\r\n\r\n" BODY);
}

static void test_transfer_encoding_with_a_space_before_the_colon_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "Transfer-Encoding : chunked\r\n\r\n" BODY);
}

static void test_control_bytes_in_a_value_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a\x01z\r\n\r\n" BODY);
}

static void test_delete_in_a_value_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a\x7fz\r\n\r\n" BODY);
}

static void test_nul_in_a_value_is_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a~z\r\n\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: ~\r\n\r\n" BODY);
}

static void test_folded_lines_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a\r\n z\r\n\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a\r\n\tz\r\nX-Z: 1\r\n\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH
                   "X-Y: a\r\n Transfer-Encoding: chunked\r\n\r\n" BODY);
    assert_refused(POST_TOKENS " X-Y: a\r\n" HOST JSON LENGTH "\r\n" BODY);
}

static void test_lines_ended_by_lf_alone_are_refused(void)
{
    assert_refused("POST " TOKENS_PATH " HTTP/1.1\n" HOST JSON LENGTH "\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a\n\r\n" BODY);
    assert_refused(POST_TOKENS "X-Y: a\n" HOST JSON LENGTH "\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH "\n" BODY);
}

static void test_cr_alone_is_no_end_of_a_line(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH "X-Y: a\rX-Z: b\r\n\r\n" BODY);
}

static void test_empty_header_names_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON LENGTH ": a\r\n\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH ":\r\nX-Y: a\r\n\r\n" BODY);
    assert_refused(POST_TOKENS ": a\r\n" HOST JSON LENGTH "\r\n" BODY);
    assert_refused(POST_TOKENS HOST JSON LENGTH " : a\r\n\r\n" BODY);
}

static void test_blanks_around_values_are_no_harm(void)
{
    CU_ASSERT_TRUE(is_token_reply(send_filled(POST_TOKENS HOST JSON LENGTH
                                              "X-Y:\r\nX-Z:  a \t \r\nX-Z:a\r\n"
                                              "Cookie: a=b; c=\"d\"\r\nX-Y: \r\n\r\n" BODY),
                                  NULL));
}

static void test_empty_line_before_a_request_is_no_harm(void)
{
    CU_ASSERT_TRUE(
        is_token_reply(send_filled("\r\n" POST_TOKENS HOST JSON LENGTH "\r\n" BODY), NULL));
}

static void test_two_hosts_are_refused(void)
{
    assert_refused(POST_TOKENS HOST "Host: other.example\r\n" JSON LENGTH "\r\n" BODY);
}

static void test_no_host_is_refused(void)
{
    assert_refused(POST_TOKENS JSON LENGTH "\r\n" BODY);
}

static void test_two_content_types_are_refused(void)
{
    assert_refused(POST_TOKENS HOST JSON "Content-Type: text/plain\r\n" LENGTH "\r\n" BODY);
}

static void test_bytes_above_ascii_in_a_value_are_no_harm(void)
{
    CU_ASSERT_TRUE(is_token_reply(
        send_filled(POST_TOKENS HOST JSON LENGTH "X-Y: \xc3\xa4\xff\r\n\r\n" BODY), NULL));
}

/* ---- request lines ---- */

static void test_http_1_9_is_refused(void)
{
    assert_refused("POST " TOKENS_PATH " HTTP/1.9\r\n" HOST JSON LENGTH "\r\n" BODY);
}

static void test_http_2_0_is_refused(void)
{
    assert_refused_below_us("POST " TOKENS_PATH " HTTP/2.0\r\n" HOST JSON LENGTH "\r\n" BODY);
}

static void test_http_1_0_is_served_and_closed(void)
{
    CU_ASSERT_TRUE(is_token_reply(
        send_filled("POST " TOKENS_PATH " HTTP/1.0\r\n" HOST JSON LENGTH "\r\n" BODY), NULL));
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.client));
}

static void test_chunks_of_http_1_0_are_refused(void)
{
    assert_refused("POST " TOKENS_PATH " HTTP/1.0\r\n" HOST JSON
                   "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
}

static void test_absolute_form_is_refused(void)
{
    assert_refused_as("POST http://issuer.example" TOKENS_PATH " HTTP/1.1\r\n" HOST JSON LENGTH
                      "\r\n" BODY,
                      400, API_INVALID_FRAMING, "POST", "http://issuer.example" TOKENS_PATH);
}

static void test_asterisk_form_is_refused(void)
{
    assert_refused_as("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400, API_INVALID_FRAMING, "OPTIONS",
                      "*");
}

static void test_path_outside_ascii_is_refused(void)
{
    assert_refused_as("POST /api/v1/t\xc3\xb6kens HTTP/1.1\r\n" HOST JSON LENGTH "\r\n" BODY, 400,
                      API_INVALID_FRAMING, "POST", "/api/v1/t??kens");
}

static void test_control_bytes_in_the_path_are_refused(void)
{
    assert_refused_as("POST /\x1b[31m HTTP/1.1\r\n" HOST JSON LENGTH "\r\n" BODY, 400,
                      API_INVALID_FRAMING, "POST", "/?[31m");
}

static void test_what_is_no_http_is_refused(void)
{
    assert_refused_below_us("\x16\x03\x01\x02 hello\r\n\r\n");
    assert_refused_below_us("hello\r\n\r\n");
}

/* ---- large heads ---- */

/* POST_TOKENS with that many bytes of header lines of 100 bytes each. */
static const char *large_head(size_t bytes)
{
    char line[101];
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);

    memset(line, 'a', sizeof(line));
    memcpy(line, "X-Y: ", 5);
    memcpy(line + 98, "\r\n", 3);
    fputs(POST_TOKENS HOST JSON LENGTH, stream);
    for (size_t i = 0; i < bytes / 100; i++) {
        fputs(line, stream);
    }
    fputs("\r\n" BODY, stream);
    fclose(stream);
    return out;
}

static void test_head_of_12_kib_is_accepted(void)
{
    scoped(release_memory) const char *request = large_head(12 * 1024);
    CU_ASSERT_TRUE(is_token_reply(send_filled(request), NULL));
}

static void test_head_of_20_kib_is_refused(void)
{
    scoped(release_memory) const char *request = large_head(20 * 1024);
    assert_refused_as(request, 431, API_HEAD_TOO_LARGE, "POST", TOKENS_PATH);
}

static void test_head_of_100_kib_is_refused(void)
{
    scoped(release_memory) const char *request = large_head(100 * 1024);
    assert_refused_below_us(request);
}

static void test_path_of_20_kib_is_refused(void)
{
    char *request = xcalloc(24 * 1024, 1);
    memset(request, 'a', 20 * 1024);
    memcpy(request, "GET /", 5);
    strcat(request, " HTTP/1.1\r\n" HOST "\r\n");
    const struct http_reply *reply = send_filled(request);

    CU_ASSERT_TRUE(reply->status == 431 || reply->status == 414);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), "application/json");
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.client));
    CU_ASSERT_TRUE(code_is_still_good());
    free(request);
}

/* ---- requests inside requests ---- */

/* Answers until the connection ends; `first_status_out` is the first one's. */
static size_t count_answers(const char *template, int *first_status_out)
{
    size_t count = 0;

    (void)http_send_text(fixture.client, filled(template));
    for (int status; (status = http_receive(fixture.client, "POST")->status) != 0; count++) {
        if (count == 0) {
            *first_status_out = status;
        }
    }
    return count;
}

static void assert_one_answer(const char *template)
{
    int status = 0;

    CU_ASSERT_EQUAL(count_answers(template, &status), 1);
    CU_ASSERT_TRUE(status >= 400 && status < 500);
    CU_ASSERT_TRUE(code_is_still_good());
}

static void test_request_behind_two_lengths_is_not_answered(void)
{
    assert_one_answer(POST_TOKENS HOST JSON "Content-Length: 0\r\n" LENGTH "\r\n" GET_JWKS);
}

/* libmicrohttpd 0.9.75 takes such a line for the end of the head. */
static void test_request_behind_an_empty_header_name_is_not_answered(void)
{
    assert_one_answer("GET " JWKS_PATH " HTTP/1.1\r\n" HOST ": a\r\n" GET_JWKS);
    assert_one_answer(POST_TOKENS HOST JSON LENGTH ":\r\n" BODY GET_JWKS);
}

static void test_request_behind_the_last_chunk_is_not_answered(void)
{
    assert_one_answer(POST_TOKENS HOST JSON "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
                                            "\r\n0\r\n\r\n" GET_JWKS);
}

static void test_exchange_behind_the_last_chunk_is_not_made(void)
{
    assert_one_answer(POST_TOKENS HOST JSON
                      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" POST_TOKENS HOST JSON LENGTH
                      "\r\n" BODY);
}

static void test_exchange_behind_a_body_that_is_too_large_is_not_made(void)
{
    assert_one_answer(POST_TOKENS HOST JSON
                      "Content-Length: 5000\r\n\r\n" POST_TOKENS HOST JSON LENGTH "\r\n" BODY);
}

static void test_exchange_behind_a_wrong_content_type_is_not_made(void)
{
    assert_one_answer(POST_TOKENS HOST "Content-Type: text/plain\r\nContent-Length: 10\r\n"
                                       "\r\n" POST_TOKENS HOST JSON LENGTH "\r\n" BODY);
}

static void test_exchange_in_the_body_of_an_unknown_path_is_not_made(void)
{
    assert_one_answer("POST /nowhere HTTP/1.1\r\n" HOST
                      "Content-Length: 3\r\n\r\n" POST_TOKENS HOST JSON LENGTH "\r\n" BODY);
}

static void test_two_requests_in_one_packet_are_answered_in_order(void)
{
    char second[API_CODE_SIZE];

    memcpy(second, fixture.code, sizeof(second));
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, fixture.code));
    CU_ASSERT_TRUE(
        is_token_reply(send_filled(POST_TOKENS HOST JSON LENGTH "\r\n" BODY GET_JWKS), NULL));
    CU_ASSERT_EQUAL(http_receive(fixture.client, "GET")->status, 200);
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, second), NULL));
}

static void test_a_refused_body_does_not_shift_the_next_request(void)
{
    CU_ASSERT_EQUAL(
        send_filled(POST_TOKENS HOST JSON "Content-Length: 2\r\n\r\n{}" GET_JWKS)->status, 400);
    CU_ASSERT_EQUAL(http_receive(fixture.client, "GET")->status, 200);
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
}

static void test_request_in_single_bytes_is_served(void)
{
    for (const char *at = filled(POST_TOKENS HOST JSON LENGTH "\r\n" BODY); *at != '\0'; at++) {
        CU_ASSERT_TRUE(http_send(fixture.client, at, 1));
    }
    CU_ASSERT_TRUE(is_token_reply(http_receive(fixture.client, "POST"), NULL));
}

static void test_expectation_is_met_before_the_body(void)
{
    CU_ASSERT_EQUAL(
        send_filled(POST_TOKENS HOST JSON LENGTH "Expect: 100-continue\r\n\r\n")->status, 100);
    CU_ASSERT_TRUE(is_token_reply(send_filled(BODY), NULL));
}

static void test_expectation_of_a_refused_head_is_refused(void)
{
    assert_refused_as(POST_TOKENS HOST JSON "Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n",
                      413, API_TOO_LARGE, "POST", TOKENS_PATH);
}

/* ---- clients that go away ---- */

static void test_abrupt_close_in_the_body_consumes_nothing(void)
{
    for (int i = 0; i < 20; i++) {
        reconnect();
        CU_ASSERT_TRUE(http_send_text(fixture.client, filled(POST_TOKENS HOST JSON LENGTH
                                                             "\r\n{\"authorization_code\":\"@")));
        if (i % 2 == 0) {
            http_abort(take(fixture.client));
        } else {
            http_close(take(fixture.client));
        }
    }
    CU_ASSERT_TRUE(code_is_still_good());
}

static void test_abrupt_close_in_the_head_consumes_nothing(void)
{
    for (int i = 0; i < 20; i++) {
        reconnect();
        CU_ASSERT_TRUE(http_send_text(fixture.client, POST_TOKENS HOST));
        http_abort(take(fixture.client));
    }
    CU_ASSERT_TRUE(code_is_still_good());
}

/* ---- clients that drip ---- */

static struct instance *patient; /* the server of the tests above */

/* Head and body within a second each. */
static void start_impatient(void)
{
    static const char *const settings[] = { "public.head_timeout_s=1", "public.body_timeout_s=1",
                                            NULL };
    patient = fixture.instance;
    fixture.instance = instance_new(settings);
    if (instance_start(fixture.instance)) {
        open_client();
    }
}

static void stop_impatient(void)
{
    close_client();
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    instance_free(fixture.instance);
    fixture.instance = patient;
}

/* A byte every 100 ms, for a minute at most. True if the server had enough before that. */
static bool drip_until_answered(void)
{
    for (int i = 0; i < 600; i++) {
        if (!http_send(fixture.client, "a", 1) || !http_is_quiet(fixture.client, 100)) {
            return true;
        }
    }
    return false;
}

static void assert_timeout(void)
{
    CU_ASSERT_TRUE(drip_until_answered());
    const struct http_reply *reply = http_receive(fixture.client, "POST");
    CU_ASSERT_TRUE(is_error_reply(reply, 408, API_TIMEOUT, "", ""));
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Connection"), "close");
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.client));
    CU_ASSERT_TRUE(code_is_still_good());
}

static void test_dripping_head_is_ended(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_TRUE(http_send_text(fixture.client, POST_TOKENS HOST "X-Drip: "));
    assert_timeout();
}

static void test_dripping_request_line_is_ended(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    assert_timeout();
}

static void test_dripping_body_is_ended(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_TRUE(
        http_send_text(fixture.client, POST_TOKENS HOST JSON "Content-Length: 1000\r\n\r\n{\""));
    assert_timeout();
}

static void test_dripping_head_of_a_second_request_is_ended(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(http_send_text(fixture.client, POST_TOKENS HOST "X-Drip: "));
    assert_timeout();
}

static void test_dripping_body_of_a_second_request_is_ended(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(
        http_send_text(fixture.client, POST_TOKENS HOST JSON "Content-Length: 1000\r\n\r\n{\""));
    assert_timeout();
}

static void test_silent_connection_is_ended(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.client));
    CU_ASSERT_TRUE(code_is_still_good());
}

static void test_pause_between_requests_is_no_dripping(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.client);
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(http_is_quiet(fixture.client, 2500));
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
}

/* ---- the log of it all ---- */

static void test_every_event_is_one_line_of_plain_text(void)
{
    scoped(release_memory) char *line = NULL;
    size_t size = 0;
    size_t lines = 0;
    FILE *log = fopen(instance_log_path(fixture.instance), "re");

    CU_ASSERT_PTR_NOT_NULL_FATAL(log);
    for (ssize_t length; (length = getline(&line, &size, log)) > 0; lines++) {
        CU_ASSERT_TRUE(line[0] == '<' && line[1] >= '3' && line[1] <= '7' && line[2] == '>');
        for (ssize_t i = 0; i < length - 1; i++) {
            CU_ASSERT_TRUE(line[i] >= 0x20 && line[i] < 0x7f);
        }
    }
    fclose(log);
    CU_ASSERT_TRUE(lines > 10);
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, fixture.code));
}

int main(void)
{
    static const char *const settings[] = { "log.level=debug", NULL };
    CU_TestInfo tests[] = {
        { "a plain request is served", test_plain_request_is_served },
        { "two equal Content-Lengths are refused", test_two_equal_content_lengths_are_refused },
        { "two different Content-Lengths are refused",
          test_two_different_content_lengths_are_refused },
        { "a zero Content-Length before another is refused",
          test_a_zero_content_length_before_another_is_refused },
        { "Content-Length with Transfer-Encoding is refused",
          test_content_length_with_transfer_encoding_is_refused },
        { "Transfer-Encoding before Content-Length is refused",
          test_transfer_encoding_before_content_length_is_refused },
        { "chunks are refused", test_chunks_are_refused },
        { "transfer encodings that nobody knows are refused",
          test_transfer_encodings_nobody_knows_are_refused },
        { "Content-Lengths that are no number are refused",
          test_content_lengths_that_are_no_number_are_refused },
        { "a header name with a space is refused", test_header_name_with_a_space_is_refused },
        { "a space before the colon is refused", test_space_before_the_colon_is_refused },
        { "Transfer-Encoding with a space before the colon is refused",
          test_transfer_encoding_with_a_space_before_the_colon_is_refused },
        { "a control byte in a value is refused", test_control_bytes_in_a_value_are_refused },
        { "DEL in a value is refused", test_delete_in_a_value_is_refused },
        { "a NUL in a value is refused", test_nul_in_a_value_is_refused },
        { "folded lines are refused", test_folded_lines_are_refused },
        { "lines ended by LF alone are refused", test_lines_ended_by_lf_alone_are_refused },
        { "CR alone is no end of a line", test_cr_alone_is_no_end_of_a_line },
        { "empty header names are refused", test_empty_header_names_are_refused },
        { "blanks around values are no harm", test_blanks_around_values_are_no_harm },
        { "an empty line before a request is no harm",
          test_empty_line_before_a_request_is_no_harm },
        { "two Hosts are refused", test_two_hosts_are_refused },
        { "no Host is refused", test_no_host_is_refused },
        { "two Content-Types are refused", test_two_content_types_are_refused },
        { "bytes above ASCII in a value are no harm",
          test_bytes_above_ascii_in_a_value_are_no_harm },
        { "HTTP/1.9 is refused", test_http_1_9_is_refused },
        { "HTTP/2.0 is refused", test_http_2_0_is_refused },
        { "HTTP/1.0 is served and closed", test_http_1_0_is_served_and_closed },
        { "chunks of HTTP/1.0 are refused", test_chunks_of_http_1_0_are_refused },
        { "the absolute form is refused", test_absolute_form_is_refused },
        { "the asterisk form is refused", test_asterisk_form_is_refused },
        { "a path outside ASCII is refused", test_path_outside_ascii_is_refused },
        { "control bytes in the path are refused", test_control_bytes_in_the_path_are_refused },
        { "what is no HTTP is refused", test_what_is_no_http_is_refused },
        { "a head of 12 KiB is accepted", test_head_of_12_kib_is_accepted },
        { "a head of 20 KiB is refused", test_head_of_20_kib_is_refused },
        { "a head of 100 KiB is refused", test_head_of_100_kib_is_refused },
        { "a path of 20 KiB is refused", test_path_of_20_kib_is_refused },
        { "a request behind two lengths is not answered",
          test_request_behind_two_lengths_is_not_answered },
        { "a request behind an empty header name is not answered",
          test_request_behind_an_empty_header_name_is_not_answered },
        { "a request behind the last chunk is not answered",
          test_request_behind_the_last_chunk_is_not_answered },
        { "an exchange behind the last chunk is not made",
          test_exchange_behind_the_last_chunk_is_not_made },
        { "an exchange behind a body that is too large is not made",
          test_exchange_behind_a_body_that_is_too_large_is_not_made },
        { "an exchange behind a wrong content type is not made",
          test_exchange_behind_a_wrong_content_type_is_not_made },
        { "an exchange in the body of an unknown path is not made",
          test_exchange_in_the_body_of_an_unknown_path_is_not_made },
        { "two requests in one packet are answered in order",
          test_two_requests_in_one_packet_are_answered_in_order },
        { "a refused body does not shift the next request",
          test_a_refused_body_does_not_shift_the_next_request },
        { "a request in single bytes is served", test_request_in_single_bytes_is_served },
        { "an expectation is met before the body", test_expectation_is_met_before_the_body },
        { "an expectation of a refused head is refused",
          test_expectation_of_a_refused_head_is_refused },
        { "an abrupt close in the body consumes nothing",
          test_abrupt_close_in_the_body_consumes_nothing },
        { "an abrupt close in the head consumes nothing",
          test_abrupt_close_in_the_head_consumes_nothing },
        { "every event is one line of plain text", test_every_event_is_one_line_of_plain_text },
        CU_TEST_INFO_NULL,
    };
    CU_TestInfo dripping_tests[] = {
        { "a dripping head is ended", test_dripping_head_is_ended },
        { "a dripping request line is ended", test_dripping_request_line_is_ended },
        { "a dripping body is ended", test_dripping_body_is_ended },
        { "a dripping head of a second request is ended",
          test_dripping_head_of_a_second_request_is_ended },
        { "a dripping body of a second request is ended",
          test_dripping_body_of_a_second_request_is_ended },
        { "a silent connection is ended", test_silent_connection_is_ended },
        { "a pause between requests is no dripping", test_pause_between_requests_is_no_dripping },
        CU_TEST_INFO_NULL,
    };

    fixture.instance = instance_new(settings);
    if (!instance_start(fixture.instance)) {
        return 1;
    }
    int failed = run_suite("framing", open_client, close_client, tests);
    failed |= run_suite("dripping", start_impatient, stop_impatient, dripping_tests);
    const int status = instance_stop(fixture.instance, 30);
    instance_free(fixture.instance);
    return failed != 0 || status != 0;
}
