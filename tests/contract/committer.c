/*
 * The committer over an SQLite store whose commits end as the test says: in another's favour, or in
 * doubt, with the transaction durable or lost. TEST_SIGNER is issuerd-signer's program. Run by
 * tests/support/with_software.sh.
 */
#include "core/committer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "store/store_driver.h"
#include "support/run.h"

enum { TRIES = 4, WAIT_S = 10, HOUR_S = 3600 };

/* How a commit ends; each is a letter of the plan. */
enum { DONE = 'd', CONFLICT = 'c', DURABLE = 'u', LOST = 'l', FAILED = 'f' };

/* Enters one entry, of its jti. */
struct entering {
    struct job job;
    const char *jti;
    enum error_code fails_with; /* ERROR_NONE: it does not */
    bool fails_once;            /* and is good when it is run again */
    sem_t *holds;               /* not NULL: the transaction goes on once this is posted */
    int runs;
    int sends;
    int mute; /* so many times it is asked in vain whether it is done */
};

static struct {
    char url[1200];
    struct signer_options signer;
    struct signers_options signers_options;
    struct ledger_options ledger_options;
    struct metrics metrics;
    struct store *store;
    const struct store_driver *real;
    struct store_driver driver;
    struct ledger *ledger;
    struct signers *signers;
    struct committer *committer;
    const char *_Atomic plan; /* of the commits to come; behind its end all are done */
    _Atomic bool is_down;     /* and until then none is */
    _Atomic int heartbeats;
    _Atomic int commits;   /* asked for */
    _Atomic int64_t off_s; /* of the engine's clock */
    struct store_anchors before;
    struct entering entering[3];
    struct error err;
} fixture;

/* ---- the store ---- */

static int next_end(void)
{
    const char *plan = atomic_load(&fixture.plan);

    if (*plan == '\0') {
        return atomic_load(&fixture.is_down) ? FAILED : DONE;
    }
    atomic_store(&fixture.plan, plan + 1);
    return *plan;
}

static bool commit_as_planned(struct store *store, struct error *err)
{
    const int end = next_end();

    atomic_fetch_add(&fixture.commits, 1);
    if (end == DONE) {
        return fixture.real->commit(store, err);
    }
    if (end == DURABLE) {
        return fixture.real->commit(store, err)
            && fail(err, ERROR_STORE_IN_DOUBT, "no answer, and it was durable");
    }
    fixture.real->rollback(store);
    return end == LOST     ? fail(err, ERROR_STORE_IN_DOUBT, "no answer, and it was lost")
         : end == CONFLICT ? fail(err, ERROR_STORE_CONFLICT, "another took precedence")
                           : fail(err, ERROR_STORE_UNAVAILABLE, "it is down");
}

static bool beat_and_count(struct store *store, int64_t now_s, struct error *err)
{
    atomic_fetch_add(&fixture.heartbeats, 1);
    return fixture.real->heartbeat(store, now_s, err);
}

static int64_t clock_as_set(struct store *store)
{
    (void)store;
    return wall_ns() + atomic_load(&fixture.off_s) * NS_PER_S;
}

/* ---- fixture ---- */

static void on_failed(void *context, void *tag, enum error_code code)
{
    (void)context, (void)tag, (void)code;
}

static bool open_store(void)
{
    const struct store_options options = { .max_open_requests = 10, .retention_s = 10 };

    if (!store_open(fixture.url, &options, &fixture.store, &fixture.err)) {
        return false;
    }
    fixture.real = fixture.store->driver;
    fixture.driver = *fixture.real;
    fixture.driver.commit = commit_as_planned;
    fixture.driver.heartbeat = beat_and_count;
    fixture.driver.now_ns = clock_as_set;
    fixture.store->driver = &fixture.driver;
    (void)store_confirm_clock(fixture.store);
    return true;
}

/* Once the purge of the start is over, which else would be one of the planned. */
static bool start(void)
{
    const int commits = atomic_load(&fixture.commits);
    const int64_t deadline_ns = monotonic_ns() + WAIT_S * NS_PER_S;
    const struct committer_options options = { .metrics = &fixture.metrics,
                                               .store = fixture.store,
                                               .ledger = fixture.ledger,
                                               .signers = fixture.signers };

    if (!committer_start(&options, &fixture.committer, &fixture.err)) {
        return false;
    }
    while (atomic_load(&fixture.commits) == commits && monotonic_ns() < deadline_ns) {
        (void)usleep(1000);
    }
    return atomic_load(&fixture.commits) > commits;
}

