#define PCRE2_CODE_UNIT_WIDTH 8

#include "vc/filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "base/memory.h"

enum {
    MATCH_STEPS_MAX = 5000,
    MATCH_DEPTH_MAX = 1000,
    MATCH_HEAP_KIB_MAX = 1024,
    NESTED_PARENTHESES_MAX = 16,
    PLACE_SIZE = 256,
};

struct filter {
    unsigned types; /* bits of type_names; 0: any */
    cJSON *constant;
    cJSON *choices; /* an array */
    pcre2_code *pattern;
    double minimum; /* -INFINITY: none */
    double maximum;
    bool is_number;
    struct filter *contains;
};

DEFINE_RELEASE(release_filter, struct filter, filter_free)

/* ---- types ---- */

static bool is_integer(const cJSON *value)
{
    return cJSON_IsNumber(value) && floor(value->valuedouble) >= value->valuedouble;
}

static bool is_string(const cJSON *value)
{
    return cJSON_IsString(value);
}

static bool is_number(const cJSON *value)
{
    return cJSON_IsNumber(value);
}

static bool is_boolean(const cJSON *value)
{
    return cJSON_IsBool(value);
}

static bool is_array(const cJSON *value)
{
    return cJSON_IsArray(value);
}

static bool is_object(const cJSON *value)
{
    return cJSON_IsObject(value);
}

static bool is_null(const cJSON *value)
{
    return cJSON_IsNull(value);
}

static const struct type {
    const char *name;
    bool (*matches)(const cJSON *value);
} types[] = {
    { "string", is_string },   { "number", is_number }, { "integer", is_integer },
    { "boolean", is_boolean }, { "array", is_array },   { "object", is_object },
    { "null", is_null },
};

static bool add_type(struct filter *self, const cJSON *name)
{
    for (size_t i = 0; cJSON_IsString(name) && i < COUNT_OF(types); i++) {
        if (strcmp(types[i].name, name->valuestring) == 0) {
            self->types |= 1U << i;
            return true;
        }
    }
    return false;
}

static bool has_type(const struct filter *self, const cJSON *value)
{
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if ((self->types & 1U << i) != 0 && types[i].matches(value)) {
            return true;
        }
    }
    return self->types == 0;
}

/* ---- keywords ---- */

/* True if the value is good for the keyword. */
typedef bool keyword_fn(struct filter *self, const cJSON *value, const char *place, int depth,
                        struct error *err);

static bool refuse(struct error *err, const char *place, const char *what)
{
    return fail(err, ERROR_INVALID_REQUEST, "%s: %s", place, what);
}

static bool parse_at(const cJSON *schema, const char *place, int depth, struct filter **filter_out,
                     struct error *err);

static bool read_type(struct filter *self, const cJSON *value, const char *place, int depth,
                      struct error *err)
{
    const cJSON *one = NULL;
    bool good = cJSON_IsArray(value) ? value->child != NULL : add_type(self, value);

    (void)depth;
    cJSON_ArrayForEach(one, value)
    {
        good = good && add_type(self, one);
    }
    return good || refuse(err, place, "must be a type of JSON Schema, or a list of them");
}

static bool read_const(struct filter *self, const cJSON *value, const char *place, int depth,
                       struct error *err)
{
    (void)place, (void)depth, (void)err;
    self->constant = cJSON_Duplicate(value, true);
    return true;
}

static bool read_enum(struct filter *self, const cJSON *value, const char *place, int depth,
                      struct error *err)
{
    (void)depth;
    if (!cJSON_IsArray(value) || value->child == NULL) {
        return refuse(err, place, "must be a list of values");
    }
    self->choices = cJSON_Duplicate(value, true);
    return true;
}

static pcre2_code *compile(const char *pattern)
{
    /* As ECMA-262 has it: \u and \x, $ at the very end only, a group that took no part is empty. */
    const uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_ALT_BSUX
                           | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int error = 0;
    PCRE2_SIZE offset = 0;

    (void)pcre2_set_parens_nest_limit(context, NESTED_PARENTHESES_MAX);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &error,
                                     &offset, context);
    pcre2_compile_context_free(context);
    return code;
}

static bool read_pattern(struct filter *self, const cJSON *value, const char *place, int depth,
                         struct error *err)
{
    (void)depth;
    if (!cJSON_IsString(value) || strlen(value->valuestring) > FILTER_PATTERN_MAX) {
        return fail(err, ERROR_INVALID_REQUEST, "%s: must be text of at most %d bytes", place,
                    FILTER_PATTERN_MAX);
    }
    self->pattern = compile(value->valuestring);
    return self->pattern != NULL || refuse(err, place, "is no regular expression");
}

static bool read_minimum(struct filter *self, const cJSON *value, const char *place, int depth,
                         struct error *err)
{
    (void)depth;
    self->minimum = cJSON_GetNumberValue(value);
    self->is_number = true;
    return cJSON_IsNumber(value) || refuse(err, place, "must be a number");
}

