/*
 * The strict check of JSON text before cJSON sees it. cJSON alone takes leading zeros, raw control
 * bytes, invalid UTF-8, a BOM, duplicate names and "\u0000"; each of these is refused here.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { JSON_DEPTH_MAX = 16, JSON_VALUES_MAX = 4096, JSON_MEMBERS_MAX = 256 };

/* True if `text` is exactly one RFC 8259 value: valid UTF-8 (no BOM, no surrogates, RFC 3629), the
 * grammar to the letter, no name twice in one object (compared after unescaping), no "\u0000", no
 * unpaired "\ud800" to "\udfff", nesting at most JSON_DEPTH_MAX, at most JSON_VALUES_MAX values and
 * JSON_MEMBERS_MAX members in one object, numbers below 1e308 in magnitude. Digits that a double
 * rounds and numbers so small that it reads them as zero are grammar, and so accepted.
 *
 * Fails with ERROR_INVALID_REQUEST, naming the fault and its byte offset, never quoting the text.
 * Allocates nothing, uses at most 64 KiB of stack, reads each byte once but for names that share
 * a hash. */
MUST_CHECK bool json_check(const char *text, size_t length, struct error *err);
