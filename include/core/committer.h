/*
 * The committer: the one thread that writes to the store. It collects signatures from every signer
 * and jobs from the HTTP threads, runs whatever has come as one transaction (one fsync for all of
 * them), and only then wakes who waits.
 *
 * A job belongs to its maker until job_submit() (or signers_submit() with the job as the tag), then
 * to the committer until job_await() says that it succeeded or failed. If job_await() leaves it, the job
 * belongs to the committer for good, which calls its free() when it is at its end.
 */
#pragma once

#include "base/error.h"
#include "core/ledger.h"
#include "core/metrics.h"
#include "hsm/signer.h"
#include "store/store.h"

#include <semaphore.h>
#include <stdatomic.h>

struct job;

/* Inside the transaction, before the first job of it runs: asks the store for what run() will read, so
 * that one that is across a network is asked for all jobs at once. */
typedef MUST_CHECK bool job_send_fn(struct job *job, struct store *store, int64_t now_s,
                                    struct error *err);

/* The job's work inside the transaction, whose time is `now_s`. It is run again when the store gave
 * another transaction precedence. After STORE_UNAVAILABLE, STORE_CONFLICT or STORE_ROLLED_BACK the whole
 * transaction is dropped; after any other failure the job must have written nothing. */
typedef MUST_CHECK bool job_run_fn(struct job *job, struct ledger *ledger, struct store *store,
                                   int64_t now_s, struct error *err);

/* Puts the signature that was asked for with signers_submit() into the job. */
typedef void job_take_signature_fn(struct job *job, const uint8_t *bytes, size_t length);

/* In a new transaction, after one whose commit is in doubt: what store_has_redeemed() says. */
typedef MUST_CHECK bool job_is_done_fn(struct job *job, struct store *store, bool *done_out,
                                       struct error *err);

typedef void job_free_fn(struct job *job);

/* Just before the transaction that the job will be in, as the first of it; and after that was lost. */
typedef void job_turn_fn(struct job *job, struct store *store);

struct job_type {
    job_turn_fn *prepare; /* NULL: nothing, and undo as well */
    job_turn_fn *undo;
    job_send_fn *send; /* NULL: asks for nothing */
    job_run_fn *run;
    job_take_signature_fn *take_signature; /* NULL: none was asked for */
    job_is_done_fn *is_done;               /* NULL: cannot tell */
    job_free_fn *free;                     /* nobody waits for it any more */
};

enum job_stage {
    JOB_PENDING,    /* waits: for its signature, for the next transaction */
    JOB_COMMITTING, /* in a transaction: how it ends is not known until it has */
    JOB_DONE,
    JOB_ABANDONED, /* nobody waits any more */
};

/* The first member of every job. */
struct job {
    const struct job_type *type;
    struct error err; /* code ERROR_NONE: done and durable */
    _Atomic enum job_stage stage;
    sem_t done;
    struct job *next;
};

enum job_outcome {
    JOB_SUCCEEDED,
    JOB_FAILED,   /* nothing was written; the job is the caller's again */
    JOB_GIVEN_UP, /* nothing will be written; the job is not the caller's any more */
    JOB_IN_DOUBT, /* a transaction hangs: it may or may not become durable; job as above */
};

void job_init(struct job *job, const struct job_type *type);
void job_clear(struct job *job);

/* Waits until `deadline_ns` (monotonic), and a while longer for a transaction that has begun. */
enum job_outcome job_await(struct job *job, int64_t deadline_ns, struct error *err);

/* Ends a job that will not run: its signer failed. */
void job_fail(struct job *job, enum error_code code, const char *message);

struct committer;

struct committer_options {
    struct store *store;
    struct ledger *ledger;
    struct signers *signers;
    struct metrics *metrics;
};

/* Borrows all of it for the committer's life. */
MUST_CHECK bool committer_start(const struct committer_options *options,
                                struct committer **committer_out, struct error *err);

/* Fails what is queued and ends the thread. */
void committer_stop(struct committer *committer);

/* How the store takes what is written. Times are monotonic. */
struct committer_status {
    int64_t committed_ns; /* the last commit; 0: none yet */
    int64_t failing_ns;   /* since when no transaction came to its end; 0: the last one did */
    int64_t failed_ns;    /* the last that did not; 0: none */
    struct error err;     /* its */
};

/* Any thread. */
struct committer_status committer_status(struct committer *committer);

/* Queues a job that needs no signature and waits for it, 1.5 s at most. On true it is durable and
 * the job is the caller's again; on false its free() was called or will be.
 * Fails as the job does, or with STORE_UNAVAILABLE, STORE_IN_DOUBT or CLOCK_UNTRUSTED. */
MUST_CHECK bool committer_write(struct committer *committer, struct job *job, struct error *err);

/* When the thread last came round (monotonic): every second, but for a transaction that takes longer. */
int64_t committer_turn_ns(const struct committer *committer);

/* Since when nothing is written, as the store's clock is not trusted (monotonic); 0: it is. Seen within a
 * second. */
int64_t committer_clock_untrusted_ns(const struct committer *committer);
