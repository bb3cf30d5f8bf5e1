/* What filters hold for, what they refuse, and that no pattern takes long. */
#include "vc/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"
#include "vc/definition.h"

static const struct place ROOT = { NULL, "filter", 0, ERROR_INVALID_REQUEST };

static struct {
    cJSON *schema;
    cJSON *value;
    struct filter *filter;
    size_t patterns;
    struct effort effort;
    struct error err;
} fixture;

static void tear_down(void)
{
    if (fixture.filter != NULL) {
        filter_free(fixture.filter);
        fixture.filter = NULL;
    }
    cJSON_Delete(fixture.schema);
    cJSON_Delete(fixture.value);
    fixture.schema = NULL;
    fixture.value = NULL;
}

static bool parses(const char *schema)
{
    tear_down();
    fixture.schema = cJSON_Parse(schema);
    fixture.patterns = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.schema);
    return filter_parse(fixture.schema, &ROOT, &fixture.patterns, &fixture.filter, &fixture.err);
}

/* Of the filter that was parsed last. */
static bool holds(const char *value)
{
    cJSON_Delete(fixture.value);
    fixture.value = cJSON_Parse(value);
    fixture.effort.left = EFFORT_MAX;
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.value);
    return filter_holds(fixture.filter, fixture.value, &fixture.effort);
}

struct sample {
    const char *schema;
    const char *good[6]; /* up to the first NULL */
    const char *bad[6];
};

static void check_samples(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_TRUE_FATAL(parses(samples[i].schema));
        for (size_t j = 0; j < 6 && samples[i].good[j] != NULL; j++) {
            if (!holds(samples[i].good[j])) {
                printf("%s: not %s\n", samples[i].schema, samples[i].good[j]);
                CU_FAIL("should hold");
            }
        }
        for (size_t j = 0; j < 6 && samples[i].bad[j] != NULL; j++) {
            if (holds(samples[i].bad[j])) {
                printf("%s: %s\n", samples[i].schema, samples[i].bad[j]);
                CU_FAIL("should not hold");
            }
            CU_ASSERT_FALSE(effort_is_spent(&fixture.effort));
        }
    }
}

