/*
 * The strict JSON check, against tables in the spirit of the public JSONTestSuite: what RFC 8259
 * calls JSON, what it does not, and what it leaves open and we refuse.
 */
#include "base/json_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "support/run.h"

struct sample {
    const char *text;
    size_t length; /* NULs count */
};

#define SAMPLE(literal)                                                                            \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* A copy of exactly its size on the heap, so that the sanitizers see a read past the end. */
static bool checks(const char *text, size_t length, struct error *err)
{
    char *copy = xcalloc(1, length > 0 ? length : 1);
    memcpy(copy, text, length);
    const bool good = json_check(copy, length, err);
    free(copy);
    return good;
}

static void assert_all_accepted(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct error err = { 0 };
        if (!checks(samples[i].text, samples[i].length, &err)) {
            (void)printf("\n    refused: %s: %s\n", samples[i].text, err.message);
            CU_FAIL("valid text was refused");
        }
    }
}

static void assert_all_refused(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct error err = { 0 };
        if (checks(samples[i].text, samples[i].length, &err)) {
            (void)printf("\n    accepted: %s\n", samples[i].text);
            CU_FAIL("invalid text was accepted");
        } else {
            CU_ASSERT_EQUAL(err.code, ERROR_INVALID_REQUEST);
        }
    }
}

#define ACCEPTED(...)                                                                              \
    do {                                                                                           \
        static const struct sample SAMPLES[] = { __VA_ARGS__ };                                    \
        assert_all_accepted(SAMPLES, COUNT_OF(SAMPLES));                                           \
    } while (0)

#define REFUSED(...)                                                                               \
    do {                                                                                           \
        static const struct sample SAMPLES[] = { __VA_ARGS__ };                                    \
        assert_all_refused(SAMPLES, COUNT_OF(SAMPLES));                                            \
    } while (0)

static void test_values_are_accepted(void)
{
    ACCEPTED(SAMPLE("{}"), SAMPLE("[]"), SAMPLE("\"\""), SAMPLE("0"), SAMPLE("true"),
             SAMPLE("false"), SAMPLE("null"), SAMPLE(" \t\r\n[ \t\r\n] \t\r\n"), SAMPLE("[[]   ]"),
             SAMPLE("[null, 1, \"1\", {}]"), SAMPLE("{\"\":0}"), SAMPLE("{\"a\":[]}"),
             SAMPLE("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}"), SAMPLE("[1,null,null,null,2]"),
             SAMPLE("{\"code\":\"0123456789abcdefghijklmnopqrstuv\"}"),
             SAMPLE("{ \"title\" : \"\\u041f\\u043e\" , \"n\" : -1 }"));
}

static void test_broken_structure_is_refused(void)
{
    REFUSED(SAMPLE("[1,]"), SAMPLE("[,1]"), SAMPLE("[1,,2]"), SAMPLE("[1 2]"), SAMPLE("["),
            SAMPLE("[1"), SAMPLE("[1,"), SAMPLE("]"), SAMPLE("[}"), SAMPLE("[1:2]"), SAMPLE("{"),
            SAMPLE("}"), SAMPLE("{]"), SAMPLE("{,}"), SAMPLE("{\"a\"}"), SAMPLE("{\"a\":}"),
            SAMPLE("{\"a\":1,}"), SAMPLE("{\"a\":1,,\"b\":2}"), SAMPLE("{\"a\":1 \"b\":2}"),
            SAMPLE("{\"a\" 1}"), SAMPLE("{\"a\"::1}"), SAMPLE("{\"a\",1}"), SAMPLE("{:1}"),
            SAMPLE("{1:1}"), SAMPLE("{null:1}"), SAMPLE("{a:1}"), SAMPLE("{'a':1}"),
            SAMPLE("{[]:1}"), SAMPLE("{\"a\":1"), SAMPLE("{\"a\":"), SAMPLE("{\"a\""),
            SAMPLE("{\"a"), SAMPLE("{\"a\":1}}"), SAMPLE("{\"a\":/*c*/1}"), SAMPLE("[1]//"),
            SAMPLE("#\n[]"), SAMPLE("['a']"), SAMPLE("[a]"), SAMPLE("*"), SAMPLE("<.>"),
            SAMPLE("(1)"));
}

