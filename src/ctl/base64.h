/* Base64 with padding (RFC 4648 4), as notes and proofs have it, read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False unless `text` is canonical: this alphabet alone, all of its padding, unused bits zero, and
 * fits. */
bool base64_decode(const char *text, size_t length, uint8_t *out, size_t size, size_t *length_out);
