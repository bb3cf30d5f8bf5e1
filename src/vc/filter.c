/*
 * `pattern` is an ECMA-262 expression with Unicode, searched anywhere (JSON Schema Core 6.4, and
 * 6.3.3), here by PCRE2 with the options that make it read and match as ECMA-262 does: a dollar is
 * the very end, \u and \x are code points, [] is empty.
 *
 * Expressions come from anyone. PCRE2's match limit starts anew at each byte of the subject (16 KB of
 * "a" took [^b]*(?:c|d) 3.5 s with a limit of 40000), and one item that repeats scans the whole rest
 * uncounted. So a callout before every item takes from the effort, by what the item could scan; the
 * limits only stand behind it.
 */
#include "vc/filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "vc/definition.h"

enum {
    SCAN_UNIT = 64, /* bytes that one item may scan for one step of effort */
    HEAP_MAX_KIB = 4096,
};

/* The types of JSON Schema, by cJSON's bits; cJSON has no integers. */
enum { TYPE_INTEGER = 0x100 };

struct filter {
    int types; /* 0: any */
    const cJSON *constant;
    const cJSON *one_of;
    const cJSON *minimum;
    const cJSON *maximum;
    pcre2_code *pattern;
    struct filter *contains;
};

DEFINE_RELEASE(release_filter, struct filter, filter_free)
DEFINE_RELEASE(release_compile_context, pcre2_compile_context, pcre2_compile_context_free)
DEFINE_RELEASE(release_match_context, pcre2_match_context, pcre2_match_context_free)
DEFINE_RELEASE(release_match_data, pcre2_match_data, pcre2_match_data_free)

void filter_free(struct filter *filter)
{
    if (filter->contains != NULL) {
        filter_free(filter->contains);
    }
    pcre2_code_free(filter->pattern);
    free(filter);
}

/* ---- reading ---- */

static int type_named(const char *name)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {
        { "string", cJSON_String },  { "number", cJSON_Number },
        { "integer", TYPE_INTEGER }, { "boolean", cJSON_True | cJSON_False },
        { "null", cJSON_NULL },      { "array", cJSON_Array },
        { "object", cJSON_Object },
    };
    for (size_t i = 0; name != NULL && i < COUNT_OF(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            return types[i].type;
        }
    }
    return 0;
}

static bool add_type(const cJSON *name, const struct place *place, struct filter *filter,
                     struct error *err)
{
    const int type = type_named(cJSON_GetStringValue(name));
    filter->types |= type;
    return type != 0 || fail_at(place, err, "names no type of JSON Schema");
}

/* What keywords without `type` ask for. */
static int implied_types(const struct filter *filter)
{
    return (filter->pattern != NULL ? cJSON_String : 0)
         | (filter->minimum != NULL || filter->maximum != NULL ? cJSON_Number : 0)
         | (filter->contains != NULL ? cJSON_Array : 0);
}

static bool parse_types(const cJSON *value, const struct place *outer, struct filter *filter,
                        struct error *err)
{
    const struct place place = { outer, "type", 0, 0 };
    const cJSON *one = NULL;

    if (value == NULL) {
        filter->types = implied_types(filter);
        return true;
    }
    if (cJSON_IsString(value)) {
        return add_type(value, &place, filter, err);
    }
    cJSON_ArrayForEach(one, value)
    {
        if (!add_type(one, &place, filter, err)) {
            return false;
        }
    }
    return filter->types != 0 || fail_at(&place, err, "must not be empty");
}

static bool parse_enum(const cJSON *value, const struct place *outer, struct filter *filter,
                       struct error *err)
{
    const struct place place = { outer, "enum", 0, 0 };
    filter->one_of = value;
    return value == NULL || value->child != NULL || fail_at(&place, err, "must not be empty");
}

static pcre2_code *compile(const char *text, int *number_out, PCRE2_SIZE *stop_out)
{
    const uint32_t options = PCRE2_UTF | PCRE2_AUTO_CALLOUT | PCRE2_DOLLAR_ENDONLY
                           | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF
                           | PCRE2_NEVER_BACKSLASH_C;
    scoped(release_compile_context) pcre2_compile_context *context =
        pcre2_compile_context_create(NULL);

    if (context == NULL) {
        abort(); /* as xcalloc() */
    }
    (void)pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    return pcre2_compile((PCRE2_SPTR)text, strlen(text), options, number_out, stop_out, context);
}

