#include "core/committer.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/clock_watch.h"

enum {
    IDLE_MS = 1000,
    WRITE_DEADLINE_MS = 1500,
    COMMIT_PATIENCE_MS = 150, /* past its deadline, for a transaction that has begun */
    PURGE_EVERY_MS = 5000,
    PURGE_SOON_MS = 50, /* when there is more to purge: 4,000 rows of a kind in a second */
    PURGE_ROWS = 200,
    GATHER_FROM = 8, /* signatures still to come that make it worth while to wait for some */
    GATHER_NS = 700000,
    TRIES = 4, /* of a transaction that others take precedence over */
    DOUBT_MS =
        1500, /* for a store that left a transaction in doubt to tell, with who waits for it */
    DOUBT_PAUSE_MS = 50,
};

struct committer {
    struct store *store;
    struct ledger *ledger;
    struct signers *signers;
    struct metrics *metrics;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic int64_t turn_ns;

    pthread_mutex_t lock;
    struct job *queued; /* newest first */
    struct committer_status status;

    /* the thread's own */
    struct job *batch;
    struct job **batch_end;
    int64_t purge_due_ns;
    bool is_in_doubt; /* a transaction's end is not known, and the store has committed none since */

    struct clock_watch clock;
};

/* ---- jobs ---- */

void job_init(struct job *job, const struct job_type *type)
{
    job->type = type;
    job->err.code = ERROR_NONE;
    job->next = NULL;
    atomic_init(&job->stage, JOB_PENDING);
    sem_init(&job->done, 0, 0);
}

void job_clear(struct job *job)
{
    sem_destroy(&job->done);
}

static bool move(struct job *job, enum job_stage from, enum job_stage to)
{
    return atomic_compare_exchange_strong(&job->stage, &from, to);
}

enum job_outcome job_await(struct job *job, int64_t deadline_ns, struct error *err)
{
    if (!semaphore_await(&job->done, deadline_ns)) {
        if (move(job, JOB_PENDING, JOB_ABANDONED)) {
            (void)!fail(err, ERROR_DEVICE_UNAVAILABLE, "nothing came within the deadline");
            return JOB_GIVEN_UP;
        }
        if (!semaphore_await(&job->done, deadline_ns + COMMIT_PATIENCE_MS * NS_PER_MS)) {
            if (move(job, JOB_COMMITTING, JOB_ABANDONED)) {
                (void)!fail(err, ERROR_STORE_IN_DOUBT, "the store did not answer in time");
                return JOB_IN_DOUBT;
            }
            (void)semaphore_await(&job->done, INT64_MAX); /* it is just being posted */
        }
    }
    (void)atomic_load(&job->stage); /* ThreadSanitizer does not know sem_clockwait() */
    *err = job->err;
    return err->code == ERROR_NONE ? JOB_SUCCEEDED : JOB_FAILED;
}

static void complete(struct job *job)
{
    CRASH_POINT(JOB_DONE);
    if (atomic_exchange(&job->stage, JOB_DONE) == JOB_ABANDONED) {
        job->type->free(job);
    } else {
        (void)sem_post(&job->done);
    }
}

void job_fail(struct job *job, enum error_code code, const char *message)
{
    (void)!fail(&job->err, code, "%s", message);
    complete(job);
}

/* ---- the thread ---- */

static void put_first(struct committer *self, struct job *job)
{
    self->batch_end = self->batch == NULL ? &job->next : self->batch_end;
    job->next = self->batch;
    self->batch = job;
    job->type->prepare(job, self->store);
}

/* Adds a job to the batch, unless nobody waits for it any more. */
static void batch_add(struct committer *self, struct job *job)
{
    if (!move(job, JOB_PENDING, JOB_COMMITTING)) {
        complete(job);
        return;
    }
    if (job->type->prepare != NULL) {
        put_first(self, job);
        return;
    }
    job->next = NULL;
    *self->batch_end = job;
    self->batch_end = &job->next;
}

static void on_signature(void *context, void *tag, const uint8_t *bytes, size_t length,
                         int64_t sign_ns)
{
    struct committer *self = context;
    struct job *job = tag;

    metrics_observe_signature(self->metrics, sign_ns, monotonic_ns());
    job->type->take_signature(job, bytes, length);
    CRASH_POINT(SIGNATURE_COLLECTED);
    batch_add(self, job);
}

