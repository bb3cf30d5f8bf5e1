#include "http/json_body.h"

#include <string.h>

#include "base/json_check.h"
#include "base/memory.h"

void release_json(cJSON **json)
{
    cJSON_Delete(*json);
}

static bool fail_type(const struct json_member *member, const char *wanted, struct error *err)
{
    const char *hint = member->hint != NULL ? member->hint : "";
    return fail(err, ERROR_INVALID_REQUEST, "%s must be %s%s", member->name, wanted, hint);
}

static bool is_whole(const cJSON *value)
{
    static const double limit = 9007199254740992;

    return cJSON_IsNumber(value) && value->valuedouble >= -limit && value->valuedouble <= limit
        && value->valuedouble == (double)(int64_t)value->valuedouble;
}

static bool assign(const struct json_member *member, cJSON *value, struct error *err)
{
    switch (member->type) {
    case JSON_TEXT:
        if (!cJSON_IsString(value)) {
            return fail_type(member, "a string", err);
        }
        *member->text_out = value->valuestring;
        return true;
    case JSON_OBJECT:
        if (!cJSON_IsObject(value)) {
            return fail_type(member, "an object", err);
        }
        *member->object_out = value;
        return true;
    case JSON_NUMBER:
        if (!is_whole(value)) {
            return fail_type(member, "a whole number", err);
        }
        *member->number_out = (int64_t)value->valuedouble;
        return true;
    }
    return false;
}

static bool take_member(cJSON *value, const struct json_member *members, size_t count,
                        struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value->string, members[i].name) == 0) {
            return assign(&members[i], value, err);
        }
    }
    return fail(err, ERROR_INVALID_REQUEST, "the body has a member that is not known here");
}

static bool check_required(const cJSON *object, const struct json_member *members, size_t count,
                           struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].required
            && cJSON_GetObjectItemCaseSensitive(object, members[i].name) == NULL) {
            return fail(err, ERROR_INVALID_REQUEST, "%s is missing", members[i].name);
        }
    }
    return true;
}

bool json_body_parse(const struct request *request, const struct json_member *members, size_t count,
                     cJSON **object_out, struct error *err)
{
    if (request->body_length == 0) {
        return fail(err, ERROR_INVALID_REQUEST, "the request has no body");
    }
    if (!json_check(request->body, request->body_length, err)) {
        return error_context(err, "the body is not JSON");
    }
    scoped(release_json) cJSON *object = cJSON_ParseWithLength(request->body, request->body_length);
    if (!cJSON_IsObject(object)) {
        return fail(err, ERROR_INVALID_REQUEST, "the body must be an object");
    }
    cJSON *value = NULL;
    cJSON_ArrayForEach(value, object)
    {
        if (!take_member(value, members, count, err)) {
            return false;
        }
    }
    if (!check_required(object, members, count, err)) {
        return false;
    }
    *object_out = take(object);
    return true;
}
