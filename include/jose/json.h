/* JSON from outside: nothing reaches cJSON that json_check() has not let through. */
#pragma once

#include "base/error.h"

#include <stddef.h>

#include <cjson/cJSON.h>

/* Parses exactly one JSON object. Fails with INVALID_REQUEST as json_check() does, or because it is
 * no object. The caller owns *object_out (cJSON_Delete). */
MUST_CHECK bool json_parse_object(const char *text, size_t length, cJSON **object_out,
                                  struct error *err);

/* The value of a member that is a string; NULL if there is none, or it is something else. Borrowed. */
const char *json_text(const cJSON *object, const char *name);

/* From now on what cJSON frees is wiped, as there are codes in it. Before the first use. */
void json_wipe_freed(void);

/* For scoped(). */
void release_cjson(cJSON **value);