static void test_literals_are_taken_to_the_letter(void)
{
    REFUSED(SAMPLE("True"), SAMPLE("TRUE"), SAMPLE("tru"), SAMPLE("t"), SAMPLE("truee"),
            SAMPLE("fals"), SAMPLE("falsy"), SAMPLE("nul"), SAMPLE("nulll"), SAMPLE("NaN"),
            SAMPLE("nan"), SAMPLE("Infinity"), SAMPLE("-Infinity"), SAMPLE("undefined"),
            SAMPLE("[nul]"), SAMPLE("[truefalse]"));
}

static void test_numbers_are_accepted(void)
{
    ACCEPTED(SAMPLE("-0"), SAMPLE("-1"), SAMPLE("10"), SAMPLE("0.5"), SAMPLE("-0.0"), SAMPLE("0e1"),
             SAMPLE("0E+1"), SAMPLE("1e-2"), SAMPLE("1E22"), SAMPLE("123.456e78"), SAMPLE("1.000"),
             SAMPLE("9007199254740993"), SAMPLE("18446744073709551616"),
             SAMPLE("0.000000000000000000000000000000000000000000000000000000000000000000000001"));
}

static void test_numbers_outside_the_grammar_are_refused(void)
{
    REFUSED(SAMPLE("-"), SAMPLE("+1"), SAMPLE("--1"), SAMPLE("- 1"), SAMPLE("01"), SAMPLE("-01"),
            SAMPLE("00"), SAMPLE("-00"), SAMPLE("1."), SAMPLE("2.e3"), SAMPLE("2.e+3"),
            SAMPLE("2.e-3"), SAMPLE(".5"), SAMPLE("-.5"), SAMPLE("0.e1"), SAMPLE("1e"),
            SAMPLE("1e+"), SAMPLE("1E-"), SAMPLE("1e1.0"), SAMPLE("1ee1"), SAMPLE("1e+-1"),
            SAMPLE("1.2.3"), SAMPLE("0x1"), SAMPLE("0x"), SAMPLE("1f"), SAMPLE("1_000"),
            SAMPLE("1,0"), SAMPLE("1 000"), SAMPLE("1+2"), SAMPLE("1a"), SAMPLE("0.1.2"),
            SAMPLE("\xef\xbc\x91"), SAMPLE("[-]"), SAMPLE("[-a]"), SAMPLE("[1.]"), SAMPLE("[0e]"));
}

static void test_numbers_that_no_double_holds_are_refused(void)
{
    REFUSED(SAMPLE("1e400"), SAMPLE("-1e400"), SAMPLE("1e308"), SAMPLE("10e307"), SAMPLE("0.1e309"),
            SAMPLE("0.001e311"), SAMPLE("1e99999999999999999999999"),
            SAMPLE("[0.4e00669999999999999999999999999999999999999999999999]"),
            SAMPLE("123456.7e303"));
    ACCEPTED(SAMPLE("9.999e307"), SAMPLE("0.1e308"), SAMPLE("0.001e310"), SAMPLE("99.9e306"),
             SAMPLE("0e400"), SAMPLE("0.000e99999999999999999999"), SAMPLE("1e-400"),
             SAMPLE("123e-10000000"), SAMPLE("1e000000000000000000000000000000000000000000001"));

    char digits[400];
    struct error err = { 0 };
    memset(digits, '9', sizeof(digits));
    CU_ASSERT_TRUE(checks(digits, 308, &err));
    CU_ASSERT_FALSE(checks(digits, 309, &err));
}

static void test_strings_are_accepted(void)
{
    ACCEPTED(SAMPLE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SAMPLE("\"\\u0001\\u001F\\u00e9\""),
             SAMPLE("\"\\uD83D\\uDD11\""), SAMPLE("\"\\ud800\\udc00\\uDBFF\\uDFFF\""),
             SAMPLE("\"\\\\u0000\""), SAMPLE("\"\x7f\""), SAMPLE("\"\\uFFFF\\ufeff\""),
             SAMPLE("\"/* no comment */\""), SAMPLE("\"\\ud7ff\\ue000\""));
}

