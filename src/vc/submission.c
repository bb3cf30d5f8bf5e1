/*
 * Presentation submissions (DIF Presentation Exchange 2.0, 6). Where a wallet puts the credential, in
 * the presentation's payload, it says in one of two ways: a path to the credential, or the path "$" to
 * the presentation and a nested path in it. Some wallets count nested paths from `vp`, others from
 * the payload: a path that finds nothing in the payload is tried on its `vp`.
 */
#include <string.h>

#include "base/memory.h"
#include "jose/json.h"
#include "vc/evaluate.h"
#include "vc/json_path.h"
#include "vc/member.h"

enum { ID_MAX = 256 };

static const struct member_rule submission_rules[] = {
    { "id", MEMBER_TEXT, true },
    { "definition_id", MEMBER_TEXT, true },
    { "descriptor_map", MEMBER_ARRAY, true },
};

static const struct member_rule mapping_rules[] = {
    { "id", MEMBER_TEXT, true },
    { "format", MEMBER_TEXT, true },
    { "path", MEMBER_TEXT, true },
    { "path_nested", MEMBER_OBJECT, false },
};

static const struct member_rule nested_rules[] = {
    { "id", MEMBER_TEXT, false },
    { "format", MEMBER_TEXT, true },
    { "path", MEMBER_TEXT, true },
};

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* Whether the member is one of two texts. */
static bool is_either(const cJSON *object, const char *name, const char *one, const char *other)
{
    const char *text = json_text(object, name);
    return strcmp(text, one) == 0 || strcmp(text, other) == 0;
}

/* ---- the credential ---- */

struct search {
    const cJSON *found;
    unsigned count;
};

/* Goes on until there are two. */
static bool count_node(const cJSON *node, void *context)
{
    struct search *search = context;
    search->found = node;
    return ++search->count > 1;
}

static bool find_credential(const cJSON *mapping, const struct place *outer, const cJSON *claims,
                            const char **credential_out, struct error *err)
{
    const struct place place = { outer, "path", 0, 0 };
    const cJSON *vp = member(claims, "vp");
    struct effort effort = { EFFORT_MAX };
    struct search search = { 0 };
    struct json_path *path = NULL;
    size_t stop = 0;

    if (!json_path_parse(json_text(mapping, "path"), &path, &stop)) {
        return fail_at(&place, err, "no JSONPath that can be evaluated here, from byte %zu on",
                       stop);
    }
    (void)json_path_find(path, claims, count_node, &search, &effort);
    if (search.count == 0 && vp != NULL) {
        (void)json_path_find(path, vp, count_node, &search, &effort);
    }
    json_path_free(path);
    if (search.count != 1 || effort_is_spent(&effort)) {
        return fail_at(&place, err, "must lead to one credential in the presentation");
    }
    *credential_out = cJSON_GetStringValue(search.found);
    return *credential_out != NULL
        || fail_at(&place, err, "must lead to a credential that is a JWT");
}

static bool check_credential_format(const cJSON *mapping, const struct place *outer,
                                    struct error *err)
{
    const struct place place = { outer, "format", 0, 0 };
    return is_either(mapping, "format", "jwt_vc", "jwt_vc_json")
        || fail_at(&place, err, "must be jwt_vc or jwt_vc_json");
}

/* ---- the two ways to it ---- */

/* The presentation itself is what was received, so nothing but "$" leads to it. */
static bool check_presentation(const cJSON *mapping, const struct place *outer, struct error *err)
{
    const struct place format_place = { outer, "format", 0, 0 };
    const struct place path_place = { outer, "path", 0, 0 };

    if (!is_either(mapping, "format", "jwt_vp", "jwt_vp_json")) {
        return fail_at(&format_place, err, "must be jwt_vp or jwt_vp_json above a path_nested");
    }
    return strcmp(json_text(mapping, "path"), "$") == 0
        || fail_at(&path_place, err, "must be $ above a path_nested");
}

static bool check_nested(const cJSON *nested, const struct place *place, const char *id,
                         struct error *err)
{
    const struct place id_place = { place, "id", 0, 0 };

