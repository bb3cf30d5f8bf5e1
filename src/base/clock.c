#include "base/clock.h"

#include <errno.h>

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t boot_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
}

int64_t wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

int64_t wall_s(void)
{
    return wall_ns() / NS_PER_S;
}

struct timespec timespec_from_ns(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

bool semaphore_await(sem_t *semaphore, int64_t deadline_ns)
{
    const struct timespec deadline = timespec_from_ns(deadline_ns);
    int result;

    do {
        result = sem_clockwait(semaphore, CLOCK_MONOTONIC, &deadline);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}
