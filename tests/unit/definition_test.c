/* Definitions that are read, each member that is refused by name, and what satisfies a definition. */
#include "vc/definition.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "jose/json.h"
#include "support/run.h"
#include "vc/effort.h"
#include "vc/evaluate.h"

#define FIELD(members) "{\"path\":[\"$.a\"]," members "}"
#define CONSTRAINTS(members)                                                                       \
    "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"i\",\"constraints\":{" members "}}]}"
#define FIELDS(list) CONSTRAINTS("\"fields\":[" list "]")
#define DESCRIPTOR(members) "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"i\"," members "}]}"

/* Every member that is taken. */
static const char FULL[] =
    "{\"id\":\"32f54163-7166-48f1-93d8-ff217bdb0653\",\"name\":\"Licence\",\"purpose\":\"To "
    "drive\","
    "\"format\":{\"jwt_vc\":{\"alg\":[\"ES256\",\"EdDSA\"]},\"jwt_vp\":{\"alg\":[\"RS256\"]},"
    "\"ldp_vc\":{\"proof_type\":[\"Ed25519Signature2018\"]}},"
    "\"input_descriptors\":[{\"id\":\"licence\",\"name\":\"Licence\",\"purpose\":\"To drive\","
    "\"format\":{\"jwt_vc_json\":{\"alg\":[\"ES256\",\"ES384\"]}},"
    "\"constraints\":{\"limit_disclosure\":\"preferred\",\"fields\":["
    "{\"path\":[\"$.type\"],\"filter\":{\"type\":\"array\",\"contains\":{\"const\":\"Licence\"}}},"
    "{\"path\":[\"$.credentialSubject.class\",\"$.credentialSubject.classes[*]\"],\"id\":\"c\","
    "\"name\":\"Class\",\"purpose\":\"To drive\",\"intent_to_retain\":true,"
    "\"filter\":{\"pattern\":\"^[A-C]1?$\"}},"
    "{\"path\":[\"$.credentialSubject.age\"],\"optional\":false,\"filter\":{\"minimum\":18}},"
    "{\"path\":[\"$.credentialSubject.photo\"],\"optional\":true}]}},"
    "{\"id\":\"any\"}]}";

static const char CREDENTIAL[] =
    "{\"iss\":\"did:web:issuer.example\",\"a\":1,\"vc\":{\"type\":[\"VerifiableCredential\","
    "\"Licence\"],\"b\":2,\"credentialSubject\":{\"age\":18,\"classes\":[\"D\",\"B\"],"
    "\"secret\":\"hush\"}}}";

static struct {
    struct definition *definition;
    cJSON *claims;
    struct error err;
} fixture;

static void tear_down(void)
{
    if (fixture.definition != NULL) {
        definition_free(fixture.definition);
        fixture.definition = NULL;
    }
    cJSON_Delete(fixture.claims);
    fixture.claims = NULL;
}

static bool parses(const char *json)
{
    tear_down();
    fixture.err = (struct error){ 0 };
    return definition_parse(json, &fixture.definition, &fixture.err);
}

/* Of the definition's first descriptor. */
static bool satisfies(const char *credential)
{
    cJSON_Delete(fixture.claims);
    fixture.claims = cJSON_Parse(credential);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.claims);
    return definition_evaluate(fixture.definition, 0, fixture.claims, &fixture.err);
}

/* ---- reading ---- */

static void test_a_definition_is_read(void)
{
    CU_ASSERT_TRUE_FATAL(parses(FULL));
    CU_ASSERT_STRING_EQUAL(definition_id(fixture.definition),
                           "32f54163-7166-48f1-93d8-ff217bdb0653");
    CU_ASSERT_EQUAL_FATAL(definition_descriptor_count(fixture.definition), 2);
    CU_ASSERT_STRING_EQUAL(definition_descriptor_id(fixture.definition, 0), "licence");
    CU_ASSERT_STRING_EQUAL(definition_descriptor_id(fixture.definition, 1), "any");
}

