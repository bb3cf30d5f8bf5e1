/* Members of JSON objects that are read strictly, and words for where a fault is. */
#pragma once

#include "base/error.h"

#include <stddef.h>

#include <cjson/cJSON.h>

/* A chain on the stack: what is read, inside of what. The outermost has the code that every fault of
 * the text fails with. */
struct place {
    const struct place *outer;
    const char *name; /* NULL: the element `index` of an array */
    size_t index;
    enum error_code code;
};

/* Fails with the outermost place's code: "definition.fields[1].path: <words>". */
MUST_CHECK bool fail_at(const struct place *place, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As much of a text from outside as a message takes: its printable ASCII, '?' for the rest. */
struct shown {
    char text[64];
};
struct shown shown(const char *text);

enum { MEMBER_TEXT = cJSON_String, MEMBER_ARRAY = cJSON_Array, MEMBER_OBJECT = cJSON_Object };
enum { MEMBER_NUMBER = cJSON_Number, MEMBER_BOOLEAN = cJSON_True | cJSON_False, MEMBER_ANY = 0xff };

struct member_rule {
    const char *name;
    int types; /* MEMBER_TEXT and so on, one or several */
    bool required;
};

/* True if `object` is one, has no member but those of the rules, each of its type, and all that are
 * required. Fails as fail_at() does, naming the member. */
MUST_CHECK bool members_check(const cJSON *object, const struct member_rule *rules, size_t count,
                              const struct place *place, struct error *err);

/* True if `value` is of the types. Fails as fail_at() does. */
MUST_CHECK bool member_has_type(const cJSON *value, int types, const struct place *place,
                                struct error *err);

/* True if the member is a string of 1 to `max` bytes. Fails as fail_at() does, naming it. */
MUST_CHECK bool member_is_name(const cJSON *object, const char *name, size_t max,
                               const struct place *place, struct error *err);
