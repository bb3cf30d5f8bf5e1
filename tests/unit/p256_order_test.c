/* Inverses modulo the order of P-256, against OpenSSL's. */
#include "jose/p256_order.h"

#include <openssl/ec.h>
#include <openssl/objects.h>

#include "support/run.h"

enum { EDGE = 300, RANDOM = 20000, BITS = 256 };

static struct {
    EC_GROUP *curve;
    const BIGNUM *order;
    BN_CTX *context;
    BIGNUM *number, *inverse, *expected;
    unsigned wrong;
} fixture;

static void set_up(void)
{
    fixture.curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    fixture.order = EC_GROUP_get0_order(fixture.curve);
    fixture.context = BN_CTX_new();
    fixture.number = BN_new();
    fixture.inverse = BN_new();
    fixture.expected = BN_new();
    fixture.wrong = 0;
}

static void tear_down(void)
{
    EC_GROUP_free(fixture.curve);
    BN_CTX_free(fixture.context);
    BN_free(fixture.number);
    BN_free(fixture.inverse);
    BN_free(fixture.expected);
}

static void compare(void)
{
    if (BN_mod_inverse(fixture.expected, fixture.number, fixture.order, fixture.context) == NULL
        || !p256_order_inverse(fixture.inverse, fixture.number)
        || BN_cmp(fixture.inverse, fixture.expected) != 0) {
        fixture.wrong++;
    }
}

static void test_the_inverses_of_small_and_great_numbers_are_right(void)
{
    for (unsigned i = 1; i <= EDGE; i++) {
        CU_ASSERT_TRUE_FATAL(BN_set_word(fixture.number, i) == 1);
        compare();
        CU_ASSERT_TRUE_FATAL(BN_copy(fixture.number, fixture.order) != NULL
                             && BN_sub_word(fixture.number, i) == 1);
        compare();
    }
    CU_ASSERT_EQUAL(fixture.wrong, 0);
}

/* Words that are zero, and many halvings at once. */
static void test_the_inverses_of_powers_of_two_and_of_their_neighbours_are_right(void)
{
    for (int bit = 1; bit < BITS; bit++) {
        BN_zero(fixture.number);
        CU_ASSERT_TRUE_FATAL(BN_set_bit(fixture.number, bit) == 1
                             && BN_sub_word(fixture.number, 1) == 1);
        for (int i = 0; i < 3; i++) {
            compare();
            CU_ASSERT_TRUE_FATAL(BN_add_word(fixture.number, 1) == 1);
        }
    }
    CU_ASSERT_EQUAL(fixture.wrong, 0);
}

static void test_the_inverses_of_random_numbers_are_right(void)
{
    for (int i = 0; i < RANDOM; i++) {
        CU_ASSERT_TRUE_FATAL(BN_rand_range(fixture.number, fixture.order) == 1
                             && !BN_is_zero(fixture.number));
        compare();
    }
    CU_ASSERT_EQUAL(fixture.wrong, 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the inverses of small and great numbers are right",
          test_the_inverses_of_small_and_great_numbers_are_right },
        { "the inverses of powers of two and of their neighbours are right",
          test_the_inverses_of_powers_of_two_and_of_their_neighbours_are_right },
        { "the inverses of random numbers are right",
          test_the_inverses_of_random_numbers_are_right },
        CU_TEST_INFO_NULL,
    };
    return run_suite("p256_order", set_up, tear_down, tests);
}
