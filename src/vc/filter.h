/*
 * A field's filter: JSON Schema's `type`, `const`, `enum`, `pattern`, `minimum`, `maximum` and
 * `contains`. Keywords that only describe are passed over, all others refused.
 *
 * Stricter than JSON Schema in one thing: `pattern` wants a string, `minimum` and `maximum` a number,
 * `contains` an array, where the schema would let a value of another type pass.
 */
#pragma once

#include "base/error.h"

#include <cjson/cJSON.h>

enum {
    FILTER_PATTERN_MAX = 256, /* bytes */
    FILTER_DEPTH_MAX = 4,     /* of `contains` in `contains` */
};

struct filter;

/* Fails with INVALID_REQUEST; the message begins with `place`, the filter's own path. The caller frees
 * *filter_out. */
MUST_CHECK bool filter_parse(const cJSON *schema, const char *place, struct filter **filter_out,
                             struct error *err);
void filter_free(struct filter *filter);

/* A pattern (PCRE2, unanchored) that takes more than a bounded number of steps does not match, nor does
 * any once *patterns_left, which each tried one counts down, is 0. */
bool filter_matches(const struct filter *filter, const cJSON *value, unsigned *patterns_left);
