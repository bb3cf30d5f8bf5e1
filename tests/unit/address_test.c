#include "base/address.h"

#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static bool has(const char *prefix_text, const char *address_text)
{
    struct address_prefix prefix;
    struct in6_addr address;

    CU_ASSERT_TRUE_FATAL(address_prefix_parse(prefix_text, &prefix));
    CU_ASSERT_TRUE_FATAL(address_parse(address_text, strlen(address_text), &address));
    return address_prefix_has(&prefix, &address);
}

static void test_an_address_is_in_its_prefix(void)
{
    CU_ASSERT_TRUE(has("192.0.2.1", "192.0.2.1"));
    CU_ASSERT_TRUE(has("10.0.0.0/8", "10.255.1.2"));
    CU_ASSERT_TRUE(has("10.128.0.0/9", "10.128.0.0"));
    CU_ASSERT_TRUE(has("0.0.0.0/0", "203.0.113.7"));
    CU_ASSERT_TRUE(has("2001:db8::/33", "2001:db8:7fff::1"));
    CU_ASSERT_TRUE(has("::/0", "2001:db8::1"));
    CU_ASSERT_TRUE(has("::ffff:10.0.0.0/104", "10.1.2.3"));
}

static void test_another_address_is_not(void)
{
    CU_ASSERT_FALSE(has("192.0.2.1", "192.0.2.2"));
    CU_ASSERT_FALSE(has("10.0.0.0/8", "11.0.0.0"));
    CU_ASSERT_FALSE(has("10.128.0.0/9", "10.127.255.255"));
    CU_ASSERT_FALSE(has("2001:db8::/33", "2001:db8:8000::1"));
    CU_ASSERT_FALSE(has("0.0.0.0/0", "2001:db8::1"));
}

static bool is_exact(const char *text)
{
    struct address_prefix prefix;

    CU_ASSERT_TRUE_FATAL(address_prefix_parse(text, &prefix));
    return address_prefix_is_exact(&prefix);
}

static void test_bits_beyond_a_prefix_are_seen(void)
{
    CU_ASSERT_TRUE(is_exact("192.0.2.1"));
    CU_ASSERT_TRUE(is_exact("10.0.0.0/8"));
    CU_ASSERT_TRUE(is_exact("10.128.0.0/9"));
    CU_ASSERT_TRUE(is_exact("2001:db8:8000::/33"));
    CU_ASSERT_TRUE(is_exact("0.0.0.0/0"));
    CU_ASSERT_TRUE(is_exact("::/0"));
    CU_ASSERT_FALSE(is_exact("10.0.0.1/8"));
    CU_ASSERT_FALSE(is_exact("10.128.0.0/8"));
    CU_ASSERT_FALSE(is_exact("2001:db8:8000::/32"));
    CU_ASSERT_FALSE(is_exact("0.0.0.1/0"));
    CU_ASSERT_FALSE(is_exact("::ffff:10.0.0.0/8"));
}

static void test_what_is_no_prefix_is_refused(void)
{
    static const char *const bad[] = { "",
                                       "a",
                                       "10.0.0",
                                       "10.0.0.0/",
                                       "10.0.0.0/33",
                                       "10.0.0.0/-1",
                                       "10.0.0.0/8x",
                                       "10.0.0.0/08888",
                                       "::1/129",
                                       "[::1]",
                                       " ::1",
                                       "1.2.3.4 ",
                                       "::1%eth0",
                                       "/8",
                                       "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001" };
    struct address_prefix prefix;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CU_ASSERT_FALSE(address_prefix_parse(bad[i], &prefix));
    }
}

static void test_an_address_ends_where_it_is_said_to(void)
{
    struct in6_addr address;

    CU_ASSERT_TRUE(address_parse("10.0.0.1, 10.0.0.2", 8, &address));
    CU_ASSERT_EQUAL(address.s6_addr[15], 1);
    CU_ASSERT_FALSE(address_parse("10.0.0.1", 9, &address)); /* its NUL as well */
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an address is in its prefix", test_an_address_is_in_its_prefix },
        { "another address is not", test_another_address_is_not },
        { "bits beyond a prefix are seen", test_bits_beyond_a_prefix_are_seen },
        { "what is no prefix is refused", test_what_is_no_prefix_is_refused },
        { "an address ends where it is said to", test_an_address_ends_where_it_is_said_to },
        CU_TEST_INFO_NULL,
    };
    return run_suite("address", NULL, NULL, tests);
}
