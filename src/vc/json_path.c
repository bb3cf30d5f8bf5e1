/*
 * jsonpath-query = "$" *( ".." selector / "." shorthand / "[" selector "]" )
 *
 * A path becomes a list of steps once. Each step of a walk goes down to a child, so recursion ends
 * where the JSON does, which json_check() has held to JSON_DEPTH_MAX.
 */
#include "vc/json_path.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_check.h"
#include "base/memory.h"

enum {
    STEPS_MAX = JSON_DEPTH_MAX, /* one more is below everything */
    INDEX_DIGITS_MAX = 5,
};

enum selector { SELECT_NAME, SELECT_INDEX, SELECT_ALL };

struct step {
    enum selector selector;
    bool descends;
    const char *name; /* in json_path.names */
    int index;
};

struct json_path {
    size_t count;
    struct step steps[STEPS_MAX];
    char names[]; /* each with its NUL; the path's own text is longer */
};

struct scanner {
    const char *at;
    struct json_path *path;
    char *name_end;
};

DEFINE_RELEASE(release_path, struct json_path, json_path_free)

void json_path_free(struct json_path *path)
{
    free(path);
}

static bool accept(struct scanner *scanner, const char *token)
{
    const size_t length = strlen(token);
    if (strncmp(scanner->at, token, length) != 0) {
        return false;
    }
    scanner->at += length;
    return true;
}

/* ---- names ---- */

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static void add_byte(struct scanner *scanner, unsigned byte)
{
    *scanner->name_end++ = (char)byte;
}

/* member-name-shorthand (2.5.1.1): what is not ASCII is UTF-8, by json_check(). */
static bool shorthand(struct scanner *scanner, struct step *step)
{
    if (!is_name_start(*scanner->at)) {
        return false;
    }
    step->selector = SELECT_NAME;
    step->name = scanner->name_end;
    while (is_name_start(*scanner->at) || (*scanner->at >= '0' && *scanner->at <= '9')) {
        add_byte(scanner, (unsigned char)*scanner->at++);
    }
    add_byte(scanner, '\0');
    return true;
}

static void add_character(struct scanner *scanner, unsigned character)
{
    if (character < 0x80) {
        add_byte(scanner, character);
    } else if (character < 0x800) {
        add_byte(scanner, 0xc0 | character >> 6);
        add_byte(scanner, 0x80 | (character & 0x3f));
    } else if (character < 0x10000) {
        add_byte(scanner, 0xe0 | character >> 12);
        add_byte(scanner, 0x80 | (character >> 6 & 0x3f));
        add_byte(scanner, 0x80 | (character & 0x3f));
    } else {
        add_byte(scanner, 0xf0 | character >> 18);
        add_byte(scanner, 0x80 | (character >> 12 & 0x3f));
        add_byte(scanner, 0x80 | (character >> 6 & 0x3f));
        add_byte(scanner, 0x80 | (character & 0x3f));
    }
}

/* The four digits behind "\u". */
static bool utf16_unit(struct scanner *scanner, unsigned *unit_out)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    unsigned unit = 0;

    for (int i = 0; i < 4; i++) {
        const char *digit = *scanner->at != '\0' ? strchr(digits, *scanner->at) : NULL;
        if (digit == NULL) {
            return false;
        }
        const unsigned value = (unsigned)(digit - digits);
        unit = unit << 4 | (value < 16 ? value : value - 6);
        scanner->at++;
    }
    *unit_out = unit;
    return true;
}

