/* SHA-2 and random bytes, by OpenSSL. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct digest {
    uint8_t bytes[32];
};

struct digest sha256(const void *bytes, size_t length);

struct digest384 {
    uint8_t bytes[48];
};

struct digest384 sha384(const void *bytes, size_t length);

/* In constant time. */
bool digest_equal(const struct digest *a, const struct digest *b);

/* From the kernel's generator; no failure is survivable: ends the process. */
void random_bytes(void *out, size_t length);
