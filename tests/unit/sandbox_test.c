/* What a process in a sandbox can do no more. Each test is done by a child. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "support/run.h"

enum { DONE = 0, SURPRISED = 1, NO_SANDBOX = 2 };

#ifdef SANITIZED
enum { TESTS_LEFT_OUT = 9 }; /* a build with sanitizers does not limit its calls */
#else
enum { TESTS_LEFT_OUT = 0 };
#endif

static struct {
    char directory[64];
    char inside[80];  /* a directory */
    char outside[80]; /* a file */
    char file[96];    /* inside */
} fixture;

static void write_file(const char *path)
{
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs("text", file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void set_up(void)
{
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/sandbox test XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.inside, sizeof(fixture.inside), "%s/in", fixture.directory);
    (void)snprintf(fixture.outside, sizeof(fixture.outside), "%s/out", fixture.directory);
    (void)snprintf(fixture.file, sizeof(fixture.file), "%s/file", fixture.inside);
    CU_ASSERT_EQUAL(mkdir(fixture.inside, 0700), 0);
    write_file(fixture.file);
    write_file(fixture.outside);
}

static void tear_down(void)
{
    (void)unlink(fixture.file);
    (void)unlink(fixture.outside);
    (void)rmdir(fixture.inside);
    (void)rmdir(fixture.directory);
}

/* True if all went as the child expects. */
typedef bool child_fn(void);

static int status_of(child_fn *act, enum sandbox_calls calls, enum sandbox_mode mode)
{
    struct error err;
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(60);
        if (!sandbox_limit_calls(calls, mode, &err)) {
            _exit(NO_SANDBOX);
        }
        _exit(act() ? DONE : SURPRISED);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    return status;
}

static bool is_killed(child_fn *act, enum sandbox_calls calls)
{
    const int status = status_of(act, calls, SANDBOX_ENFORCE);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool is_done(child_fn *act, enum sandbox_calls calls, enum sandbox_mode mode)
{
    const int status = status_of(act, calls, mode);
    return WIFEXITED(status) && WEXITSTATUS(status) == DONE;
}

/* ---- what a child does ---- */

static bool start_program(void)
{
    char *const arguments[] = { (char *)"true", NULL };
    (void)execv("/bin/true", arguments);
    return false;
}

static bool make_process(void)
{
    const pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid > 0;
}

static bool signal_parent(void)
{
    return kill(getppid(), 0) == 0;
}

static void *return_nothing(void *nothing)
{
    return nothing;
}

static bool make_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, return_nothing, NULL) == 0
        && pthread_join(thread, NULL) == 0;
}

static bool open_file(void)
{
    scoped(release_fd) int fd = open(fixture.outside, O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static bool is_refused_a_file(void)
{
    return !open_file() && errno == EACCES;
}

static bool open_internet_socket(void)
{
    scoped(release_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0;
}

static bool open_packet_socket(void)
{
    scoped(release_fd) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    return fd >= 0 || errno == EPERM;
}

static bool open_syslog_socket(void)
{
    scoped(release_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0;
}

static bool control_device(void)
{
    return ioctl(STDIN_FILENO, TIOCGSID, NULL) != 0;
}

static bool map_writable_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        != MAP_FAILED;
}

static bool is_refused_writable_code(void)
{
    return !map_writable_code() && errno == EACCES;
}

static bool is_refused_a_keyring(void)
{
    return syscall(SYS_keyctl, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS;
}

static bool is_refused_a_call_of_the_future(void)
{
    enum { NOT_YET = 511 };
    return syscall(NOT_YET) == -1 && errno == ENOSYS;
}

/* ---- calls ---- */

static const enum sandbox_calls profiles[] = { SANDBOX_CALLS_MEMORY, SANDBOX_CALLS_FILES,
                                               SANDBOX_CALLS_DEVICE, SANDBOX_CALLS_NETWORK,
                                               SANDBOX_CALLS_SERVER };

static void test_no_profile_starts_anything(void)
{
    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        CU_ASSERT_TRUE(is_killed(start_program, profiles[i]));
        CU_ASSERT_TRUE(is_killed(make_process, profiles[i]));
    }
}

static void test_what_libraries_try_is_refused(void)
{
    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        CU_ASSERT_TRUE(is_done(is_refused_a_keyring, profiles[i], SANDBOX_ENFORCE));
        CU_ASSERT_TRUE(is_done(is_refused_a_call_of_the_future, profiles[i], SANDBOX_ENFORCE));
    }
}

static void test_every_profile_has_threads(void)
{
    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        CU_ASSERT_TRUE(is_done(make_thread, profiles[i], SANDBOX_ENFORCE));
    }
}

static void test_signals_are_for_oneself(void)
{
    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        CU_ASSERT_TRUE(is_killed(signal_parent, profiles[i]));
    }
}

