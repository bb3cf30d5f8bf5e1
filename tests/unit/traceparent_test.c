/* Which traceparent headers reach the log. */
#include "http/traceparent.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static bool is_taken(const char *header)
{
    return strcmp(traceparent_of(header), header) == 0;
}

static bool is_ignored(const char *header)
{
    return strcmp(traceparent_of(header), "") == 0;
}

static void test_a_header_of_version_00_is_taken(void)
{
    CU_ASSERT_TRUE(is_taken("00-" TRACE "-" PARENT "-01"));
    CU_ASSERT_TRUE(is_taken("00-" TRACE "-" PARENT "-00"));
    CU_ASSERT_TRUE(is_taken("00-" TRACE "-" PARENT "-ff"));
    CU_ASSERT_TRUE(is_taken("00-00000000000000000000000000000001-0000000000000001-01"));
}

static void test_no_header_is_none(void)
{
    CU_ASSERT_STRING_EQUAL(traceparent_of(NULL), "");
}

static void test_anything_else_is_ignored(void)
{
    static const char *const headers[] = {
        "",
        "00",
        "01-" TRACE "-" PARENT "-01",
        "ff-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01-more",
        "00-" TRACE "-" PARENT "-01 ",
        "00-" TRACE "_" PARENT "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01",
        "00-" TRACE "-00f067aa0ba902b\n-01",
        "00-" TRACE "-00f067aa0ba902b\"-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
    };

    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        CU_ASSERT_TRUE(is_ignored(headers[i]));
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a header of version 00 is taken", test_a_header_of_version_00_is_taken },
        { "no header is none", test_no_header_is_none },
        { "anything else is ignored", test_anything_else_is_ignored },
        CU_TEST_INFO_NULL,
    };
    return run_suite("traceparent", NULL, NULL, tests);
}
