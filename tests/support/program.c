#include "support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

static struct program_result result;

/* "issuerctl" is the one of this build; what is not beside issuerd is looked for in the PATH. */
static void find_program(const char *name, char *path_out, size_t size)
{
    const char *issuerd = getenv("TEST_ISSUERD");
    const char *slash = issuerd != NULL ? strrchr(issuerd, '/') : NULL;

    if (slash != NULL) {
        (void)snprintf(path_out, size, "%.*s/%s", (int)(slash - issuerd), issuerd, name);
        if (access(path_out, X_OK) == 0) {
            return;
        }
    }
    (void)snprintf(path_out, size, "%s", name);
}

_Noreturn static void become(const char *path, const char *const *argv, int output, int errors)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(output, STDOUT_FILENO) >= 0
        && dup2(errors, STDERR_FILENO) >= 0) {
        (void)execvp(path, (char *const *)argv);
    }
    _exit(127);
}

/* What does not fit is read and dropped, so that the program does not wait for us. False: its end. */
static bool read_some(int fd, char *text, size_t *length)
{
    char dropped[512];
    const size_t room = PROGRAM_OUTPUT_SIZE - 1 - *length;
    const ssize_t got = read(fd, room > 0 ? text + *length : dropped, room > 0 ? room : 512);

    if (got <= 0) {
        return false;
    }
    *length += room > 0 ? (size_t)got : 0;
    return true;
}

static bool read_both(int output, int errors, int64_t deadline_ns)
{
    struct pollfd fds[] = { { .fd = output, .events = POLLIN },
                            { .fd = errors, .events = POLLIN } };
    char *const texts[] = { result.output, result.errors };
    size_t lengths[] = { 0, 0 };

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        const int64_t left_ms = (deadline_ns - monotonic_ns()) / NS_PER_MS;
        if (left_ms <= 0 || poll(fds, 2, (int)left_ms) <= 0) {
            return false;
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd >= 0 && fds[i].revents != 0
                && !read_some(fds[i].fd, texts[i], &lengths[i])) {
                fds[i].fd = -1;
            }
        }
    }
    return true;
}

const struct program_result *program_run(const char *const *argv, int deadline_s)
{
    char path[512];
    int output[2];
    int errors[2];
    int status = 0;

    memset(&result, 0, sizeof(result));
    result.status = -1;
    find_program(argv[0], path, sizeof(path));
    if (pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) {
        return &result;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        become(path, argv, output[1], errors[1]);
    }
    (void)close(output[1]);
    (void)close(errors[1]);
    const bool ended = read_both(output[0], errors[0], monotonic_ns() + deadline_s * NS_PER_S);
    if (!ended) {
        (void)kill(pid, SIGKILL);
    }
    (void)waitpid(pid, &status, 0);
    (void)close(output[0]);
    (void)close(errors[0]);
    if (ended) {
        result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return &result;
}

bool program_ended(const struct program_result *ended, int status, const char *words)
{
    if (ended->status == status
        && (strstr(ended->output, words) != NULL || strstr(ended->errors, words) != NULL)) {
        return true;
    }
    fprintf(stderr, "ended with %d, not %d, or did not say \"%s\":\n%s%s\n", ended->status, status,
            words, ended->output, ended->errors);
    return false;
}