static void test_broken_strings_are_refused(void)
{
    REFUSED(SAMPLE("\""), SAMPLE("\"a"), SAMPLE("\"\\\""), SAMPLE("\"\\"), SAMPLE("\"\\x00\""),
            SAMPLE("\"\\a\""), SAMPLE("\"\\'\""), SAMPLE("\"\\0\""), SAMPLE("\"\\v\""),
            SAMPLE("\"\\ \""), SAMPLE("\"\\\n\""), SAMPLE("\"\\U0041\""), SAMPLE("\"\\\0\""),
            SAMPLE("'a'"), SAMPLE("a\""), SAMPLE("\"\"\""), SAMPLE("\"a\" \"b\""),
            SAMPLE("\"\\\xe5\""), SAMPLE("\\u0022a\\u0022"));
}

static void test_raw_control_bytes_are_refused(void)
{
    for (char c = 0; c < 0x20; c++) {
        const char text[] = { '"', 'a', c, '"' };
        struct error err = { 0 };
        CU_ASSERT_FALSE(checks(text, sizeof(text), &err));
    }
    REFUSED(SAMPLE("[\x0c]"), SAMPLE("[\x0b]"), SAMPLE("\x1f[]"), SAMPLE("[\xc2\xa0]"),
            SAMPLE("[\xe2\x81\xa0]"), SAMPLE("[\x7f]"));
}

static void test_bad_unicode_escapes_are_refused(void)
{
    REFUSED(SAMPLE("\"\\u\""), SAMPLE("\"\\u1\""), SAMPLE("\"\\u12\""), SAMPLE("\"\\u123\""),
            SAMPLE("\"\\u123g\""), SAMPLE("\"\\u 123\""), SAMPLE("\"\\u+123\""),
            SAMPLE("\"\\u-001\""), SAMPLE("\"\\u0x41\""), SAMPLE("\"\\u12"), SAMPLE("\"\\u"),
            SAMPLE("\"\\u004\xc3\xa9\""));
}

static void test_unpaired_surrogates_are_refused(void)
{
    REFUSED(SAMPLE("\"\\ud800\""), SAMPLE("\"\\udbff\""), SAMPLE("\"\\udc00\""),
            SAMPLE("\"\\udfff\""), SAMPLE("\"\\uDFAA\""), SAMPLE("\"\\ud800a\""),
            SAMPLE("\"\\ud800\\n\""), SAMPLE("\"\\ud800\\u0041\""), SAMPLE("\"\\ud800\\ud800\""),
            SAMPLE("\"\\ud800\\\""), SAMPLE("\"\\ud800\\u\""), SAMPLE("\"\\ud800\\udc0\""),
            SAMPLE("\"\\udc00\\ud800\""), SAMPLE("\"\\ud83d\\ud83d\\udd11\""),
            SAMPLE("\"\\ud83d\\ue000\""), SAMPLE("\"\\ud800"), SAMPLE("\"\\ud800\\"));
}

static void test_an_escaped_nul_is_refused(void)
{
    REFUSED(SAMPLE("\"\\u0000\""), SAMPLE("\"admin\\u0000evil\""), SAMPLE("{\"a\\u0000\":1}"));
}

static void test_nul_bytes_inside_the_length_are_refused(void)
{
    REFUSED(SAMPLE("\0"), SAMPLE("{}\0"), SAMPLE("\0{}"), SAMPLE("[1\0]"), SAMPLE("1\0"),
            SAMPLE("\"a\0b\""), SAMPLE("{\"a\0\":1}"), SAMPLE("tru\0"));
}

static void test_a_byte_order_mark_is_refused(void)
{
    REFUSED(SAMPLE("\xef\xbb\xbf{}"), SAMPLE("\xef\xbb\xbf"), SAMPLE("\xef\xbb{}"),
            SAMPLE("\xff\xfe[\0]\0"), SAMPLE("\xfe\xff\0[\0]"), SAMPLE("{}\xef\xbb\xbf"));
}

