#include "vc/definition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "jose/json.h"
#include "vc/evaluate.h"
#include "vc/filter.h"
#include "vc/json_path.h"

enum { ID_MAX = 256, PLACE_SIZE = 200 };

struct field {
    struct json_path *paths[DEFINITION_PATHS_MAX];
    size_t path_count;
    char first_path[DEFINITION_PATH_MAX + 1]; /* for messages */
    struct filter *filter;                    /* NULL: any value */
    bool is_optional;
};

struct descriptor {
    char id[ID_MAX + 1];
    struct field *fields;
    size_t field_count;
};

struct definition {
    char id[ID_MAX + 1];
    struct descriptor descriptors[DEFINITION_DESCRIPTORS_MAX];
    size_t count;
    unsigned visits_left;
    unsigned patterns_left;
};

DEFINE_RELEASE(release_definition, struct definition, definition_free)

/* ---- members ---- */

/* Where something stands: "presentation_definition.input_descriptors[0]". */
struct place {
    char text[PLACE_SIZE];
};

static struct place member_of(const struct place *place, const char *name)
{
    struct place inner;
    (void)snprintf(inner.text, sizeof(inner.text), "%.150s.%.40s", place->text, name);
    return inner;
}

static struct place item_of(const struct place *place, size_t index)
{
    struct place inner;
    (void)snprintf(inner.text, sizeof(inner.text), "%.180s[%zu]", place->text, index);
    return inner;
}

static bool refuse(struct error *err, const struct place *place, const char *what)
{
    return fail(err, ERROR_INVALID_REQUEST, "%s: %s", place->text, what);
}

enum member_type { MEMBER_TEXT, MEMBER_BOOLEAN, MEMBER_OBJECT, MEMBER_LIST };

struct member {
    const char *name;
    enum member_type type;
    bool required;
};

static bool has_type(const cJSON *value, enum member_type type)
{
    switch (type) {
    case MEMBER_TEXT:
        return cJSON_IsString(value);
    case MEMBER_BOOLEAN:
        return cJSON_IsBool(value);
    case MEMBER_OBJECT:
        return cJSON_IsObject(value);
    case MEMBER_LIST:
        return cJSON_IsArray(value);
    }
    return false;
}

static bool check_member(const cJSON *value, const struct member *members, size_t count,
                         const struct place *place, struct error *err)
{
    static const char *const wanted[] = { [MEMBER_TEXT] = "must be text",
                                          [MEMBER_BOOLEAN] = "must be true or false",
                                          [MEMBER_OBJECT] = "must be an object",
                                          [MEMBER_LIST] = "must be a list" };
    const struct place here = member_of(place, value->string);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].name, value->string) == 0) {
            return has_type(value, members[i].type) || refuse(err, &here, wanted[members[i].type]);
        }
    }
    return refuse(err, &here, "cannot be evaluated here");
}

/* What is not among the members is refused: it may change what the definition means. */
static bool check_members(const cJSON *object, const struct member *members, size_t count,
                          const struct place *place, struct error *err)
{
    const cJSON *value = NULL;

    if (!cJSON_IsObject(object)) {
        return refuse(err, place, "must be an object");
    }
    cJSON_ArrayForEach(value, object)
    {
        if (!check_member(value, members, count, place, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].required
            && cJSON_GetObjectItemCaseSensitive(object, members[i].name) == NULL) {
            const struct place here = member_of(place, members[i].name);
            return refuse(err, &here, "is missing");
        }
    }
    return true;
}

static bool read_id(const cJSON *object, const struct place *place, char id_out[static ID_MAX + 1],
                    struct error *err)
{
    const char *id = json_text(object, "id");
    const struct place here = member_of(place, "id");

    if (id[0] == '\0' || strlen(id) > ID_MAX) {
        return refuse(err, &here, "must have 1 to 256 bytes");
    }
    memcpy(id_out, id, strlen(id) + 1);
    return true;
}

static bool check_size(const cJSON *list, size_t most, const struct place *place, struct error *err)
{
    return cJSON_GetArraySize(list) <= (int)most
        || fail(err, ERROR_INVALID_REQUEST, "%s: %zu is the limit", place->text, most);
}

/* ---- formats ---- */

/* Clause 5, `format`: among the algorithms, if they are named, must be one that is verified here. */
static bool has_algorithm(const cJSON *format)
{
    static const char *const ours[] = { "ES256", "ES384", "ES256K", "Ed25519", "EdDSA" };
    const cJSON *algs = cJSON_GetObjectItemCaseSensitive(format, "alg");
    const cJSON *alg = NULL;

    cJSON_ArrayForEach(alg, algs)
    {
        for (size_t i = 0; cJSON_IsString(alg) && i < COUNT_OF(ours); i++) {
            if (strcmp(alg->valuestring, ours[i]) == 0) {
                return true;
            }
        }
    }
    return algs == NULL;
}

