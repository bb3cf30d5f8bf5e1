/* SHA-256 by FIPS 180-4's examples, and random bytes as far as a test can see. */
#include "base/digest.h"

#include <string.h>

#include "support/run.h"

static void test_the_digests_of_the_standard_come_out(void)
{
    static const struct digest OF_ABC = { { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                            0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                            0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad } };
    static const struct digest OF_NOTHING = { { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                                0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                                0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                                0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55 } };
    const struct digest of_abc = sha256("abc", 3);
    const struct digest of_nothing = sha256("", 0);

    CU_ASSERT_EQUAL(memcmp(&of_abc, &OF_ABC, sizeof(of_abc)), 0);
    CU_ASSERT_EQUAL(memcmp(&of_nothing, &OF_NOTHING, sizeof(of_nothing)), 0);
}

static void test_digests_are_equal_only_in_every_bit(void)
{
    const struct digest a = sha256("abc", 3);
    CU_ASSERT_TRUE(digest_equal(&a, &a));
    for (size_t bit = 0; bit < 8 * sizeof(a.bytes); bit++) {
        struct digest b = a;
        b.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CU_ASSERT_FALSE(digest_equal(&a, &b));
    }
}

static void test_random_bytes_fill_exactly_what_was_asked(void)
{
    uint8_t bytes[66] = { 0 };
    uint8_t again[64];

    random_bytes(bytes + 1, 64);
    random_bytes(again, sizeof(again));
    CU_ASSERT_NOT_EQUAL(memcmp(bytes + 1, again, sizeof(again)), 0);
    CU_ASSERT_EQUAL(bytes[0], 0);
    CU_ASSERT_EQUAL(bytes[65], 0);
    random_bytes(bytes, 0);
    CU_ASSERT_EQUAL(bytes[0], 0);
}

/* More than the 256 bytes that getrandom(2) gives at once for sure. */
static void test_many_random_bytes_have_no_hole(void)
{
    static uint8_t bytes[1 << 16];
    static const uint8_t HOLE[16] = { 0 };

    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i += sizeof(HOLE)) {
        CU_ASSERT_NOT_EQUAL(memcmp(bytes + i, HOLE, sizeof(HOLE)), 0);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the digests of the standard come out", test_the_digests_of_the_standard_come_out },
        { "digests are equal only in every bit", test_digests_are_equal_only_in_every_bit },
        { "random bytes fill exactly what was asked",
          test_random_bytes_fill_exactly_what_was_asked },
        { "many random bytes have no hole", test_many_random_bytes_have_no_hole },
        CU_TEST_INFO_NULL,
    };
    return run_suite("digest", NULL, NULL, tests);
}