static void set_up(void)
{
    static char head_path[1200];
    const char *directory = getenv("TEST_DIR");

    memset(&fixture, 0, sizeof(fixture));
    fixture.plan = "";
    (void)snprintf(fixture.url, sizeof(fixture.url), "sqlite:%s/committer.db", directory);
    (void)snprintf(head_path, sizeof(head_path), "%s/head", directory);
    fixture.ledger_options = (struct ledger_options){ .node = "node", .head_path = head_path };
    fixture.signer = (struct signer_options){ .name = "main",
                                              .uri = getenv("TEST_KEY_URI"),
                                              .algorithm = "",
                                              .sessions = 1,
                                              .queue = 4,
                                              .queue_ms = 10000,
                                              .deadline_ms = 10000 };
    fixture.signers_options = (struct signers_options){ .program = getenv("TEST_SIGNER"),
                                                        .issuer = "https://issuer.example",
                                                        .audience = "https://issuer.example",
                                                        .lifetime_max_s = 3600,
                                                        .development = true,
                                                        .signers = &fixture.signer,
                                                        .count = 1,
                                                        .failed = on_failed };
    CU_ASSERT_TRUE_FATAL(
        open_store()
        && ledger_open(&fixture.ledger_options, fixture.store, &fixture.ledger, &fixture.err)
        && signers_start(&fixture.signers_options, &fixture.signers, &fixture.err) && start());
}

static void tear_down(void)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };

    committer_stop(take(fixture.committer));
    signers_stop(take(fixture.signers));
    ledger_close(take(fixture.ledger));
    store_close(take(fixture.store));
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char path[1200];
        (void)snprintf(path, sizeof(path), "%s/committer.db%s", getenv("TEST_DIR"), suffixes[i]);
        (void)unlink(path);
    }
}

/* ---- jobs ---- */

static bool entering_run(struct job *job, struct ledger *ledger, struct store *store, int64_t now_s,
                         struct error *err)
{
    struct entering *self = (struct entering *)job;
    const struct ledger_entry entry = { .time_s = now_s, .kind = LEDGER_ISSUED, .jti = self->jti };

    self->runs++;
    CU_ASSERT_EQUAL(self->sends, self->runs);
    if (self->holds != NULL) {
        (void)semaphore_await(self->holds, monotonic_ns() + WAIT_S * NS_PER_S);
    }
    if (self->fails_with != ERROR_NONE && !(self->fails_once && self->runs > 1)) {
        return fail(err, self->fails_with, "as the test says");
    }
    return ledger_append(ledger, store, &entry, err);
}

static bool note_row(void *context, const struct ledger_row *row, struct error *err)
{
    (void)row, (void)err;
    *(bool *)context = true;
    return true;
}

static bool entering_is_done(struct job *job, struct store *store, bool *done_out,
                             struct error *err)
{
    struct entering *self = (struct entering *)job;

    if (self->mute > 0) {
        self->mute--;
        return fail(err, ERROR_STORE_UNAVAILABLE, "as the test says");
    }
    return store_find_entries(store, self->jti, note_row, done_out, err);
}

static void entering_free(struct job *job)
{
    job_clear(job);
}

static bool entering_send(struct job *job, struct store *store, int64_t now_s, struct error *err)
{
    (void)store, (void)now_s, (void)err;
    ((struct entering *)job)->sends++;
    return true;
}

static const struct job_type can_tell = {
    .send = entering_send, .run = entering_run, .is_done = entering_is_done, .free = entering_free
};
static const struct job_type cannot_tell = { .send = entering_send,
                                             .run = entering_run,
                                             .free = entering_free };

static void confirming_prepare(struct job *job, struct store *store)
{
    (void)job;
    fixture.before = store_confirm_clock(store);
}

static void confirming_undo(struct job *job, struct store *store)
{
    (void)job;
    store_restore_anchors(store, &fixture.before);
}

