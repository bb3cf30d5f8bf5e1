#include "hsm/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum {
    FDS_MAX = 2,
    KNOWN_MAX = 64, /* identities; over it the oldest is forgotten, and looked for in the file */
    ANSWER_WITHIN_S = 10, /* it reads a file, or starts a process */
    END_POLL_MS = 2,
};

enum launcher_request_kind { LAUNCHER_START = 1, LAUNCHER_END };

struct launcher_request {
    uint32_t kind;
    pid_t pid; /* LAUNCHER_END: of a child */
    struct digest identity;
};

struct launcher_reply {
    uint32_t error_code;
    pid_t pid;      /* LAUNCHER_START; its control socket comes along */
    uint32_t ended; /* LAUNCHER_END: it has, so */
    int status;
    char error[512];
};

/* ---- messages with descriptors ---- */

union fds_buffer {
    char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

static bool send_message(int socket, const void *bytes, size_t size, const int *fds, size_t count)
{
    union fds_buffer buffer = { .bytes = { 0 } };
    struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (count > 0) {
        message.msg_control = buffer.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

/* The caller owns the descriptors; those that did not come are -1. */
static bool receive_message(int socket, void *bytes, size_t size, int fds_out[static FDS_MAX])
{
    union fds_buffer buffer;
    struct iovec part = { .iov_base = bytes, .iov_len = size };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = buffer.bytes,
                              .msg_controllen = sizeof(buffer.bytes) };
    ssize_t got;

    memset(fds_out, -1, FDS_MAX * sizeof(int));
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    const struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        memcpy(fds_out, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
    }
    return got == (ssize_t)size;
}

/* ---- the launcher's process ---- */

struct known {
    struct digest identity;
    struct wire_launch *launch; /* NULL: no more are known */
    struct signer_options *options;
    char *program;
};

struct process {
    int socket;
    launcher_read_fn *read;
    void *context;
    struct known known[KNOWN_MAX];
    size_t next; /* place for one more */
};

static const struct known *find_known(const struct process *self, const struct digest *identity)
{
    for (size_t i = 0; i < KNOWN_MAX && self->known[i].launch != NULL; i++) {
        if (digest_equal(&self->known[i].identity, identity)) {
            return &self->known[i];
        }
    }
    return NULL;
}

static void know(struct process *self, const struct signers_options *all,
                 const struct signer_options *options)
{
    scoped(release_memory) struct wire_launch *launch = xcalloc(1, sizeof(*launch));
    struct known *place = &self->known[self->next % KNOWN_MAX];

    child_fill_launch(launch, WIRE_SERVE, all, options);
    const struct digest identity = child_identity(launch, options);
    if (find_known(self, &identity) == NULL) {
        free(place->launch);
        free(place->program);
        signer_options_free(place->options);
        *place = (struct known){ .identity = identity,
                                 .launch = take(launch),
                                 .options = signer_options_copy(options),
                                 .program = xstrdup(all->program) };
        self->next++;
    }
}

static void know_all(struct process *self, const struct signers_options *all)
{
    for (size_t i = 0; i < all->count; i++) {
        know(self, all, &all->signers[i]);
    }
}

/* One that is not known is looked for in the configuration file. */
static const struct known *find(struct process *self, const struct digest *identity,
                                struct error *err)
{
    const struct known *known = find_known(self, identity);
    struct signers_options now;

    if (known != NULL || !self->read(self->context, &now, err)) {
        return known;
    }
    know_all(self, &now);
    known = find_known(self, identity);
    if (known == NULL) {
        (void)!fail(err, ERROR_CONFIG,
                    "the configuration file, as it stands now, has no such signer: reload again");
    }
    return known;
}

static bool start_child(struct process *self, const struct launcher_request *request,
                        const int fds[static FDS_MAX], struct child *child_out, struct error *err)
{
    const struct known *known = find(self, &request->identity, err);

    return known != NULL
        && child_spawn(known->program, known->launch, known->options, fds[0], fds[1], child_out,
                       err);
}

/* Does not wait: a process that a driver holds fast takes its time to end. */
static void end_child(pid_t pid, struct launcher_reply *reply)
{
    const pid_t ended = pid > 0 ? waitpid(pid, &reply->status, WNOHANG) : -1;

    if (ended == 0) {
        (void)kill(pid, SIGKILL);
    }
    reply->ended = ended != 0; /* or is no child of ours */
}

static void serve_request(struct process *self, const struct launcher_request *request,
                          const int fds[static FDS_MAX])
{
    struct launcher_reply reply = { .error_code = ERROR_NONE };
    struct child child = { .pid = -1, .control_fd = -1 };
    struct error err = { .code = ERROR_NONE };

    if (request->kind == LAUNCHER_END) {
        end_child(request->pid, &reply);
    } else if (!start_child(self, request, fds, &child, &err)) {
        reply.error_code = err.code;
        (void)snprintf(reply.error, sizeof(reply.error), "%s", error_line(&err).text);
    }
    reply.pid = child.pid;
    (void)send_message(self->socket, &reply, sizeof(reply), &child.control_fd,
                       child.control_fd >= 0);
    release_fd(&child.control_fd);
}

/* Signals stay blocked, as they were: what ends it is the end of issuerd. */
_Noreturn static void run(struct process *self, pid_t issuerd)
{
    struct launcher_request request;
    int fds[FDS_MAX];

    (void)prctl(PR_SET_NAME, "issuerd-launch");
    (void)setsid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != issuerd) {
        _exit(1);
    }
    while (receive_message(self->socket, &request, sizeof(request), fds)) {
        serve_request(self, &request, fds);
        for (size_t i = 0; i < FDS_MAX; i++) {
            release_fd(&fds[i]);
        }
    }
    _exit(0);
}

/* ---- issuerd's side ---- */

struct launcher {
    pthread_mutex_t lock;
    int socket;
};

/* What the launcher was born with beside it: sockets that were passed to issuerd, the log's. */
static void keep_only(int socket)
{
    if (socket > STDERR_FILENO + 1) {
        (void)close_range(STDERR_FILENO + 1, (unsigned)socket - 1, 0);
    }
    (void)close_range((unsigned)socket + 1, ~0U, 0);
}

/* In the launcher's process. */
_Noreturn static void become_launcher(int socket, pid_t issuerd,
                                      const struct signers_options *first, launcher_read_fn *read,
                                      void *context)
{
    struct process *process = xcalloc(1, sizeof(*process));

    keep_only(socket);
    process->socket = socket;
    process->read = read;
    process->context = context;
    know_all(process, first);
    run(process, issuerd);
}

bool launcher_start(const struct signers_options *first, launcher_read_fn *read, void *context,
                    struct launcher **launcher_out, struct error *err)
{
    const struct timeval patience = { .tv_sec = ANSWER_WITHIN_S };
    const pid_t issuerd = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return fail_errno(err, ERROR_INTERNAL, "open the launcher's socket");
    }
    scoped(release_fd) int own_end = pair[0];
    scoped(release_fd) int its_end = pair[1];
    const pid_t pid = fork();
    if (pid == 0) {
        become_launcher(its_end, issuerd, first, read, context);
    }
    if (pid < 0 || setsockopt(own_end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
        return fail_errno(err, ERROR_INTERNAL, "start the launcher");
    }
    struct launcher *self = xcalloc(1, sizeof(*self));
    pthread_mutex_init(&self->lock, NULL);
    self->socket = own_end;
    own_end = -1;
    *launcher_out = self;
    return true;
}

void launcher_stop(struct launcher *self)
{
    if (self != NULL) {
        release_fd(&self->socket);
        pthread_mutex_destroy(&self->lock);
        free(self);
    }
}

/* Whoever does not answer in time is not asked again, as the answer may yet come: it ends. */
static bool ask(struct launcher *self, const struct launcher_request *request, const int *fds,
                size_t count, struct launcher_reply *reply, int fds_out[static FDS_MAX],
                struct error *err)
{
    pthread_mutex_lock(&self->lock);
    const bool answered = send_message(self->socket, request, sizeof(*request), fds, count)
                       && receive_message(self->socket, reply, sizeof(*reply), fds_out);
    if (!answered) {
        (void)shutdown(self->socket, SHUT_RDWR);
    }
    pthread_mutex_unlock(&self->lock);
    return answered
        || fail(err, ERROR_DEVICE_UNAVAILABLE, "the process that starts the signers is gone");
}

bool launcher_start_child(struct launcher *self, const struct digest *identity, int request_fd,
                          int answer_fd, struct child *child_out, struct error *err)
{
    const struct launcher_request request = { .kind = LAUNCHER_START, .identity = *identity };
    const int fds[FDS_MAX] = { request_fd, answer_fd };
    struct launcher_reply reply;
    int received[FDS_MAX];

    if (!ask(self, &request, fds, FDS_MAX, &reply, received, err)) {
        return false;
    }
    *child_out = (struct child){ .pid = reply.pid, .control_fd = received[0] };
    if (reply.error_code != ERROR_NONE) {
        release_fd(&child_out->control_fd);
        return fail(err, (enum error_code)reply.error_code, "%s", reply.error);
    }
    if (child_out->control_fd < 0) {
        (void)launcher_end_child(self, child_out);
        return fail(err, ERROR_INTERNAL, "no descriptor is left for a signer's socket");
    }
    return true;
}

int launcher_end_child(struct launcher *self, struct child *child)
{
    const struct launcher_request request = { .kind = LAUNCHER_END, .pid = child->pid };
    const struct timespec pause = timespec_from_ns(END_POLL_MS * NS_PER_MS);
    struct launcher_reply reply = { .ended = child->pid <= 0 };
    struct error none;
    int received[FDS_MAX];

    while (!reply.ended && ask(self, &request, NULL, 0, &reply, received, &none) && !reply.ended) {
        (void)nanosleep(&pause, NULL);
    }
    release_fd(&child->control_fd);
    *child = (struct child){ .pid = -1, .control_fd = -1 };
    return reply.status;
}
