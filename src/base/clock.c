#include "base/clock.h"

#include <errno.h>

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
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
