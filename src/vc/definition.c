/*
 * A definition is its JSON, checked member by member, and beside it what is compiled from it: the
 * paths and filters of its fields. Names and constants are read from the JSON, which lives as long.
 */
#include "vc/definition.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "jose/json.h"
#include "vc/evaluate.h"
#include "vc/filter.h"
#include "vc/json_path.h"
#include "vc/member.h"

enum { ID_MAX = 256 };

_Static_assert((int)DEFINITION_PATH_MAX == (int)JSON_PATH_MAX, "a path of the greatest length");

struct field {
    struct json_path *paths[DEFINITION_PATHS_MAX];
    size_t path_count;
    struct filter *filter; /* NULL: any value */
    bool optional;
};

struct descriptor {
    const char *id;
    unsigned algorithms; /* a bit for each enum jose_algorithm */
    struct field *fields;
    size_t field_count;
};

struct definition {
    cJSON *json;
    struct descriptor descriptors[DEFINITION_DESCRIPTORS_MAX];
    size_t descriptor_count;
    size_t patterns; /* bytes of them, for filter_parse() */
};

DEFINE_RELEASE(release_definition, struct definition, definition_free)

static void clear_field(struct field *field)
{
    for (size_t i = 0; i < field->path_count; i++) {
        json_path_free(field->paths[i]);
    }
    if (field->filter != NULL) {
        filter_free(field->filter);
    }
}

void definition_free(struct definition *definition)
{
    for (size_t i = 0; i < definition->descriptor_count; i++) {
        struct descriptor *descriptor = &definition->descriptors[i];
        for (size_t j = 0; j < descriptor->field_count; j++) {
            clear_field(&descriptor->fields[j]);
        }
        free(descriptor->fields);
    }
    cJSON_Delete(definition->json);
    free(definition);
}

const char *definition_id(const struct definition *definition)
{
    return json_text(definition->json, "id");
}

size_t definition_descriptor_count(const struct definition *definition)
{
    return definition->descriptor_count;
}

const char *definition_descriptor_id(const struct definition *definition, size_t index)
{
    return definition->descriptors[index].id;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool has_at_most(const cJSON *array, size_t max, const struct place *place,
                        struct error *err)
{
    return (size_t)cJSON_GetArraySize(array) <= max || fail_at(place, err, "more than %zu", max);
}

/* ---- formats (PE 2.0, 9) ---- */

static const struct {
    const char *name;
    enum jose_algorithm algorithm;
} algorithms[] = {
    { "ES256", JOSE_ES256 },     { "ES384", JOSE_ES384 },   { "ES256K", JOSE_ES256K },
    { "Ed25519", JOSE_ED25519 }, { "EdDSA", JOSE_ED25519 },
};

static unsigned bit(enum jose_algorithm algorithm)
{
    return 1U << (unsigned)algorithm;
}

/* Those of the list that a credential is accepted with; without a list, all of them. */
static unsigned algorithms_named(const cJSON *list)
{
    unsigned bits = 0;
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        const cJSON *name = NULL;
        bool named = list == NULL;
        cJSON_ArrayForEach(name, list)
        {
            named = named || strcmp(name->valuestring, algorithms[i].name) == 0;
        }
        bits |= named ? bit(algorithms[i].algorithm) : 0;
    }
    return bits;
}

static bool parse_jwt_format(const cJSON *format, const struct place *place, unsigned *bits,
                             struct error *err)
{
    static const struct member_rule rules[] = { { "alg", MEMBER_ARRAY, false } };
    const struct place alg_place = { place, "alg", 0, 0 };
    const cJSON *name = NULL;
    size_t index = 0;

    if (!members_check(format, rules, COUNT_OF(rules), place, err)) {
        return false;
    }
    const cJSON *list = member(format, "alg");
    cJSON_ArrayForEach(name, list)
    {
        const struct place at = { &alg_place, NULL, index++, 0 };
        if (!member_has_type(name, MEMBER_TEXT, &at, err)) {
            return false;
        }
    }
    *bits |= algorithms_named(list);
    return true;
}

static bool is_jwt_vc(const char *format)
{
    return strcmp(format, "jwt_vc") == 0 || strcmp(format, "jwt_vc_json") == 0;
}

/* Leaves in *bits the algorithms that the format allows too. Other formats may stand beside JWT VCs:
 * a credential in them is not accepted here, so what they ask for does not matter. */
static bool parse_format(const cJSON *object, const struct place *outer, unsigned *bits,
                         struct error *err)
{
    const struct place place = { outer, "format", 0, 0 };
    const cJSON *formats = member(object, "format");
    const cJSON *format = NULL;
    unsigned allowed = 0;

    if (formats == NULL) {
        return true;
    }
    cJSON_ArrayForEach(format, formats)
    {
        const struct place at = { &place, format->string, 0, 0 };
        if (!member_has_type(format, MEMBER_OBJECT, &at, err)
            || (is_jwt_vc(format->string) && !parse_jwt_format(format, &at, &allowed, err))) {
            return false;
        }
    }
    *bits &= allowed;
    return *bits != 0
        || fail_at(&place, err,
                   "must allow jwt_vc or jwt_vc_json, with ES256, ES384, ES256K or Ed25519");
}