static void take_queued(struct committer *self)
{
    struct job *newest_first;
    struct job *oldest_first = NULL;

    pthread_mutex_lock(&self->lock);
    newest_first = take(self->queued);
    pthread_mutex_unlock(&self->lock);

    while (newest_first != NULL) {
        struct job *job = newest_first;
        newest_first = job->next;
        job->next = oldest_first;
        oldest_first = job;
    }
    while (oldest_first != NULL) {
        struct job *job = oldest_first;
        oldest_first = job->next;
        batch_add(self, job);
    }
}

/* In small steps, so that no exchange waits long for one. */
static bool purge_if_due(struct committer *self, int64_t now_s, struct error *err)
{
    bool more_rows = false;
    bool more_entries = false;

    if (monotonic_ns() < self->purge_due_ns) {
        return true;
    }
    self->purge_due_ns = monotonic_ns() + PURGE_EVERY_MS * (int64_t)NS_PER_MS;
    if (!store_purge(self->store, now_s, PURGE_ROWS, &more_rows, err)
        || !ledger_prune(self->ledger, self->store, now_s, PURGE_ROWS, &more_entries, err)) {
        return false;
    }
    CRASH_POINT(PURGED);
    if (more_rows || more_entries) {
        self->purge_due_ns = monotonic_ns() + PURGE_SOON_MS * (int64_t)NS_PER_MS;
    }
    return true;
}

/* After these the transaction is lost, whatever else was in it. */
static bool drops_all(enum error_code code)
{
    return code == ERROR_STORE_UNAVAILABLE || code == ERROR_STORE_CONFLICT
        || code == ERROR_STORE_ROLLED_BACK;
}

static bool send_jobs(struct committer *self, int64_t now_s, struct error *err)
{
    for (struct job *job = self->batch; job != NULL; job = job->next) {
        job->err.code = ERROR_NONE;
        if (job->type->send != NULL && !job->type->send(job, self->store, now_s, err)) {
            return false;
        }
    }
    return true;
}

static bool run_jobs(struct committer *self, int64_t now_s, struct error *err)
{
    for (struct job *job = self->batch; job != NULL; job = job->next) {
        if (!job->type->run(job, self->ledger, self->store, now_s, &job->err)
            && drops_all(job->err.code)) {
            *err = job->err;
            return false;
        }
    }
    return purge_if_due(self, now_s, err) && ledger_seal(self->ledger, self->store, err);
}

/* One transaction for the whole batch: all of it is durable, or none of it is. */
static bool commit_once(struct committer *self, struct error *err)
{
    int64_t now_s = 0;

    if (!store_begin(self->store, &now_s, err)) {
        return false;
    }
    CRASH_POINT(TRANSACTION_BEGUN);
    if (!send_jobs(self, now_s, err) || !run_jobs(self, now_s, err)) {
        store_rollback(self->store);
        return false;
    }
    CRASH_POINT(TREE_KEPT);
    const int64_t start_ns = monotonic_ns();
    if (!store_commit(self->store, err)) {
        return false;
    }
    CRASH_POINT(COMMITTED);
    const int64_t now_ns = monotonic_ns();
    metrics_observe_commit(self->metrics, now_ns - start_ns, now_ns);
    return true;
}

/* The first job that can tell; the others of its transaction share its fate. */
static struct job *witness_of(struct committer *self)
{
    struct job *job = self->batch;
    while (job != NULL && (job->type->is_done == NULL || job->err.code != ERROR_NONE)) {
        job = job->next;
    }
    return job;
}

/* Whether the transaction whose commit was not answered is durable. What is read counts only once a
 * transaction that began after it and writes is durable, too: in SQLite it takes the place in the WAL
 * of what was written there and not synced, which a restart would take for committed. Without a witness
 * there is nothing to read. False: it is still not known. */
static bool ask_store(struct committer *self, struct job *witness, bool *done_out,
                      struct error *err)
{
    int64_t now_s = 0;

