/*
 * The codes of this process: those made lately, so that an exchange needs no look-up in the store,
 * and those being redeemed now, so that rivals for one code wait for the first instead of racing
 * it. A memory of fixed bound, oldest out first; the store decides what is true.
 *
 * Threads: any.
 */
#pragma once

#include "store/store.h"

enum { CODE_TABLE_MAX = 49152 }; /* some 9 MB */

struct code_table;

struct code_table *code_table_new(size_t max);
void code_table_free(struct code_table *table);

/* Remembers a code that was just made. */
void code_table_add(struct code_table *table, const struct digest *code,
                    const struct stored_code *stored);

enum code_claim {
    CODE_REMEMBERED, /* ours now, *stored_out is filled */
    CODE_NOT_HERE,   /* ours now, but to be looked up in the store */
    CODE_BUSY,       /* a rival kept it until the deadline */
};

/* Waits until no rival has the code, then makes it ours until code_table_release(). */
enum code_claim code_table_claim(struct code_table *table, const struct digest *code,
                                 int64_t deadline_ns, struct stored_code *stored_out);

enum code_fate {
    CODE_STILL_GOOD, /* the next rival may try */
    CODE_NOT_OURS,   /* spent, or in doubt: forgotten, so that the next one asks the store */
};

void code_table_release(struct code_table *table, const struct digest *code, enum code_fate fate);
