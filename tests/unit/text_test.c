/* Bounded text: what fits is there to the byte, what does not fit leaves a mark and no trace. */
#include "base/text.h"

#include <string.h>

#include "support/run.h"

static void test_pieces_follow_each_other(void)
{
    char buffer[64];
    struct text text = text_over(buffer, sizeof(buffer));

    CU_ASSERT_STRING_EQUAL(buffer, "");
    text_add(&text, "a=");
    text_add_number(&text, INT64_MIN);
    text_add_bytes(&text, ",bcd", 2);
    text_add_base64url(&text, "\xfb\xff", 2);
    CU_ASSERT_STRING_EQUAL(buffer, "a=-9223372036854775808,b-_8");
    CU_ASSERT_EQUAL(text.length, strlen(buffer));
    CU_ASSERT_FALSE(text.overflowed);
}

static void test_text_that_fills_its_buffer_keeps_its_nul(void)
{
    char buffer[4];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add(&text, "abc");
    CU_ASSERT_FALSE(text.overflowed);
    CU_ASSERT_STRING_EQUAL(buffer, "abc");
    text_add(&text, "");
    CU_ASSERT_FALSE(text.overflowed);
    text_add(&text, "d");
    CU_ASSERT_TRUE(text.overflowed);
    CU_ASSERT_STRING_EQUAL(buffer, "abc");
}

static void test_nothing_is_added_behind_a_piece_left_out(void)
{
    char buffer[4];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add(&text, "abcd");
    text_add(&text, "x");
    text_add_number(&text, 1);
    text_add_base64url(&text, "y", 1);
    text_add_json_string(&text, "z");
    CU_ASSERT_TRUE(text.overflowed);
    CU_ASSERT_STRING_EQUAL(buffer, "");
}

static void test_base64url_that_does_not_fit_is_left_out(void)
{
    char buffer[5];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add_base64url(&text, "foo", 3);
    CU_ASSERT_STRING_EQUAL(buffer, "Zm9v");
    CU_ASSERT_FALSE(text.overflowed);
    text = text_over(buffer, sizeof(buffer));
    text_add_base64url(&text, "foob", 4);
    CU_ASSERT_TRUE(text.overflowed);
    CU_ASSERT_STRING_EQUAL(buffer, "");
}

static const char *base64(const char *bytes)
{
    static char buffer[16];
    struct text text = text_over(buffer, sizeof(buffer));
    text_add_base64(&text, bytes, strlen(bytes));
    CU_ASSERT_FALSE(text.overflowed);
    return buffer;
}

/* The vectors of RFC 4648 10, and the two characters that base64url has not. */
static void test_base64_is_padded(void)
{
    CU_ASSERT_STRING_EQUAL(base64(""), "");
    CU_ASSERT_STRING_EQUAL(base64("f"), "Zg==");
    CU_ASSERT_STRING_EQUAL(base64("fo"), "Zm8=");
    CU_ASSERT_STRING_EQUAL(base64("foo"), "Zm9v");
    CU_ASSERT_STRING_EQUAL(base64("foob"), "Zm9vYg==");
    CU_ASSERT_STRING_EQUAL(base64("fooba"), "Zm9vYmE=");
    CU_ASSERT_STRING_EQUAL(base64("foobar"), "Zm9vYmFy");
    CU_ASSERT_STRING_EQUAL(base64("\xfb\xff\xbe"), "+/++");
}

static void test_base64_follows_what_was_there_and_changes_none_of_it(void)
{
    char buffer[16];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add(&text, "a-b_c ");
    text_add_base64(&text, "\xff\xff", 2);
    CU_ASSERT_STRING_EQUAL(buffer, "a-b_c //8=");
}

static void test_base64_that_does_not_fit_is_left_out(void)
{
    char buffer[8];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add_base64(&text, "foob", 4);
    CU_ASSERT_TRUE(text.overflowed);
    CU_ASSERT_STRING_EQUAL(buffer, "");
}

static const char *json_string(const char *value)
{
    static char buffer[512];
    struct text text = text_over(buffer, sizeof(buffer));
    text_add_json_string(&text, value);
    CU_ASSERT_FALSE(text.overflowed);
    return buffer;
}

static void test_json_strings_are_escaped(void)
{
    CU_ASSERT_STRING_EQUAL(json_string(""), "\"\"");
    CU_ASSERT_STRING_EQUAL(json_string("did:key:z6Mk"), "\"did:key:z6Mk\"");
    CU_ASSERT_STRING_EQUAL(json_string("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    CU_ASSERT_STRING_EQUAL(json_string("\n\t\x01\x1f\x7f"), "\"\\u000a\\u0009\\u0001\\u001f\x7f\"");
    CU_ASSERT_STRING_EQUAL(json_string("\\\\\""), "\"\\\\\\\\\\\"\"");
    CU_ASSERT_STRING_EQUAL(json_string("\xc3\xa9\xf0\x9f\x94\x91"), "\"\xc3\xa9\xf0\x9f\x94\x91\"");
}

static void test_every_control_byte_is_escaped(void)
{
    for (char c = 1; c < 0x20; c++) {
        const char value[] = { c, '\0' };
        CU_ASSERT_EQUAL(strlen(json_string(value)), strlen("\"\\u0000\""));
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "pieces follow each other", test_pieces_follow_each_other },
        { "text that fills its buffer keeps its NUL",
          test_text_that_fills_its_buffer_keeps_its_nul },
        { "nothing is added behind a piece left out",
          test_nothing_is_added_behind_a_piece_left_out },
        { "base64url that does not fit is left out", test_base64url_that_does_not_fit_is_left_out },
        { "base64 is padded", test_base64_is_padded },
        { "base64 follows what was there, and changes none of it",
          test_base64_follows_what_was_there_and_changes_none_of_it },
        { "base64 that does not fit is left out", test_base64_that_does_not_fit_is_left_out },
        { "JSON strings are escaped", test_json_strings_are_escaped },
        { "every control byte is escaped", test_every_control_byte_is_escaped },
        CU_TEST_INFO_NULL,
    };
    return run_suite("text", NULL, NULL, tests);
}