/* ---- fields ---- */

static bool parse_path(const cJSON *path, const struct place *place, struct field *field,
                       struct error *err)
{
    size_t stop = 0;

    if (!member_has_type(path, MEMBER_TEXT, place, err)) {
        return false;
    }
    if (!json_path_parse(path->valuestring, &field->paths[field->path_count], &stop)) {
        return fail_at(place, err, "no JSONPath that can be evaluated here, from byte %zu on",
                       stop);
    }
    field->path_count++;
    return true;
}

static bool parse_paths(const cJSON *paths, const struct place *outer, struct field *field,
                        struct error *err)
{
    const struct place place = { outer, "path", 0, 0 };
    const cJSON *path = NULL;

    if (!has_at_most(paths, DEFINITION_PATHS_MAX, &place, err)) {
        return false;
    }
    cJSON_ArrayForEach(path, paths)
    {
        const struct place at = { &place, NULL, field->path_count, 0 };
        if (!parse_path(path, &at, field, err)) {
            return false;
        }
    }
    return field->path_count > 0 || fail_at(&place, err, "must not be empty");
}

static bool parse_filter(const cJSON *filter, const struct place *outer, size_t *patterns,
                         struct field *field, struct error *err)
{
    const struct place place = { outer, "filter", 0, 0 };
    return filter == NULL || filter_parse(filter, &place, patterns, &field->filter, err);
}

static const struct member_rule field_rules[] = {
    { "path", MEMBER_ARRAY, true },
    { "id", MEMBER_TEXT, false },
    { "name", MEMBER_TEXT, false },
    { "purpose", MEMBER_TEXT, false },
    { "filter", MEMBER_OBJECT, false },
    { "optional", MEMBER_BOOLEAN, false },
    { "intent_to_retain", MEMBER_BOOLEAN, false }, /* nothing of a credential is stored */
};

static bool parse_field(const cJSON *json, const struct place *place, size_t *patterns,
                        struct field *field, struct error *err)
{
    if (!members_check(json, field_rules, COUNT_OF(field_rules), place, err)) {
        return false;
    }
    field->optional = cJSON_IsTrue(member(json, "optional"));
    return parse_paths(member(json, "path"), place, field, err)
        && parse_filter(member(json, "filter"), place, patterns, field, err);
}

static bool parse_fields(const cJSON *fields, const struct place *outer, size_t *patterns,
                         struct descriptor *descriptor, struct error *err)
{
    const struct place place = { outer, "fields", 0, 0 };
    const cJSON *field = NULL;

    if (!has_at_most(fields, DEFINITION_FIELDS_MAX, &place, err)) {
        return false;
    }
    descriptor->fields = xcalloc(DEFINITION_FIELDS_MAX, sizeof(struct field));
    cJSON_ArrayForEach(field, fields)
    {
        const struct place at = { &place, NULL, descriptor->field_count, 0 };
        if (!parse_field(field, &at, patterns, &descriptor->fields[descriptor->field_count++],
                         err)) {
            return false;
        }
    }
    return true;
}

/* ---- descriptors ---- */

static const struct member_rule constraints_rules[] = {
    { "fields", MEMBER_ARRAY, false },
    { "limit_disclosure", MEMBER_TEXT, false },
};

/* A JWT VC discloses all of itself. */
static bool check_limit_disclosure(const cJSON *constraints, const struct place *outer,
                                   struct error *err)
{
    const struct place place = { outer, "limit_disclosure", 0, 0 };
    const char *limit = json_text(constraints, "limit_disclosure");
    return limit == NULL || strcmp(limit, "preferred") == 0
        || fail_at(&place, err, "a JWT credential cannot be limited: only \"preferred\" is taken");
}

static bool parse_constraints(const cJSON *constraints, const struct place *outer, size_t *patterns,
                              struct descriptor *descriptor, struct error *err)
{
    const struct place place = { outer, "constraints", 0, 0 };

    if (constraints == NULL) {
        return true;
    }
    return members_check(constraints, constraints_rules, COUNT_OF(constraints_rules), &place, err)
        && check_limit_disclosure(constraints, &place, err)
        && parse_fields(member(constraints, "fields"), &place, patterns, descriptor, err);
}

static bool is_new_id(const struct definition *definition, const char *id,
                      const struct place *outer, struct error *err)
{
    const struct place place = { outer, "id", 0, 0 };
    for (size_t i = 0; i < definition->descriptor_count; i++) {
        if (strcmp(definition->descriptors[i].id, id) == 0) {
            return fail_at(&place, err, "that of another input descriptor");
        }
    }
    return true;
}

static const struct member_rule descriptor_rules[] = {
    { "id", MEMBER_TEXT, true },
    { "name", MEMBER_TEXT, false },
    { "purpose", MEMBER_TEXT, false },
    { "format", MEMBER_OBJECT, false },
    { "constraints", MEMBER_OBJECT, false },
};

