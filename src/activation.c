#include "activation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    FIRST_FD = 3, /* SD_LISTEN_FDS_START */
    FDS_MAX = 64,
};

static bool is_number(const char *text, long number)
{
    char *end = NULL;
    return text != NULL && strtol(text, &end, 10) == number && end != text && *end == '\0';
}

/* How many were passed to this process; what was meant for another is none. */
static int count_passed(void)
{
    const char *count = getenv("LISTEN_FDS");

    if (count == NULL || !is_number(getenv("LISTEN_PID"), getpid())) {
        return 0;
    }
    for (int i = 1; i <= FDS_MAX; i++) {
        if (is_number(count, i)) {
            return i;
        }
    }
    return 0;
}

static bool take_one(struct activation *activation, const char *name, int fd, struct error *err)
{
    const bool is_public = name != NULL && strcmp(name, "public") == 0;
    const bool is_admin = name != NULL && strcmp(name, "admin") == 0;
    int *place = is_public ? &activation->public_fd : &activation->admin_fd;

    if (!is_public && !is_admin) {
        return fail(err, ERROR_CONFIG,
                    "a socket named \"%.64s\" was passed: FileDescriptorName= of its .socket unit"
                    " must be public or admin",
                    name != NULL ? name : "");
    }
    if (*place >= 0) {
        return fail(
            err, ERROR_CONFIG,
            "two sockets named \"%s\" were passed: one ListenStream= is what a listener has", name);
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return fail_errno(err, ERROR_CONFIG, "the socket named \"%s\" that was passed", name);
    }
    *place = fd;
    return true;
}

static bool take_all(struct activation *activation, int count, char *names, struct error *err)
{
    for (int i = 0; i < count; i++) {
        if (!take_one(activation, strsep(&names, ":"), FIRST_FD + i, err)) {
            return false;
        }
    }
    return true;
}

bool activation_take(struct activation *activation_out, struct error *err)
{
    const int count = count_passed();
    const char *names = getenv("LISTEN_FDNAMES");
    scoped(release_memory) char *copy = names != NULL ? xstrdup(names) : NULL;

    *activation_out = (struct activation){ .public_fd = -1, .admin_fd = -1 };
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return take_all(activation_out, count, copy, err);
}