    *done_out = false;
    if (!store_begin(self->store, &now_s, err)) {
        return false;
    }
    if (!store_heartbeat(self->store, now_s, err)
        || (witness != NULL && !witness->type->is_done(witness, self->store, done_out, err))) {
        store_rollback(self->store);
        return false;
    }
    return store_commit(self->store, err);
}

/* False: no, and then the error says that nothing was written; or not known in time. */
static bool was_committed(struct committer *self, struct error *err)
{
    const int64_t deadline_ns = monotonic_ns() + DOUBT_MS * (int64_t)NS_PER_MS;
    const struct timespec pause = { .tv_nsec = DOUBT_PAUSE_MS * NS_PER_MS };
    struct job *witness = witness_of(self);
    struct error reason = *err;
    bool done = false;

    self->is_in_doubt = !ask_store(self, witness, &done, &reason);
    while (self->is_in_doubt && monotonic_ns() < deadline_ns) {
        (void)nanosleep(&pause, NULL);
        self->is_in_doubt = !ask_store(self, witness, &done, &reason);
    }
    if (witness != NULL && !self->is_in_doubt && !done) {
        err->code = ERROR_STORE_UNAVAILABLE;
    }
    return done && !self->is_in_doubt;
}

/* A store that cannot commit would leave in doubt, and so spend in vain, whatever code comes: until it
 * has committed something nobody waits for, it gets no more of them. */
static bool end_doubt(struct committer *self, struct error *err)
{
    bool unused;

    self->is_in_doubt = self->is_in_doubt && !ask_store(self, NULL, &unused, err);
    if (self->is_in_doubt) {
        err->code = ERROR_STORE_UNAVAILABLE; /* the batch has not begun */
    }
    return !self->is_in_doubt;
}

static bool commit_batch(struct committer *self, struct error *err)
{
    bool committed = false;

    for (int i = 0; i < TRIES && !committed; i++) {
        committed = commit_once(self, err);
        if (!committed && err->code == ERROR_STORE_IN_DOUBT) {
            log_error(LOG_LEVEL_WARNING, "store.in_doubt", err, "%s", "");
            committed = was_committed(self, err);
            ledger_settle(self->ledger, committed);
            return committed;
        }
        ledger_settle(self->ledger, committed);
        if (!committed && err->code != ERROR_STORE_CONFLICT) {
            return false;
        }
    }
    return committed;
}

/* Core's own codes end here. */
static enum error_code outward(enum error_code code)
{
    return code == ERROR_STORE_ROLLED_BACK                               ? ERROR_LEDGER_STOPPED
         : code == ERROR_STORE_IN_DOUBT || code == ERROR_CLOCK_UNTRUSTED ? code
                                                                         : ERROR_STORE_UNAVAILABLE;
}

static void note_commit(struct committer *self)
{
    pthread_mutex_lock(&self->lock);
    self->status.committed_ns = monotonic_ns();
    self->status.failing_ns = 0;
    pthread_mutex_unlock(&self->lock);
}

/* A store that was rolled back answers, and what it answers is the ledger's trouble; a clock that is not
 * trusted is told of by its watch. */
static void note_failure(struct committer *self, const struct error *err)
{
    if (err->code != ERROR_CLOCK_UNTRUSTED) {
        log_error(LOG_LEVEL_ERROR, "store.failed", err, "%s", "");
    }
    if (err->code == ERROR_STORE_ROLLED_BACK || err->code == ERROR_CLOCK_UNTRUSTED) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->status.failed_ns = monotonic_ns();
    self->status.err = *err;
    if (self->status.failing_ns == 0) {
        self->status.failing_ns = self->status.failed_ns;
    }
    pthread_mutex_unlock(&self->lock);
}

/* Without the time nothing is purged. That it is tried again is how the database's clock is read. */
static void postpone_purge(struct committer *self, enum error_code code)
{
    if (code == ERROR_CLOCK_UNTRUSTED) {
        self->purge_due_ns = monotonic_ns() + IDLE_MS * (int64_t)NS_PER_MS;
    }
}

