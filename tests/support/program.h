/* Programs run to their end, with what they said: issuerctl, issuerd when it must not start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PROGRAM_OUTPUT_SIZE = 16384 };

struct program_result {
    int status; /* 128 + N if signal N ended it; -1 if it ran longer than its deadline */
    char output[PROGRAM_OUTPUT_SIZE]; /* stdout, cut where it does not fit; a NUL follows */
    char errors[PROGRAM_OUTPUT_SIZE]; /* stderr, likewise */
};

/* The program beside TEST_ISSUERD, or one of the PATH: `argv`, up to its NULL, begins with its
 * name. It is killed after `deadline_s`. The result is good until the next call. */
const struct program_result *program_run(const char *const *argv, int deadline_s);

/* True if it ended with this status, and its output or errors hold `words`; else says on stderr
 * what it did. */
bool program_ended(const struct program_result *result, int status, const char *words);
