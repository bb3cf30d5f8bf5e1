/* Presentation submissions (DIF Presentation Exchange 2.0, clause 6). */
#include <string.h>

#include "base/memory.h"
#include "jose/json.h"
#include "vc/evaluate.h"
#include "vc/json_path.h"

static bool refuse(struct error *err, const char *what)
{
    return fail(err, ERROR_PRESENTATION, "%s", what);
}

static bool has_only(const cJSON *object, const char *const *names, size_t count)
{
    const cJSON *member = NULL;

    cJSON_ArrayForEach(member, object)
    {
        size_t i = 0;
        while (i < count && strcmp(names[i], member->string) != 0) {
            i++;
        }
        if (i == count) {
            return false;
        }
    }
    return cJSON_IsObject(object);
}

/* ---- a path's one text ---- */

struct found {
    const cJSON *node;
    unsigned count;
};

static bool take_node(const cJSON *node, void *context)
{
    struct found *found = context;
    found->node = node;
    return ++found->count > 1;
}

static const char *text_at(const struct json_path *path, const cJSON *root)
{
    struct found found = { .count = 0 };
    unsigned visits_left = EVALUATION_VISITS_MAX;

    (void)json_path_select(path, root, take_node, &found, &visits_left);
    return found.count == 1 ? cJSON_GetStringValue(found.node) : NULL;
}

/* A path is over the presentation's payload, or over its `vp`. */
static bool find_credential(const char *path_text, const cJSON *claims, const char **credential_out,
                            struct error *err)
{
    struct json_path *path = NULL;
    const cJSON *vp = cJSON_GetObjectItemCaseSensitive(claims, "vp");

    if (path_text == NULL || !json_path_parse(path_text, &path, err)) {
        return refuse(err, "descriptor_map: path must be a JSONPath");
    }
    *credential_out = text_at(path, claims);
    if (*credential_out == NULL && vp != NULL) {
        *credential_out = text_at(path, vp);
    }
    json_path_free(path);
    return *credential_out != NULL
        || refuse(err, "descriptor_map: path must lead to one credential, a JWT");
}

/* ---- a descriptor's place ---- */

static bool is_format(const cJSON *entry, const char *name, const char *also)
{
    const char *format = json_text(entry, "format");
    return format != NULL && (strcmp(format, name) == 0 || strcmp(format, also) == 0);
}

/* The presentation itself, by "$", with the credential inside; or the credential at once. */
static bool open_entry(const cJSON *entry, const cJSON **inner_out, struct error *err)
{
    static const char *const nested_names[] = { "id", "format", "path" };
    const cJSON *nested = cJSON_GetObjectItemCaseSensitive(entry, "path_nested");
    const char *path = json_text(entry, "path");

    *inner_out = nested != NULL ? nested : entry;
    if (nested != NULL
        && (!is_format(entry, "jwt_vp", "jwt_vp_json") || path == NULL || strcmp(path, "$") != 0
            || !has_only(nested, nested_names, COUNT_OF(nested_names)))) {
        return refuse(err, "descriptor_map: path_nested goes with jwt_vp and the path $");
    }
    return is_format(*inner_out, "jwt_vc", "jwt_vc_json")
        || refuse(err, "descriptor_map: the credential's format must be jwt_vc or jwt_vc_json");
}

static bool find_descriptor(const struct definition *definition, const cJSON *entry,
                            size_t *index_out, struct error *err)
{
    const char *id = json_text(entry, "id");

    for (size_t i = 0; id != NULL && i < definition_descriptor_count(definition); i++) {
        if (strcmp(definition_descriptor_id(definition, i), id) == 0) {
            *index_out = i;
            return true;
        }
    }
    return refuse(err, "descriptor_map: an id that is no input descriptor's");
}

static bool map_entry(const struct definition *definition, const cJSON *entry, const cJSON *claims,
                      const char **credentials_out, struct error *err)
{
    static const char *const names[] = { "id", "format", "path", "path_nested" };
    const cJSON *inner = NULL;
    size_t index = 0;

    if (!has_only(entry, names, COUNT_OF(names))) {
        return refuse(err, "descriptor_map: objects of id, format, path and path_nested");
    }
    if (!find_descriptor(definition, entry, &index, err) || !open_entry(entry, &inner, err)) {
        return false;
    }
    if (credentials_out[index] != NULL) {
        return refuse(err, "descriptor_map: an input descriptor is mapped twice");
    }
    return find_credential(json_text(inner, "path"), claims, &credentials_out[index], err);
}

/* ---- all of it ---- */

static bool check_submission(const struct definition *definition, const cJSON *submission,
                             struct error *err)
{
    static const char *const names[] = { "id", "definition_id", "descriptor_map" };
    const char *id = json_text(submission, "id");
    const char *definition_of = json_text(submission, "definition_id");

    if (!has_only(submission, names, COUNT_OF(names)) || id == NULL || id[0] == '\0') {
        return refuse(err, "must have id, definition_id, descriptor_map and nothing else");
    }
    if (definition_of == NULL || strcmp(definition_of, definition_id(definition)) != 0) {
        return refuse(err, "definition_id is not that of the request's definition");
    }
    return cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(submission, "descriptor_map"))
        || refuse(err, "descriptor_map must be a list");
}

bool submission_map(const struct definition *definition, const char *submission_json,
                    const cJSON *claims,
                    const char *credentials_out[static DEFINITION_DESCRIPTORS_MAX],
                    struct error *err)
{
    scoped(release_cjson) cJSON *submission = NULL;
    const cJSON *entry = NULL;

    memset(credentials_out, 0, DEFINITION_DESCRIPTORS_MAX * sizeof(*credentials_out));
    if (!json_parse_object(submission_json, strlen(submission_json), &submission, err)
        || !check_submission(definition, submission, err)) {
        return false;
    }
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(submission, "descriptor_map"))
    {
        if (!map_entry(definition, entry, claims, credentials_out, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < definition_descriptor_count(definition); i++) {
        if (credentials_out[i] == NULL) {
            return fail(err, ERROR_PRESENTATION, "the input descriptor \"%.64s\" is not mapped",
                        definition_descriptor_id(definition, i));
        }
    }
    return true;
}
