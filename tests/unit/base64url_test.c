/* Base64url: the RFC's vectors, and that each byte string has exactly one text. */
#include "base/base64url.h"

#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static const struct {
    const char *bytes;
    const char *text;
} PAIRS[] = {
    { "", "" },
    { "f", "Zg" },
    { "fo", "Zm8" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg" },
    { "fooba", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy" },
    { "\xfb\xff\xfe", "-__-" },
};

static bool decodes(const char *text, size_t size)
{
    uint8_t bytes[64];
    size_t length;
    return base64url_decode(text, strlen(text), bytes, size, &length);
}

static void test_the_vectors_hold_both_ways(void)
{
    for (size_t i = 0; i < COUNT_OF(PAIRS); i++) {
        const size_t length = strlen(PAIRS[i].bytes);
        char text[16] = { 0 };
        uint8_t bytes[16];
        size_t decoded = 99;

        CU_ASSERT_EQUAL(base64url_encode(text, PAIRS[i].bytes, length), strlen(PAIRS[i].text));
        CU_ASSERT_STRING_EQUAL(text, PAIRS[i].text);
        CU_ASSERT_EQUAL(BASE64URL_LENGTH(length), strlen(PAIRS[i].text));
        CU_ASSERT_TRUE(base64url_decode(text, strlen(text), bytes, sizeof(bytes), &decoded));
        CU_ASSERT_EQUAL(decoded, length);
        CU_ASSERT_EQUAL(memcmp(bytes, PAIRS[i].bytes, length), 0);
    }
}

static void test_all_bytes_come_back(void)
{
    uint8_t bytes[256];
    uint8_t back[256];
    char text[BASE64URL_LENGTH(256)];
    size_t decoded = 0;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    CU_ASSERT_EQUAL(base64url_encode(text, bytes, sizeof(bytes)), sizeof(text));
    CU_ASSERT_TRUE(base64url_decode(text, sizeof(text), back, sizeof(back), &decoded));
    CU_ASSERT_EQUAL(decoded, sizeof(bytes));
    CU_ASSERT_EQUAL(memcmp(bytes, back, sizeof(bytes)), 0);
}

static void test_encoding_writes_no_byte_too_many(void)
{
    char text[8];

    memset(text, '!', sizeof(text));
    CU_ASSERT_EQUAL(base64url_encode(text, "fooba", 5), 7);
    CU_ASSERT_EQUAL(text[7], '!');
}

static void test_a_single_character_is_refused(void)
{
    CU_ASSERT_FALSE(decodes("A", 64));
    CU_ASSERT_FALSE(decodes("AAAAA", 64));
}

static void test_padding_is_refused(void)
{
    CU_ASSERT_FALSE(decodes("Zg==", 64));
    CU_ASSERT_FALSE(decodes("Zm8=", 64));
}

static void test_other_characters_are_refused(void)
{
    static const char *const TEXTS[] = { "Zm+v", "Zm/v", "Zm9 ", "Zm\n9", "\xc3\xa4-_", "Zm.v" };
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        CU_ASSERT_FALSE(decodes(TEXTS[i], 64));
    }
    uint8_t bytes[8];
    size_t length;
    CU_ASSERT_FALSE(base64url_decode("Zm\0v", 4, bytes, sizeof(bytes), &length));
}

static void test_unused_bits_must_be_zero(void)
{
    CU_ASSERT_TRUE(decodes("Zg", 64));
    CU_ASSERT_FALSE(decodes("Zh", 64));
    CU_ASSERT_TRUE(decodes("Zm8", 64));
    CU_ASSERT_FALSE(decodes("Zm9", 64));
}

static void test_what_does_not_fit_is_refused(void)
{
    CU_ASSERT_TRUE(decodes("Zm9vYmFy", 6));
    CU_ASSERT_FALSE(decodes("Zm9vYmFy", 5));
    CU_ASSERT_TRUE(decodes("", 0));
    CU_ASSERT_FALSE(decodes("Zg", 0));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the vectors hold both ways", test_the_vectors_hold_both_ways },
        { "all bytes come back", test_all_bytes_come_back },
        { "encoding writes no byte too many", test_encoding_writes_no_byte_too_many },
        { "a single character is refused", test_a_single_character_is_refused },
        { "padding is refused", test_padding_is_refused },
        { "other characters are refused", test_other_characters_are_refused },
        { "unused bits must be zero", test_unused_bits_must_be_zero },
        { "what does not fit is refused", test_what_does_not_fit_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("base64url", NULL, NULL, tests);
}
