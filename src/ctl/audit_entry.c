/* json_check() has seen the entry before anything else here does: what follows knows it is JSON. */
#include "ctl/audit_entry.h"

#include <stdbool.h>
#include <string.h>

#include "base/json_check.h"
#include "base/memory.h"

/* In their order. */
static const struct member {
    const char *name;
    bool is_number;
} MEMBERS[] = {
    { "time", true },           { "kind", false },   { "jti", false },     { "kid", false },
    { "authorization", false }, { "token", false },  { "subject", false }, { "expires", true },
    { "state", false },         { "reason", false }, { "detail", false },
};

enum { MEMBER_TIME, MEMBER_KIND, MEMBER_JTI };

struct value {
    const char *start;
    size_t length;
};

/* Behind the quote that ends the string which begins at `at`, without its first quote. */
static const char *end_of_string(const char *at)
{
    for (at += strcspn(at, "\"\\"); *at != '"'; at += strcspn(at, "\"\\")) {
        at += 2; /* a backslash, and what it escapes */
    }
    return at;
}

/* Which member begins at *at, `first` or one behind it; on true *at is behind its colon. */
static bool find_member(const char **at, size_t first, size_t *member_out)
{
    for (size_t i = first; i < COUNT_OF(MEMBERS); i++) {
        const size_t length = strlen(MEMBERS[i].name);
        if (strncmp(*at, MEMBERS[i].name, length) == 0 && strncmp(*at + length, "\":", 2) == 0) {
            *at += length + 2;
            *member_out = i;
            return true;
        }
    }
    return false;
}

static bool read_value(const char **at, bool is_number, struct value *value_out)
{
    const bool is_string = **at == '"';
    const char *start = *at + (is_string ? 1 : 0);
    const char *end = is_string ? end_of_string(start) : start + strspn(start, "0123456789");

    *value_out = (struct value){ .start = start, .length = (size_t)(end - start) };
    *at = end + (is_string ? 1 : 0);
    return is_string != is_number
        && (is_string || (value_out->length > 0 && value_out->length < 16));
}

static int64_t number_of(const struct value *value)
{
    int64_t number = 0;

    for (size_t i = 0; i < value->length; i++) {
        number = number * 10 + (value->start[i] - '0');
    }
    return number;
}

static bool keep(struct audit_entry *entry, size_t member, const struct value *value)
{
    switch (member) {
    case MEMBER_TIME:
        entry->time_s = number_of(value);
        return true;
    case MEMBER_KIND:
        if (value->length == 0 || value->length > ENTRY_KIND_MAX) {
            return false;
        }
        memcpy(entry->kind, value->start, value->length);
        return true;
    case MEMBER_JTI:
        entry->jti = value->start;
        entry->jti_length = value->length;
        return true;
    default:
        return true;
    }
}

/* `at`: behind the object's brace. */
static bool read_members(const char *at, const char *end, struct audit_entry *entry)
{
    size_t next = 0;

    for (;;) {
        size_t member = 0;
        struct value value;
        if (*at++ != '"' || !find_member(&at, next, &member)
            || (next <= MEMBER_KIND && member != next)
            || !read_value(&at, MEMBERS[member].is_number, &value)
            || !keep(entry, member, &value)) {
            return false;
        }
        next = member + 1;
        if (*at == '}') {
            return at + 1 == end && next > MEMBER_KIND;
        }
        if (*at++ != ',') {
            return false;
        }
    }
}

bool audit_entry_parse(const char *entry, size_t length, struct audit_entry *entry_out,
                       struct error *err)
{
    *entry_out = (struct audit_entry){ .time_s = 0 };
    if (!json_check(entry, length, err)) {
        return error_context(err, "no JSON");
    }
    return (entry[0] == '{' && read_members(entry + 1, entry + length, entry_out))
        || fail(err, ERROR_INVALID_REQUEST,
                "not the members of an entry in their order, without white space");
}