static bool compile_pattern(const char *text, const struct place *place, pcre2_code **pattern_out,
                            struct error *err)
{
    int number = 0;
    PCRE2_SIZE stop = 0;
    char reason[128];

    if (strlen(text) > DEFINITION_PATTERN_MAX) {
        return fail_at(place, err, "longer than %d bytes", DEFINITION_PATTERN_MAX);
    }
    if (strncmp(text, "(*", 2) == 0) { /* PCRE2 would take settings from it */
        return fail_at(place, err, "no regular expression: nothing to repeat at byte 1");
    }
    *pattern_out = compile(text, &number, &stop);
    if (*pattern_out == NULL) {
        (void)pcre2_get_error_message(number, (PCRE2_UCHAR *)reason, sizeof(reason));
        return fail_at(place, err, "no regular expression: %s at byte %zu", reason, (size_t)stop);
    }
    return true;
}

static bool parse_pattern(const cJSON *value, const struct place *outer, size_t *patterns,
                          struct filter *filter, struct error *err)
{
    const struct place place = { outer, "pattern", 0, 0 };
    size_t size = 0;

    if (value == NULL) {
        return true;
    }
    if (!compile_pattern(value->valuestring, &place, &filter->pattern, err)) {
        return false;
    }
    (void)pcre2_pattern_info(filter->pattern, PCRE2_INFO_SIZE, &size);
    *patterns += size;
    return *patterns <= FILTER_PATTERNS_MAX
        || fail_at(&place, err, "too large, together with the patterns before it");
}

static bool parse_nested(const cJSON *schema, const struct place *place, size_t *patterns,
                         unsigned nesting, struct filter **filter_out, struct error *err);

static bool parse_contains(const cJSON *value, const struct place *outer, size_t *patterns,
                           unsigned nesting, struct filter *filter, struct error *err)
{
    const struct place place = { outer, "contains", 0, 0 };

    if (value == NULL) {
        return true;
    }
    if (nesting == FILTER_NESTING_MAX) {
        return fail_at(&place, err, "nested more than %d deep", FILTER_NESTING_MAX);
    }
    return parse_nested(value, &place, patterns, nesting + 1, &filter->contains, err);
}

static const struct member_rule keywords[] = {
    { "type", MEMBER_TEXT | MEMBER_ARRAY, false },
    { "const", MEMBER_ANY, false },
    { "enum", MEMBER_ARRAY, false },
    { "pattern", MEMBER_TEXT, false },
    { "minimum", MEMBER_NUMBER, false },
    { "maximum", MEMBER_NUMBER, false },
    { "contains", MEMBER_OBJECT, false },
    { "$schema", MEMBER_ANY, false },
    { "$comment", MEMBER_ANY, false },
    { "title", MEMBER_ANY, false },
    { "description", MEMBER_ANY, false },
    { "default", MEMBER_ANY, false },
    { "examples", MEMBER_ANY, false },
};

static const cJSON *keyword(const cJSON *schema, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(schema, name);
}

static bool parse_nested(const cJSON *schema, const struct place *place, size_t *patterns,
                         unsigned nesting, struct filter **filter_out, struct error *err)
{
    if (!members_check(schema, keywords, COUNT_OF(keywords), place, err)) {
        return false;
    }
    scoped(release_filter) struct filter *filter = xcalloc(1, sizeof(*filter));
    filter->constant = keyword(schema, "const");
    filter->minimum = keyword(schema, "minimum");
    filter->maximum = keyword(schema, "maximum");
    if (!parse_enum(keyword(schema, "enum"), place, filter, err)
        || !parse_pattern(keyword(schema, "pattern"), place, patterns, filter, err)
        || !parse_contains(keyword(schema, "contains"), place, patterns, nesting, filter, err)
        || !parse_types(keyword(schema, "type"), place, filter, err)) {
        return false;
    }
    *filter_out = take(filter);
    return true;
}

bool filter_parse(const cJSON *schema, const struct place *place, size_t *patterns,
                  struct filter **filter_out, struct error *err)
{
    return parse_nested(schema, place, patterns, 0, filter_out, err);
}

/* ---- holding ---- */

static bool is_integer(const cJSON *value)
{
    return cJSON_IsNumber(value) && trunc(value->valuedouble) == value->valuedouble;
}

