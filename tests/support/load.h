/*
 * A load on an instance: threads that make a code and redeem it, again and again, and keep
 * book of every answer. A code that was answered 503 is tried again until it gives its token.
 *
 * Threads: one starts and stops a load; a load has threads of its own.
 */
#pragma once

#include "base/digest.h"
#include "support/api.h"
#include "support/instance.h"

#include <stdint.h>
#include <stdio.h>

enum { LOAD_CODES_MAX = 20000 };

enum load_outcome {
    LOAD_ISSUED,     /* a token that verifies, perhaps after some 503s */
    LOAD_GIVEN_UP,   /* told nothing but 503, and not asked for again: the code is good */
    LOAD_UNANSWERED, /* the connection broke: the code is good or spent */
    LOAD_SPENT,      /* that, and asked again it was found spent */
    LOAD_WRONG,      /* any other answer, or 503 for ever; it was said on stderr */
};

struct load_options {
    unsigned threads;
    unsigned pause_us;      /* of each thread, between two codes */
    unsigned give_up_every; /* so many codes that were refused are given up; 0: none */
    bool is_persistent; /* asks again where no answer came: the server comes back, on its ports */
    unsigned replay_every; /* so many codes that gave a token are redeemed again; 0: none */
};

struct load_code {
    char authorization[API_ID_SIZE];
    char code[API_CODE_SIZE];
    enum load_outcome outcome;
    unsigned refusals;   /* 503s, each with Retry-After */
    unsigned unanswered; /* requests */
    int last_status;     /* the last answer's; 0: none came */
    struct digest token; /* SHA-256; only if there was one, good or not */
    char jti[64];        /* the token's; "": none */
    int64_t first_ns;    /* when the first request was sent, and the last answer came: monotonic */
    int64_t last_ns;
    int64_t slowest_ns; /* the longest that one of its answers took */
};

struct load_book {
    unsigned issued;
    unsigned unanswered; /* codes, as are the first two */
    unsigned spent;
    unsigned wrong;
    unsigned refusals;
    int64_t slowest_ns;      /* the longest that an answer to a redeem took */
    struct load_code *codes; /* `count` of them */
    unsigned count;
};

struct load;

/* NULL: the keys to verify with could not be had. With no threads it is a book for load_ask(). */
struct load *load_start_with(const struct instance *instance, const struct load_options *options);

/* The same with a pause of 3 ms, and no code given up. */
struct load *load_start(const struct instance *instance, unsigned threads);

/* Redeems the code once, over a connection of its own, and notes in it what came: LOAD_GIVEN_UP is a
 * refusal, after which it may be asked for again. */
enum load_outcome load_ask(struct load *load, struct load_code *code);

/* Enters a code that load_ask() is done with. */
void load_enter(struct load *load, const struct load_code *code);

/* How many tokens there are by now. */
unsigned load_issued(const struct load *load);

/* Waits until `tokens` more were issued; false after 30 s. */
bool load_goes_on(const struct load *load, unsigned tokens);

/* From now on load_calm_ns() is counted. */
void load_mark(struct load *load);

/* Once `tokens` in a row were asked for and issued after the mark, none of them before the last
 * refusal: how long after the mark the first of them came. -1: not yet. */
int64_t load_calm_ns(struct load *load, unsigned tokens);

/* Lets each thread come to an end with its code. The book lives until load_free(). */
const struct load_book *load_stop(struct load *load);

/* What was seen of each code, as a line of JSON, for whoever looks into it without this program.
 * `number` stands in each line. */
void load_write_transcript(const struct load_book *book, unsigned number, FILE *file);

/* Ends it if it runs. NULL is fine. */
void load_free(struct load *load);
