#include "hsm/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

extern char **environ;

/* ---- a signer's own options ---- */

struct signer_options *signer_options_copy(const struct signer_options *from)
{
    struct signer_options *copy = xcalloc(1, sizeof(*copy));
    const char **setenv = xcalloc(from->setenv_count, sizeof(*setenv));

    *copy = *from;
    copy->name = xstrdup(from->name);
    copy->uri = xstrdup(from->uri);
    copy->algorithm = xstrdup(from->algorithm);
    for (size_t i = 0; i < from->setenv_count; i++) {
        setenv[i] = xstrdup(from->setenv[i]);
    }
    copy->setenv = setenv;
    return copy;
}

void signer_options_free(struct signer_options *options)
{
    if (options == NULL) {
        return;
    }
    for (size_t i = 0; i < options->setenv_count; i++) {
        free((char *)options->setenv[i]);
    }
    free((void *)options->setenv);
    free((char *)options->name);
    free((char *)options->uri);
    free((char *)options->algorithm);
    free(options);
}

/* ---- what it is told ---- */

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

void child_fill_launch(struct wire_launch *launch, enum wire_mode mode,
                       const struct signers_options *all, const struct signer_options *options)
{
    launch->size = sizeof(*launch);
    launch->mode = mode;
    launch->sessions = options->sessions;
    launch->purpose = options->purpose;
    launch->session_copy = options->session_copy;
    launch->development = all->development;
    launch->sandbox = options->sandbox;
    launch->sandbox_mode = options->sandbox_mode;
    launch->lifetime_max_s = all->lifetime_max_s;
    launch->deadline_ms = options->deadline_ms;
    copy(launch->name, sizeof(launch->name), options->name);
    copy(launch->algorithm, sizeof(launch->algorithm), options->algorithm);
    copy(launch->uri, sizeof(launch->uri), options->uri);
    copy(launch->state_dir, sizeof(launch->state_dir), all->state_dir);
    copy(launch->issuer, sizeof(launch->issuer), all->issuer);
    copy(launch->audience, sizeof(launch->audience), all->audience);
}

struct digest child_identity(const struct wire_launch *launch, const struct signer_options *options)
{
    struct digest parts[2] = { sha256(launch, sizeof(*launch)) };

    for (size_t i = 0; i < options->setenv_count; i++) {
        parts[1] = sha256(options->setenv[i], strlen(options->setenv[i]));
        parts[0] = sha256(parts, sizeof(parts));
    }
    return parts[0];
}

/* ---- start ---- */

/* The child's environment: ours, then the signer's own settings in front of what they replace. */
static char **environment_new(const struct signer_options *options)
{
    size_t inherited = 0;
    size_t count = 0;

    while (environ[inherited] != NULL) {
        inherited++;
    }
    char **all = xcalloc(inherited + options->setenv_count + 1, sizeof(*all));
    for (size_t i = 0; i < options->setenv_count; i++) {
        all[count++] = (char *)options->setenv[i];
    }
    for (size_t i = 0; i < inherited; i++) {
        bool replaced = false;
        for (size_t j = 0; j < options->setenv_count; j++) {
            const size_t name = strcspn(options->setenv[j], "=") + 1;
            replaced = replaced || strncmp(environ[i], options->setenv[j], name) == 0;
        }
        if (!replaced) {
            all[count++] = environ[i];
        }
    }
    return all;
}

/* Its descriptors, at the places that wire.h has for them: wherever they are now, even at each
 * other's. */
static bool place(const int fds[static 3])
{
    static const int places[] = { WIRE_CONTROL_FD, WIRE_REQUEST_FD, WIRE_ANSWER_FD };
    int above[COUNT_OF(places)];

    for (size_t i = 0; i < COUNT_OF(places); i++) {
        above[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, WIRE_ANSWER_FD + 1);
        if (above[i] < 0 && fds[i] >= 0) {
            return false;
        }
    }
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (above[i] >= 0 && dup2(above[i], places[i]) < 0) {
            return false; /* a ceremony has no request and answer sockets */
        }
    }
    return true;
}

/* In the child, between fork and exec: async-signal-safe calls only. The session of its own keeps
 * a terminal's Ctrl-C away: issuerd finishes what is in flight first. What libraries opened without
 * close-on-exec, as libcurl 7.88 does its connections, stays outside with the rest of the network. */
_Noreturn static void become_signer(pid_t parent, const char *program, const int fds[static 3],
                                    char **environment)
{
    char *const arguments[] = { (char *)"issuerd-signer", NULL };
    sigset_t none;

    sigemptyset(&none);
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);  /* Linux 5.11 */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent /* it has not died before */
        && sigprocmask(SIG_SETMASK, &none, NULL) == 0 && setsid() >= 0 && place(fds)) {
        execve(program, arguments, environment);
    }
    _exit(127);
}

bool child_spawn(const char *program, const struct wire_launch *launch,
                 const struct signer_options *options, int request_fd, int answer_fd,
                 struct child *child_out, struct error *err)
{
    const pid_t parent = getpid();
    scoped(release_memory) char **environment = environment_new(options);
    scoped(release_fd) int own_end = -1;
    scoped(release_fd) int its_end = -1;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return fail_errno(err, ERROR_DEVICE_UNAVAILABLE, "open a control socket");
    }
    own_end = pair[0];
    its_end = pair[1];
    if (send(own_end, launch, sizeof(*launch), MSG_NOSIGNAL) != sizeof(*launch)) {
        return fail_errno(err, ERROR_DEVICE_UNAVAILABLE, "send the signer its launch settings");
    }

    const int fds[] = { its_end, request_fd, answer_fd };
    const pid_t pid = fork();
    if (pid < 0) {
        return fail_errno(err, ERROR_DEVICE_UNAVAILABLE, "start %s", program);
    }
    if (pid == 0) {
        become_signer(parent, program, fds, environment);
    }
    *child_out = (struct child){ .pid = pid, .control_fd = own_end };
    own_end = -1;
    return true;
}

int child_end(struct child *child)
{
    int status = 0;

    if (child->pid > 0) {
        (void)kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    release_fd(&child->control_fd);
    *child = (struct child){ .pid = -1, .control_fd = -1 };
    return status;
}