static bool has_type(int types, const cJSON *value)
{
    return types == 0 || (value->type & types & 0xff) != 0
        || ((types & TYPE_INTEGER) != 0 && is_integer(value));
}

static const cJSON *find_member(const cJSON *object, const char *name, struct effort *effort)
{
    const cJSON *member = object->child;
    while (member != NULL && effort_spend(effort, 1) && strcmp(member->string, name) != 0) {
        member = member->next;
    }
    return effort_is_spent(effort) ? NULL : member;
}

static bool is_same(const cJSON *a, const cJSON *b, struct effort *effort);

static bool has_same_children(const cJSON *a, const cJSON *b, struct effort *effort)
{
    const cJSON *of_a = NULL;
    const cJSON *next_of_b = b->child;

    if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b)) {
        return false;
    }
    cJSON_ArrayForEach(of_a, a)
    {
        const cJSON *of_b = cJSON_IsObject(b) ? find_member(b, of_a->string, effort) : next_of_b;
        if (of_b == NULL || !is_same(of_a, of_b, effort)) {
            return false;
        }
        next_of_b = of_b->next;
    }
    return true;
}

/* Equal as JSON Schema says (Core 4.2.2): numbers by value, objects whatever the order. cJSON's own
 * comparison takes numbers that differ a little for equal. */
static bool is_same(const cJSON *a, const cJSON *b, struct effort *effort)
{
    if (!effort_spend(effort, 1) || (a->type & 0xff) != (b->type & 0xff)) {
        return false;
    }
    switch (a->type & 0xff) {
    case cJSON_String:
        return strcmp(a->valuestring, b->valuestring) == 0;
    case cJSON_Number:
        return !(a->valuedouble < b->valuedouble) && !(a->valuedouble > b->valuedouble);
    case cJSON_Array:
    case cJSON_Object:
        return has_same_children(a, b, effort);
    default:
        return true;
    }
}

static bool is_one_of(const cJSON *list, const cJSON *value, struct effort *effort)
{
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, list)
    {
        if (is_same(one, value, effort)) {
            return true;
        }
    }
    return false;
}

static int spend_on_item(pcre2_callout_block *block, void *effort)
{
    const size_t rest = block->subject_length - block->current_position;
    return effort_spend(effort, 1 + (unsigned)(rest / SCAN_UNIT)) ? 0 : PCRE2_ERROR_CALLOUT;
}

static bool matches(const pcre2_code *pattern, const char *subject, struct effort *effort)
{
    const size_t length = strlen(subject);
    if (length > FILTER_SUBJECT_MAX) {
        return false;
    }
    scoped(release_match_context) pcre2_match_context *context = pcre2_match_context_create(NULL);
    scoped(release_match_data) pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (context == NULL || data == NULL) {
        abort(); /* as xcalloc() */
    }
    (void)pcre2_set_callout(context, spend_on_item, effort);
    (void)pcre2_set_match_limit(context, EFFORT_MAX);
    (void)pcre2_set_heap_limit(context, HEAP_MAX_KIB);
    const int count = pcre2_match(pattern, (PCRE2_SPTR)subject, length, 0, 0, data, context);
    if (count < 0 && count != PCRE2_ERROR_NOMATCH) {
        effort->left = 0; /* it was stopped, and nothing is known */
    }
    return count >= 0 && !effort_is_spent(effort);
}

static bool contains_one(const struct filter *filter, const cJSON *array, struct effort *effort)
{
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, array)
    {
        if (filter_holds(filter, one, effort)) {
            return true;
        }
    }
    return false;
}

static bool is_in_range(const struct filter *filter, const cJSON *value)
{
    return (filter->minimum == NULL || value->valuedouble >= filter->minimum->valuedouble)
        && (filter->maximum == NULL || value->valuedouble <= filter->maximum->valuedouble);
}

bool filter_holds(const struct filter *filter, const cJSON *value, struct effort *effort)
{
    return effort_spend(effort, 1) && has_type(filter->types, value)
        && (filter->constant == NULL || is_same(filter->constant, value, effort))
        && (filter->one_of == NULL || is_one_of(filter->one_of, value, effort))
        && (!cJSON_IsNumber(value) || is_in_range(filter, value))
        && (filter->pattern == NULL || !cJSON_IsString(value)
            || matches(filter->pattern, value->valuestring, effort))
        && (filter->contains == NULL || !cJSON_IsArray(value)
            || contains_one(filter->contains, value, effort));
}