static const struct job_type confirms = { .prepare = confirming_prepare,
                                          .undo = confirming_undo,
                                          .send = entering_send,
                                          .run = entering_run,
                                          .free = entering_free };

static struct entering *make(size_t which, const struct job_type *type, const char *jti)
{
    struct entering *self = &fixture.entering[which];

    *self = (struct entering){ .jti = jti };
    job_init(&self->job, type);
    return self;
}

static bool write_job(struct entering *self)
{
    fixture.err = (struct error){ .code = ERROR_NONE };
    const bool good = committer_write(fixture.committer, &self->job, &fixture.err);
    if (good) {
        entering_free(&self->job);
    }
    return good;
}

static bool writes(const char *jti)
{
    return write_job(make(0, &can_tell, jti));
}

static bool fails_with(enum error_code code)
{
    return fixture.err.code == code;
}

/* How many entries the store has of the jti. */
static int entries(const char *jti)
{
    bool found = false;

    CU_ASSERT_TRUE(store_find_entries(fixture.store, jti, note_row, &found, &fixture.err));
    return found;
}

/* The ledger knows of so many entries, and the store's tree has them. */
static bool has_grown_to(int64_t size)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };

    return ledger_status(fixture.ledger).size == size
        && store_list_trees(fixture.store, &list, &fixture.err)
        && (list.count > 0 ? list.trees[0].edge.size : 0) == size;
}

/* ---- tests ---- */

static void test_what_is_written_is_durable_and_the_ledger_has_grown(void)
{
    CU_ASSERT_TRUE(writes("a"));
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(entries("a") && entries("b"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

static void test_a_batch_that_others_take_precedence_over_is_run_again(void)
{
    fixture.plan = "ccc";
    CU_ASSERT_TRUE(writes("a"));
    CU_ASSERT_EQUAL(fixture.entering[0].runs, TRIES);
    CU_ASSERT_TRUE(has_grown_to(1));
}

static void test_a_job_that_others_take_precedence_over_is_run_again_with_its_batch(void)
{
    struct entering *job = make(0, &can_tell, "a");

    job->fails_with = ERROR_STORE_CONFLICT;
    job->fails_once = true;
    CU_ASSERT_TRUE(write_job(job));
    CU_ASSERT_EQUAL(job->runs, 2);
    CU_ASSERT_TRUE(has_grown_to(1));
}

static void test_it_is_run_again_three_times_and_no_more(void)
{
    fixture.plan = "ccccc";
    CU_ASSERT_FALSE(writes("a"));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_UNAVAILABLE));
    CU_ASSERT_EQUAL(fixture.entering[0].runs, TRIES);
    CU_ASSERT_STRING_EQUAL(fixture.plan, "c");
    CU_ASSERT_FALSE(entries("a"));
    fixture.plan = "";
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(has_grown_to(1));
}

static void test_what_is_in_doubt_and_durable_is_done(void)
{
    fixture.plan = "u";
    CU_ASSERT_TRUE(writes("a"));
    CU_ASSERT_EQUAL(fixture.heartbeats, 1); /* only what writes tells by its commit */
    CU_ASSERT_EQUAL(fixture.entering[0].runs, 1);
    CU_ASSERT_TRUE(has_grown_to(1));
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

static void test_what_is_in_doubt_and_lost_was_never_written(void)
{
    fixture.plan = "l";
    CU_ASSERT_FALSE(writes("a"));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_UNAVAILABLE));
    CU_ASSERT_EQUAL(fixture.entering[0].runs, 1);
    CU_ASSERT_TRUE(has_grown_to(0));
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(has_grown_to(1));
}

static void test_what_nobody_can_tell_is_told_as_in_doubt(void)
{
    fixture.plan = "u";
    CU_ASSERT_FALSE(write_job(make(0, &cannot_tell, "a")));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_IN_DOUBT));
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