static bool read_maximum(struct filter *self, const cJSON *value, const char *place, int depth,
                         struct error *err)
{
    (void)depth;
    self->maximum = cJSON_GetNumberValue(value);
    self->is_number = true;
    return cJSON_IsNumber(value) || refuse(err, place, "must be a number");
}

static bool read_contains(struct filter *self, const cJSON *value, const char *place, int depth,
                          struct error *err)
{
    return parse_at(value, place, depth + 1, &self->contains, err);
}

static bool read_words(struct filter *self, const cJSON *value, const char *place, int depth,
                       struct error *err)
{
    (void)self, (void)value, (void)place, (void)depth, (void)err;
    return true;
}

static const struct keyword {
    const char *name;
    keyword_fn *read;
} keywords[] = {
    { "type", read_type },
    { "const", read_const },
    { "enum", read_enum },
    { "pattern", read_pattern },
    { "minimum", read_minimum },
    { "maximum", read_maximum },
    { "contains", read_contains },
    /* they describe */
    { "$schema", read_words },
    { "title", read_words },
    { "description", read_words },
    { "$comment", read_words },
    { "default", read_words },
    { "examples", read_words },
};

static bool read_keyword(struct filter *self, const cJSON *member, const char *place, int depth,
                         struct error *err)
{
    char here[PLACE_SIZE];

    (void)snprintf(here, sizeof(here), "%s.%.40s", place, member->string);
    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        if (strcmp(keywords[i].name, member->string) == 0) {
            return keywords[i].read(self, member, here, depth, err);
        }
    }
    return refuse(err, here, "cannot be evaluated here");
}

static bool parse_at(const cJSON *schema, const char *place, int depth, struct filter **filter_out,
                     struct error *err)
{
    scoped(release_filter) struct filter *self = xcalloc(1, sizeof(*self));
    const cJSON *member = NULL;

    self->minimum = -INFINITY;
    self->maximum = INFINITY;
    if (!cJSON_IsObject(schema) || depth > FILTER_DEPTH_MAX) {
        return refuse(err, place,
                      depth > FILTER_DEPTH_MAX ? "nests too deep" : "must be an object");
    }
    cJSON_ArrayForEach(member, schema)
    {
        if (!read_keyword(self, member, place, depth, err)) {
            return false;
        }
    }
    *filter_out = take(self);
    return true;
}

bool filter_parse(const cJSON *schema, const char *place, struct filter **filter_out,
                  struct error *err)
{
    return parse_at(schema, place, 0, filter_out, err);
}

void filter_free(struct filter *filter)
{
    if (filter == NULL) {
        return;
    }
    cJSON_Delete(filter->constant);
    cJSON_Delete(filter->choices);
    pcre2_code_free(filter->pattern);
    filter_free(filter->contains);
    free(filter);
}

/* ---- match ---- */

static bool is_choice(const cJSON *choices, const cJSON *value)
{
    const cJSON *one = NULL;

    cJSON_ArrayForEach(one, choices)
    {
        if (cJSON_Compare(one, value, true)) {
            return true;
        }
    }
    return false;
}

/* One that is too hard counts as one that does not match. */
static bool matches_pattern(const pcre2_code *pattern, const char *text, unsigned *patterns_left)
{
    if (*patterns_left == 0) {
        return false;
    }
    (*patterns_left)--;
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(pattern, NULL);

    (void)pcre2_set_match_limit(context, MATCH_STEPS_MAX);
    (void)pcre2_set_depth_limit(context, MATCH_DEPTH_MAX);
    (void)pcre2_set_heap_limit(context, MATCH_HEAP_KIB_MAX);
    const int result =
        pcre2_match(pattern, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, 0, data, context);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return result >= 0;
}

static bool contains_match(const struct filter *filter, const cJSON *array, unsigned *patterns_left)
{
    const cJSON *one = NULL;

    cJSON_ArrayForEach(one, array)
    {
        if (filter_matches(filter, one, patterns_left)) {
            return true;
        }
    }
    return false;
}

static bool is_in_range(const struct filter *filter, const cJSON *value)
{
    return cJSON_IsNumber(value) && value->valuedouble >= filter->minimum
        && value->valuedouble <= filter->maximum;
}

bool filter_matches(const struct filter *filter, const cJSON *value, unsigned *patterns_left)
{
    return has_type(filter, value)
        && (filter->constant == NULL || cJSON_Compare(filter->constant, value, true))
        && (filter->choices == NULL || is_choice(filter->choices, value))
        && (filter->pattern == NULL
            || (cJSON_IsString(value)
                && matches_pattern(filter->pattern, value->valuestring, patterns_left)))
        && (!filter->is_number || is_in_range(filter, value))
        && (filter->contains == NULL
            || (cJSON_IsArray(value) && contains_match(filter->contains, value, patterns_left)));
}
