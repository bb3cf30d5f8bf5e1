/* Attributes of a key's URI: found, decoded, and every URI refused that two readers could read differently. */
#include "base/uri.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static struct {
    char value[64];
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static bool find(const char *uri, const char *name)
{
    return uri_attribute(uri, name, fixture.value, sizeof(fixture.value), &fixture.err);
}

static bool is_refused(const char *uri, const char *words)
{
    const bool refused = !find(uri, "tcti") && fixture.err.code == ERROR_CONFIG
                      && fixture.value[0] == '\0' && strstr(fixture.err.message, words) != NULL;
    if (!refused) {
        fprintf(stderr, "\n%s gave \"%s\", \"%s\"\n", uri, fixture.value, fixture.err.message);
    }
    return refused;
}

static void test_an_attribute_is_found_and_decoded(void)
{
    static const char uri[] =
        "tpm:handle=0x81000001?tcti=swtpm:path=/a%20b%26c,x=1&pin-source=file:/p+q";

    CU_ASSERT_TRUE_FATAL(find(uri, "tcti"));
    CU_ASSERT_STRING_EQUAL(fixture.value, "swtpm:path=/a b&c,x=1");
    CU_ASSERT_TRUE_FATAL(find(uri, "pin-source"));
    CU_ASSERT_STRING_EQUAL(fixture.value, "file:/p+q");
    CU_ASSERT_TRUE(uri_has_attribute(uri, "tcti"));
}

static void test_a_name_is_not_found_inside_another_or_in_the_path(void)
{
    CU_ASSERT_TRUE(is_refused("tpm:tcti=1?xtcti=2&tctix=3", "must have tcti=VALUE once"));
    CU_ASSERT_FALSE(uri_has_attribute("tpm:tcti=1?xtcti=2&tctix=3", "tcti"));
    CU_ASSERT_TRUE(is_refused("tpm:tcti=1", "must have tcti=VALUE once"));
    CU_ASSERT_TRUE(is_refused("", "must have tcti=VALUE once"));
}

static void test_what_could_be_read_in_two_ways_is_refused(void)
{
    char longer[128] = "tpm:?tcti=";

    CU_ASSERT_TRUE(is_refused("tpm:?tcti=1&tcti=2", "must have tcti=VALUE once"));
    CU_ASSERT_TRUE(is_refused("tpm:?tcti=a%00b", "cannot be read"));
    CU_ASSERT_TRUE(is_refused("tpm:?tcti=a%0", "is no URI"));
    CU_ASSERT_TRUE(is_refused("tpm:?tcti=a b", "character 12"));
    CU_ASSERT_TRUE(is_refused("tpm:?tcti=", "empty"));
    CU_ASSERT_TRUE(is_refused("tpm:?tcti", "empty"));
    memset(longer + strlen(longer), 'a', sizeof(fixture.value));
    CU_ASSERT_TRUE(is_refused(longer, "too long"));
}

static void test_only_an_absolute_path_is_a_file_s(void)
{
    static const char *const others[] = { "|cat /pin", "pin",   "file:pin",  "file://host/pin",
                                          "",          "//pin", "http:/pin", "file:" };

    CU_ASSERT_STRING_EQUAL(uri_file_path("file:/a/b"), "/a/b");
    CU_ASSERT_STRING_EQUAL(uri_file_path("file:///a/b"), "/a/b");
    CU_ASSERT_STRING_EQUAL(uri_file_path("/a/b"), "/a/b");
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        CU_ASSERT_PTR_NULL(uri_file_path(others[i]));
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an attribute is found and decoded", test_an_attribute_is_found_and_decoded },
        { "a name is not found inside another or in the path",
          test_a_name_is_not_found_inside_another_or_in_the_path },
        { "what could be read in two ways is refused",
          test_what_could_be_read_in_two_ways_is_refused },
        { "only an absolute path is a file's", test_only_an_absolute_path_is_a_file_s },
        CU_TEST_INFO_NULL,
    };
    return run_suite("uri", clear, NULL, tests);
}