static void test_a_definition_may_ask_for_no_credential(void)
{
    CU_ASSERT_TRUE_FATAL(parses("{\"id\":\"d\"}"));
    CU_ASSERT_EQUAL(definition_descriptor_count(fixture.definition), 0);
    CU_ASSERT_TRUE_FATAL(parses("{\"id\":\"d\",\"input_descriptors\":[]}"));
    CU_ASSERT_EQUAL(definition_descriptor_count(fixture.definition), 0);
    CU_ASSERT_TRUE(parses(CONSTRAINTS("")));
    CU_ASSERT_TRUE(parses(FIELDS("")));
}

struct refusal {
    const char *json;
    const char *message; /* behind "presentation_definition" */
};

static void check_refusals(const struct refusal *refusals, size_t count)
{
    static const char prefix[] = "presentation_definition";
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_FALSE_FATAL(parses(refusals[i].json));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
        CU_ASSERT_NSTRING_EQUAL(fixture.err.message, prefix, strlen(prefix));
        if (strcmp(fixture.err.message + strlen(prefix), refusals[i].message) != 0) {
            printf("%s\n", fixture.err.message);
        }
        CU_ASSERT_STRING_EQUAL(fixture.err.message + strlen(prefix), refusals[i].message);
    }
}

static void test_what_is_not_evaluated_is_refused_by_the_members_path(void)
{
#define NOT_HERE ": cannot be evaluated here"
    static const struct refusal REFUSALS[] = {
        { "{\"id\":\"d\",\"submission_requirements\":[]}", ".submission_requirements" NOT_HERE },
        { "{\"id\":\"d\",\"frame\":{}}", ".frame" NOT_HERE },
        { "{\"id\":\"d\",\"x\":1}", ".x" NOT_HERE },
        { "{\"id\":\"d\",\"ID\":\"d\"}", ".ID" NOT_HERE },
        { DESCRIPTOR("\"group\":[\"A\"]"), ".input_descriptors[0].group" NOT_HERE },
        { DESCRIPTOR("\"schema\":[]"), ".input_descriptors[0].schema" NOT_HERE },
        { DESCRIPTOR("\"x\":1"), ".input_descriptors[0].x" NOT_HERE },
        { CONSTRAINTS("\"statuses\":{}"), ".input_descriptors[0].constraints.statuses" NOT_HERE },
        { CONSTRAINTS("\"subject_is_issuer\":\"preferred\""),
          ".input_descriptors[0].constraints.subject_is_issuer" NOT_HERE },
        { CONSTRAINTS("\"is_holder\":[]"), ".input_descriptors[0].constraints.is_holder" NOT_HERE },
        { CONSTRAINTS("\"same_subject\":[]"),
          ".input_descriptors[0].constraints.same_subject" NOT_HERE },
        { CONSTRAINTS("\"x\":1"), ".input_descriptors[0].constraints.x" NOT_HERE },
        { FIELDS(FIELD("\"predicate\":\"required\"")),
          ".input_descriptors[0].constraints.fields[0].predicate" NOT_HERE },
        { FIELDS("{\"path\":[\"$\"]}," FIELD("\"filter\":{\"format\":\"date\"}")),
          ".input_descriptors[0].constraints.fields[1].filter.format" NOT_HERE },
        { FIELDS(FIELD("\"filter\":{\"contains\":{\"not\":{}}}")),
          ".input_descriptors[0].constraints.fields[0].filter.contains.not" NOT_HERE },
        { FIELDS(FIELD("\"x\":1")), ".input_descriptors[0].constraints.fields[0].x" NOT_HERE },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{\"proof_type\":[]}}}",
          ".format.jwt_vc.proof_type" NOT_HERE },
        { CONSTRAINTS("\"limit_disclosure\":\"required\""),
          ".input_descriptors[0].constraints.limit_disclosure: a JWT credential cannot be limited: "
          "only \"preferred\" is taken" },
    };
#undef NOT_HERE
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_members_of_another_type_are_refused(void)
{
    static const struct refusal REFUSALS[] = {
        { "[]", ": not a JSON object" },
        { "{\"id\":1}", ".id: must be a string" },
        { "{\"id\":\"d\",\"name\":1}", ".name: must be a string" },
        { "{\"id\":\"d\",\"purpose\":null}", ".purpose: must be a string" },
        { "{\"id\":\"d\",\"format\":[]}", ".format: must be an object" },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":[]}}", ".format.jwt_vc: must be an object" },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{},\"ldp_vc\":1}}",
          ".format.ldp_vc: must be an object" },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{\"alg\":\"ES256\"}}}",
          ".format.jwt_vc.alg: must be an array" },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{\"alg\":[\"ES256\",1]}}}",
          ".format.jwt_vc.alg[1]: must be a string" },
        { "{\"id\":\"d\",\"input_descriptors\":{}}", ".input_descriptors: must be an array" },
        { "{\"id\":\"d\",\"input_descriptors\":[1]}", ".input_descriptors[0]: must be an object" },
        { DESCRIPTOR("\"name\":1"), ".input_descriptors[0].name: must be a string" },
        { DESCRIPTOR("\"purpose\":1"), ".input_descriptors[0].purpose: must be a string" },
        { DESCRIPTOR("\"constraints\":[]"),
          ".input_descriptors[0].constraints: must be an object" },
        { CONSTRAINTS("\"fields\":{}"),
          ".input_descriptors[0].constraints.fields: must be an array" },
        { CONSTRAINTS("\"limit_disclosure\":true"),
          ".input_descriptors[0].constraints.limit_disclosure: must be a string" },
        { FIELDS("[]"), ".input_descriptors[0].constraints.fields[0]: must be an object" },
        { FIELDS("{\"path\":\"$\"}"),
          ".input_descriptors[0].constraints.fields[0].path: must be an array" },
        { FIELDS("{\"path\":[\"$\",1]}"),
          ".input_descriptors[0].constraints.fields[0].path[1]: must be a string" },
        { FIELDS(FIELD("\"id\":1")),
          ".input_descriptors[0].constraints.fields[0].id: must be a string" },
        { FIELDS(FIELD("\"filter\":true")),
          ".input_descriptors[0].constraints.fields[0].filter: must be an object" },
        { FIELDS(FIELD("\"optional\":\"true\"")),
          ".input_descriptors[0].constraints.fields[0].optional: must be true or false" },
        { FIELDS(FIELD("\"intent_to_retain\":1")),
          ".input_descriptors[0].constraints.fields[0].intent_to_retain: must be true or false" },
    };
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_what_is_missing_or_wrong_is_refused(void)
{
    static const struct refusal REFUSALS[] = {
        { "{", ": not strict JSON: expected a name at byte 1" },
        { "{\"id\":\"d\",\"id\":\"d\"}",
          ": not strict JSON: a name twice in one object at byte 14" },
        { "{}", ".id: is missing" },
        { "{\"id\":\"\"}", ".id: must be a string of 1 to 256 bytes" },
        { "{\"id\":\"d\",\"input_descriptors\":[{}]}", ".input_descriptors[0].id: is missing" },
        { "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"\"}]}",
          ".input_descriptors[0].id: must be a string of 1 to 256 bytes" },
        { "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"i\"},{\"id\":\"j\"},{\"id\":\"i\"}]}",
          ".input_descriptors[2].id: that of another input descriptor" },
        { FIELDS("{}"), ".input_descriptors[0].constraints.fields[0].path: is missing" },
        { FIELDS("{\"path\":[]}"),
          ".input_descriptors[0].constraints.fields[0].path: must not be empty" },
        { FIELDS("{\"path\":[\"$.a\",\"$.a[?(@.b)]\"]}"),
          ".input_descriptors[0].constraints.fields[0].path[1]: no JSONPath that can be evaluated "
          "here, from byte 4 on" },
        { FIELDS(FIELD("\"filter\":{\"pattern\":\"[a\"}")),
          ".input_descriptors[0].constraints.fields[0].filter.pattern: no regular expression: "
          "missing terminating ] for character class at byte 2" },
    };
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static void test_a_format_that_allows_no_jwt_credential_is_refused(void)
{
#define NONE "format: must allow jwt_vc or jwt_vc_json, with ES256, ES384, ES256K or Ed25519"
    static const struct refusal REFUSALS[] = {
        { "{\"id\":\"d\",\"format\":{}}", "." NONE },
        { "{\"id\":\"d\",\"format\":{\"ldp_vc\":{\"proof_type\":[\"x\"]}}}", "." NONE },
        { "{\"id\":\"d\",\"format\":{\"jwt_vp\":{\"alg\":[\"ES256\"]}}}", "." NONE },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{\"alg\":[]}}}", "." NONE },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{\"alg\":[\"RS256\",\"es256\"]}}}", "." NONE },
        { DESCRIPTOR("\"format\":{\"mso_mdoc\":{}}"), ".input_descriptors[0]." NONE },
        { "{\"id\":\"d\",\"format\":{\"jwt_vc\":{\"alg\":[\"ES256\"]}},\"input_descriptors\":["
          "{\"id\":\"i\",\"format\":{\"jwt_vc\":{\"alg\":[\"ES384\"]}}}]}",
          ".input_descriptors[0]." NONE },
    };
#undef NONE
    check_refusals(REFUSALS, COUNT_OF(REFUSALS));
}

static bool allows(enum jose_algorithm algorithm)
{
    return definition_allows_algorithm(fixture.definition, 0, algorithm);
}

static void test_formats_allow_their_algorithms_alone(void)
{
    CU_ASSERT_TRUE_FATAL(parses(FULL)); /* ES256, EdDSA; then ES256, ES384 */
    CU_ASSERT_TRUE(allows(JOSE_ES256));
    CU_ASSERT_FALSE(allows(JOSE_ES384));
    CU_ASSERT_FALSE(allows(JOSE_ED25519));
    CU_ASSERT_FALSE(allows(JOSE_ES256K));

    CU_ASSERT_TRUE_FATAL(parses(DESCRIPTOR("\"name\":\"i\"")));
    CU_ASSERT_TRUE(allows(JOSE_ES256) && allows(JOSE_ES384) && allows(JOSE_ES256K)
                   && allows(JOSE_ED25519));
    CU_ASSERT_FALSE(allows(JOSE_RS256) || allows(JOSE_PS256) || allows(JOSE_ALGORITHM_NONE));

    CU_ASSERT_TRUE_FATAL(parses(DESCRIPTOR("\"format\":{\"jwt_vc\":{\"alg\":[\"ES256K\"]},"
                                           "\"jwt_vc_json\":{\"alg\":[\"Ed25519\"]}}")));
    CU_ASSERT_TRUE(allows(JOSE_ES256K) && allows(JOSE_ED25519));
    CU_ASSERT_FALSE(allows(JOSE_ES256) || allows(JOSE_ES384));
}

/* prefix, `count` times piece with the number in place of %zu and commas between, suffix. Freed by
 * the caller. */
static char *repeated(const char *prefix, const char *piece, size_t count, const char *suffix)
{
    char *text = xcalloc(1, strlen(prefix) + strlen(suffix) + count * (strlen(piece) + 8) + 1);
    char *at = stpcpy(text, prefix);
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, i > 0 ? "," : "");
        for (const char *from = piece; *from != '\0'; from++) {
            at += *from == '#' ? sprintf(at, "%zu", i) : sprintf(at, "%c", *from);
        }
    }
    (void)stpcpy(at, suffix);
    return text;
}

