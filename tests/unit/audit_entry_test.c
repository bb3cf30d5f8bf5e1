/* Entries of the ledger as an auditor reads them, and what is none. */
#include <string.h>

#include "base/memory.h"
#include "ctl/audit_entry.h"
#include "support/run.h"

#define START "{\"time\":1780000000,\"kind\":\"issued\""

static struct {
    struct audit_entry entry;
    struct error err;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static bool parses(const char *entry)
{
    return audit_entry_parse(entry, strlen(entry), &fixture.entry, &fixture.err);
}

static void test_an_entry_is_read(void)
{
    CU_ASSERT_TRUE_FATAL(
        parses(START ",\"jti\":\"AZ2-_w\",\"kid\":\"k\",\"authorization\":\"a\",\"token\":\"t\","
                     "\"subject\":\"s\",\"expires\":1780003600,\"state\":\"active\","
                     "\"reason\":\"so \\\"he\\\" said: {,}\\\\\",\"detail\":\"caf\xc3\xa9\"}"));
    CU_ASSERT_EQUAL(fixture.entry.time_s, 1780000000);
    CU_ASSERT_STRING_EQUAL(fixture.entry.kind, "issued");
    CU_ASSERT_TRUE(fixture.entry.jti_length == 6 && memcmp(fixture.entry.jti, "AZ2-_w", 6) == 0);

    CU_ASSERT_TRUE_FATAL(parses("{\"time\":0,\"kind\":\"started\"}"));
    CU_ASSERT_PTR_NULL(fixture.entry.jti);
}

static void test_what_is_no_entry_is_refused(void)
{
    static const char *const others[] = {
        "",
        "{}",
        "[]",
        "\"time\"",
        "{\"time\":1780000000}",
        "{\"kind\":\"issued\",\"time\":1}",
        START,
        START "}\n",
        " " START "}",
        START " }",
        START ", \"jti\":\"a\"}",
        START ",\"jti\": \"a\"}",
        START ",\"kid\":\"a\",\"jti\":\"b\"}",
        START ",\"jti\":\"a\",\"jti\":\"a\"}",
        START ",\"name\":\"a\"}",
        START ",\"jti\":null}",
        START ",\"jti\":1}",
        START ",\"jti\":[\"a\"]}",
        START ",\"expires\":\"1\"}",
        START ",\"expires\":-1}",
        START ",\"expires\":1.5}",
        START ",\"expires\":1e5}",
        START ",\"detail\":\"\xff\"}",
        "{\"time\":1,\"kind\":\"\"}",
        "{\"time\":1,\"kind\":\"a kind whose name is long beyond reason\"}",
        "{\"time\":1234567890123456,\"kind\":\"issued\"}",
    };

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        CU_ASSERT_FALSE(parses(others[i]));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    }
    CU_ASSERT_TRUE(parses(START "}"));
    CU_ASSERT_FALSE(
        audit_entry_parse(START "}\0", strlen(START) + 2, &fixture.entry, &fixture.err));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an entry is read", test_an_entry_is_read },
        { "what is no entry is refused", test_what_is_no_entry_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("audit entry", set_up, NULL, tests);
}
