#include "notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { NS_PER_US = 1000, STATUS_SIZE = 512, SAY_S = 1 };

static struct sockaddr_un address;
static socklen_t address_length; /* 0: nobody */
static int64_t watchdog_ns;
static char last_status[STATUS_SIZE];

/* A path, or '@' and a name of the abstract namespace (unix(7)). */
static void note_address(const char *name)
{
    const size_t length = name != NULL ? strlen(name) : 0;

    if (length < 2 || length >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@')) {
        return;
    }
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name, length);
    address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
}

/* WATCHDOG_PID says for whom it is, if it is not for whoever is started. */
static void note_watchdog(const char *usec, const char *pid)
{
    if (usec != NULL && (pid == NULL || strtol(pid, NULL, 10) == getpid())) {
        const int64_t timeout_us = strtoll(usec, NULL, 10);
        watchdog_ns =
            timeout_us > 0 && timeout_us < INT64_MAX / NS_PER_US ? timeout_us * NS_PER_US : 0;
    }
}

void notify_open(void)
{
    note_address(getenv("NOTIFY_SOCKET"));
    note_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

bool notify_is_heard(void)
{
    return address_length > 0;
}

int64_t notify_watchdog_ns(void)
{
    return notify_is_heard() ? watchdog_ns : 0;
}

/* Each time by a socket of its own: the manager may have another one behind the name by then. */
static void say(const char *text)
{
    const struct timeval patience = { .tv_sec = SAY_S };
    scoped(release_fd) int fd =
        notify_is_heard() ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0) {
        (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                     address_length);
    }
}

void notify_ready(void)
{
    say("READY=1");
}

/* Systemd from 253 on wants to know that the READY=1 that follows is the one after this. */
void notify_reloading(void)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                   monotonic_ns() / NS_PER_US);
    say(text);
}

void notify_stopping(void)
{
    say("STOPPING=1");
}

void notify_alive(void)
{
    say("WATCHDOG=1");
}

void notify_status(const char *format, ...)
{
    char status[STATUS_SIZE];
    char text[STATUS_SIZE + sizeof("STATUS=")];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(status, sizeof(status), format, args);
    va_end(args);
    if (strcmp(status, last_status) != 0) {
        memcpy(last_status, status, sizeof(status));
        (void)snprintf(text, sizeof(text), "STATUS=%s", status);
        say(text);
    }
}
