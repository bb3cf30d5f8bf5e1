/* A JSON object from a request's body, read strictly: checked by json_check() before cJSON sees it,
 * with no member beyond those that are named. */
#pragma once

#include "http/endpoint.h"

#include <cjson/cJSON.h>

enum json_type { JSON_TEXT, JSON_OBJECT, JSON_NUMBER };

struct json_member {
    const char *name;
    enum json_type type;
    bool required;
    const char *hint;      /* added where the type is wrong; NULL: none */
    const char **text_out; /* JSON_TEXT: borrowed from the object; NULL if absent */
    cJSON **object_out;    /* JSON_OBJECT: likewise */
    int64_t *number_out;   /* JSON_NUMBER: whole, up to 2^53 either way */
};

/* Fails with INVALID_REQUEST, naming the member. The caller owns *object_out. */
MUST_CHECK bool json_body_parse(const struct request *request, const struct json_member *members,
                                size_t count, cJSON **object_out, struct error *err);

void release_json(cJSON **json);
