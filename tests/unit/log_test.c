/* The log: what reaches stderr, caught in a pipe. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "support/run.h"

static struct {
    int stderr_copy;
    int reader;
    char text[8192];
} fixture;

static void catch_stderr(void)
{
    int ends[2];
    memset(&fixture, 0, sizeof(fixture));
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    fixture.reader = ends[0];
    fixture.stderr_copy = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_set_level(LOG_LEVEL_INFO);
}

static void give_stderr_back(void)
{
    dup2(fixture.stderr_copy, STDERR_FILENO);
    close(fixture.stderr_copy);
    close(fixture.reader);
}

/* What was written since the start of the test; the pipe's writing end closes with it. */
static const char *caught(void)
{
    dup2(fixture.stderr_copy, STDERR_FILENO);
    size_t length = 0;
    for (ssize_t got = 1; got > 0; length += (size_t)got) {
        got = read(fixture.reader, fixture.text + length, sizeof(fixture.text) - 1 - length);
        if (got < 0) {
            break;
        }
    }
    fixture.text[length] = '\0';
    return fixture.text;
}

static size_t count(const char *text, char c)
{
    size_t found = 0;
    for (; *text != '\0'; text++) {
        found += *text == c ? 1 : 0;
    }
    return found;
}

static void test_an_event_is_one_line(void)
{
    log_event(LOG_LEVEL_NOTICE, "signer.up", "signer=%s sessions=%d", "main", 2);
    log_event(LOG_LEVEL_INFO, "ready", "%s", "");
    CU_ASSERT_STRING_EQUAL(caught(), "<5>signer.up signer=main sessions=2\n<6>ready\n");
}

static void test_an_error_comes_with_its_cause(void)
{
    struct error err;

    errno = ENOENT;
    CU_ASSERT_FALSE(fail_errno(&err, ERROR_CONFIG, "open %s", "pin"));
    log_error(LOG_LEVEL_ERROR, "config.bad", &err, "line=%d", 3);
    CU_ASSERT_STRING_EQUAL(
        caught(), "<3>config.bad line=3 error=\"open pin [os 0x2: No such file or directory]\"\n");
}

static void test_an_error_without_fields_or_cause_is_plain(void)
{
    struct error err;

    CU_ASSERT_FALSE(fail(&err, ERROR_INTERNAL, "no luck"));
    log_error(LOG_LEVEL_WARNING, "odd", &err, "%s", "");
    CU_ASSERT_STRING_EQUAL(caught(), "<4>odd error=\"no luck\"\n");
}

static void test_control_bytes_cannot_start_a_second_line(void)
{
    log_event(LOG_LEVEL_INFO, "got", "path=%s", "/a\n<3>forged\r\x1b[2J\x7f\xc3\xa9\t");
    const char *text = caught();
    CU_ASSERT_STRING_EQUAL(text, "<6>got path=/a?<3>forged??[2J????\n");
}

static void test_control_bytes_and_quotes_in_an_error_are_cleaned(void)
{
    struct error err;

    CU_ASSERT_FALSE(fail(&err, ERROR_INTERNAL, "bad \"name\"\n<3>forged"));
    log_error(LOG_LEVEL_INFO, "got", &err, "a=%s", "b\nc");
    CU_ASSERT_STRING_EQUAL(caught(), "<6>got a=b?c error=\"bad 'name'?<3>forged\"\n");
}

static void test_levels_above_the_threshold_are_dropped(void)
{
    struct error err;

    CU_ASSERT_FALSE(fail(&err, ERROR_INTERNAL, "x"));
    log_set_level(LOG_LEVEL_WARNING);
    log_event(LOG_LEVEL_NOTICE, "dropped", "%s", "");
    log_error(LOG_LEVEL_INFO, "dropped", &err, "%s", "");
    log_event(LOG_LEVEL_WARNING, "kept", "%s", "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_DEBUG, "kept", "%s", "too");
    CU_ASSERT_STRING_EQUAL(caught(), "<4>kept\n<7>kept too\n");
}

static void test_a_line_too_long_is_cut_and_still_ends(void)
{
    struct error err;
    char long_text[4000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';

    CU_ASSERT_FALSE(fail(&err, ERROR_INTERNAL, "%s", long_text));
    log_event(LOG_LEVEL_INFO, "long", "value=%s", long_text);
    log_error(LOG_LEVEL_INFO, "long", &err, "value=%s", long_text);
    log_event(LOG_LEVEL_INFO, long_text, "%s", long_text);
    const char *text = caught();
    CU_ASSERT_EQUAL(count(text, '\n'), 3);
    CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
}

static void *log_elsewhere(void *argument)
{
    log_event(LOG_LEVEL_INFO, "elsewhere", "%s", "");
    return argument;
}

static void test_a_trace_is_on_each_line_of_its_thread_until_it_ends(void)
{
    struct error err;
    pthread_t thread;

    CU_ASSERT_FALSE(fail(&err, ERROR_INTERNAL, "x"));
    log_set_trace("00-1-2-01");
    log_event(LOG_LEVEL_INFO, "got", "a=%d", 1);
    log_event(LOG_LEVEL_INFO, "got", "%s", "");
    log_error(LOG_LEVEL_INFO, "got", &err, "a=%d", 2);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, log_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    log_set_trace("");
    log_event(LOG_LEVEL_INFO, "got", "a=%d", 3);
    CU_ASSERT_STRING_EQUAL(caught(), "<6>got traceparent=00-1-2-01 a=1\n"
                                     "<6>got traceparent=00-1-2-01\n"
                                     "<6>got traceparent=00-1-2-01 a=2 error=\"x\"\n"
                                     "<6>elsewhere\n"
                                     "<6>got a=3\n");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an event is one line", test_an_event_is_one_line },
        { "an error comes with its cause", test_an_error_comes_with_its_cause },
        { "an error without fields or cause is plain",
          test_an_error_without_fields_or_cause_is_plain },
        { "control bytes cannot start a second line",
          test_control_bytes_cannot_start_a_second_line },
        { "control bytes and quotes in an error are cleaned",
          test_control_bytes_and_quotes_in_an_error_are_cleaned },
        { "levels above the threshold are dropped", test_levels_above_the_threshold_are_dropped },
        { "a line too long is cut and still ends", test_a_line_too_long_is_cut_and_still_ends },
        { "a trace is on each line of its thread until it ends",
          test_a_trace_is_on_each_line_of_its_thread_until_it_ends },
        CU_TEST_INFO_NULL,
    };
    return run_suite("log", catch_stderr, give_stderr_back, tests);
}
