#include "vc/json_path.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum step_kind { STEP_NAME, STEP_INDEX, STEP_ALL };

struct step {
    enum step_kind kind;
    bool descends;    /* behind "..": of the node and of all inside it */
    const char *name; /* in the path's `names` */
    int index;
};

struct json_path {
    struct step steps[JSON_PATH_STEPS_MAX];
    size_t count;
    char
        names[JSON_PATH_LENGTH_MAX + 1]; /* each with its NUL; shorter than the text by its marks */
};

/* ---- parse ---- */

struct parser {
    const char *text;
    const char *at;
    char *names_end;
    struct json_path *path;
};

static bool fail_here(const struct parser *parser, const char *what, struct error *err)
{
    return fail(err, ERROR_INVALID_REQUEST, "byte %zu: %s", (size_t)(parser->at - parser->text),
                what);
}

static bool add_step(struct parser *parser, const struct step *step, struct error *err)
{
    struct json_path *path = parser->path;

    if (path->count == JSON_PATH_STEPS_MAX) {
        return fail_here(parser, "too many steps", err);
    }
    path->steps[path->count++] = *step;
    return true;
}

/* RFC 9535 2.5.1.1 member-name-shorthand, and '-', which is in many names. */
static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
        || c == '-' || (unsigned char)c >= 0x80;
}

static bool parse_shorthand(struct parser *parser, bool descends, struct error *err)
{
    struct step step = { .kind = STEP_NAME, .descends = descends, .name = parser->names_end };

    if (*parser->at == '*') {
        parser->at++;
        step.kind = STEP_ALL;
        return add_step(parser, &step, err);
    }
    while (is_name_byte(*parser->at)) {
        *parser->names_end++ = *parser->at++;
    }
    if (parser->names_end == step.name) {
        return fail_here(parser, "a name, * or [ should be here", err);
    }
    *parser->names_end++ = '\0';
    return add_step(parser, &step, err);
}

/* Of the escapes those that a name needs. */
static bool parse_quoted(struct parser *parser, struct step *step, struct error *err)
{
    const char quote = *parser->at++;

    step->kind = STEP_NAME;
    step->name = parser->names_end;
    while (*parser->at != quote) {
        if (*parser->at == '\\') {
            parser->at++;
            if (*parser->at == '\0' || strchr("'\"\\/", *parser->at) == NULL) {
                return fail_here(parser, "an escape that is not taken", err);
            }
        }
        if (*parser->at == '\0') {
            return fail_here(parser, "the quote does not end", err);
        }
        *parser->names_end++ = *parser->at++;
    }
    parser->at++;
    *parser->names_end++ = '\0';
    return true;
}

static bool parse_index(struct parser *parser, struct step *step, struct error *err)
{
    const size_t digits = strspn(parser->at, "0123456789");

    if (digits == 0 || digits > 6 || (digits > 1 && *parser->at == '0')) {
        return fail_here(parser, "a quoted name, an index or * should be here", err);
    }
    step->kind = STEP_INDEX;
    step->index = atoi(parser->at);
    parser->at += digits;
    return true;
}

static bool parse_bracket(struct parser *parser, bool descends, struct error *err)
{
    struct step step = { .descends = descends };
    bool good = true;

    parser->at++;
    if (*parser->at == '*') {
        parser->at++;
        step.kind = STEP_ALL;
    } else if (*parser->at == '\'' || *parser->at == '"') {
        good = parse_quoted(parser, &step, err);
    } else {
        good = parse_index(parser, &step, err);
    }
    if (!good) {
        return false;
    }
    if (*parser->at != ']') {
        return fail_here(parser, "] should be here: one name, index or * at a time", err);
    }
    parser->at++;
    return add_step(parser, &step, err);
}

static bool parse_segment(struct parser *parser, struct error *err)
{
    const size_t dots = strspn(parser->at, ".");

    if (dots > 2 || (dots == 0 && *parser->at != '[')) {
        return fail_here(parser, ". or [ should be here", err);
    }
    parser->at += dots;
    return *parser->at == '[' && dots != 1 ? parse_bracket(parser, dots == 2, err)
                                           : parse_shorthand(parser, dots == 2, err);
}

bool json_path_parse(const char *text, struct json_path **path_out, struct error *err)
{
    if (strlen(text) > JSON_PATH_LENGTH_MAX) {
        return fail(err, ERROR_INVALID_REQUEST, "longer than %d bytes", JSON_PATH_LENGTH_MAX);
    }
    struct json_path *path = xcalloc(1, sizeof(*path));
    struct parser parser = { .text = text, .at = text, .names_end = path->names, .path = path };
    bool good = *text == '$' || fail_here(&parser, "a path begins with $", err);

    parser.at++;
    while (good && *parser.at != '\0') {
        good = parse_segment(&parser, err);
    }
    if (!good) {
        json_path_free(path);
        return false;
    }
    *path_out = path;
    return true;
}

void json_path_free(struct json_path *path)
{
    free(path);
}

/* ---- select ---- */

struct selection {
    const struct json_path *path;
    json_node_fn *take_node;
    void *context;
    unsigned *visits_left;
};

static bool select_from(struct selection *selection, size_t step, const cJSON *node);

static bool select_step(struct selection *selection, size_t number, const cJSON *node)
{
    const struct step *step = &selection->path->steps[number];
    const cJSON *child = NULL;

    switch (step->kind) {
    case STEP_NAME:
        child = cJSON_IsObject(node) ? cJSON_GetObjectItemCaseSensitive(node, step->name) : NULL;
        return child != NULL && select_from(selection, number + 1, child);
    case STEP_INDEX:
        child = cJSON_IsArray(node) ? cJSON_GetArrayItem(node, step->index) : NULL;
        return child != NULL && select_from(selection, number + 1, child);
    case STEP_ALL:
        cJSON_ArrayForEach(child, node)
        {
            if (select_from(selection, number + 1, child)) {
                return true;
            }
        }
        return false;
    }
    return false;
}

/* Goes down at most one level for each step and each level of the JSON, of which there are 16. */
static bool select_from(struct selection *selection, size_t step, const cJSON *node)
{
    const cJSON *child = NULL;

    if (*selection->visits_left == 0) {
        return false;
    }
    (*selection->visits_left)--;
    if (step == selection->path->count) {
        return selection->take_node(node, selection->context);
    }
    if (select_step(selection, step, node)) {
        return true;
    }
    if (selection->path->steps[step].descends) {
        cJSON_ArrayForEach(child, node)
        {
            if (select_from(selection, step, child)) {
                return true;
            }
        }
    }
    return false;
}

bool json_path_select(const struct json_path *path, const cJSON *root, json_node_fn *take_node,
                      void *context, unsigned *visits_left)
{
    struct selection selection = {
        .path = path, .take_node = take_node, .context = context, .visits_left = visits_left
    };
    return select_from(&selection, 0, root);
}
