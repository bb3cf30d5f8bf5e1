/* Base64url without padding (RFC 4648 5, RFC 7515 2). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE64URL_LENGTH(bytes) (((bytes)*4 + 2) / 3)

/* Writes BASE64URL_LENGTH(length) characters, no NUL. Returns how many. */
size_t base64url_encode(char *out, const void *bytes, size_t length);

/* False unless `text` is canonical: this alphabet alone, no padding, unused bits zero, and fits. */
bool base64url_decode(const char *text, size_t length, uint8_t *out, size_t size,
                      size_t *length_out);