static void test_a_key_in_memory_needs_nothing(void)
{
    CU_ASSERT_TRUE(is_done(is_refused_a_file, SANDBOX_CALLS_MEMORY, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_killed(open_syslog_socket, SANDBOX_CALLS_MEMORY));
    CU_ASSERT_TRUE(is_killed(control_device, SANDBOX_CALLS_MEMORY));
}

static void test_a_token_of_files_needs_files_and_syslog(void)
{
    CU_ASSERT_TRUE(is_done(open_file, SANDBOX_CALLS_FILES, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_done(open_syslog_socket, SANDBOX_CALLS_FILES, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_killed(open_internet_socket, SANDBOX_CALLS_FILES));
    CU_ASSERT_TRUE(is_killed(control_device, SANDBOX_CALLS_FILES));
}

static void test_a_device_is_controlled(void)
{
    CU_ASSERT_TRUE(is_done(open_file, SANDBOX_CALLS_DEVICE, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_done(control_device, SANDBOX_CALLS_DEVICE, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_killed(open_internet_socket, SANDBOX_CALLS_DEVICE));
}

static void test_a_module_of_a_vendor_has_the_network(void)
{
    CU_ASSERT_TRUE(is_done(open_internet_socket, SANDBOX_CALLS_NETWORK, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_done(map_writable_code, SANDBOX_CALLS_NETWORK, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_done(control_device, SANDBOX_CALLS_NETWORK, SANDBOX_ENFORCE));
}

static void test_a_server_has_files_and_sockets(void)
{
    CU_ASSERT_TRUE(is_done(open_file, SANDBOX_CALLS_SERVER, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_done(open_internet_socket, SANDBOX_CALLS_SERVER, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_killed(open_packet_socket, SANDBOX_CALLS_SERVER));
    CU_ASSERT_TRUE(is_killed(control_device, SANDBOX_CALLS_SERVER));
}

static void test_no_code_is_made_at_run_time(void)
{
    CU_ASSERT_TRUE(is_done(is_refused_writable_code, SANDBOX_CALLS_SERVER, SANDBOX_ENFORCE));
    CU_ASSERT_TRUE(is_done(is_refused_writable_code, SANDBOX_CALLS_FILES, SANDBOX_ENFORCE));
}

static pthread_barrier_t barrier;

static void *start_program_later(void *nothing)
{
    (void)pthread_barrier_wait(&barrier);
    (void)start_program();
    return nothing;
}

/* Of two threads, the one that was there before. */
static void test_threads_that_are_there_are_limited_too(void)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        pthread_t thread;
        struct error err;
        (void)pthread_barrier_init(&barrier, NULL, 2);
        if (pthread_create(&thread, NULL, start_program_later, NULL) != 0
            || !sandbox_limit_calls(SANDBOX_CALLS_SERVER, SANDBOX_ENFORCE, &err)) {
            _exit(NO_SANDBOX);
        }
        (void)pthread_barrier_wait(&barrier);
        (void)pthread_join(thread, NULL);
        _exit(SURPRISED);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void test_log_mode_and_off_let_everything_through(void)
{
    CU_ASSERT_TRUE(is_done(make_process, SANDBOX_CALLS_MEMORY, SANDBOX_LOG));
    CU_ASSERT_TRUE(is_done(open_file, SANDBOX_CALLS_MEMORY, SANDBOX_LOG));
    CU_ASSERT_TRUE(is_done(map_writable_code, SANDBOX_CALLS_MEMORY, SANDBOX_LOG));
    CU_ASSERT_TRUE(is_done(make_process, SANDBOX_CALLS_MEMORY, SANDBOX_OFF));
}

/* ---- files ---- */

/* Runs `act` where all that is allowed lies inside. */
static bool holds_inside(enum sandbox_access access, child_fn *act)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        struct error err;
        int abi = 0;
        struct sandbox_files *files = sandbox_files_new();
        sandbox_files_allow(files, access, fixture.inside);
        sandbox_files_allow(files, access, "/tmp/there is no such thing");
        _exit(sandbox_files_enforce(files, &abi, &err) && abi > 0 && act() ? DONE : SURPRISED);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == DONE;
}

static bool can_open(const char *path, int flags)
{
    scoped(release_fd) int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0;
}

static bool reads_inside_alone(void)
{
    return can_open(fixture.file, O_RDONLY) && !can_open(fixture.file, O_RDWR) && errno == EACCES
        && is_refused_a_file();
}

static bool writes_inside_alone(void)
{
    char other[128];

    (void)snprintf(other, sizeof(other), "%s/other", fixture.inside);
    return can_open(other, O_RDWR | O_CREAT | O_EXCL) && rename(other, fixture.file) == 0
        && can_open(fixture.file, O_WRONLY | O_TRUNC) && !can_open(fixture.outside, O_WRONLY)
        && errno == EACCES && unlink(fixture.outside) != 0;
}

static bool starts_no_program(void)
{
    return !start_program() && errno == EACCES;
}

static bool says_what_lies_outside(void)
{
    struct error err;

    return !open_file() && !sandbox_fail_open(&err, fixture.outside)
        && strstr(err.message, "lies outside of what issuerd may open since its start") != NULL
        && !can_open("/tmp/there is no such thing", O_RDONLY)
        && !sandbox_fail_open(&err, "/tmp/there is no such thing")
        && strstr(err.message, "cannot be opened") != NULL;
}

static void test_what_lies_inside_can_be_read(void)
{
    CU_ASSERT_TRUE(holds_inside(SANDBOX_READ, reads_inside_alone));
    CU_ASSERT_TRUE(holds_inside(SANDBOX_READ, starts_no_program));
}

static void test_what_lies_inside_can_be_written(void)
{
    CU_ASSERT_TRUE(holds_inside(SANDBOX_WRITE, writes_inside_alone));
}

static void test_an_error_says_what_lies_outside(void)
{
    CU_ASSERT_TRUE(holds_inside(SANDBOX_READ, says_what_lies_outside));
}

/* A file that a link leads to, and one that replaces it. */
static bool reads_what_a_link_led_to(void)
{
    return can_open(fixture.file, O_RDONLY) && can_open("/etc/passwd", O_RDONLY)
        && !can_open("/etc/hosts", O_RDONLY) && errno == EACCES;
}

static void test_beside_a_file_is_where_its_link_leads(void)
{
    char link[80];
    int status = 0;

    (void)snprintf(link, sizeof(link), "%s/link", fixture.directory);
    CU_ASSERT_EQUAL(symlink(fixture.file, link), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct error err;
        int abi = 0;
        struct sandbox_files *files = sandbox_files_new();
        sandbox_files_allow_beside(files, SANDBOX_READ, link);
        sandbox_files_allow_beside(files, SANDBOX_READ, "/etc/passwd"); /* that alone */
        _exit(sandbox_files_enforce(files, &abi, &err) && reads_what_a_link_led_to() ? DONE
                                                                                     : SURPRISED);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
    (void)unlink(link);
}

static bool has_landlock(void)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        _exit(sandbox_files_new() != NULL ? DONE : NO_SANDBOX);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "no profile starts anything", test_no_profile_starts_anything },
        { "what libraries try is refused", test_what_libraries_try_is_refused },
        { "signals are for oneself", test_signals_are_for_oneself },
        { "a key in memory needs nothing", test_a_key_in_memory_needs_nothing },
        { "a token of files needs files and syslog", test_a_token_of_files_needs_files_and_syslog },
        { "a device is controlled", test_a_device_is_controlled },
        { "a server has files and sockets", test_a_server_has_files_and_sockets },
        { "no code is made at run time", test_no_code_is_made_at_run_time },
        { "threads that are there are limited, too", test_threads_that_are_there_are_limited_too },
        { "a module of a vendor has the network", test_a_module_of_a_vendor_has_the_network },
        { "every profile has threads", test_every_profile_has_threads },
        { "log mode and off let everything through", test_log_mode_and_off_let_everything_through },
        { "what lies inside can be read", test_what_lies_inside_can_be_read },
        { "what lies inside can be written", test_what_lies_inside_can_be_written },
        { "an error says what lies outside", test_an_error_says_what_lies_outside },
        { "beside a file is where its link leads", test_beside_a_file_is_where_its_link_leads },
        CU_TEST_INFO_NULL,
    };
    if (!has_landlock()) {
        (void)fprintf(stderr, "this kernel has no Landlock\n");
        return 77;
    }
    return run_suite("sandbox", set_up, tear_down, tests + TESTS_LEFT_OUT);
}
