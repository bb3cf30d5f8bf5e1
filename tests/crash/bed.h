/*
 * What the crash tests have in common: an issuerd on ports that stay, its store and head file in a
 * directory of their own, and the checker, which holds what clients saw against the store.
 *
 * Threads: one.
 */
#pragma once

#include "support/instance.h"
#include "support/load.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    BED_GIVE_UP_S = 40, /* with what does not come */
    BED_READY_MS = 2000,
    BED_HEAL_MS = 5000,
};

struct bed {
    bool is_tight; /* times are judged: nothing else runs */
    bool is_postgresql;
    unsigned seed;
    const char *check; /* the checker's path */
    FILE *results;
    struct instance *instance;
    char state_dir[512]; /* the store's, if it is a file, and the head file's */
    char store_url[640];
};

/* What became of one test. */
struct verdict {
    unsigned kills;   /* or faults */
    int64_t ready_ms; /* the longest from exec to readyz 200; -1: not measured */
    unsigned issued;
    unsigned spent;
    unsigned refusals;
    char finding[512]; /* "": passed */
};

/* Notes the first finding. Returns false. */
bool bed_find(struct verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An instance that is not started yet, with a fresh store. */
void bed_make(struct bed *bed);
void bed_clear(struct bed *bed);

/* Starts issuerd and waits until readyz is 200. False if it ended before; then it is reaped. */
bool bed_start(struct bed *bed, struct verdict *verdict);

/* The file of its SQLite store. */
const char *bed_store_path(const struct bed *bed);

/* True once it has ended, by itself or by a signal; it is still to be reaped. */
bool bed_has_ended(const struct bed *bed);

/* True once the load has had some tokens in a row since load_mark(). */
bool bed_await_calm(const struct bed *bed, struct load *load, int64_t within_ms);

/* Stops the load, has its book held against the store, and frees it. */
void bed_close_book(struct bed *bed, struct load *load, struct verdict *verdict);

/* Ends the test `name` by its line of the results: verdict, store, name, kills, ready_ms, issued,
 * spent, refusals, finding. */
void bed_report(struct bed *bed, const char *name, const struct verdict *verdict);
void bed_report_skipped(struct bed *bed, const char *name, const char *why);