static bool unicode_escape(struct scanner *scanner)
{
    unsigned character = 0;
    unsigned low = 0;

    if (!utf16_unit(scanner, &character) || character == 0) { /* a C string would end there */
        return false;
    }
    if (character >= 0xd800 && character <= 0xdfff) {
        if (character > 0xdbff || !accept(scanner, "\\u") || !utf16_unit(scanner, &low)
            || low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
    }
    add_character(scanner, character);
    return true;
}

/* What follows a backslash. The other kind of quote is not escaped (2.3.1.1). */
static bool escape(struct scanner *scanner, char quote)
{
    static const char names[] = "\\/bfnrt";
    static const char meanings[] = "\\/\b\f\n\r\t";

    if (accept(scanner, "u")) {
        return unicode_escape(scanner);
    }
    const char *name = *scanner->at != '\0' ? strchr(names, *scanner->at) : NULL;
    if (*scanner->at != quote && name == NULL) {
        return false;
    }
    add_byte(scanner, (unsigned char)(name != NULL ? meanings[name - names] : quote));
    scanner->at++;
    return true;
}

/* The rest of ['name'] behind its quote. */
static bool quoted_name(struct scanner *scanner, char quote, struct step *step)
{
    step->selector = SELECT_NAME;
    step->name = scanner->name_end;
    while (*scanner->at != quote) {
        if ((unsigned char)*scanner->at < ' ') { /* the end as well */
            return false;
        }
        if (!accept(scanner, "\\")) {
            add_byte(scanner, (unsigned char)*scanner->at++);
        } else if (!escape(scanner, quote)) {
            return false;
        }
    }
    scanner->at++;
    add_byte(scanner, '\0');
    return true;
}

/* ---- steps ---- */

static bool number(struct scanner *scanner, struct step *step)
{
    const size_t digits = strspn(scanner->at, "0123456789");
    if (digits == 0 || digits > INDEX_DIGITS_MAX || (digits > 1 && *scanner->at == '0')) {
        return false;
    }
    step->selector = SELECT_INDEX;
    step->index = (int)strtol(scanner->at, NULL, 10);
    scanner->at += digits;
    return true;
}

static void skip_space(struct scanner *scanner)
{
    scanner->at += strspn(scanner->at, " \t\n\r");
}

static bool all(struct scanner *scanner, struct step *step)
{
    step->selector = SELECT_ALL;
    return accept(scanner, "*");
}

/* The rest of a bracketed selection with one selector. */
static bool bracketed(struct scanner *scanner, struct step *step)
{
    skip_space(scanner);
    const bool good = accept(scanner, "'")  ? quoted_name(scanner, '\'', step)
                    : accept(scanner, "\"") ? quoted_name(scanner, '"', step)
                                            : all(scanner, step) || number(scanner, step);
    if (!good) {
        return false;
    }
    skip_space(scanner);
    return accept(scanner, "]");
}

static bool one_step(struct scanner *scanner, struct step *step)
{
    step->descends = accept(scanner, "..");
    if (!step->descends && accept(scanner, ".")) {
        return all(scanner, step) || shorthand(scanner, step);
    }
    if (accept(scanner, "[")) {
        return bracketed(scanner, step);
    }
    return step->descends && (all(scanner, step) || shorthand(scanner, step));
}

static bool all_steps(struct scanner *scanner)
{
    if (!accept(scanner, "$")) {
        return false;
    }
    for (size_t i = 0; i < STEPS_MAX && *scanner->at != '\0'; i++) {
        if (!one_step(scanner, &scanner->path->steps[i])) {
            return false;
        }
        scanner->path->count++;
    }
    return *scanner->at == '\0';
}

bool json_path_parse(const char *text, struct json_path **path_out, size_t *stop_out)
{
    const size_t length = strnlen(text, JSON_PATH_MAX + 1);
    if (length > JSON_PATH_MAX) {
        *stop_out = JSON_PATH_MAX;
        return false;
    }
    scoped(release_path) struct json_path *path = xcalloc(1, sizeof(*path) + length);
    struct scanner scanner = { .at = text, .path = path, .name_end = path->names };
    if (!all_steps(&scanner)) {
        *stop_out = (size_t)(scanner.at - text);
        return false;
    }
    *path_out = take(path);
    return true;
}

/* ---- nodes ---- */

struct walk {
    const struct step *end;
    json_path_accept_fn *accept;
    void *context;
    struct effort *effort;
};

static bool selects(const struct step *step, const cJSON *node, const cJSON *child, int index)
{
    switch (step->selector) {
    case SELECT_NAME:
        return cJSON_IsObject(node) && strcmp(child->string, step->name) == 0;
    case SELECT_INDEX:
        return cJSON_IsArray(node) && index == step->index;
    case SELECT_ALL:
        return true;
    }
    return false;
}

static bool walk_from(const struct walk *walk, const cJSON *node, const struct step *step)
{
    const cJSON *child = NULL;
    int index = 0;

    if (step == walk->end) {
        return walk->accept(node, walk->context);
    }
    cJSON_ArrayForEach(child, node)
    {
        if (!effort_spend(walk->effort, 1)) {
            return false;
        }
        if (selects(step, node, child, index++) && walk_from(walk, child, step + 1)) {
            return true;
        }
    }
    if (step->descends) {
        cJSON_ArrayForEach(child, node)
        {
            if (walk_from(walk, child, step)) {
                return true;
            }
        }
    }
    return false;
}

bool json_path_find(const struct json_path *path, const cJSON *root, json_path_accept_fn *accept_fn,
                    void *context, struct effort *effort)
{
    const struct walk walk = { path->steps + path->count, accept_fn, context, effort };
    return walk_from(&walk, root, path->steps);
}