static void check_bound(const char *prefix, const char *piece, size_t most, const char *suffix,
                        const char *message)
{
    char *good = repeated(prefix, piece, most, suffix);
    char *bad = repeated(prefix, piece, most + 1, suffix);
    CU_ASSERT_TRUE(parses(good));
    CU_ASSERT_FALSE(parses(bad));
    CU_ASSERT_STRING_EQUAL(fixture.err.message, message);
    free(good);
    free(bad);
}

static void test_counts_are_bounded(void)
{
    check_bound("{\"id\":\"d\",\"input_descriptors\":[", "{\"id\":\"i#\"}",
                DEFINITION_DESCRIPTORS_MAX, "]}",
                "presentation_definition.input_descriptors: more than 16");
    check_bound("{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"i\",\"constraints\":{\"fields\":[",
                "{\"path\":[\"$\"]}", DEFINITION_FIELDS_MAX, "]}}]}",
                "presentation_definition.input_descriptors[0].constraints.fields: more than 32");
    check_bound("{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"i\",\"constraints\":{\"fields\":["
                "{\"path\":[",
                "\"$.a\"", DEFINITION_PATHS_MAX, "]}]}}]}",
                "presentation_definition.input_descriptors[0].constraints.fields[0].path: more "
                "than 8");
}

