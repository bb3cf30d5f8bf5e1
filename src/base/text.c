#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base64url.h"

struct text text_over(char *buffer, size_t size)
{
    buffer[0] = '\0';
    return (struct text){ .start = buffer, .size = size };
}

static bool has_room(struct text *text, size_t length)
{
    if (text->overflowed || text->size - text->length <= length) {
        text->overflowed = true;
    }
    return !text->overflowed;
}

void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
    if (has_room(text, length)) {
        memcpy(text->start + text->length, bytes, length);
        text->length += length;
        text->start[text->length] = '\0';
    }
}

void text_add(struct text *text, const char *piece)
{
    text_add_bytes(text, piece, strlen(piece));
}

void text_add_number(struct text *text, int64_t number)
{
    char digits[24];
    (void)snprintf(digits, sizeof(digits), "%" PRId64, number);
    text_add(text, digits);
}

void text_add_base64url(struct text *text, const void *bytes, size_t length)
{
    if (has_room(text, BASE64URL_LENGTH(length))) {
        text->length += base64url_encode(text->start + text->length, bytes, length);
        text->start[text->length] = '\0';
    }
}

void text_add_base64(struct text *text, const void *bytes, size_t length)
{
    const size_t padding = (3 - length % 3) % 3;

    if (has_room(text, BASE64URL_LENGTH(length) + padding)) {
        char *at = text->start + text->length;
        text_add_base64url(text, bytes, length);
        for (; *at != '\0'; at++) {
            *at = *at == '-' ? '+' : *at == '_' ? '/' : *at;
        }
        text_add_bytes(text, "==", padding);
    }
}

void text_add_json_string(struct text *text, const char *value)
{
    text_add(text, "\"");
    for (const char *plain = value; *plain != '\0';) {
        const size_t run = strcspn(plain, "\"\\\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e"
                                          "\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b"
                                          "\x1c\x1d\x1e\x1f");
        text_add_bytes(text, plain, run);
        plain += run;
        if (*plain != '\0') {
            char escape[8];
            (void)snprintf(escape, sizeof(escape),
                           *plain == '"' || *plain == '\\' ? "\\%c" : "\\u%04x", *plain);
            text_add(text, escape);
            plain++;
        }
    }
    text_add(text, "\"");
}
