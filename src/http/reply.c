#include "http/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/memory.h"

enum { ERROR_BODY_MAX = 8192, PATH_SHOWN_MAX = 1024, RETRY_SOON_S = 1, RETRY_LATER_S = 2 };

/* How an error looks from outside. `number` is ErrorResponseDto.code: stable, listed in README.md.
 * `message` NULL: the error's own message, which for these codes speaks of the request alone. */
struct appearance {
    int status;
    int number;
    const char *name;
    const char *message;
    int retry_after_s;
};

static struct appearance appearance_of(enum error_code code)
{
    static const char unavailable[] = "The service cannot do this at the moment. Nothing is "
                                      "used up, a code is still good: try again.";
    switch (code) {
    case ERROR_INVALID_REQUEST:
        return (struct appearance){ 400, 10002, "BadRequest", NULL, 0 };
    case ERROR_INVALID_FRAMING:
        return (struct appearance){ 400, 10003, "BadRequest", NULL, 0 };
    case ERROR_CODE_EXPIRED:
    case ERROR_CODE_SPENT: /* one answer for both: which it was is not the client's to learn */
        return (struct appearance){ 400, 10004, "BadRequest",
                                    "The authorization code has expired or was already used.", 0 };
    case ERROR_CODE_UNKNOWN:
        return (struct appearance){ 404, 10005, "NotFound", "Authorization request not found.", 0 };
    case ERROR_NOT_FOUND:
        return (struct appearance){ 404, 10006, "NotFound", NULL, 0 };
    case ERROR_NO_ROUTE:
        return (struct appearance){ 404, 10007, "NotFound", NULL, 0 };
    case ERROR_METHOD_NOT_ALLOWED:
        return (struct appearance){ 405, 10008, "MethodNotAllowed", NULL, 0 };
    case ERROR_UNAUTHORIZED:
        return (struct appearance){ 401, 10009, "Unauthorized", NULL, 0 };
    case ERROR_CLIENT_CERTIFICATE:
        return (struct appearance){ 403, 10024, "Forbidden", NULL, 0 };
    case ERROR_CONFLICT:
        return (struct appearance){ 409, 10010, "Conflict", NULL, 0 };
    case ERROR_TIMEOUT:
        return (struct appearance){ 408, 10011, "RequestTimeout", NULL, 0 };
    case ERROR_TOO_LARGE:
        return (struct appearance){ 413, 10012, "PayloadTooLarge", NULL, 0 };
    case ERROR_UNSUPPORTED_MEDIA:
        return (struct appearance){ 415, 10013, "UnsupportedMediaType", NULL, 0 };
    case ERROR_HEAD_TOO_LARGE:
        return (struct appearance){ 431, 10014, "RequestHeaderFieldsTooLarge", NULL, 0 };
    case ERROR_RATE_LIMITED:
        return (struct appearance){ 429, 10015, "TooManyRequests", NULL, RETRY_SOON_S };
    case ERROR_OVERLOADED:
        return (struct appearance){ 503, 10016, "ServiceUnavailable",
                                    "The service is at its limit: try again.", RETRY_SOON_S };
    case ERROR_DEVICE_UNAVAILABLE:
    case ERROR_KEY_LOCKED:
        return (struct appearance){ 503, 10017, "ServiceUnavailable", unavailable, RETRY_LATER_S };
    case ERROR_STORE_UNAVAILABLE:
        return (struct appearance){ 503, 10018, "ServiceUnavailable", unavailable, RETRY_LATER_S };
    case ERROR_STORE_IN_DOUBT:
        return (struct appearance){ 503, 10018, "ServiceUnavailable",
                                    "Whether this was done is not known yet: ask again.",
                                    RETRY_LATER_S };
    case ERROR_SHUTTING_DOWN:
        return (struct appearance){ 503, 10019, "ServiceUnavailable", unavailable, RETRY_LATER_S };
    case ERROR_PRESENTATION:
        return (struct appearance){ 400, 10020, "BadRequest", NULL, 0 };
    case ERROR_RESOLVER_UNAVAILABLE:
        return (struct appearance){ 503, 10021, "ServiceUnavailable",
                                    "The DID cannot be resolved at the moment. The authorization "
                                    "request is still open: try again.",
                                    RETRY_LATER_S };
    case ERROR_NOT_OPEN:
        return (struct appearance){ 400, 10022, "BadRequest", NULL, 0 };
    case ERROR_LEDGER_STOPPED:
    case ERROR_STORE_ROLLED_BACK: /* a reader met it first */
        return (struct appearance){ 503, 10023, "ServiceUnavailable", unavailable, RETRY_LATER_S };
    case ERROR_CLOCK_UNTRUSTED:
        return (struct appearance){ 503, 10025, "ServiceUnavailable", unavailable, RETRY_LATER_S };
    case ERROR_NONE:
    case ERROR_STORE_CONFLICT:
    case ERROR_CONFIG:
    case ERROR_KEY_NOT_FOUND:
    case ERROR_KEY_POLICY:
    case ERROR_LINT:
    case ERROR_INTERNAL:
        break;
    }
    return (struct appearance){ 500, 10001, "InternalServerError", "Internal server error.", 0 };
}

