/* Where a submission says the credentials are, in the ways that wallets say it, and what is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"
#include "vc/definition.h"
#include "vc/evaluate.h"

#define MAPPING(id, format, path)                                                                  \
    "{\"id\":\"" id "\",\"format\":\"" format "\",\"path\":\"" path "\"}"
#define NESTED(id, format, path)                                                                   \
    "{\"id\":\"" id "\",\"format\":\"jwt_vp\",\"path\":\"$\",\"path_nested\":{\"id\":\"" id        \
    "\",\"format\":\"" format "\",\"path\":\"" path "\"}}"
#define SUBMISSION(map) "{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":[" map "]}"
#define SECOND MAPPING("b", "jwt_vc", "$.vp.verifiableCredential[1]")

static const char PAYLOAD[] = "{\"iss\":\"did:key:z6\",\"vp\":{\"type\":\"VerifiablePresentation\","
                              "\"verifiableCredential\":[\"first.jwt\",\"second.jwt\",{\"x\":1}]}}";

static struct {
    struct definition *definition;
    cJSON *claims;
    const char *credentials[DEFINITION_DESCRIPTORS_MAX];
    struct error err;
} fixture;

static void define(const char *json, const char *payload)
{
    fixture.err = (struct error){ 0 };
    fixture.claims = cJSON_Parse(payload);
    if (!definition_parse(json, &fixture.definition, &fixture.err)) {
        fixture.definition = NULL;
    }
}

static void set_up(void)
{
    define("{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", PAYLOAD);
}

static void tear_down(void)
{
    if (fixture.definition != NULL) {
        definition_free(fixture.definition);
        fixture.definition = NULL;
    }
    cJSON_Delete(fixture.claims);
    fixture.claims = NULL;
}

static bool maps(const char *submission)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.definition);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.claims);
    return submission_map(fixture.definition, submission, fixture.claims, fixture.credentials,
                          &fixture.err);
}

static void test_each_descriptor_is_mapped_to_its_credential(void)
{
    static const char *const SUBMISSIONS[] = {
        SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[0]") "," SECOND),
        SUBMISSION(MAPPING("a", "jwt_vc_json", "$.vp.verifiableCredential[0]") "," SECOND),
        SUBMISSION(MAPPING("a", "jwt_vc", "$.verifiableCredential[0]") "," SECOND),
        SUBMISSION(MAPPING("a", "jwt_vc", "$['vp']['verifiableCredential'][0]") "," SECOND),
        SUBMISSION(SECOND "," MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[0]")),
        SUBMISSION(NESTED("a", "jwt_vc", "$.vp.verifiableCredential[0]") "," SECOND),
        SUBMISSION(NESTED("a", "jwt_vc_json", "$.verifiableCredential[0]") "," SECOND),
        SUBMISSION("{\"id\":\"a\",\"format\":\"jwt_vp_json\",\"path\":\"$\",\"path_nested\":{"
                   "\"format\":\"jwt_vc\",\"path\":\"$..verifiableCredential[0]\"}}," SECOND),
    };
    for (size_t i = 0; i < COUNT_OF(SUBMISSIONS); i++) {
        CU_ASSERT_TRUE_FATAL(maps(SUBMISSIONS[i]));
        CU_ASSERT_STRING_EQUAL(fixture.credentials[0], "first.jwt");
        CU_ASSERT_STRING_EQUAL(fixture.credentials[1], "second.jwt");
        CU_ASSERT_PTR_NULL(fixture.credentials[2]);
    }
}

static void test_one_credential_may_serve_two_descriptors(void)
{
    CU_ASSERT_TRUE_FATAL(
        maps(SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[1]") "," SECOND)));
    CU_ASSERT_PTR_EQUAL(fixture.credentials[0], fixture.credentials[1]);
}

static void test_a_credential_need_not_stand_in_an_array(void)
{
    tear_down();
    define("{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"a\"}]}",
           "{\"vp\":{\"verifiableCredential\":\"one.jwt\"}}");
    CU_ASSERT_TRUE_FATAL(maps(SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential"))));
    CU_ASSERT_STRING_EQUAL(fixture.credentials[0], "one.jwt");
    CU_ASSERT_FALSE(maps(SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[0]"))));
}

static void test_a_definition_without_descriptors_is_mapped_by_an_empty_map(void)
{
    tear_down();
    define("{\"id\":\"d\"}", PAYLOAD);
    CU_ASSERT_TRUE(maps(SUBMISSION("")));
    CU_ASSERT_FALSE(maps(SUBMISSION(SECOND)));
}

static void test_the_payload_comes_before_its_vp(void)
{
    tear_down();
    define("{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"a\"}]}",
           "{\"x\":\"outer.jwt\",\"vp\":{\"x\":\"inner.jwt\"}}");
    CU_ASSERT_TRUE_FATAL(maps(SUBMISSION(MAPPING("a", "jwt_vc", "$.x"))));
    CU_ASSERT_STRING_EQUAL(fixture.credentials[0], "outer.jwt");
}

struct refusal {
    const char *submission;
    const char *message; /* behind "presentation_submission" */
};

