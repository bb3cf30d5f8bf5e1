#include "http/header_gate.h"

#include <string.h>
#include <strings.h>

#include <microhttpd.h>

#include "base/memory.h"

/* At most one of each; Host exactly one. */
static const char *const single[] = { "Host",          "Content-Length", "Content-Type",
                                      "Authorization", "DPoP",           "x-client-secret" };

struct gate {
    struct error *err;
    bool good;
    unsigned seen[COUNT_OF(single)];
    const char *line; /* where the next line must begin */
};

enum { LINE_END = 2 /* CR LF */ };

/* RFC 9110 5.6.2. Catches a space before the colon, and a folded line, which libmicrohttpd joins to
 * the name that follows. */
static bool is_token(const char *text, size_t length)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < length; i++) {
        const char c = text[i];
        const bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && (c == '\0' || strchr(others, c) == NULL)) {
            return false;
        }
    }
    return length > 0;
}

static bool has_control(const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)value[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return true;
        }
    }
    return false;
}

/* libmicrohttpd 0.9.75 reads a head in place, so its names and values lie in its buffer as they were
 * sent. A line ended by LF alone, a NUL in a value, a folded line (which it copies) and an empty name
 * (which it takes for the head's end: what follows would be a request of its own) cannot be seen in
 * the texts, but leave a gap between them. Pointers are compared here, none is followed. */
static bool begins_where_the_last_line_ended(struct gate *gate, const char *name, const char *value,
                                             size_t value_length)
{
    const bool is_there = name == gate->line;
    gate->line = value + value_length + LINE_END;
    return is_there;
}

static bool check_lines_end(const struct gate *gate, const char *head, size_t head_length,
                            struct error *err)
{
    return gate->line + LINE_END == head + head_length
        || fail(err, ERROR_INVALID_FRAMING, "the request head does not end after its last header");
}

static bool check_header(struct gate *gate, const char *name, size_t name_length, const char *value,
                         size_t value_length)
{
    if (!is_token(name, name_length)) {
        return fail(gate->err, ERROR_INVALID_FRAMING, "a header name is not a token");
    }
    if (!begins_where_the_last_line_ended(gate, name, value, value_length)) {
        return fail(gate->err, ERROR_INVALID_FRAMING,
                    "a line of the request head is folded, has a NUL or does not end in CR LF");
    }
    if (has_control(value, value_length)) {
        return fail(gate->err, ERROR_INVALID_FRAMING, "a header value has control characters");
    }
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        return fail(gate->err, ERROR_INVALID_FRAMING,
                    "Transfer-Encoding is not accepted: send a Content-Length");
    }
    for (size_t i = 0; i < COUNT_OF(single); i++) {
        if (strcasecmp(name, single[i]) == 0 && ++gate->seen[i] > 1) {
            return fail(gate->err, ERROR_INVALID_FRAMING, "%s is there more than once", single[i]);
        }
    }
    return true;
}

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name,
                                 size_t name_length, const char *value, size_t value_length)
{
    struct gate *gate = context;
    (void)kind;
    gate->good = check_header(gate, name, name_length, value != NULL ? value : "", value_length);
    return gate->good ? MHD_YES : MHD_NO;
}

static bool check_target(const char *url, struct error *err)
{
    if (url[0] != '/') {
        return fail(err, ERROR_INVALID_FRAMING, "the request target is not an absolute path");
    }
    for (const char *at = url; *at != '\0'; at++) {
        if (*at <= 0x20 || *at >= 0x7f) {
            return fail(err, ERROR_INVALID_FRAMING,
                        "the request target has bytes that must be percent-encoded");
        }
    }
    return true;
}

bool header_gate(struct MHD_Connection *connection, const char *method, const char *url,
                 const char *version, struct error *err)
{
    struct gate gate = { .err = err, .good = true, .line = version + strlen(version) + LINE_END };
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        return fail(err, ERROR_INVALID_FRAMING, "the HTTP version is neither 1.1 nor 1.0");
    }
    if (size == NULL || size->header_size > HEAD_MAX) {
        return fail(err, ERROR_HEAD_TOO_LARGE, "the request head is larger than %d bytes",
                    HEAD_MAX);
    }
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, &gate);
    if (!gate.good || !check_lines_end(&gate, method, size->header_size, err)
        || !check_target(url, err)) {
        return false;
    }
    if (gate.seen[0] != 1) {
        return fail(err, ERROR_INVALID_FRAMING, "there is no Host header");
    }
    return true;
}
