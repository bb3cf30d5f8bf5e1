/*
 * The filters of a presentation definition: JSON Schema (2020-12), the keywords type, const, enum,
 * pattern, minimum, maximum and contains. Those that only describe are passed over, any other is
 * refused.
 *
 * A keyword says nothing about a value of another type, so by JSON Schema {"pattern":"^did:"} holds
 * for a number. Who writes that wants a string: without `type`, `pattern` asks for a string,
 * `minimum` and `maximum` for a number, `contains` for an array.
 *
 * Threads: a filter is only read.
 */
#pragma once

#include "vc/effort.h"
#include "vc/member.h"

#include <stddef.h>

#include <cjson/cJSON.h>

enum {
    FILTER_NESTING_MAX = 4,           /* `contains` inside of `contains` */
    FILTER_SUBJECT_MAX = 1024,        /* bytes; a pattern matches no longer string */
    FILTER_PATTERNS_MAX = 256 * 1024, /* bytes of compiled patterns, of a whole definition */
};

struct filter;

/* Reads the schema, which must live as long as the filter. `patterns` counts the bytes of compiled
 * patterns, from 0, over all filters of a definition. Fails as fail_at() does, naming the keyword.
 * The caller frees *filter_out. */
MUST_CHECK bool filter_parse(const cJSON *schema, const struct place *place, size_t *patterns,
                             struct filter **filter_out, struct error *err);
void filter_free(struct filter *filter);

/* False as well once the effort is spent. */
bool filter_holds(const struct filter *filter, const cJSON *value, struct effort *effort);