static void check_refusals(const struct refusal *refusals, size_t count)
{
    static const char prefix[] = "presentation_submission";
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_FALSE(maps(refusals[i].submission));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
        CU_ASSERT_NSTRING_EQUAL(fixture.err.message, prefix, strlen(prefix));
        if (strcmp(fixture.err.message + strlen(prefix), refusals[i].message) != 0) {
            printf("%s\n", fixture.err.message);
        }
        CU_ASSERT_STRING_EQUAL(fixture.err.message + strlen(prefix), refusals[i].message);
    }
}

static void test_what_is_no_submission_is_refused(void)
{
    static const struct refusal REFUSALS[] = {
        { "", ": not strict JSON: expected a value at byte 0" },
        { "[]", ": not a JSON object" },
        { "{}", ".id: is missing" },
        { "{\"id\":1}", ".id: must be a string" },
        { "{\"id\":\"s\"}", ".definition_id: is missing" },
        { "{\"id\":\"s\",\"definition_id\":\"d\"}", ".descriptor_map: is missing" },
        { "{\"id\":\"\",\"definition_id\":\"d\",\"descriptor_map\":[]}",
          ".id: must be a string of 1 to 256 bytes" },
        { "{\"id\":\"s\",\"definition_id\":\"e\",\"descriptor_map\":[]}",
          ".definition_id: not that of the presentation definition" },
        { "{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":{}}",
          ".descriptor_map: must be an array" },
        { "{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":[],\"x\":1}",
          ".x: cannot be evaluated here" },
        { SUBMISSION("1"), ".descriptor_map[0]: must be an object" },
        { SUBMISSION("{}"), ".descriptor_map[0].id: is missing" },
        { SUBMISSION("{\"id\":\"a\"}"), ".descriptor_map[0].format: is missing" },
        { SUBMISSION("{\"id\":\"a\",\"format\":\"jwt_vc\"}"),
          ".descriptor_map[0].path: is missing" },
        { SUBMISSION("{\"id\":\"a\",\"format\":\"jwt_vc\",\"path\":1}"),
          ".descriptor_map[0].path: must be a string" },
        { SUBMISSION("{\"id\":\"a\",\"format\":\"jwt_vc\",\"path\":\"$\",\"x\":1}"),
          ".descriptor_map[0].x: cannot be evaluated here" },
    };
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_each_descriptor_must_be_mapped_exactly_once(void)
{
#define FIRST MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[0]")
    static const struct refusal REFUSALS[] = {
        { SUBMISSION(""), ".descriptor_map: maps 0 of 2 input descriptors" },
        { SUBMISSION(FIRST), ".descriptor_map: maps 1 of 2 input descriptors" },
        { SUBMISSION(FIRST "," FIRST), ".descriptor_map[1].id: mapped twice" },
        { SUBMISSION(FIRST "," SECOND "," SECOND), ".descriptor_map[2].id: mapped twice" },
        { SUBMISSION(FIRST "," MAPPING("c", "jwt_vc", "$.vp.verifiableCredential[1]")),
          ".descriptor_map[1].id: no input descriptor of the definition" },
        { SUBMISSION(MAPPING("A", "jwt_vc", "$.vp.verifiableCredential[1]")),
          ".descriptor_map[0].id: no input descriptor of the definition" },
    };
#undef FIRST
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_other_formats_are_refused(void)
{
#define PLACE "$.vp.verifiableCredential[0]"
    static const struct refusal REFUSALS[] = {
        { SUBMISSION(MAPPING("a", "ldp_vc", PLACE)),
          ".descriptor_map[0].format: must be jwt_vc or jwt_vc_json" },
        { SUBMISSION(MAPPING("a", "jwt_vp", PLACE)),
          ".descriptor_map[0].format: must be jwt_vc or jwt_vc_json" },
        { SUBMISSION(MAPPING("a", "", PLACE)),
          ".descriptor_map[0].format: must be jwt_vc or jwt_vc_json" },
        { SUBMISSION(NESTED("a", "jwt_vp", PLACE)),
          ".descriptor_map[0].path_nested.format: must be jwt_vc or jwt_vc_json" },
        { SUBMISSION("{\"id\":\"a\",\"format\":\"ldp_vp\",\"path\":\"$\",\"path_nested\":{"
                     "\"format\":\"jwt_vc\",\"path\":\"" PLACE "\"}}"),
          ".descriptor_map[0].format: must be jwt_vp or jwt_vp_json above a path_nested" },
    };
#undef PLACE
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_paths_must_lead_to_one_jwt(void)
{
#define LEADS ".descriptor_map[0].path: must lead to "
    static const struct refusal REFUSALS[] = {
        { SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[3]")),
          LEADS "one credential in the presentation" },
        { SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[*]")),
          LEADS "one credential in the presentation" },
        { SUBMISSION(MAPPING("a", "jwt_vc", "$..*")), LEADS "one credential in the presentation" },
        { SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[2]")),
          LEADS "a credential that is a JWT" },
        { SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential")),
          LEADS "a credential that is a JWT" },
        { SUBMISSION(MAPPING("a", "jwt_vc", "$")), LEADS "a credential that is a JWT" },
        { SUBMISSION(MAPPING("a", "jwt_vc", "$.vp.verifiableCredential[-1]")),
          ".descriptor_map[0].path: no JSONPath that can be evaluated here, from byte 26 on" },
        { SUBMISSION(NESTED("a", "jwt_vc", "vp")),
          ".descriptor_map[0].path_nested.path: no JSONPath that can be evaluated here, from byte "
          "0 on" },
        { SUBMISSION(NESTED("a", "jwt_vc", "$.x")),
          ".descriptor_map[0].path_nested.path: must lead to one credential in the presentation" },
    };
#undef LEADS
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_nested_paths_are_one_deep_and_of_the_same_descriptor(void)
{
#define OUTER "{\"id\":\"a\",\"format\":\"jwt_vp\",\"path\":\"$\",\"path_nested\":"
    static const struct refusal REFUSALS[] = {
        { SUBMISSION(OUTER "[]}"), ".descriptor_map[0].path_nested: must be an object" },
        { SUBMISSION(OUTER "{}}"), ".descriptor_map[0].path_nested.format: is missing" },
        { SUBMISSION(OUTER "{\"format\":\"jwt_vc\"}}"),
          ".descriptor_map[0].path_nested.path: is missing" },
        { SUBMISSION(OUTER "{\"format\":\"jwt_vp\",\"path\":\"$\",\"path_nested\":{}}}"),
          ".descriptor_map[0].path_nested.path_nested: cannot be evaluated here" },
        { SUBMISSION(OUTER "{\"id\":\"b\",\"format\":\"jwt_vc\",\"path\":\"$\"}}"),
          ".descriptor_map[0].path_nested.id: must be the same as around it" },
        { SUBMISSION("{\"id\":\"a\",\"format\":\"jwt_vp\",\"path\":\"$.vp\",\"path_nested\":{"
                     "\"format\":\"jwt_vc\",\"path\":\"$.verifiableCredential[0]\"}}"),
          ".descriptor_map[0].path: must be $ above a path_nested" },
    };
#undef OUTER
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "each descriptor is mapped to its credential",
          test_each_descriptor_is_mapped_to_its_credential },
        { "one credential may serve two descriptors",
          test_one_credential_may_serve_two_descriptors },
        { "a credential need not stand in an array", test_a_credential_need_not_stand_in_an_array },
        { "a definition without descriptors is mapped by an empty map",
          test_a_definition_without_descriptors_is_mapped_by_an_empty_map },
        { "the payload comes before its vp", test_the_payload_comes_before_its_vp },
        { "what is no submission is refused", test_what_is_no_submission_is_refused },
        { "each descriptor must be mapped exactly once",
          test_each_descriptor_must_be_mapped_exactly_once },
        { "other formats are refused", test_other_formats_are_refused },
        { "paths must lead to one JWT", test_paths_must_lead_to_one_jwt },
        { "nested paths are one deep and of the same descriptor",
          test_nested_paths_are_one_deep_and_of_the_same_descriptor },
        CU_TEST_INFO_NULL,
    };
    return run_suite("submission", set_up, tear_down, tests);
}