/* What is read in a transaction that is not durable itself says nothing. */
static void test_a_store_that_commits_nothing_more_leaves_it_in_doubt_and_begins_nothing(void)
{
    fixture.is_down = true;
    fixture.plan = "u";
    CU_ASSERT_FALSE(writes("a"));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_IN_DOUBT));
    CU_ASSERT_FALSE(writes("b"));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_UNAVAILABLE));
    CU_ASSERT_EQUAL(fixture.entering[0].runs, 0);

    fixture.is_down = false;
    CU_ASSERT_TRUE(writes("c"));
    CU_ASSERT_TRUE(entries("a") && !entries("b"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

static void test_a_store_that_commits_nothing_more_tells_of_no_loss_either(void)
{
    fixture.is_down = true;
    fixture.plan = "l";
    CU_ASSERT_FALSE(writes("a"));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_IN_DOUBT));
    fixture.is_down = false;
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(has_grown_to(1));
}

static void test_a_doubt_that_ends_while_it_is_waited_for_is_told(void)
{
    struct entering *job = make(0, &can_tell, "a");

    fixture.plan = "uff";
    job->mute = 1;
    CU_ASSERT_TRUE(write_job(job));
    CU_ASSERT_TRUE(has_grown_to(1));
}

static void test_cores_own_errors_do_not_leave_it(void)
{
    static const enum error_code inward[] = { ERROR_STORE_ROLLED_BACK, ERROR_STORE_CONFLICT,
                                              ERROR_STORE_UNAVAILABLE, ERROR_INVALID_REQUEST };
    static const enum error_code outward[] = { ERROR_LEDGER_STOPPED, ERROR_STORE_UNAVAILABLE,
                                               ERROR_STORE_UNAVAILABLE, ERROR_INVALID_REQUEST };

    for (size_t i = 0; i < COUNT_OF(inward); i++) {
        struct entering *job = make(0, &can_tell, "a");
        job->fails_with = inward[i];
        CU_ASSERT_FALSE(write_job(job));
        CU_ASSERT_TRUE(fails_with(outward[i]));
        CU_ASSERT_EQUAL(job->runs, inward[i] == ERROR_STORE_CONFLICT ? TRIES : 1);
    }
    CU_ASSERT_TRUE(has_grown_to(0));
}

static void *write_in_thread(void *argument)
{
    struct error err = { .code = ERROR_NONE };
    struct entering *self = argument;

    if (committer_write(fixture.committer, &self->job, &err)) {
        entering_free(&self->job);
    }
    self->fails_with = err.code;
    return NULL;
}

/* The first holds the committer until the others wait for it, and so are of one transaction. */
static void write_two_at_once(void)
{
    pthread_t threads[3];
    sem_t holds;

    (void)sem_init(&holds, 0, 0);
    fixture.entering[0].holds = &holds;
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL, write_in_thread, &fixture.entering[i]), 0);
        (void)usleep(100000);
    }
    (void)sem_post(&holds);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)sem_destroy(&holds);
}

