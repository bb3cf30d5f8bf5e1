#include "base/crash_point.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/memory.h"

#define CRASH_POINT_NAME(name, text) text,
static const char *const names[] = { CRASH_POINT_TABLE(CRASH_POINT_NAME) };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum crash_point fatal = CRASH_POINT_COUNT;
static unsigned fatal_pass;
static const char *mark; /* NULL: none */
static _Atomic unsigned passes;

static enum crash_point find_point(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0) {
            return (enum crash_point)i;
        }
    }
    return CRASH_POINT_COUNT;
}

static void read_environment(void)
{
    const char *at = getenv("ISSUERD_CRASH_AT");
    if (at == NULL) {
        return;
    }
    const size_t length = strcspn(at, ":");
    fatal = find_point(at, length);
    fatal_pass = at[length] == ':' ? (unsigned)strtoul(at + length + 1, NULL, 10) : 0;
    mark = getenv("ISSUERD_CRASH_MARK");
    if (fatal == CRASH_POINT_COUNT || fatal_pass == 0) {
        (void)fprintf(stderr, "ISSUERD_CRASH_AT=%s: no such point, or no number after it\n", at);
        _exit(EX_CONFIG);
    }
}

/* False if the mark is there already. */
static bool make_mark(void)
{
    const int fd = mark != NULL ? open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    return mark == NULL || fd >= 0;
}

void crash_point_pass(enum crash_point point)
{
    (void)pthread_once(&once, read_environment);
    if (point == fatal && atomic_fetch_add(&passes, 1) + 1 == fatal_pass && make_mark()) {
        (void)kill(getpid(), SIGKILL);
    }
}