static void test_type_holds_for_its_values_alone(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"type\":\"string\"}", { "\"\"" }, { "1", "null", "[\"a\"]", "{}", "true" } },
        { "{\"type\":\"number\"}", { "1", "-1.5" }, { "\"1\"", "true", "null" } },
        { "{\"type\":\"integer\"}", { "1", "-2.0", "1e3" }, { "1.5", "\"1\"", "true" } },
        { "{\"type\":\"boolean\"}", { "true", "false" }, { "0", "\"true\"", "null" } },
        { "{\"type\":\"null\"}", { "null" }, { "false", "0", "\"\"" } },
        { "{\"type\":\"array\"}", { "[]" }, { "{}", "\"\"" } },
        { "{\"type\":\"object\"}", { "{}" }, { "[]", "null" } },
        { "{\"type\":[\"string\",\"null\"]}", { "\"a\"", "null" }, { "1", "[]" } },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_const_and_enum_hold_for_equal_values(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"const\":\"a\"}", { "\"a\"" }, { "\"A\"", "\"ab\"", "\"\"", "[\"a\"]" } },
        { "{\"const\":1}", { "1", "1.0" }, { "1.0000000000000002", "\"1\"", "true" } },
        { "{\"const\":null}", { "null" }, { "false", "0", "\"\"", "{}" } },
        { "{\"const\":true}", { "true" }, { "false", "1", "\"true\"" } },
        { "{\"const\":[1,[2]]}", { "[1,[2]]" }, { "[[2],1]", "[1]", "[1,[2],3]", "[1,[3]]" } },
        { "{\"const\":{\"a\":1,\"b\":{\"c\":2}}}",
          { "{\"b\":{\"c\":2},\"a\":1}" },
          { "{\"a\":1}", "{\"a\":1,\"b\":{\"c\":3}}", "{\"a\":1,\"B\":{\"c\":2}}",
            "{\"a\":1,\"b\":{\"c\":2},\"d\":1}" } },
        { "{\"enum\":[\"a\",1,{\"b\":[]}]}",
          { "\"a\"", "1", "{\"b\":[]}" },
          { "\"b\"", "2", "{\"b\":{}}", "[\"a\"]", "null" } },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_pattern_searches_strings(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"pattern\":\"b\"}", { "\"abc\"", "\"b\"" }, { "\"ac\"", "\"B\"", "\"\"" } },
        { "{\"pattern\":\"^did:(web|key):\"}",
          { "\"did:key:z6\"" },
          { "\"xdid:key:z6\"", "\"did:jwk:z6\"", "\"\\ndid:key:z6\"" } },
        { "{\"pattern\":\"^a$\"}", { "\"a\"" }, { "\"a\\n\"", "\"aa\"", "\"b\\na\"" } },
        { "{\"pattern\":\"^.$\"}",
          { "\"\xf0\x9f\x94\x91\"", "\"\xc3\xa9\"" },
          { "\"\\n\"", "\"\\r\"", "\"\"" } },
        { "{\"pattern\":\"^\\\\u00e9\\\\u{1f511}$\"}",
          { "\"\xc3\xa9\xf0\x9f\x94\x91\"" },
          { "\"\xc3\xa9\"" } },
        { "{\"pattern\":\"^\\\\d+$\"}", { "\"12\"" }, { "\"\xd9\xa1\"", "\"a\"" } },
        { "{\"pattern\":\"^[^]$\"}", { "\"\\n\"" }, { "\"\"" } },
        { "{\"pattern\":\"[]\"}", { NULL }, { "\"\"", "\"a\"" } },
        { "{\"pattern\":\"^(?:(a)|b)\\\\1c$\"}", { "\"bc\"", "\"aac\"" }, { "\"ac\"" } },
        { "{\"pattern\":\"^(?<n>x)(?=y)(?!yz)\"}", { "\"xy\"" }, { "\"xyz\"", "\"x\"" } },
        { "{\"pattern\":\"a(?C1)b\"}", { "\"ab\"" }, { "\"ac\"" } },
        { "{\"pattern\":\"a(*COMMIT)b\"}", { "\"ab\"" }, { "\"acab\"" } },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_a_number_is_held_to_its_range(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"minimum\":18}", { "18", "18.0", "1e9" }, { "17.999", "-18", "\"18\"", "null" } },
        { "{\"maximum\":-1}", { "-1", "-1e9" }, { "-0.5", "0", "\"-2\"" } },
        { "{\"minimum\":1,\"maximum\":2}", { "1", "1.5", "2" }, { "0.9", "2.1" } },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_contains_holds_if_one_item_does(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"contains\":{\"const\":\"a\"}}",
          { "[\"a\"]", "[1,\"a\"]" },
          { "[]", "[\"b\"]", "\"a\"", "[[\"a\"]]", "{\"x\":\"a\"}" } },
        { "{\"type\":\"array\",\"contains\":{\"type\":\"string\",\"pattern\":\"^Card$\"}}",
          { "[\"VerifiableCredential\",\"Card\"]" },
          { "[\"VerifiableCredential\"]", "[\"Cards\"]", "\"Card\"" } },
        { "{\"contains\":{\"contains\":{\"contains\":{\"contains\":{\"contains\":{}}}}}}",
          { NULL },
          { "[[[[]]]]" } },
    };
    check_samples(SAMPLES, 2);
    CU_ASSERT_FALSE(parses(SAMPLES[2].schema));
    CU_ASSERT_STRING_EQUAL(fixture.err.message,
                           "filter.contains.contains.contains.contains.contains: nested more than "
                           "4 deep");
    CU_ASSERT_TRUE(parses("{\"contains\":{\"contains\":{\"contains\":{\"contains\":{}}}}}"));
    CU_ASSERT_TRUE(holds("[[[[1]]]]"));
    CU_ASSERT_FALSE(holds("[[[[]]]]"));
}