    if (!members_check(nested, nested_rules, COUNT_OF(nested_rules), place, err)) {
        return false;
    }
    const char *nested_id = json_text(nested, "id");
    return nested_id == NULL || strcmp(nested_id, id) == 0
        || fail_at(&id_place, err, "must be the same as around it");
}

static bool follow_mapping(const cJSON *mapping, const struct place *place, const cJSON *claims,
                           const char **credential_out, struct error *err)
{
    const struct place nested_place = { place, "path_nested", 0, 0 };
    const cJSON *nested = member(mapping, "path_nested");

    if (nested == NULL) {
        return check_credential_format(mapping, place, err)
            && find_credential(mapping, place, claims, credential_out, err);
    }
    return check_presentation(mapping, place, err)
        && check_nested(nested, &nested_place, json_text(mapping, "id"), err)
        && check_credential_format(nested, &nested_place, err)
        && find_credential(nested, &nested_place, claims, credential_out, err);
}

/* ---- the whole ---- */

static bool find_descriptor(const struct definition *definition, const char *id,
                            const struct place *outer, size_t *index_out, struct error *err)
{
    const struct place place = { outer, "id", 0, 0 };
    for (size_t i = 0; i < definition_descriptor_count(definition); i++) {
        if (strcmp(definition_descriptor_id(definition, i), id) == 0) {
            *index_out = i;
            return true;
        }
    }
    return fail_at(&place, err, "no input descriptor of the definition");
}

static bool map_one(const struct definition *definition, const cJSON *mapping,
                    const struct place *place, const cJSON *claims, const char **credentials_out,
                    struct error *err)
{
    const struct place id_place = { place, "id", 0, 0 };
    size_t index = 0;

    if (!members_check(mapping, mapping_rules, COUNT_OF(mapping_rules), place, err)
        || !find_descriptor(definition, json_text(mapping, "id"), place, &index, err)) {
        return false;
    }
    if (credentials_out[index] != NULL) {
        return fail_at(&id_place, err, "mapped twice");
    }
    return follow_mapping(mapping, place, claims, &credentials_out[index], err);
}

static bool check_submission(const struct definition *definition, const cJSON *submission,
                             const struct place *place, struct error *err)
{
    const struct place id_place = { place, "definition_id", 0, 0 };

    if (!members_check(submission, submission_rules, COUNT_OF(submission_rules), place, err)
        || !member_is_name(submission, "id", ID_MAX, place, err)) {
        return false;
    }
    return strcmp(json_text(submission, "definition_id"), definition_id(definition)) == 0
        || fail_at(&id_place, err, "not that of the presentation definition");
}

/* As many mappings as descriptors, each of another one: so all are mapped. */
static bool map_all(const struct definition *definition, const cJSON *map,
                    const struct place *outer, const cJSON *claims, const char **credentials_out,
                    struct error *err)
{
    const struct place place = { outer, "descriptor_map", 0, 0 };
    const size_t count = definition_descriptor_count(definition);
    const cJSON *mapping = NULL;
    size_t index = 0;

    cJSON_ArrayForEach(mapping, map)
    {
        const struct place at = { &place, NULL, index++, 0 };
        if (!map_one(definition, mapping, &at, claims, credentials_out, err)) {
            return false;
        }
    }
    return index == count
        || fail_at(&place, err, "maps %zu of %zu input descriptors", index, count);
}

bool submission_map(const struct definition *definition, const char *submission_json,
                    const cJSON *claims,
                    const char *credentials_out[static DEFINITION_DESCRIPTORS_MAX],
                    struct error *err)
{
    static const struct place place = { NULL, "presentation_submission", 0, ERROR_PRESENTATION };
    scoped(release_cjson) cJSON *submission = NULL;

    for (size_t i = 0; i < DEFINITION_DESCRIPTORS_MAX; i++) {
        credentials_out[i] = NULL;
    }
    if (!json_parse_object(submission_json, strlen(submission_json), &submission, err)) {
        err->code = ERROR_PRESENTATION;
        return error_context(err, "presentation_submission");
    }
    return check_submission(definition, submission, &place, err)
        && map_all(definition, member(submission, "descriptor_map"), &place, claims,
                   credentials_out, err);
}