static void test_utf8_is_accepted(void)
{
    ACCEPTED(SAMPLE("\"\xc2\x80\""), SAMPLE("\"\xdf\xbf\""), SAMPLE("\"\xe0\xa0\x80\""),
             SAMPLE("\"\xed\x9f\xbf\""), SAMPLE("\"\xee\x80\x80\""), SAMPLE("\"\xef\xbf\xbf\""),
             SAMPLE("\"\xf0\x90\x80\x80\""), SAMPLE("\"\xf4\x8f\xbf\xbf\""),
             SAMPLE("\"\xef\xbb\xbf\""), SAMPLE("{\"\xc3\xa9\":\"\xf0\x9f\x94\x91\"}"));
}

static void test_invalid_utf8_is_refused(void)
{
    REFUSED(SAMPLE("\"\x80\""), SAMPLE("\"\xbf\""), SAMPLE("\"\xff\""), SAMPLE("\"\xfe\""),
            SAMPLE("\"\xe9\""), SAMPLE("\"\xc3\""), SAMPLE("\"\xc3(\""), SAMPLE("\"\xe2\x82\""),
            SAMPLE("\"\xe2(\xa1\""), SAMPLE("\"\xf0\x9f\x94\""), SAMPLE("\"\xf0(\x8c\xbc\""),
            SAMPLE("\"\xf0\x90(\xbc\""), SAMPLE("\"\xf8\x88\x80\x80\x80\""),
            SAMPLE("\"\xfc\x84\x80\x80\x80\x80\""), SAMPLE("\"\xc3"), SAMPLE("\"\xe2\x82"),
            SAMPLE("\"\xf0\x9f\x94"), SAMPLE("{\"\xe9\":1}"));
}

static void test_overlong_utf8_is_refused(void)
{
    REFUSED(SAMPLE("\"\xc0\x80\""), SAMPLE("\"\xc0\xaf\""), SAMPLE("\"\xc1\xbf\""),
            SAMPLE("\"\xe0\x80\xaf\""), SAMPLE("\"\xe0\x9f\xbf\""), SAMPLE("\"\xf0\x80\x80\xaf\""),
            SAMPLE("\"\xf0\x8f\xbf\xbf\""), SAMPLE("\"\xc0\xa2"));
}

static void test_utf8_beyond_unicode_is_refused(void)
{
    REFUSED(SAMPLE("\"\xed\xa0\x80\""), SAMPLE("\"\xed\xbf\xbf\""),
            SAMPLE("\"\xed\xa0\x80\xed\xb0\x80\""), SAMPLE("\"\xf4\x90\x80\x80\""),
            SAMPLE("\"\xf5\x80\x80\x80\""), SAMPLE("\"\xf7\xbf\xbf\xbf\""));
}

static void test_a_name_twice_in_one_object_is_refused(void)
{
    REFUSED(SAMPLE("{\"a\":1,\"a\":1}"), SAMPLE("{\"a\":1,\"b\":2,\"a\":3}"),
            SAMPLE("{\"a\":1,\"\\u0061\":2}"), SAMPLE("{\"\\u0061\":1,\"a\":2}"),
            SAMPLE("{\"code\":1,\"c\\u006fde\":2}"), SAMPLE("{\"\":1,\"\":2}"),
            SAMPLE("{\"\xc3\xa9\":1,\"\\u00E9\":2}"),
            SAMPLE("{\"\xf0\x9f\x94\x91\":1,\"\\ud83d\\udd11\":2}"), SAMPLE("{\"\\/\":1,\"/\":2}"),
            SAMPLE("{\"\\n\":1,\"\\u000a\":2}"), SAMPLE("{\"\\\"\":1,\"\\u0022\":2}"),
            SAMPLE("{\"\\\\\":1,\"\\u005C\":2}"), SAMPLE("[{\"x\":{\"a\":1,\"a\":2}}]"),
            SAMPLE("{\"a\":{\"b\":1},\"a\":2}"));
}

static void test_different_names_are_accepted(void)
{
    ACCEPTED(SAMPLE("{\"a\":1,\"A\":2}"), SAMPLE("{\"a\":1,\"aa\":2,\"aaa\":3,\"\":4}"),
             SAMPLE("{\"a\":1,\"\\\\u0061\":2}"), SAMPLE("{\"\\\"\":1,\"\":2,\"\\\"a\":3}"),
             SAMPLE("{\"\xc3\xa9\":1,\"e\xcc\x81\":2}"), SAMPLE("{\"a\":1,\"a \":2}"),
             SAMPLE("[{\"a\":1},{\"a\":2}]"), SAMPLE("{\"a\":{\"a\":{\"a\":0}}}"));
}

