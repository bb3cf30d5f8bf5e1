/* The URI of a key in a TPM: read whole, or refused with the place that is wrong. */
#include "hsm/tpm_uri.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static struct {
    struct tpm_uri uri;
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static bool parse(const char *text)
{
    return tpm_uri_parse(text, &fixture.uri, &fixture.err);
}

static bool is_refused(const char *text, const char *words)
{
    const bool refused = !parse(text) && fixture.err.code == ERROR_CONFIG
                      && strstr(fixture.err.message, words) != NULL;
    if (!refused) {
        fprintf(stderr, "\n%s: \"%s\"\n", text, fixture.err.message);
    }
    return refused;
}

static void test_a_whole_uri_is_read(void)
{
    CU_ASSERT_TRUE_FATAL(parse("tpm:handle=0x81000001?tcti=swtpm:path=/a%20b/tpm,x=1"
                               "&pin-source=file:/a%20b/auth&auth=password"));
    CU_ASSERT_EQUAL(fixture.uri.handle, 0x81000001);
    CU_ASSERT_STRING_EQUAL(fixture.uri.tcti, "swtpm:path=/a b/tpm,x=1");
    CU_ASSERT_STRING_EQUAL(fixture.uri.auth_file, "/a b/auth");
    CU_ASSERT_TRUE(fixture.uri.password);
}

static void test_an_hmac_session_is_the_default(void)
{
    CU_ASSERT_TRUE_FATAL(parse("tpm:handle=0x81FFFFFF?pin-source=/auth&tcti=device:/dev/tpmrm0"));
    CU_ASSERT_FALSE(fixture.uri.password);
    CU_ASSERT_EQUAL(fixture.uri.handle, 0x81ffffff);
    CU_ASSERT_TRUE_FATAL(parse("tpm:handle=81000000?pin-source=/a&tcti=d&auth=hmac"));
    CU_ASSERT_FALSE(fixture.uri.password);
}

static void test_only_a_persistent_handle_will_do(void)
{
    static const char *const others[] = {
        "tpm:?tcti=d&pin-source=/a",
        "tpm:handle=?tcti=d&pin-source=/a",
        "tpm:handle=0x80ffffff?tcti=d&pin-source=/a",
        "tpm:handle=0x82000000?tcti=d&pin-source=/a",
        "tpm:handle=0x81000001x?tcti=d&pin-source=/a",
        "tpm:handle=0x81000001",
        "tpm:handle=0x181000001?tcti=d&pin-source=/a",
        "tpm:handle=-0x81000001?tcti=d&pin-source=/a",
        "tpm:object=0x81000001?tcti=d&pin-source=/a",
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        CU_ASSERT_TRUE(is_refused(others[i], "persistent handle"));
    }
}

static void test_each_attribute_is_there_once_and_known(void)
{
    CU_ASSERT_TRUE(is_refused("tpm:handle=0x81000001?pin-source=/a", "tcti=VALUE once"));
    CU_ASSERT_TRUE(is_refused("tpm:handle=0x81000001?tcti=d", "pin-source=VALUE once"));
    CU_ASSERT_TRUE(
        is_refused("tpm:handle=0x81000001?tcti=d&tcti=e&pin-source=/a", "tcti=VALUE once"));
    CU_ASSERT_TRUE(
        is_refused("tpm:handle=0x81000001?tcti=d&pin-source=/a&auth=none", "auth=hmac or"));
    CU_ASSERT_TRUE(
        is_refused("tpm:handle=0x81000001?tcti=d&pin-source=/a&pin-value=1", "may have tcti"));
    CU_ASSERT_TRUE(is_refused("tpm:handle=0x81000001?tcti=d&pin-source=/a&", "may have tcti"));
    CU_ASSERT_TRUE(is_refused("tpm:handle=0x81000001?tcti=d&pin-source=auth", "pin-source=file:"));
    CU_ASSERT_TRUE(is_refused("tpm:handle=0x81000001?tcti=d&pin-source=|cat", "is no URI"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a whole URI is read", test_a_whole_uri_is_read },
        { "an HMAC session is the default", test_an_hmac_session_is_the_default },
        { "only a persistent handle will do", test_only_a_persistent_handle_will_do },
        { "each attribute is there once and known", test_each_attribute_is_there_once_and_known },
        CU_TEST_INFO_NULL,
    };
    return run_suite("tpm uri", clear, NULL, tests);
}
