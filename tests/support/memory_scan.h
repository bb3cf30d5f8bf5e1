/*
 * What lies in the memory of a running process, read through /proc by one who may (root): which of some
 * thousands of texts, and be it a piece of one. Freed memory and old stacks are memory, too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SCAN_KINDS_MAX = 8, SCAN_PLACE_MAX = 160 };

struct memory_scan;

struct memory_findings {
    size_t counts[SCAN_KINDS_MAX];               /* places, by the kind of what was found there */
    char places[SCAN_KINDS_MAX][SCAN_PLACE_MAX]; /* one of them, and what follows it */
    size_t bytes;                                /* that were read */
};

struct memory_scan *memory_scan_new(void);
void memory_scan_free(struct memory_scan *self);

/* Looks for these bytes of this kind, 8 at least, and for each 12 of them that follow one another. */
void memory_scan_add(struct memory_scan *self, unsigned kind, const void *bytes, size_t length);

/* False if the memory of `pid` could not be read. What changes meanwhile may be missed. */
bool memory_scan_run(const struct memory_scan *self, pid_t pid,
                     struct memory_findings *findings_out);