static void test_text_around_the_value_is_refused(void)
{
    REFUSED(SAMPLE("{} {}"), SAMPLE("{}x"), SAMPLE("[]]"), SAMPLE("1 2"), SAMPLE("{},"),
            SAMPLE("true false"), SAMPLE(",{}"), SAMPLE("{};"), SAMPLE("\"\"x"));
}

static void test_an_empty_text_is_refused(void)
{
    REFUSED(SAMPLE(""), SAMPLE(" "), SAMPLE("\t\r\n "));
}

/* `count` times `open`, then as often `close`; the caller frees. */
static char *nest(const char *open, const char *middle, const char *close, size_t count)
{
    const size_t size = count * (strlen(open) + strlen(close)) + strlen(middle) + 1;
    char *text = xcalloc(1, size);
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, open);
    }
    at = stpcpy(at, middle);
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, close);
    }
    return text;
}

static bool nested_checks(const char *open, const char *middle, const char *close, size_t count)
{
    struct error err = { 0 };
    char *text = nest(open, middle, close, count);
    const bool good = checks(text, strlen(text), &err);
    free(text);
    return good;
}

static void test_nesting_is_bounded(void)
{
    CU_ASSERT_TRUE(nested_checks("[", "", "]", JSON_DEPTH_MAX));
    CU_ASSERT_FALSE(nested_checks("[", "", "]", JSON_DEPTH_MAX + 1));
    CU_ASSERT_TRUE(nested_checks("{\"a\":", "0", "}", JSON_DEPTH_MAX));
    CU_ASSERT_FALSE(nested_checks("{\"a\":", "0", "}", JSON_DEPTH_MAX + 1));
    CU_ASSERT_TRUE(nested_checks("[{\"a\":", "0", "}]", JSON_DEPTH_MAX / 2));
    CU_ASSERT_FALSE(nested_checks("[{\"a\":", "[]", "}]", JSON_DEPTH_MAX / 2));
}

static void test_neighbours_do_not_count_as_nesting(void)
{
    struct error err = { 0 };
    char *text = nest("[],{},", "0", "", 5 * JSON_DEPTH_MAX);
    char *array = xcalloc(1, strlen(text) + 3);
    (void)sprintf(array, "[%s]", text);
    CU_ASSERT_TRUE(checks(array, strlen(array), &err));
    free(text);
    free(array);
}

static void test_a_nesting_bomb_is_refused(void)
{
    CU_ASSERT_FALSE(nested_checks("[", "", "", 100000));
    CU_ASSERT_FALSE(nested_checks("[", "", "]", 100000));
    CU_ASSERT_FALSE(nested_checks("{\"a\":", "0", "}", 100000));
    CU_ASSERT_FALSE(nested_checks("[{\"\":", "", "", 100000));
}

/* "[0,0,...]" of `count` zeros. */
static bool array_of_zeros_checks(size_t count)
{
    struct error err = { 0 };
    char *text = nest("0,", "0]", "", count - 1);
    char *array = xcalloc(1, strlen(text) + 2);
    (void)sprintf(array, "[%s", text);
    const bool good = checks(array, strlen(array), &err);
    free(text);
    free(array);
    return good;
}

static void test_the_number_of_values_is_bounded(void)
{
    CU_ASSERT_TRUE(array_of_zeros_checks(JSON_VALUES_MAX - 1)); /* and the array itself */
    CU_ASSERT_FALSE(array_of_zeros_checks(JSON_VALUES_MAX));
    CU_ASSERT_FALSE(array_of_zeros_checks(1000000));
}

/* {"<prefix>0":0,...} of `count` members. */
static char *wide_object(const char *prefix, size_t count)
{
    char *text = xcalloc(count, strlen(prefix) + 32);
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        at += sprintf(at, "%s\"%s%zu\":0", i == 0 ? "{" : ",", prefix, i);
    }
    (void)stpcpy(at, "}");
    return text;
}

static bool wide_object_checks(const char *prefix, size_t count)
{
    struct error err = { 0 };
    char *text = wide_object(prefix, count);
    const bool good = checks(text, strlen(text), &err);
    free(text);
    return good;
}

