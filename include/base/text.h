/*
 * Text of bounded size, built piece by piece. Owns nothing: the buffer is the caller's.
 * A piece that does not fit marks the text as overflowed and is left out; the caller asks once,
 * at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *start;
    size_t length; /* without the NUL that always follows */
    size_t size;
    bool overflowed;
};

struct text text_over(char *buffer, size_t size);
void text_add(struct text *text, const char *piece);
void text_add_bytes(struct text *text, const char *bytes, size_t length);
void text_add_number(struct text *text, int64_t number);

/* Base64url without padding (RFC 4648 5, RFC 7515 2). */
void text_add_base64url(struct text *text, const void *bytes, size_t length);

/* Base64 with padding (RFC 4648 4). */
void text_add_base64(struct text *text, const void *bytes, size_t length);

/* A JSON string with its quotes, escaped as RFC 8259 7 asks. `value` is valid UTF-8. */
void text_add_json_string(struct text *text, const char *value);
