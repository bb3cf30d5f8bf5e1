/*
 * How many requests an address may make: a token bucket for each, in memory of a fixed size. An IPv6
 * address counts with its /64, of which a client may have all.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>

struct rate_limit;

/* `per_s` are refilled each second, up to `burst`; 0: there is no limit. The caller frees. */
struct rate_limit *rate_limit_new(unsigned per_s, unsigned burst);

/* From now on by these. */
void rate_limit_set(struct rate_limit *limit, unsigned per_s, unsigned burst);

void rate_limit_free(struct rate_limit *limit);

/* Takes one from the address's bucket; false: it is empty. `now_ns` is monotonic. */
bool rate_limit_take(struct rate_limit *limit, const struct in6_addr *address, int64_t now_ns);