static bool check_format(const cJSON *object, const struct place *place, struct error *err)
{
    const cJSON *formats = cJSON_GetObjectItemCaseSensitive(object, "format");
    const cJSON *jwt_vc = cJSON_GetObjectItemCaseSensitive(formats, "jwt_vc");
    const struct place here = member_of(place, "format");

    if (jwt_vc == NULL) {
        jwt_vc = cJSON_GetObjectItemCaseSensitive(formats, "jwt_vc_json");
    }
    return formats == NULL || (cJSON_IsObject(jwt_vc) && has_algorithm(jwt_vc))
        || refuse(err, &here,
                  "must allow jwt_vc or jwt_vc_json with ES256, ES384, ES256K, Ed25519 or EdDSA");
}

/* ---- fields ---- */

static bool read_path(struct field *field, const cJSON *path, const struct place *place,
                      struct error *err)
{
    if (!cJSON_IsString(path)) {
        return refuse(err, place, "must be text");
    }
    if (!json_path_parse(path->valuestring, &field->paths[field->path_count], err)) {
        return error_context(err, "%s", place->text);
    }
    if (field->path_count++ == 0) {
        (void)snprintf(field->first_path, sizeof(field->first_path), "%s", path->valuestring);
    }
    return true;
}

static bool read_paths(struct field *field, const cJSON *paths, const struct place *place,
                       struct error *err)
{
    const cJSON *path = NULL;

    if (paths->child == NULL) {
        return refuse(err, place, "must have a path");
    }
    if (!check_size(paths, DEFINITION_PATHS_MAX, place, err)) {
        return false;
    }
    cJSON_ArrayForEach(path, paths)
    {
        const struct place here = item_of(place, field->path_count);
        if (!read_path(field, path, &here, err)) {
            return false;
        }
    }
    return true;
}

static bool read_field(struct field *field, const cJSON *object, const struct place *place,
                       struct error *err)
{
    static const struct member members[] = {
        { "path", MEMBER_LIST, true },
        { "id", MEMBER_TEXT, false },
        { "name", MEMBER_TEXT, false },
        { "purpose", MEMBER_TEXT, false },
        { "filter", MEMBER_OBJECT, false },
        { "optional", MEMBER_BOOLEAN, false },
        { "intent_to_retain", MEMBER_BOOLEAN, false }, /* nothing of a credential is kept */
    };
    const struct place path = member_of(place, "path");
    const struct place filter = member_of(place, "filter");

    if (!check_members(object, members, COUNT_OF(members), place, err)) {
        return false;
    }
    field->is_optional = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "optional"));
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(object, "filter");
    return read_paths(field, cJSON_GetObjectItemCaseSensitive(object, "path"), &path, err)
        && (schema == NULL || filter_parse(schema, filter.text, &field->filter, err));
}

static bool read_fields(struct descriptor *descriptor, const cJSON *fields,
                        const struct place *place, struct error *err)
{
    const cJSON *field = NULL;

    if (!check_size(fields, DEFINITION_FIELDS_MAX, place, err)) {
        return false;
    }
    descriptor->fields =
        xcalloc((size_t)cJSON_GetArraySize(fields) + 1, sizeof(*descriptor->fields));
    cJSON_ArrayForEach(field, fields)
    {
        const struct place here = item_of(place, descriptor->field_count);
        if (!read_field(&descriptor->fields[descriptor->field_count++], field, &here, err)) {
            return false;
        }
    }
    return true;
}

/* ---- descriptors ---- */

static bool read_constraints(struct descriptor *descriptor, const cJSON *constraints,
                             const struct place *place, struct error *err)
{
    static const struct member members[] = { { "fields", MEMBER_LIST, false },
                                             { "limit_disclosure", MEMBER_TEXT, false } };
    const struct place fields = member_of(place, "fields");
    const struct place limit = member_of(place, "limit_disclosure");

    if (!check_members(constraints, members, COUNT_OF(members), place, err)) {
        return false;
    }
    const char *disclosure = json_text(constraints, "limit_disclosure");
    if (disclosure != NULL && strcmp(disclosure, "preferred") != 0) {
        return refuse(err, &limit, "can only be preferred: a JWT VC shows all that it has");
    }
    return read_fields(descriptor, cJSON_GetObjectItemCaseSensitive(constraints, "fields"), &fields,
                       err);
}

static bool read_descriptor(struct definition *self, const cJSON *object, const struct place *place,
                            struct error *err)
{
    static const struct member members[] = {
        { "id", MEMBER_TEXT, true },
        { "name", MEMBER_TEXT, false },
        { "purpose", MEMBER_TEXT, false },
        { "format", MEMBER_OBJECT, false },
        { "constraints", MEMBER_OBJECT, true },
    };
    struct descriptor *descriptor = &self->descriptors[self->count++];
    const struct place constraints = member_of(place, "constraints");

