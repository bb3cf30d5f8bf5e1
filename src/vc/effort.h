/*
 * A bound on the work of one evaluation, in steps that each cost about as much whoever wrote the
 * input: a JSON value looked at, an item of a pattern tried. Paths and filters come from anyone.
 */
#pragma once

#include <stdbool.h>

/* Of one credential against one descriptor: at most 3 ms, measured with patterns made to be slow. */
enum { EFFORT_MAX = 16384 };

struct effort {
    unsigned left;
};

/* False: there is none left, and what is being evaluated has no result. */
static inline bool effort_spend(struct effort *effort, unsigned cost)
{
    effort->left -= cost < effort->left ? cost : effort->left;
    return effort->left > 0;
}

static inline bool effort_is_spent(const struct effort *effort)
{
    return effort->left == 0;
}