struct text reply_text(struct reply *reply, size_t size)
{
    reply->body = malloc(size);
    if (reply->body == NULL) {
        abort();
    }
    return text_over(reply->body, size);
}

bool reply_set_text(struct reply *reply, int status, const struct text *text, struct error *err)
{
    if (text->overflowed) {
        return fail(err, ERROR_INTERNAL, "an answer of more than %zu bytes", text->size);
    }
    reply->status = status;
    reply->content_type = "application/json";
    reply->body_length = text->length;
    return true;
}

static void add_number(struct text *text, const char *name, int number)
{
    text_add(text, name);
    text_add_number(text, number);
}

static void print_error(struct text *text, const struct appearance *shown, const char *message,
                        const char *method, const char *path)
{
    text_add(text, "{\"name\":");
    text_add_json_string(text, shown->name);
    text_add(text, ",\"message\":");
    text_add_json_string(text, message);
    add_number(text, ",\"code\":", shown->number);
    add_number(text, ",\"statusCode\":", shown->status);
    add_number(text, ",\"httpCode\":", shown->status);
    text_add(text, ",\"method\":");
    text_add_json_string(text, method);
    text_add(text, ",\"path\":");
    text_add_json_string(text, path);
    text_add(text, "}");
}

/* Signers and stores tell of their own troubles where they happen, once, not once a request. */
static void log_reply(const struct error *err, const struct appearance *shown, const char *path)
{
    const enum log_level level = shown->status == 500 ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG;
    char name[PATH_SHOWN_MAX];

    (void)snprintf(name, sizeof(name), "%s", path);
    for (char *quote = name; (quote = strchr(quote, '\'')) != NULL;) {
        *quote = '?';
    }
    log_error(level, "http.refused", err, "status=%d code=%d path='%s'", shown->status,
              shown->number, name);
}

/* A path and a method are shown as sent, but for bytes that are not plain ASCII. */
static void copy_plain(char *out, size_t size, const char *in)
{
    size_t i = 0;
    for (; i < size - 1 && in[i] != '\0'; i++) {
        out[i] = in[i] >= 0x20 && in[i] < 0x7f ? in[i] : '?';
    }
    out[i] = '\0';
}

void reply_error(struct reply *reply, const struct error *err, const char *method, const char *path)
{
    const struct appearance shown = appearance_of(err->code);
    char plain_path[PATH_SHOWN_MAX];
    char plain_method[32];
    struct error overflow;

    copy_plain(plain_path, sizeof(plain_path), path);
    copy_plain(plain_method, sizeof(plain_method), method);
    log_reply(err, &shown, plain_path);
    free(reply->body);
    struct text text = reply_text(reply, ERROR_BODY_MAX);
    print_error(&text, &shown, shown.message != NULL ? shown.message : err->message, plain_method,
                plain_path);
    (void)!reply_set_text(reply, shown.status, &text, &overflow);
    reply->retry_after_s = shown.retry_after_s;
    reply->cache_control = NULL;
    reply->etag = NULL;
    reply->headers = NULL;
}

void reply_send_timeout(int fd)
{
    const struct appearance shown = appearance_of(ERROR_TIMEOUT);
    char body[512];
    char whole[1024];
    struct text text = text_over(body, sizeof(body));

    print_error(&text, &shown, "The request did not arrive in time.", "", "");
    const int length = snprintf(whole, sizeof(whole),
                                "HTTP/1.1 408 Request Timeout\r\n"
                                "Content-Type: application/json\r\n"
                                "Cache-Control: no-store\r\n"
                                "Connection: close\r\n"
                                "Content-Length: %zu\r\n\r\n%s",
                                text.length, body);
    (void)send(fd, whole, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void reply_clear(struct reply *reply)
{
    if (reply->body != NULL) {
        explicit_bzero(reply->body, reply->body_length);
        free(reply->body);
        reply->body = NULL;
    }
}