static void test_the_members_of_an_object_are_bounded(void)
{
    CU_ASSERT_TRUE(wide_object_checks("n", JSON_MEMBERS_MAX));
    CU_ASSERT_FALSE(wide_object_checks("n", JSON_MEMBERS_MAX + 1));
}

static void test_wide_objects_with_long_names_are_cheap(void)
{
    char prefix[200];
    memset(prefix, 'x', sizeof(prefix) - 1);
    prefix[sizeof(prefix) - 1] = '\0';

    const clock_t before = clock();
    CU_ASSERT_TRUE(wide_object_checks(prefix, JSON_MEMBERS_MAX));
    CU_ASSERT_TRUE(clock() - before < CLOCKS_PER_SEC / 20); /* 1 ms, and room for valgrind */
}

static void test_a_fault_is_named_with_its_place_and_never_quoted(void)
{
    struct error err = { 0 };

    CU_ASSERT_FALSE(json_check("{\"code\":\"hush\",}", 16, &err));
    CU_ASSERT_STRING_EQUAL(err.message, "not strict JSON: expected a name at byte 15");
    CU_ASSERT_FALSE(json_check("[hush]", 6, &err));
    CU_ASSERT_PTR_NULL(strstr(err.message, "hush"));
}

static void test_every_cut_of_a_text_is_refused(void)
{
    static const char TEXT[] = "{\"a\":[1.5e-3,true,\"\\ud83d\\udd11\xf0\x9f\x94\x91\"],\"b\":{}}";
    struct error err = { 0 };

    CU_ASSERT_TRUE(checks(TEXT, sizeof(TEXT) - 1, &err));
    for (size_t length = 0; length < sizeof(TEXT) - 1; length++) {
        CU_ASSERT_FALSE(checks(TEXT, length, &err));
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "values are accepted", test_values_are_accepted },
        { "broken structure is refused", test_broken_structure_is_refused },
        { "literals are taken to the letter", test_literals_are_taken_to_the_letter },
        { "numbers are accepted", test_numbers_are_accepted },
        { "numbers outside the grammar are refused", test_numbers_outside_the_grammar_are_refused },
        { "numbers that no double holds are refused",
          test_numbers_that_no_double_holds_are_refused },
        { "strings are accepted", test_strings_are_accepted },
        { "broken strings are refused", test_broken_strings_are_refused },
        { "raw control bytes are refused", test_raw_control_bytes_are_refused },
        { "bad Unicode escapes are refused", test_bad_unicode_escapes_are_refused },
        { "unpaired surrogates are refused", test_unpaired_surrogates_are_refused },
        { "an escaped NUL is refused", test_an_escaped_nul_is_refused },
        { "NUL bytes inside the length are refused", test_nul_bytes_inside_the_length_are_refused },
        { "a byte order mark is refused", test_a_byte_order_mark_is_refused },
        { "UTF-8 is accepted", test_utf8_is_accepted },
        { "invalid UTF-8 is refused", test_invalid_utf8_is_refused },
        { "overlong UTF-8 is refused", test_overlong_utf8_is_refused },
        { "UTF-8 beyond Unicode is refused", test_utf8_beyond_unicode_is_refused },
        { "a name twice in one object is refused", test_a_name_twice_in_one_object_is_refused },
        { "different names are accepted", test_different_names_are_accepted },
        { "text around the value is refused", test_text_around_the_value_is_refused },
        { "an empty text is refused", test_an_empty_text_is_refused },
        { "nesting is bounded", test_nesting_is_bounded },
        { "neighbours do not count as nesting", test_neighbours_do_not_count_as_nesting },
        { "a nesting bomb is refused", test_a_nesting_bomb_is_refused },
        { "the number of values is bounded", test_the_number_of_values_is_bounded },
        { "the members of an object are bounded", test_the_members_of_an_object_are_bounded },
        { "wide objects with long names are cheap", test_wide_objects_with_long_names_are_cheap },
        { "a fault is named with its place and never quoted",
          test_a_fault_is_named_with_its_place_and_never_quoted },
        { "every cut of a text is refused", test_every_cut_of_a_text_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("json_check", NULL, NULL, tests);
}
