/* The clocks. Core takes time as an argument; only the edges read it here. */
#pragma once

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC: deadlines and durations; the same in every process. */
int64_t monotonic_ns(void);

/* Nanoseconds of CLOCK_BOOTTIME, which runs on while the machine is suspended, and which nobody sets. */
int64_t boot_ns(void);

/* Since 1970 (CLOCK_REALTIME), whoever set it, and to whatever: what tokens and the store carry is read
 * by store_read_clock(). */
int64_t wall_ns(void);
int64_t wall_s(void);

struct timespec timespec_from_ns(int64_t ns);

enum { NS_PER_MS = 1000000 };
#define NS_PER_S INT64_C(1000000000)

/* True once the semaphore was taken; false at the monotonic deadline. */
bool semaphore_await(sem_t *semaphore, int64_t deadline_ns);
