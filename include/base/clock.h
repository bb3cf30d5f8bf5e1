/* The clocks. Core takes time as an argument; only the edges read it here. */
#pragma once

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC: deadlines and durations; the same in every process. */
int64_t monotonic_ns(void);

/* Seconds since 1970 (CLOCK_REALTIME): what tokens and the store carry. */
int64_t wall_s(void);

struct timespec timespec_from_ns(int64_t ns);

enum { NS_PER_MS = 1000000 };
#define NS_PER_S INT64_C(1000000000)

/* True once the semaphore was taken; false at the monotonic deadline. */
bool semaphore_await(sem_t *semaphore, int64_t deadline_ns);
