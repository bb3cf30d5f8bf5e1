/*
 * What issuerd tells the service manager: a socket of the test's own stands for systemd's. Beside what
 * comes stands what must not: a server that hangs does not feed the watchdog.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/run.h"

enum {
    SOON_MS = 20000,
    PROOF_AGE_S = 10, /* of the last self-test, at most */
    STOP_S = 15 * HEALTH_SLACK,
    THREADS_MAX = 256,
};

static struct {
    struct instance *instance;
    int fd;
    char variable[128];
    pid_t stopped[THREADS_MAX];
    size_t stopped_count;
} fixture;

/* In the abstract namespace, as systemd's may be. */
static void open_manager(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int length =
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "issuerd-notify-%d", getpid());

    fixture.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(fixture.variable, sizeof(fixture.variable), "NOTIFY_SOCKET=@%s",
                   address.sun_path + 1);
    CU_ASSERT_EQUAL_FATAL(
        bind(fixture.fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)),
        0);
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    open_manager();
    fixture.instance = instance_new(NULL);
    instance_set_variable(fixture.instance, fixture.variable);
    instance_set_variable(fixture.instance, "WATCHDOG_USEC=1000000");
}

static void go_on(void)
{
    while (fixture.stopped_count > 0) {
        (void)ptrace(PTRACE_DETACH, fixture.stopped[--fixture.stopped_count], NULL, NULL);
    }
}

static void tear_down(void)
{
    go_on();
    instance_free(take(fixture.instance));
    release_fd(&fixture.fd);
}

/* The next message; false after `ms`. */
static bool receive(char *text, size_t size, int ms)
{
    struct pollfd readable = { .fd = fixture.fd, .events = POLLIN };
    const ssize_t got =
        poll(&readable, 1, ms) > 0 ? recv(fixture.fd, text, size - 1, MSG_DONTWAIT) : -1;

    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* True once a message begins with `words`. */
static bool is_told(const char *words)
{
    const int64_t deadline_ns = monotonic_ns() + SOON_MS * (int64_t)NS_PER_MS;
    char text[1024];

    while (monotonic_ns() < deadline_ns && receive(text, sizeof(text), SOON_MS)) {
        if (strncmp(text, words, strlen(words)) == 0) {
            return true;
        }
    }
    fprintf(stderr, "was not told %s\n", words);
    return false;
}

static bool is_fed(void)
{
    for (int i = 0; i < 4; i++) {
        if (!is_told("WATCHDOG=1")) {
            return false;
        }
    }
    return true;
}

/* How often a message begins with `words` in that time; what came before is left out. */
static unsigned times_told(const char *words, int seconds)
{
    const int64_t deadline_ns = monotonic_ns() + seconds * NS_PER_S;
    char text[1024];
    unsigned times = 0;

    while (receive(text, sizeof(text), 0)) {
    }
    while (monotonic_ns() < deadline_ns) {
        times += receive(text, sizeof(text), 100) && strncmp(text, words, strlen(words)) == 0;
    }
    return times;
}

/* ---- what is told ---- */

static void test_a_server_tells_when_it_is_ready_and_when_it_ends(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_told("READY=1"));
    CU_ASSERT_TRUE(is_told("STATUS=issuing: public http://127.0.0.1:"));
    instance_terminate(fixture.instance);
    CU_ASSERT_TRUE(is_told("STOPPING=1"));
    CU_ASSERT_EQUAL(instance_wait(fixture.instance, STOP_S), 0);
}

static void test_a_server_that_does_not_start_tells_why(void)
{
    instance_set(fixture.instance, "signer main.uri=%s", getenv("TEST_MISSING_KEY_URI"));
    instance_set(fixture.instance, "public.listen=127.0.0.1:0");
    CU_ASSERT_FALSE(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_told("STATUS=not started: signer main: "));
}

/* True if the environment of the signer has a variable that begins so. */
static bool signer_has(const char *name)
{
    char path[64];
    char text[65536];

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", instance_signer_pid(fixture.instance));
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const size_t length = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    return memmem(text, length, name, strlen(name)) != NULL;
}

static void test_a_signer_cannot_speak_to_the_manager(void)
{
    instance_pass_sockets(fixture.instance);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(signer_has("PATH="));
    CU_ASSERT_FALSE(signer_has("NOTIFY_SOCKET="));
    CU_ASSERT_FALSE(signer_has("WATCHDOG_USEC="));
    CU_ASSERT_FALSE(signer_has("LISTEN_"));
}

/* ---- the watchdog ---- */

static void test_the_watchdog_is_fed_while_the_device_signs(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_fed());
}

/* No self-test has ever verified here. */
static void test_a_device_that_is_down_is_told_and_does_not_starve_the_watchdog(void)
{
    instance_set(fixture.instance, "signer main.uri=pkcs11:token=none-%d;object=none%s", getpid(),
                 strchr(getenv("TEST_KEY_URI"), '?'));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_told("STATUS=not issuing: no signer"));
    CU_ASSERT_TRUE(is_fed());
}

/* Every thread but the one that tells. */
static bool stop_threads(void)
{
    char path[64];
    const pid_t main_thread = instance_pid(fixture.instance);

    (void)snprintf(path, sizeof(path), "/proc/%d/task", main_thread);
    DIR *threads = opendir(path);
    for (const struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        const pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread <= 0 || thread == main_thread || fixture.stopped_count == THREADS_MAX) {
            continue;
        }
        if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0
            || ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0
            || waitpid(thread, NULL, __WALL) != thread) {
            fprintf(stderr, "ptrace: %s\n", strerror(errno));
            break;
        }
        fixture.stopped[fixture.stopped_count++] = thread;
    }
    if (threads != NULL) {
        closedir(threads);
    }
    return fixture.stopped_count > 2;
}

static void test_a_server_that_hangs_starves_the_watchdog_until_it_goes_on(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_told("WATCHDOG=1"));
    CU_ASSERT_TRUE_FATAL(stop_threads());
    CU_ASSERT_TRUE(is_told("STATUS=not issuing: the store does not answer"));
    (void)times_told("", PROOF_AGE_S);
    CU_ASSERT_EQUAL(times_told("WATCHDOG=1", 3), 0);
    go_on();
    CU_ASSERT_TRUE(is_told("WATCHDOG=1"));
    CU_ASSERT_TRUE(is_told("STATUS=issuing: "));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a server tells when it is ready and when it ends",
          test_a_server_tells_when_it_is_ready_and_when_it_ends },
        { "a server that does not start tells why", test_a_server_that_does_not_start_tells_why },
        { "a signer cannot speak to the manager", test_a_signer_cannot_speak_to_the_manager },
        { "the watchdog is fed while the device signs",
          test_the_watchdog_is_fed_while_the_device_signs },
        { "a device that is down is told, and does not starve the watchdog",
          test_a_device_that_is_down_is_told_and_does_not_starve_the_watchdog },
        { "a server that hangs starves the watchdog until it goes on",
          test_a_server_that_hangs_starves_the_watchdog_until_it_goes_on },
        CU_TEST_INFO_NULL,
    };
    return run_suite("notify", set_up, tear_down, tests);
}