static void test_texts_are_bounded(void)
{
    char id[300] = "";
    char json[1024];

    for (size_t length = 256; length <= 257; length++) {
        memset(id, 'a', length);
        (void)snprintf(json, sizeof(json), "{\"id\":\"%s\"}", id);
        CU_ASSERT_EQUAL(parses(json), length == 256);
        (void)snprintf(json, sizeof(json), "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"%s\"}]}",
                       id);
        CU_ASSERT_EQUAL(parses(json), length == 256);
    }
    for (size_t length = DEFINITION_PATH_MAX; length <= DEFINITION_PATH_MAX + 1; length++) {
        memset(id, 'a', sizeof(id) - 1);
        memcpy(id, "$.", 2);
        id[length] = '\0';
        (void)snprintf(json, sizeof(json), FIELDS("{\"path\":[\"%s\"]}"), id);
        CU_ASSERT_EQUAL(parses(json), length == DEFINITION_PATH_MAX);
    }
}

static void test_a_message_never_takes_bytes_that_do_not_print(void)
{
    CU_ASSERT_FALSE(parses("{\"id\":\"d\",\"caf\xc3\xa9\\n\":1}"));
    CU_ASSERT_STRING_EQUAL(fixture.err.message,
                           "presentation_definition.caf???: cannot be evaluated here");
}