    if (!check_members(object, members, COUNT_OF(members), place, err)
        || !read_id(object, place, descriptor->id, err) || !check_format(object, place, err)) {
        return false;
    }
    for (size_t i = 0; i + 1 < self->count; i++) {
        if (strcmp(self->descriptors[i].id, descriptor->id) == 0) {
            const struct place here = member_of(place, "id");
            return refuse(err, &here, "another descriptor has it");
        }
    }
    return read_constraints(descriptor, cJSON_GetObjectItemCaseSensitive(object, "constraints"),
                            &constraints, err);
}

static bool read_descriptors(struct definition *self, const cJSON *descriptors,
                             const struct place *place, struct error *err)
{
    const cJSON *descriptor = NULL;

    if (!check_size(descriptors, DEFINITION_DESCRIPTORS_MAX, place, err)) {
        return false;
    }
    cJSON_ArrayForEach(descriptor, descriptors)
    {
        const struct place here = item_of(place, self->count);
        if (!read_descriptor(self, descriptor, &here, err)) {
            return false;
        }
    }
    return true;
}

static bool read_definition(struct definition *self, const cJSON *object, struct error *err)
{
    static const struct member members[] = {
        { "id", MEMBER_TEXT, true },
        { "name", MEMBER_TEXT, false },
        { "purpose", MEMBER_TEXT, false },
        { "format", MEMBER_OBJECT, false },
        { "input_descriptors", MEMBER_LIST, false },
    };
    const struct place place = { "presentation_definition" };
    const struct place descriptors = member_of(&place, "input_descriptors");

    return check_members(object, members, COUNT_OF(members), &place, err)
        && read_id(object, &place, self->id, err)
        && read_descriptors(self, cJSON_GetObjectItemCaseSensitive(object, "input_descriptors"),
                            &descriptors, err)
        && (self->count == 0 || check_format(object, &place, err));
}

bool definition_parse(const char *json, struct definition **definition_out, struct error *err)
{
    scoped(release_cjson) cJSON *object = NULL;
    scoped(release_definition) struct definition *self = xcalloc(1, sizeof(*self));

    self->visits_left = EVALUATION_VISITS_MAX;
    self->patterns_left = EVALUATION_PATTERNS_MAX;
    if (!json_parse_object(json, strlen(json), &object, err)) {
        return error_context(err, "presentation_definition");
    }
    if (!read_definition(self, object, err)) {
        return false;
    }
    *definition_out = take(self);
    return true;
}

static void free_field(struct field *field)
{
    for (size_t i = 0; i < COUNT_OF(field->paths); i++) {
        json_path_free(field->paths[i]);
    }
    filter_free(field->filter);
}

void definition_free(struct definition *definition)
{
    if (definition == NULL) {
        return;
    }
    for (size_t i = 0; i < definition->count; i++) {
        struct descriptor *descriptor = &definition->descriptors[i];
        for (size_t j = 0; j < descriptor->field_count; j++) {
            free_field(&descriptor->fields[j]);
        }
        free(descriptor->fields);
    }
    free(definition);
}

const char *definition_id(const struct definition *definition)
{
    return definition->id;
}

size_t definition_descriptor_count(const struct definition *definition)
{
    return definition->count;
}

const char *definition_descriptor_id(const struct definition *definition, size_t index)
{
    return definition->descriptors[index].id;
}

/* ---- evaluate ---- */

struct search {
    struct definition *definition;
    const struct field *field;
};

static bool is_satisfied_by(const cJSON *node, void *context)
{
    const struct search *search = context;
    return search->field->filter == NULL
        || filter_matches(search->field->filter, node, &search->definition->patterns_left);
}

static bool is_satisfied(struct definition *self, const struct field *field, const cJSON *claims)
{
    const cJSON *const roots[] = { claims, cJSON_GetObjectItemCaseSensitive(claims, "vc") };
    struct search search = { .definition = self, .field = field };

    for (size_t i = 0; i < field->path_count; i++) {
        for (size_t j = 0; j < COUNT_OF(roots); j++) {
            if (roots[j] != NULL
                && json_path_select(field->paths[i], roots[j], is_satisfied_by, &search,
                                    &self->visits_left)) {
                return true;
            }
        }
    }
    return false;
}

bool definition_evaluate(struct definition *definition, size_t index, const cJSON *claims,
                         struct error *err)
{
    const struct descriptor *descriptor = &definition->descriptors[index];

    for (size_t i = 0; i < descriptor->field_count; i++) {
        const struct field *field = &descriptor->fields[i];
        if (!field->is_optional && !is_satisfied(definition, field, claims)) {
            return fail(err, ERROR_PRESENTATION, "%.100s is not what the definition asks for",
                        field->first_path);
        }
    }
    return true;
}