static bool parse_descriptor(const cJSON *json, const struct place *place, unsigned allowed,
                             struct definition *definition, struct error *err)
{
    if (!members_check(json, descriptor_rules, COUNT_OF(descriptor_rules), place, err)
        || !member_is_name(json, "id", ID_MAX, place, err)
        || !is_new_id(definition, json_text(json, "id"), place, err)) {
        return false;
    }
    struct descriptor *descriptor = &definition->descriptors[definition->descriptor_count++];
    descriptor->id = json_text(json, "id");
    descriptor->algorithms = allowed;
    return parse_format(json, place, &descriptor->algorithms, err)
        && parse_constraints(member(json, "constraints"), place, &definition->patterns, descriptor,
                             err);
}

static bool parse_descriptors(const struct place *outer, unsigned allowed,
                              struct definition *definition, struct error *err)
{
    const struct place place = { outer, "input_descriptors", 0, 0 };
    const cJSON *descriptors = member(definition->json, "input_descriptors");
    const cJSON *one = NULL;

    if (!has_at_most(descriptors, DEFINITION_DESCRIPTORS_MAX, &place, err)) {
        return false;
    }
    cJSON_ArrayForEach(one, descriptors)
    {
        const struct place at = { &place, NULL, definition->descriptor_count, 0 };
        if (!parse_descriptor(one, &at, allowed, definition, err)) {
            return false;
        }
    }
    return true;
}

static const struct member_rule definition_rules[] = {
    { "id", MEMBER_TEXT, true },
    { "name", MEMBER_TEXT, false },
    { "purpose", MEMBER_TEXT, false },
    { "format", MEMBER_OBJECT, false },
    { "input_descriptors", MEMBER_ARRAY, false },
};

bool definition_parse(const char *json, struct definition **definition_out, struct error *err)
{
    static const struct place place = { NULL, "presentation_definition", 0, ERROR_INVALID_REQUEST };
    scoped(release_definition) struct definition *definition = xcalloc(1, sizeof(*definition));
    unsigned allowed = algorithms_named(NULL);

    if (!json_parse_object(json, strlen(json), &definition->json, err)) {
        return error_context(err, "presentation_definition");
    }
    if (!members_check(definition->json, definition_rules, COUNT_OF(definition_rules), &place, err)
        || !member_is_name(definition->json, "id", ID_MAX, &place, err)
        || !parse_format(definition->json, &place, &allowed, err)
        || !parse_descriptors(&place, allowed, definition, err)) {
        return false;
    }
    *definition_out = take(definition);
    return true;
}

/* ---- whether a credential satisfies ---- */

struct trial {
    const struct filter *filter;
    struct effort *effort;
};

static bool is_accepted(const cJSON *node, void *context)
{
    const struct trial *trial = context;
    return trial->filter == NULL || filter_holds(trial->filter, node, trial->effort);
}

static bool is_satisfied(const struct field *field, const cJSON *claims, struct effort *effort)
{
    const cJSON *vc = member(claims, "vc");
    struct trial trial = { field->filter, effort };

    for (size_t i = 0; i < field->path_count; i++) {
        if (json_path_find(field->paths[i], claims, is_accepted, &trial, effort)
            || (vc != NULL && json_path_find(field->paths[i], vc, is_accepted, &trial, effort))) {
            return true;
        }
    }
    return false;
}

static bool fail_field(const struct definition *definition, size_t index, size_t field_index,
                       bool spent, struct error *err)
{
    const struct place root = { NULL, "presentation_definition", 0, ERROR_PRESENTATION };
    const struct place list = { &root, "input_descriptors", 0, 0 };
    const struct place descriptor = { &list, NULL, index, 0 };
    const struct place constraints = { &descriptor, "constraints", 0, 0 };
    const struct place fields = { &constraints, "fields", 0, 0 };
    const struct place field = { &fields, NULL, field_index, 0 };
    const cJSON *json =
        cJSON_GetArrayItem(member(definition->json, "input_descriptors"), (int)index);
    const cJSON *field_json =
        cJSON_GetArrayItem(member(member(json, "constraints"), "fields"), (int)field_index);
    const char *path = cJSON_GetStringValue(member(field_json, "path")->child);

    return spent ? fail_at(&field, err, "takes too long to evaluate in the credential")
                 : fail_at(&field, err, "the credential has no such value at %s", shown(path).text);
}

bool definition_evaluate(const struct definition *definition, size_t index, const cJSON *claims,
                         struct error *err)
{
    const struct descriptor *descriptor = &definition->descriptors[index];
    struct effort effort = { EFFORT_MAX };

    for (size_t i = 0; i < descriptor->field_count; i++) {
        const struct field *field = &descriptor->fields[i];
        if (!field->optional && !is_satisfied(field, claims, &effort)) {
            return fail_field(definition, index, i, effort_is_spent(&effort), err);
        }
    }
    return true;
}

bool definition_allows_algorithm(const struct definition *definition, size_t index,
                                 enum jose_algorithm algorithm)
{
    return (definition->descriptors[index].algorithms & bit(algorithm)) != 0;
}
