/* What is taken of the sockets that a service manager passes, and what is refused. */
#include "activation.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/run.h"

enum { FIRST_FD = 3, PASSED_MAX = 3 };

static struct {
    struct activation passed;
    struct error err;
    int kept[PASSED_MAX]; /* what was at these descriptors before; -1: nothing */
} fixture;

/* Something stands at each of the descriptors, as they would be inherited. */
static void set_up(void)
{
    for (int i = 0; i < PASSED_MAX; i++) {
        fixture.kept[i] = fcntl(FIRST_FD + i, F_DUPFD_CLOEXEC, 10);
        (void)dup2(STDERR_FILENO, FIRST_FD + i);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < PASSED_MAX; i++) {
        (void)close(FIRST_FD + i);
        if (fixture.kept[i] >= 0) {
            (void)dup2(fixture.kept[i], FIRST_FD + i);
            (void)close(fixture.kept[i]);
        }
    }
}

static bool take_for(int pid, const char *fds, const char *names)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%d", pid);
    (void)setenv("LISTEN_PID", text, 1);
    (void)setenv("LISTEN_FDS", fds, 1);
    (void)unsetenv("LISTEN_FDNAMES");
    if (names != NULL) {
        (void)setenv("LISTEN_FDNAMES", names, 1);
    }
    return activation_take(&fixture.passed, &fixture.err);
}

static bool is_refused(const char *fds, const char *names, const char *words)
{
    const bool refused = !take_for(getpid(), fds, names) && fixture.err.code == ERROR_CONFIG
                      && strstr(fixture.err.message, words) != NULL;
    if (!refused) {
        fprintf(stderr, "%s %s: %s\n", fds, names, fixture.err.message);
    }
    return refused;
}

static bool has_passed(int public_fd, int admin_fd)
{
    return fixture.passed.public_fd == public_fd && fixture.passed.admin_fd == admin_fd;
}

static void test_sockets_are_taken_by_their_names(void)
{
    CU_ASSERT_TRUE(take_for(getpid(), "2", "public:admin"));
    CU_ASSERT_TRUE(has_passed(FIRST_FD, FIRST_FD + 1));
    CU_ASSERT_TRUE(take_for(getpid(), "2", "admin:public"));
    CU_ASSERT_TRUE(has_passed(FIRST_FD + 1, FIRST_FD));
    CU_ASSERT_TRUE(take_for(getpid(), "1", "admin"));
    CU_ASSERT_TRUE(has_passed(-1, FIRST_FD));
}

static void test_none_are_taken_where_none_were_passed(void)
{
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    CU_ASSERT_TRUE(activation_take(&fixture.passed, &fixture.err) && has_passed(-1, -1));
    CU_ASSERT_TRUE(take_for(getpid(), "0", "") && has_passed(-1, -1));
    CU_ASSERT_TRUE(take_for(getpid(), "two", "public:admin") && has_passed(-1, -1));
}

static void test_sockets_for_another_process_are_not_taken(void)
{
    CU_ASSERT_TRUE(take_for(getppid(), "2", "public:admin"));
    CU_ASSERT_TRUE(has_passed(-1, -1));
}

static void test_a_child_finds_nothing_of_it(void)
{
    CU_ASSERT_TRUE(take_for(getpid(), "2", "public:admin"));
    CU_ASSERT_PTR_NULL(getenv("LISTEN_PID"));
    CU_ASSERT_PTR_NULL(getenv("LISTEN_FDS"));
    CU_ASSERT_PTR_NULL(getenv("LISTEN_FDNAMES"));
    CU_ASSERT_EQUAL(fcntl(FIRST_FD, F_GETFD), FD_CLOEXEC);
    CU_ASSERT_EQUAL(fcntl(FIRST_FD + 1, F_GETFD), FD_CLOEXEC);
}

static void test_another_name_is_refused(void)
{
    CU_ASSERT_TRUE(is_refused("1", "issuerd.socket", "\"issuerd.socket\""));
    CU_ASSERT_TRUE(is_refused("2", "public:Admin", "FileDescriptorName="));
    CU_ASSERT_TRUE(is_refused("1", "", "\"\""));
    CU_ASSERT_TRUE(is_refused("1", NULL, "\"\""));
    CU_ASSERT_TRUE(is_refused("3", "public:admin", "\"\""));
}

static void test_two_sockets_of_one_name_are_refused(void)
{
    CU_ASSERT_TRUE(is_refused("2", "public:public", "two sockets named \"public\""));
    CU_ASSERT_TRUE(is_refused("3", "admin:public:admin", "two sockets named \"admin\""));
}

static void test_a_descriptor_that_is_not_open_is_refused(void)
{
    (void)close(FIRST_FD + 1);
    CU_ASSERT_TRUE(is_refused("2", "public:admin", "the socket named \"admin\""));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "sockets are taken by their names", test_sockets_are_taken_by_their_names },
        { "none are taken where none were passed", test_none_are_taken_where_none_were_passed },
        { "sockets for another process are not taken",
          test_sockets_for_another_process_are_not_taken },
        { "a child finds nothing of it", test_a_child_finds_nothing_of_it },
        { "another name is refused", test_another_name_is_refused },
        { "two sockets of one name are refused", test_two_sockets_of_one_name_are_refused },
        { "a descriptor that is not open is refused",
          test_a_descriptor_that_is_not_open_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("activation", set_up, tear_down, tests);
}
