/*
 * One signer's child process: start, handshake, death. And the one struct that signer.c (slots,
 * submit, collect) and supervisor.c (the child's life) share. Nothing else includes it.
 */
#pragma once

#include "hsm/pin_latch.h"
#include "hsm/signer.h"
#include "hsm/wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* A request in flight. */
struct signer_slot {
    uint64_t sequence; /* 0: free */
    int64_t sent_ns;
    int64_t deadline_ns; /* of its beginning */
    void *tag;           /* NULL: a self-test */
};

/* What becomes of a signer. */
enum signer_stage {
    SIGNER_ABSENT,  /* the place is free */
    SIGNER_WAITING, /* started, not in use: a change is being prepared */
    SIGNER_SERVING,
    SIGNER_LEAVING, /* finishes what it has in its hands */
};

/* A place for a signer, which may be taken by one after the other. */
struct signer {
    /* Both ends of request and answer sockets live as long as the place: neither a restart of the
     * child nor another signer changes a descriptor under a thread that sends or collects. */
    int request_fds[2];
    int answer_fds[2];

    _Atomic size_t id; /* of the signer that has, or had, the place */
    _Atomic enum signer_stage stage;
    _Atomic bool has_ended; /* SIGNER_LEAVING: its thread is done */
    const struct signers_options *all;
    struct signers *siblings;
    struct signer_options *options; /* its own */
    _Atomic unsigned queue;         /* these two of the options, for who chooses */
    _Atomic int64_t queue_ms;

    _Atomic enum signer_state state;
    _Atomic int64_t since_ns; /* when it came to it */
    _Atomic bool permitted;
    _Atomic(const struct signer_key *) key; /* NULL until the first start; then it stays */
    _Atomic int64_t self_test_ns;
    _Atomic uint64_t restarts;
    _Atomic uint64_t signatures; /* handed over */
    _Atomic uint64_t wrong_signatures;
    _Atomic unsigned in_flight;
    _Atomic unsigned sessions;    /* signatures at once, as the device allows */
    _Atomic int64_t signature_ns; /* smoothed time of one inside the device; 0: not known yet */

    pthread_mutex_t lock; /* the rest */
    struct signer_slot *slots;
    uint16_t *free_slots; /* a stack of options->queue + 1 - in_flight indexes */
    uint64_t next_sequence;
    uint64_t answered_sequence; /* the highest answered */
    int64_t answered_ns;
    struct signer_failure failure; /* the last */
    bool is_closed;                /* nothing is taken any more */
    struct pin_identity pin;       /* of the file, when the child that serves logged in */

    pthread_t supervisor;
    bool has_supervisor;
    int stop_fd; /* eventfd: readable when it is time to end */
    pthread_cond_t first_result;
    bool has_first_result;
    struct error first_error; /* code ERROR_NONE: it came up */
};

/* The supervisor thread's body; `argument` is a struct signer. */
void *supervisor_run(void *argument);

/* signer.c, for supervisor.c: */

/* The key for good: one memory for all that are the same. */
const struct signer_key *signer_keep_key(struct signer *signer, const struct signer_key *key);

/* True once nothing is in flight; then nothing is taken any more. */
bool signer_close_if_idle(struct signer *signer);

/* Sends a self-test. */
void signer_submit_self_test(struct signer *signer);

/* Fails everything in flight and empties the request socket. */
void signer_fail_in_flight(struct signer *signer);

/* True if the device hangs: nothing was answered for a whole deadline, no answer waits to be collected,
 * and a request is older than that; or one of several sessions does: a request that was read (a later
 * one was answered), and so begun by its deadline if at all, has taken longer than a signature's since.
 * A long queue alone is neither. */
bool signer_is_stuck(struct signer *signer, int64_t now_ns);