static void run_batch(struct committer *self)
{
    struct error err = { .code = ERROR_NONE };

    if (!end_doubt(self, &err) || !commit_batch(self, &err)) {
        note_failure(self, &err);
        postpone_purge(self, err.code);
        err.code = outward(err.code);
        for (struct job *job = self->batch; job != NULL; job = job->next) {
            job->err = err;
            if (job->type->undo != NULL) {
                job->type->undo(job, self->store);
            }
        }
    } else {
        note_commit(self);
    }
    while (self->batch != NULL) {
        struct job *job = self->batch;
        self->batch = job->next; /* first: a completed job is not ours any more */
        complete(job);
    }
    self->batch_end = &self->batch;
}

/* A disk that syncs fast would get a transaction for every two or three tokens, each with its
 * wake-ups and its writes, and the CPU that they take is the signers'. Sleeping, not polling: an
 * answer that comes meanwhile wakes nobody. */
static void gather(struct committer *self)
{
    const struct timespec pause = { .tv_nsec = GATHER_NS };

    if (signers_in_flight(self->signers) >= GATHER_FROM) {
        (void)nanosleep(&pause, NULL);
        (void)signers_collect(self->signers, 0, on_signature, self);
    }
}

/* Until the next purge at most. */
static int idle_ms(const struct committer *self)
{
    const int64_t left_ms = (self->purge_due_ns - monotonic_ns()) / NS_PER_MS;
    return left_ms <= 0 ? 1 : left_ms < IDLE_MS ? (int)left_ms + 1 : IDLE_MS;
}

static void *committer_run(void *argument)
{
    struct committer *self = argument;

    while (!atomic_load_explicit(&self->stopping, memory_order_relaxed)) {
        atomic_store_explicit(&self->turn_ns, monotonic_ns(), memory_order_relaxed);
        clock_watch_look(&self->clock);
        if (signers_collect(self->signers, idle_ms(self), on_signature, self) > 0) {
            gather(self);
        }
        take_queued(self);
        if (self->batch != NULL || monotonic_ns() >= self->purge_due_ns) {
            run_batch(self);
        }
    }
    take_queued(self);
    run_batch(self);
    return NULL;
}

bool committer_start(const struct committer_options *options, struct committer **committer_out,
                     struct error *err)
{
    struct committer *self = xcalloc(1, sizeof(*self));

    self->store = options->store;
    self->ledger = options->ledger;
    self->signers = options->signers;
    self->metrics = options->metrics;
    self->batch_end = &self->batch;
    self->clock.store = options->store;
    atomic_init(&self->turn_ns, monotonic_ns());
    pthread_mutex_init(&self->lock, NULL);
    if (pthread_create(&self->thread, NULL, committer_run, self) != 0) {
        pthread_mutex_destroy(&self->lock);
        free(self);
        return fail(err, ERROR_INTERNAL, "start the committer's thread");
    }
    *committer_out = self;
    return true;
}

void committer_stop(struct committer *self)
{
    if (self == NULL) {
        return;
    }
    atomic_store(&self->stopping, true);
    signers_wake(self->signers);
    pthread_join(self->thread, NULL);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

struct committer_status committer_status(struct committer *self)
{
    pthread_mutex_lock(&self->lock);
    const struct committer_status status = self->status;
    pthread_mutex_unlock(&self->lock);
    return status;
}

static void submit(struct committer *self, struct job *job)
{
    pthread_mutex_lock(&self->lock);
    const bool was_empty = self->queued == NULL;
    job->next = self->queued;
    self->queued = job;
    pthread_mutex_unlock(&self->lock);
    if (was_empty) {
        signers_wake(self->signers);
    }
}

bool committer_write(struct committer *self, struct job *job, struct error *err)
{
    submit(self, job);
    switch (job_await(job, monotonic_ns() + WRITE_DEADLINE_MS * (int64_t)NS_PER_MS, err)) {
    case JOB_SUCCEEDED:
        return true;
    case JOB_FAILED:
        job->type->free(job);
        return false;
    case JOB_GIVEN_UP:
        return fail(err, ERROR_STORE_UNAVAILABLE, "the store did not answer in time");
    case JOB_IN_DOUBT:
        return false;
    }
    return false;
}

int64_t committer_turn_ns(const struct committer *self)
{
    return atomic_load_explicit(&self->turn_ns, memory_order_relaxed);
}

int64_t committer_clock_untrusted_ns(const struct committer *self)
{
    return clock_watch_untrusted_ns(&self->clock);
}
