#include "vc/member.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct shown shown(const char *text)
{
    struct shown shown;
    const size_t length = strnlen(text, sizeof(shown.text) - 1);

    for (size_t i = 0; i < length; i++) {
        shown.text[i] = text[i] > ' ' && text[i] <= '~' ? text[i] : '?';
    }
    shown.text[length] = '\0';
    return shown;
}

/* From the outermost on; returns its code. */
static enum error_code add_places(struct text *text, const struct place *place)
{
    const enum error_code code =
        place->outer != NULL ? add_places(text, place->outer) : place->code;
    if (place->name == NULL) {
        text_add(text, "[");
        text_add_number(text, (int64_t)place->index);
        text_add(text, "]");
    } else {
        text_add(text, text->length > 0 ? "." : "");
        text_add(text, shown(place->name).text);
    }
    return code;
}

bool fail_at(const struct place *place, struct error *err, const char *format, ...)
{
    char where[sizeof(err->message)];
    char what[sizeof(err->message)];
    struct text path = text_over(where, sizeof(where));
    const enum error_code code = add_places(&path, place);

    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return fail(err, code, "%s: %s", where, what);
}

static const char *type_words(int types)
{
    switch (types) {
    case MEMBER_TEXT:
        return "a string";
    case MEMBER_ARRAY:
        return "an array";
    case MEMBER_OBJECT:
        return "an object";
    case MEMBER_NUMBER:
        return "a number";
    case MEMBER_BOOLEAN:
        return "true or false";
    default:
        return "a string or an array";
    }
}

bool member_has_type(const cJSON *value, int types, const struct place *place, struct error *err)
{
    return (value->type & 0xff & types) != 0
        || fail_at(place, err, "must be %s", type_words(types));
}

static const struct member_rule *find_rule(const struct member_rule *rules, size_t count,
                                           const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

static bool has_required(const cJSON *object, const struct member_rule *rules, size_t count,
                         const struct place *place, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct place at = { place, rules[i].name, 0, 0 };
        if (rules[i].required && cJSON_GetObjectItemCaseSensitive(object, rules[i].name) == NULL) {
            return fail_at(&at, err, "is missing");
        }
    }
    return true;
}

bool members_check(const cJSON *object, const struct member_rule *rules, size_t count,
                   const struct place *place, struct error *err)
{
    const cJSON *value = NULL;

    if (!member_has_type(object, MEMBER_OBJECT, place, err)) {
        return false;
    }
    cJSON_ArrayForEach(value, object)
    {
        const struct place at = { place, value->string, 0, 0 };
        const struct member_rule *rule = find_rule(rules, count, value->string);
        if (rule == NULL) {
            return fail_at(&at, err, "cannot be evaluated here");
        }
        if (!member_has_type(value, rule->types, &at, err)) {
            return false;
        }
    }
    return has_required(object, rules, count, place, err);
}

bool member_is_name(const cJSON *object, const char *name, size_t max, const struct place *place,
                    struct error *err)
{
    const struct place at = { place, name, 0, 0 };
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    return (text != NULL && text[0] != '\0' && strlen(text) <= max)
        || fail_at(&at, err, "must be a string of 1 to %zu bytes", max);
}
