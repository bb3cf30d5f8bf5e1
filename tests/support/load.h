/*
 * A light load on an instance: threads that make a code and redeem it, again and again, and keep
 * book of every answer. A code that was answered 503 is tried again until it gives its token.
 *
 * Threads: one starts and stops a load; a load has threads of its own.
 */
#pragma once

#include "base/digest.h"
#include "support/api.h"
#include "support/instance.h"

#include <stdint.h>

enum { LOAD_CODES_MAX = 20000 };

enum load_outcome {
    LOAD_ISSUED,     /* a token that verifies, perhaps after some 503s */
    LOAD_UNANSWERED, /* the connection broke: the code is good or spent */
    LOAD_WRONG,      /* any other answer, or 503 for ever; it was said on stderr */
};

struct load_code {
    char code[API_CODE_SIZE];
    enum load_outcome outcome;
    unsigned refusals;   /* 503s, each with Retry-After */
    struct digest token; /* SHA-256; only of LOAD_ISSUED */
};

struct load_book {
    unsigned issued;
    unsigned unanswered;
    unsigned wrong;
    unsigned refusals;
    int64_t slowest_ns;      /* the longest that an answer to a redeem took */
    struct load_code *codes; /* `count` of them */
    unsigned count;
};

struct load;

/* NULL: the keys to verify with could not be had. */
struct load *load_start(const struct instance *instance, unsigned threads);

/* How many tokens there are by now. */
unsigned load_issued(const struct load *load);

/* Lets each thread come to an end with its code. The book lives until load_free(). */
const struct load_book *load_stop(struct load *load);

/* Ends it if it runs. NULL is fine. */
void load_free(struct load *load);