static void test_every_keyword_must_hold(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"type\":\"string\",\"pattern\":\"a\",\"enum\":[\"ab\",\"b\"]}",
          { "\"ab\"" },
          { "\"b\"", "\"a\"" } },
        { "{}", { "null", "1", "\"\"", "[]", "{}", "false" }, { NULL } },
        { "{\"$schema\":\"x\",\"title\":1,\"description\":[],\"$comment\":\"\",\"default\":null,"
          "\"examples\":{},\"type\":\"null\"}",
          { "null" },
          { "1" } },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_keywords_without_type_ask_for_theirs(void)
{
    static const struct sample SAMPLES[] = {
        { "{\"pattern\":\"a\"}", { "\"a\"" }, { "1", "null", "true", "[\"a\"]", "{}" } },
        { "{\"minimum\":0}", { "0" }, { "\"1\"", "null", "true", "[1]", "{}" } },
        { "{\"maximum\":0}", { "0" }, { "\"\"", "null", "false", "[]", "{}" } },
        { "{\"contains\":{}}", { "[1]" }, { "\"1\"", "null", "{\"a\":1}" } },
        { "{\"type\":[\"string\",\"null\"],\"pattern\":\"a\"}",
          { "\"a\"", "null" },
          { "\"b\"", "1" } },
        { "{\"type\":[\"string\",\"array\"],\"pattern\":\"^a$\",\"contains\":{\"const\":\"a\"}}",
          { "\"a\"", "[\"a\"]" },
          { "\"b\"", "[\"b\"]", "1" } },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_what_is_no_filter_is_refused_by_name(void)
{
    static const struct {
        const char *schema;
        const char *message;
    } SAMPLES[] = {
        { "true", "filter: must be an object" },
        { "[]", "filter: must be an object" },
        { "{\"format\":\"date\"}", "filter.format: cannot be evaluated here" },
        { "{\"not\":{}}", "filter.not: cannot be evaluated here" },
        { "{\"allOf\":[]}", "filter.allOf: cannot be evaluated here" },
        { "{\"anyOf\":[]}", "filter.anyOf: cannot be evaluated here" },
        { "{\"minLength\":1}", "filter.minLength: cannot be evaluated here" },
        { "{\"maxLength\":1}", "filter.maxLength: cannot be evaluated here" },
        { "{\"exclusiveMinimum\":1}", "filter.exclusiveMinimum: cannot be evaluated here" },
        { "{\"properties\":{}}", "filter.properties: cannot be evaluated here" },
        { "{\"items\":{}}", "filter.items: cannot be evaluated here" },
        { "{\"$ref\":\"#\"}", "filter.$ref: cannot be evaluated here" },
        { "{\"Type\":\"string\"}", "filter.Type: cannot be evaluated here" },
        { "{\"\":1}", "filter.: cannot be evaluated here" },
        { "{\"a\\n\xc3\xa9\":1}", "filter.a???: cannot be evaluated here" },
        { "{\"type\":1}", "filter.type: must be a string or an array" },
        { "{\"type\":\"text\"}", "filter.type: names no type of JSON Schema" },
        { "{\"type\":[\"string\",1]}", "filter.type: names no type of JSON Schema" },
        { "{\"type\":[]}", "filter.type: must not be empty" },
        { "{\"enum\":\"a\"}", "filter.enum: must be an array" },
        { "{\"enum\":[]}", "filter.enum: must not be empty" },
        { "{\"minimum\":\"1\"}", "filter.minimum: must be a number" },
        { "{\"maximum\":null}", "filter.maximum: must be a number" },
        { "{\"contains\":true}", "filter.contains: must be an object" },
        { "{\"contains\":{\"contains\":{\"format\":1}}}",
          "filter.contains.contains.format: cannot be evaluated here" },
        { "{\"pattern\":1}", "filter.pattern: must be a string" },
        { "{\"contains\":{\"pattern\":\"a(b\"}}", "filter.contains.pattern: no regular expression: "
                                                  "missing closing parenthesis at byte 3" },
        { "{\"pattern\":\"(*LIMIT_MATCH=4000000000)a\"}",
          "filter.pattern: no regular expression: nothing to repeat at byte 1" },
    };
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        CU_ASSERT_FALSE(parses(SAMPLES[i].schema));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
        CU_ASSERT_STRING_EQUAL(fixture.err.message, SAMPLES[i].message);
    }
}

static void test_what_is_no_pattern_is_refused(void)
{
    static const char *const SCHEMAS[] = {
        "{\"pattern\":\"a\\\\\"}",       "{\"pattern\":\"[a\"}",
        "{\"pattern\":\"*\"}",           "{\"pattern\":\"a)\"}",
        "{\"pattern\":\"(?<a\"}",        "{\"pattern\":\"\\\\C\"}",
        "{\"pattern\":\"a{2,1}\"}",      "{\"pattern\":\"[b-a]\"}",
        "{\"pattern\":\"(?<=a+)b\"}",    "{\"pattern\":\"(*UTF)a\"}",
        "{\"pattern\":\"(?(1)a\"}",      "{\"pattern\":\"\\\\p{Xx}\"}",
        "{\"pattern\":\"a(*NOVERB)b\"}", "{\"pattern\":\"(?:(?:(?:abc){20}){20}){20}\"}",
    };
    for (size_t i = 0; i < COUNT_OF(SCHEMAS); i++) {
        CU_ASSERT_FALSE(parses(SCHEMAS[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "filter.pattern: no regular"));
    }
}

/* {"pattern":"aaa..."} of `length`. */
static bool pattern_of_length_parses(size_t length)
{
    char schema[DEFINITION_PATTERN_MAX + 32] = "{\"pattern\":\"";
    char *at = schema + strlen(schema);
    memset(at, 'a', length);
    (void)strcpy(at + length, "\"}");
    return parses(schema);
}

static void test_patterns_are_bounded(void)
{
    CU_ASSERT_TRUE(pattern_of_length_parses(DEFINITION_PATTERN_MAX));
    CU_ASSERT_FALSE(pattern_of_length_parses(DEFINITION_PATTERN_MAX + 1));
    CU_ASSERT_STRING_EQUAL(fixture.err.message, "filter.pattern: longer than 256 bytes");

    unsigned parsed = 0;
    struct filter *filter = NULL;
    CU_ASSERT_TRUE_FATAL(parses("{\"pattern\":\"((a{1,99}){1,99}){1,9}\"}")); /* some 30 KB */
    while (parsed < 100
           && filter_parse(fixture.schema, &ROOT, &fixture.patterns, &filter, &fixture.err)) {
        filter_free(filter);
        parsed++;
    }
    CU_ASSERT_TRUE(parsed > 0 && parsed < 100);
    CU_ASSERT_STRING_EQUAL(fixture.err.message,
                           "filter.pattern: too large, together with the patterns before it");
}

static bool holds_for_text(char fill, size_t length)
{
    char *text = xcalloc(1, length + 3);
    memset(text, fill, length + 2);
    text[0] = '"';
    text[length + 1] = '"';
    const bool good = holds(text);
    free(text);
    return good;
}

static void test_a_longer_string_than_any_matches_no_pattern(void)
{
    CU_ASSERT_TRUE_FATAL(parses("{\"pattern\":\"a\"}"));
    CU_ASSERT_TRUE(holds_for_text('a', FILTER_SUBJECT_MAX));
    CU_ASSERT_FALSE(holds_for_text('a', FILTER_SUBJECT_MAX + 1));
    CU_ASSERT_FALSE(holds_for_text('a', 65536));
    CU_ASSERT_FALSE(effort_is_spent(&fixture.effort));
}

static void test_catastrophic_patterns_end_with_the_effort(void)
{
    static const char *const SCHEMAS[] = {
        "{\"pattern\":\"^(a+)+[^a]\"}",         "{\"pattern\":\"(a*)*[b-c]\"}",
        "{\"pattern\":\"^(?:a|aa)+[^a]\"}",     "{\"pattern\":\"^(.*)(.*)(.*)(.*)(.*)[^a]\"}",
        "{\"pattern\":\"^(a|b|ab|aa)*(?=c)\"}", "{\"pattern\":\"(?:a?){99}a{99}[bc]\"}",
        "{\"pattern\":\"[^b]*(?:c|d)\"}",       "{\"pattern\":\"(a(?1)?)+[bc]\"}",
        "{\"pattern\":\"(?=(a+))\\\\1*[bc]\"}", "{\"contains\":{\"pattern\":\"^(a+)+[^a]\"}}",
    };
    for (size_t i = 0; i < COUNT_OF(SCHEMAS); i++) {
        const bool in_array = strstr(SCHEMAS[i], "contains") != NULL;
        CU_ASSERT_TRUE_FATAL(parses(SCHEMAS[i]));
        CU_ASSERT_FALSE(in_array ? holds("[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]")
                                 : holds_for_text('a', FILTER_SUBJECT_MAX));
        if (!effort_is_spent(&fixture.effort)) {
            printf("%s: %u left\n", SCHEMAS[i], fixture.effort.left);
        }
        CU_ASSERT_TRUE(effort_is_spent(&fixture.effort));
    }
}

static void test_nothing_holds_without_effort(void)
{
    CU_ASSERT_TRUE_FATAL(parses("{}"));
    CU_ASSERT_TRUE(holds("1"));
    fixture.effort.left = 1;
    CU_ASSERT_FALSE(filter_holds(fixture.filter, fixture.value, &fixture.effort));
    CU_ASSERT_TRUE(effort_is_spent(&fixture.effort));
}

/* {"m0":0,...} with `count` members, from the last to the first if `reversed`. */
static cJSON *wide_object(int count, bool reversed)
{
    cJSON *object = cJSON_CreateObject();
    for (int i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", reversed ? count - 1 - i : i);
        (void)cJSON_AddNumberToObject(object, name, 0);
    }
    return object;
}

static void test_comparing_wide_objects_ends_with_the_effort(void)
{
    for (int count = 64; count <= 256; count += 192) {
        tear_down();
        fixture.schema = cJSON_CreateObject();
        (void)cJSON_AddItemToObject(fixture.schema, "const", wide_object(count, false));
        fixture.value = wide_object(count, true);
        CU_ASSERT_TRUE_FATAL(
            filter_parse(fixture.schema, &ROOT, &fixture.patterns, &fixture.filter, &fixture.err));
        fixture.effort.left = EFFORT_MAX;
        CU_ASSERT_EQUAL(filter_holds(fixture.filter, fixture.value, &fixture.effort), count == 64);
        CU_ASSERT_EQUAL(effort_is_spent(&fixture.effort), count == 256);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "type holds for its values alone", test_type_holds_for_its_values_alone },
        { "const and enum hold for equal values", test_const_and_enum_hold_for_equal_values },
        { "pattern searches strings", test_pattern_searches_strings },
        { "a number is held to its range", test_a_number_is_held_to_its_range },
        { "contains holds if one item does", test_contains_holds_if_one_item_does },
        { "every keyword must hold", test_every_keyword_must_hold },
        { "keywords without type ask for theirs", test_keywords_without_type_ask_for_theirs },
        { "what is no filter is refused by name", test_what_is_no_filter_is_refused_by_name },
        { "what is no pattern is refused", test_what_is_no_pattern_is_refused },
        { "patterns are bounded", test_patterns_are_bounded },
        { "a longer string than any matches no pattern",
          test_a_longer_string_than_any_matches_no_pattern },
        { "catastrophic patterns end with the effort",
          test_catastrophic_patterns_end_with_the_effort },
        { "nothing holds without effort", test_nothing_holds_without_effort },
        { "comparing wide objects ends with the effort",
          test_comparing_wide_objects_ends_with_the_effort },
        CU_TEST_INFO_NULL,
    };
    return run_suite("filter", NULL, tear_down, tests);
}
