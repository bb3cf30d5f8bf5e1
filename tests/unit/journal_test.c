/* The journal's entries, as they come out of a socket that stands where journald's would. */
#include "base/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "support/run.h"

static struct {
    char directory[64];
    char path[80];
    int socket;
    int stderr_copy;
    char entry[4096];
} fixture;

static void set_up(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct timeval soon = { .tv_usec = 20000 };

    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/issuerd-journal.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/socket", fixture.directory);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture.path);
    fixture.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fixture.socket, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(setsockopt(fixture.socket, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)),
                          0);
    fixture.stderr_copy = dup(STDERR_FILENO);
}

static void tear_down(void)
{
    (void)dup2(fixture.stderr_copy, STDERR_FILENO);
    (void)close(fixture.stderr_copy);
    (void)close(fixture.socket);
    (void)unlink(fixture.path);
    (void)rmdir(fixture.directory);
    (void)unsetenv("JOURNAL_STREAM");
}

static void open_as_service(unsigned long long inode_more)
{
    struct stat status;
    char stream[64];

    CU_ASSERT_EQUAL_FATAL(fstat(STDERR_FILENO, &status), 0);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
                   (unsigned long long)status.st_ino + inode_more);
    CU_ASSERT_EQUAL_FATAL(setenv("JOURNAL_STREAM", stream, 1), 0);
    journal_open(fixture.path);
}

/* The next entry; "" if none came. */
static const char *entry(void)
{
    const ssize_t got = recv(fixture.socket, fixture.entry, sizeof(fixture.entry) - 1, 0);
    fixture.entry[got > 0 ? got : 0] = '\0';
    return fixture.entry;
}

static bool has(const char *text, const char *field)
{
    const char *found = strstr(text, field);
    return found != NULL && (found == text || found[-1] == '\n') && found[strlen(field)] == '\n';
}

/* First: what was opened stays open. */
static void test_nothing_is_sent_when_stderr_is_not_the_journal(void)
{
    journal_open(fixture.path);
    CU_ASSERT_FALSE(journal_send(5, "server.stopped"));
    open_as_service(1);
    CU_ASSERT_FALSE(journal_send(5, "server.stopped"));
    CU_ASSERT_STRING_EQUAL(entry(), "");
}

static void test_an_event_is_one_entry_with_its_fields(void)
{
    open_as_service(0);
    CU_ASSERT_TRUE(journal_send(3, "signer.stuck signer=main deadline_ms=1500"));
    CU_ASSERT_STRING_EQUAL(entry(), "PRIORITY=3\nSYSLOG_IDENTIFIER=issuerd\n"
                                    "MESSAGE=signer.stuck signer=main deadline_ms=1500\n"
                                    "ISSUERD_EVENT=signer.stuck\nISSUERD_SIGNER=main\n"
                                    "ISSUERD_DEADLINE_MS=1500\n");
    CU_ASSERT_TRUE(journal_send(5, "server.stopped"));
    CU_ASSERT_STRING_EQUAL(entry(), "PRIORITY=5\nSYSLOG_IDENTIFIER=issuerd\n"
                                    "MESSAGE=server.stopped\nISSUERD_EVENT=server.stopped\n");
}

static void test_values_in_quotes_are_whole(void)
{
    open_as_service(0);
    CU_ASSERT_TRUE(journal_send(
        3, "a.b key='token \"x\", it's' empty='' error=\"it's [os 0x2: a b]\" last='cut off"));
    const char *text = entry();
    CU_ASSERT_TRUE(has(text, "ISSUERD_KEY=token \"x\", it's"));
    CU_ASSERT_TRUE(has(text, "ISSUERD_EMPTY="));
    CU_ASSERT_TRUE(has(text, "ISSUERD_ERROR=it's [os 0x2: a b]"));
    CU_ASSERT_TRUE(has(text, "ISSUERD_LAST=cut off"));
}

static void test_what_is_no_field_stays_in_the_message(void)
{
    open_as_service(0);
    CU_ASSERT_TRUE(journal_send(6, "a.b words  =x good=1 Bad=2 end= "));
    CU_ASSERT_STRING_EQUAL(strstr(entry(), "ISSUERD_EVENT"),
                           "ISSUERD_EVENT=a.b\nISSUERD_GOOD=1\nISSUERD_END=\n");
}

static void test_the_log_goes_there_alone_and_to_stderr_when_nobody_listens(void)
{
    char line[256];
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[1]);
    open_as_service(0);
    log_event(LOG_LEVEL_WARNING, "a.b", "x=%d", 1);
    CU_ASSERT_TRUE(has(entry(), "ISSUERD_X=1"));
    (void)unlink(fixture.path);
    log_event(LOG_LEVEL_WARNING, "a.b", "x=%d", 2);
    (void)dup2(fixture.stderr_copy, STDERR_FILENO);
    const ssize_t got = read(ends[0], line, sizeof(line) - 1);
    (void)close(ends[0]);
    line[got > 0 ? got : 0] = '\0';
    CU_ASSERT_STRING_EQUAL(line, "<4>a.b x=2\n");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "nothing is sent when stderr is not the journal",
          test_nothing_is_sent_when_stderr_is_not_the_journal },
        { "an event is one entry with its fields", test_an_event_is_one_entry_with_its_fields },
        { "values in quotes are whole", test_values_in_quotes_are_whole },
        { "what is no field stays in the message", test_what_is_no_field_stays_in_the_message },
        { "the log goes there alone, and to stderr when nobody listens",
          test_the_log_goes_there_alone_and_to_stderr_when_nobody_listens },
        CU_TEST_INFO_NULL,
    };
    return run_suite("journal", set_up, tear_down, tests);
}