/* xorshift64: the same bytes in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One to four bytes changed, to others of the text or to any but NUL. */
static void mutate(char *text, size_t length, uint64_t *state)
{
    const uint64_t changes = 1 + next_random(state) % 4;
    for (uint64_t i = 0; i < changes; i++) {
        const uint64_t value = next_random(state);
        const char other = text[value / length % length];
        text[value % length] = value >> 63 != 0 ? other : (char)(1 + (value >> 40) % 255);
    }
}

static void test_mutated_definitions_are_read_or_refused(void)
{
    uint64_t state = 20240701;
    unsigned read = 0;
    unsigned refused = 0;

    for (int i = 0; i < 20000; i++) {
        char text[sizeof(FULL)];
        memcpy(text, FULL, sizeof(FULL));
        mutate(text, sizeof(FULL) - 1, &state);
        if (parses(text)) {
            (void)(definition_descriptor_count(fixture.definition) > 0 && satisfies(CREDENTIAL));
            read++;
        } else {
            CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
            refused++;
        }
    }
    CU_ASSERT_TRUE(read > 100 && refused > 100);
}

/* ---- evaluating ---- */

static void test_a_credential_satisfies_every_field(void)
{
    CU_ASSERT_TRUE_FATAL(parses(FULL));
    CU_ASSERT_TRUE(satisfies(CREDENTIAL));
    CU_ASSERT_TRUE(definition_evaluate(fixture.definition, 1, fixture.claims, &fixture.err));
}

static void test_a_field_that_does_not_hold_is_named_without_its_value(void)
{
    CU_ASSERT_TRUE_FATAL(parses(FIELDS("{\"path\":[\"$.a\"]},{\"path\":"
                                       "[\"$.credentialSubject.secret\",\"$.x\"],"
                                       "\"filter\":{\"const\":\"loud\"}}")));
    CU_ASSERT_FALSE(satisfies(CREDENTIAL));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
    CU_ASSERT_STRING_EQUAL(fixture.err.message,
                           "presentation_definition.input_descriptors[0].constraints.fields[1]: "
                           "the credential has no such value at $.credentialSubject.secret");
}