static void test_a_refusal_leaves_the_others_of_its_batch_in_place_in_doubt_too(void)
{
    make(0, &can_tell, "first");
    make(1, &can_tell, "refused")->fails_with = ERROR_INVALID_REQUEST;
    make(2, &can_tell, "other");
    fixture.plan = "du";
    write_two_at_once();
    CU_ASSERT_EQUAL(fixture.entering[1].fails_with, ERROR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(fixture.entering[2].fails_with, ERROR_NONE);
    CU_ASSERT_TRUE(entries("other") && !entries("refused"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

static void test_a_batch_is_one_transaction(void)
{
    static const enum error_code codes[] = { ERROR_STORE_ROLLED_BACK, ERROR_STORE_CONFLICT,
                                             ERROR_STORE_UNAVAILABLE };

    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        make(0, &can_tell, "first");
        make(1, &can_tell, "one");
        make(2, &can_tell, "other")->fails_with = codes[i];
        write_two_at_once();
        CU_ASSERT_NOT_EQUAL(fixture.entering[1].fails_with, ERROR_NONE);
        CU_ASSERT_EQUAL(fixture.entering[1].fails_with, fixture.entering[2].fails_with);
        CU_ASSERT_TRUE(entries("first") && !entries("one"));
        CU_ASSERT_TRUE(has_grown_to((int64_t)i + 1));
    }
}

static void test_nothing_is_written_by_a_clock_that_was_set(void)
{
    CU_ASSERT_TRUE(writes("a"));
    atomic_store(&fixture.off_s, -HOUR_S);
    CU_ASSERT_FALSE(writes("b"));
    CU_ASSERT_TRUE(fails_with(ERROR_CLOCK_UNTRUSTED));
    CU_ASSERT_EQUAL(fixture.entering[0].runs, 0);
    CU_ASSERT_EQUAL(committer_status(fixture.committer).failing_ns, 0); /* not the store's fault */
    CU_ASSERT_TRUE(store_now_s(fixture.store) >= wall_s() - 1);
    atomic_store(&fixture.off_s, 0);
    CU_ASSERT_TRUE(writes("c"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

static void test_a_clock_is_confirmed_with_the_first_entry_by_it(void)
{
    atomic_store(&fixture.off_s, HOUR_S);
    CU_ASSERT_TRUE(write_job(make(0, &confirms, "a")));
    CU_ASSERT_TRUE(writes("b"));
    CU_ASSERT_TRUE(has_grown_to(2));
}

static void test_a_clock_is_not_confirmed_if_that_is_lost(void)
{
    fixture.plan = "f";
    atomic_store(&fixture.off_s, HOUR_S);
    CU_ASSERT_FALSE(write_job(make(0, &confirms, "a")));
    CU_ASSERT_TRUE(fails_with(ERROR_STORE_UNAVAILABLE));
    CU_ASSERT_FALSE(writes("b"));
    CU_ASSERT_TRUE(fails_with(ERROR_CLOCK_UNTRUSTED));
    CU_ASSERT_TRUE(has_grown_to(0));
}

static void test_who_confirms_the_clock_is_the_first_of_the_batch(void)
{
    make(0, &can_tell, "first");
    make(1, &can_tell, "refused")->fails_with = ERROR_INVALID_REQUEST;
    make(2, &confirms, "confirms")->fails_with = ERROR_STORE_UNAVAILABLE;
    write_two_at_once();
    CU_ASSERT_EQUAL(fixture.entering[1].runs, 0);
    CU_ASSERT_EQUAL(fixture.entering[2].runs, 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "what is written is durable, and the ledger has grown",
          test_what_is_written_is_durable_and_the_ledger_has_grown },
        { "a batch that others take precedence over is run again",
          test_a_batch_that_others_take_precedence_over_is_run_again },
        { "a job that others take precedence over is run again with its batch",
          test_a_job_that_others_take_precedence_over_is_run_again_with_its_batch },
        { "it is run again three times and no more", test_it_is_run_again_three_times_and_no_more },
        { "what is in doubt and durable is done", test_what_is_in_doubt_and_durable_is_done },
        { "what is in doubt and lost was never written",
          test_what_is_in_doubt_and_lost_was_never_written },
        { "what nobody can tell is told as in doubt",
          test_what_nobody_can_tell_is_told_as_in_doubt },
        { "a store that commits nothing more leaves it in doubt and begins nothing",
          test_a_store_that_commits_nothing_more_leaves_it_in_doubt_and_begins_nothing },
        { "a store that commits nothing more tells of no loss either",
          test_a_store_that_commits_nothing_more_tells_of_no_loss_either },
        { "a doubt that ends while it is waited for is told",
          test_a_doubt_that_ends_while_it_is_waited_for_is_told },
        { "core's own errors do not leave it", test_cores_own_errors_do_not_leave_it },
        { "a refusal leaves the others of its batch in place, in doubt, too",
          test_a_refusal_leaves_the_others_of_its_batch_in_place_in_doubt_too },
        { "a batch is one transaction", test_a_batch_is_one_transaction },
        { "nothing is written by a clock that was set",
          test_nothing_is_written_by_a_clock_that_was_set },
        { "a clock is confirmed with the first entry by it",
          test_a_clock_is_confirmed_with_the_first_entry_by_it },
        { "a clock is not confirmed if that is lost",
          test_a_clock_is_not_confirmed_if_that_is_lost },
        { "who confirms the clock is the first of the batch",
          test_who_confirms_the_clock_is_the_first_of_the_batch },
        CU_TEST_INFO_NULL,
    };
    return run_suite("committer", set_up, tear_down, tests);
}