static void test_fields_hold_or_do_not(void)
{
    static const struct {
        const char *definition;
        bool holds;
    } SAMPLES[] = {
        { FIELDS("{\"path\":[\"$.a\"]}"), true },
        { FIELDS("{\"path\":[\"$.vc.b\"]}"), true },
        { FIELDS("{\"path\":[\"$.b\"]}"), true }, /* of vc */
        { FIELDS("{\"path\":[\"$.c\"]}"), false },
        { FIELDS("{\"path\":[\"$.c\"],\"optional\":true}"), true },
        { FIELDS("{\"path\":[\"$.c\",\"$.a\"]}"), true },
        { FIELDS("{\"path\":[\"$.a\",\"$.b\"],\"filter\":{\"const\":2}}"), true },
        { FIELDS("{\"path\":[\"$.a\",\"$.b\"],\"filter\":{\"const\":3}}"), false },
        { FIELDS("{\"path\":[\"$.credentialSubject.classes[*]\"],\"filter\":{\"const\":\"B\"}}"),
          true },
        { FIELDS("{\"path\":[\"$.credentialSubject.classes[0]\"],\"filter\":{\"const\":\"B\"}}"),
          false },
        { FIELDS("{\"path\":[\"$..age\"],\"filter\":{\"minimum\":18}}"), true },
        { FIELDS("{\"path\":[\"$..age\"],\"filter\":{\"minimum\":19}}"), false },
        { FIELDS("{\"path\":[\"$.a\"]},{\"path\":[\"$.c\"]}"), false },
        { DESCRIPTOR("\"name\":\"any\""), true },
        { FIELDS(""), true },
    };
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        CU_ASSERT_TRUE_FATAL(parses(SAMPLES[i].definition));
        CU_ASSERT_EQUAL(satisfies(CREDENTIAL), SAMPLES[i].holds);
    }
}

static void test_a_credential_without_vc_or_with_another_kind_of_vc_is_evaluated(void)
{
    CU_ASSERT_TRUE_FATAL(parses(FIELDS("{\"path\":[\"$.b\"]}")));
    CU_ASSERT_TRUE(satisfies("{\"b\":1}"));
    CU_ASSERT_FALSE(satisfies("{\"a\":1}"));
    CU_ASSERT_FALSE(satisfies("{\"vc\":\"b\"}"));
    CU_ASSERT_FALSE(satisfies("{\"vc\":[\"b\"]}"));
    CU_ASSERT_FALSE(satisfies("{\"vc\":null}"));
}

static void test_a_credential_that_takes_long_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(parses(FIELDS("{\"path\":[\"$.t\"],\"filter\":{\"pattern\":"
                                       "\"^(a+)+[^a]\"}}")));
    CU_ASSERT_FALSE(satisfies("{\"t\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
    CU_ASSERT_STRING_EQUAL(fixture.err.message,
                           "presentation_definition.input_descriptors[0].constraints.fields[0]: "
                           "takes too long to evaluate in the credential");
    CU_ASSERT_TRUE(satisfies("{\"t\":\"aab\"}"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a definition is read", test_a_definition_is_read },
        { "a definition may ask for no credential", test_a_definition_may_ask_for_no_credential },
        { "what is not evaluated is refused by the member's path",
          test_what_is_not_evaluated_is_refused_by_the_members_path },
        { "members of another type are refused", test_members_of_another_type_are_refused },
        { "what is missing or wrong is refused", test_what_is_missing_or_wrong_is_refused },
        { "a format that allows no JWT credential is refused",
          test_a_format_that_allows_no_jwt_credential_is_refused },
        { "formats allow their algorithms alone", test_formats_allow_their_algorithms_alone },
        { "counts are bounded", test_counts_are_bounded },
        { "texts are bounded", test_texts_are_bounded },
        { "a message never takes bytes that do not print",
          test_a_message_never_takes_bytes_that_do_not_print },
        { "mutated definitions are read or refused", test_mutated_definitions_are_read_or_refused },
        { "a credential satisfies every field", test_a_credential_satisfies_every_field },
        { "a field that does not hold is named without its value",
          test_a_field_that_does_not_hold_is_named_without_its_value },
        { "fields hold or do not", test_fields_hold_or_do_not },
        { "a credential without vc, or with another kind of vc, is evaluated",
          test_a_credential_without_vc_or_with_another_kind_of_vc_is_evaluated },
        { "a credential that takes long is refused", test_a_credential_that_takes_long_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("definition", NULL, tear_down, tests);
}
