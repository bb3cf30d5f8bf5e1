#include "core/checkpointer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/metrics.h"
#include "core/note.h"

enum {
    LOOK_EVERY_MS = 100,
    RETRY_MS = 1000,
    LAST_S = 5,
    MARGIN_MS = 250, /* past the signer's deadline, so that its supervisor acts first */
    ORIGIN_SIZE = 640,
    ROOT_SIZE = 48,
};

/* How far a tree had grown. */
struct mark {
    int64_t epoch;
    int64_t size;
};

struct checkpointer {
    struct checkpointer_options options;
    _Atomic int64_t entries; /* as the options have them, or checkpointer_set_pace() last */
    _Atomic int64_t interval_s;
    bool has_signer;
    char signer[SIGNER_NAME_MAX + 1];
    pthread_t thread;
    bool has_thread;
    sem_t stopping;
    _Atomic int64_t signed_s;   /* when the newest signed checkpoint was made; 0: there is none */
    _Atomic int64_t failing_ns; /* since when none could be made, and the log says so; 0: not so */

    /* the thread's own, and after it the stopping one's */
    struct mark covered; /* by the newest checkpoint, signed if there is a key to sign it */
    struct mark kept;    /* by the head file */
    int64_t next_ns;     /* from when on one new entry is enough */
    int64_t retry_ns;
    bool is_behind; /* and the log says so */
};

/* ---- what is signed ---- */

struct checkpoint {
    struct ledger_head head;
    char origin[ORIGIN_SIZE];
    char note[CHECKPOINT_NOTE_MAX]; /* first the body alone */
    struct text text;               /* over it */
};

static void compose(struct checkpoint *checkpoint, const struct checkpointer_options *options,
                    const struct ledger_head *head)
{
    struct text origin = text_over(checkpoint->origin, sizeof(checkpoint->origin));

    checkpoint->head = *head;
    checkpoint->text = text_over(checkpoint->note, sizeof(checkpoint->note));
    note_add_origin(&origin, options->issuer, options->node, head->epoch);
    note_add_body(&checkpoint->text, checkpoint->origin, head->size, &head->root);
}

/* Belongs to the committer while the signature is under way: it outlives who asked for it. */
struct checkpoint_job {
    struct job job;
    struct checkpoint checkpoint;
    struct stored_checkpoint row;
    bool is_signed;
};

static void checkpoint_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static void checkpoint_take_signature(struct job *job, const uint8_t *bytes, size_t length)
{
    struct checkpoint_job *self = (struct checkpoint_job *)job;
    struct checkpoint *checkpoint = &self->checkpoint;
    struct error err;

    self->is_signed = note_add_signature(&checkpoint->text, checkpoint->origin, self->row.jwk,
                                         bytes, length, &err)
                   && !checkpoint->text.overflowed;
    memcpy(self->row.note, checkpoint->note, sizeof(self->row.note));
    CRASH_POINT(CHECKPOINT_SIGNED);
}

static bool checkpoint_commit(struct job *job, struct ledger *ledger, struct store *store,
                              int64_t now_s, struct error *err)
{
    struct checkpoint_job *self = (struct checkpoint_job *)job;

    self->row.time_s = now_s;
    return (self->is_signed || fail(err, ERROR_INTERNAL, "the checkpoint's note does not fit"))
        && ledger_check(ledger, store, err) && store_add_checkpoint(store, &self->row, err);
}

static const struct job_type checkpoint_job = {
    .run = checkpoint_commit,
    .take_signature = checkpoint_take_signature,
    .free = checkpoint_free,
};

static struct checkpoint_job *checkpoint_job_new(const struct checkpointer_options *options,
                                                 const struct ledger_head *head, const char *jwk)
{
    struct checkpoint_job *job = xcalloc(1, sizeof(*job));

    job_init(&job->job, &checkpoint_job);
    compose(&job->checkpoint, options, head);
    job->row.tree = head->tree;
    job->row.size = head->size;
    (void)snprintf(job->row.jwk, sizeof(job->row.jwk), "%s", jwk);
    return job;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The audit key's, which a reload may exchange for another; DOWN, with no name: there is none. */
static struct signer_status find_signer(const struct checkpointer *self)
{
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->options.signers, signers);

    for (size_t i = 0; i < count; i++) {
        if (signers[i].purpose == SIGNER_CHECKPOINTS) {
            return signers[i];
        }
    }
    return (struct signer_status){ .state = SIGNER_DOWN };
}

/* Has the checkpoint signed and put into the store; then its note is whole. */
static bool sign(struct checkpointer *self, struct checkpoint *checkpoint, int64_t deadline_ns,
                 struct error *err)
{
    const struct signer_status signer = find_signer(self);
    const int64_t patience_ns = (signer.patience_ms + MARGIN_MS) * NS_PER_MS;
    const int64_t until_ns = earlier(deadline_ns, monotonic_ns() + patience_ns);

    if (signer.key == NULL) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "signer %s is down", self->signer);
    }
    struct checkpoint_job *job =
        checkpoint_job_new(&self->options, &checkpoint->head, signer.key->jwk);
    const struct text *body = &job->checkpoint.text;
    if (!signers_submit(self->options.signers, signer.id, body->start, body->length, until_ns, job,
                        err)) {
        checkpoint_free(&job->job);
        return false;
    }
    const enum job_outcome outcome = job_await(&job->job, until_ns, err);
    if (outcome == JOB_SUCCEEDED) {
        memcpy(checkpoint->note, job->row.note, sizeof(checkpoint->note));
    }
    if (outcome == JOB_SUCCEEDED || outcome == JOB_FAILED) {
        checkpoint_free(&job->job);
    }
    return outcome == JOB_SUCCEEDED;
}

/* ---- the head file ---- */

static bool write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        const ssize_t written = write(fd, text, left);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text += written > 0 ? written : 0;
        left -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

struct directory {
    char path[PATH_MAX];
};

static struct directory directory_of(const char *path)
{
    struct directory directory;

    (void)snprintf(directory.path, sizeof(directory.path), "%.*s",
                   (int)(strrchr(path, '/') - path + 1), path);
    return directory;
}

static bool check_directory(const char *path, struct error *err)
{
    const struct directory directory = directory_of(path);

    return access(directory.path, W_OK | X_OK) == 0
        || fail_errno(err, ERROR_CONFIG,
                      "ledger.checkpoint_file: no file can be written in %s: make it, or name "
                      "another file",
                      directory.path);
}

static bool sync_directory(const char *path)
{
    scoped(release_fd) int fd = open(directory_of(path).path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

/* The old one or the new one is there, whole, whatever happens, and whoever else does the same. */
static bool write_head(const char *path, const char *text, struct error *err)
{
    char new_path[PATH_MAX];

    (void)snprintf(new_path, sizeof(new_path), "%s.%d.new", path, (int)getpid());
    scoped(release_fd) int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !write_all(fd, text) || fsync(fd) != 0) {
        return fail_errno(err, ERROR_STORE_UNAVAILABLE, "write %s", new_path);
    }
    CRASH_POINT(HEAD_WRITTEN);
    if (rename(new_path, path) != 0 || !sync_directory(path)) {
        return fail_errno(err, ERROR_STORE_UNAVAILABLE, "put %s into its place", new_path);
    }
    CRASH_POINT(HEAD_RENAMED);
    return true;
}

static bool is_at(const struct mark *mark, const struct ledger_head *head)
{
    return mark->epoch == head->epoch && mark->size == head->size;
}

/* With or without a signature: what the store had is remembered in any case. */
static bool keep_head(struct checkpointer *self, const struct checkpoint *checkpoint,
                      bool is_signed, struct error *err)
{
    if (!is_signed && is_at(&self->kept, &checkpoint->head)) {
        return true;
    }
    if (!write_head(self->options.head_path, checkpoint->note, err)) {
        return false;
    }
    self->kept = (struct mark){ checkpoint->head.epoch, checkpoint->head.size };
    return true;
}

/* ---- one checkpoint ---- */

static void note_signed(struct checkpointer *self, const struct ledger_head *head)
{
    atomic_store(&self->signed_s, store_now_s(self->options.store));
    ledger_note_checkpoint(self->options.ledger, head->epoch, head->size);
}

static void report_checkpoint(const struct checkpoint *checkpoint, bool is_signed)
{
    char root_buffer[ROOT_SIZE];
    struct text root = text_over(root_buffer, sizeof(root_buffer));

    text_add_base64(&root, checkpoint->head.root.bytes, sizeof(checkpoint->head.root.bytes));
    log_event(LOG_LEVEL_NOTICE, "ledger.checkpoint", "origin=%s size=%" PRId64 " root=%s signed=%s",
              checkpoint->origin, checkpoint->head.size, root_buffer, is_signed ? "yes" : "no");
}

/* Once for as long as it lasts. */
static void report_failure(struct checkpointer *self, const struct checkpoint *checkpoint,
                           const struct error *err)
{
    if (atomic_load(&self->failing_ns) == 0) {
        atomic_store(&self->failing_ns, monotonic_ns());
        log_error(LOG_LEVEL_ERROR, "ledger.checkpoint_failed", err,
                  "origin=%s size=%" PRId64 " retry_ms=%d", checkpoint->origin,
                  checkpoint->head.size, RETRY_MS);
    }
}

static bool make_checkpoint(struct checkpointer *self, const struct ledger_head *head,
                            int64_t deadline_ns)
{
    struct checkpoint checkpoint;
    struct error err = { .code = ERROR_NONE };
    struct error head_err = { .code = ERROR_NONE };

    compose(&checkpoint, &self->options, head);
    CRASH_POINT(CHECKPOINT_COMPOSED);
    const bool is_signed = self->has_signer && sign(self, &checkpoint, deadline_ns, &err);
    if (is_signed) {
        CRASH_POINT(CHECKPOINT_STORED);
        note_signed(self, head);
    }
    const bool is_kept = err.code != ERROR_LEDGER_STOPPED /* rolled back meanwhile */
                      && keep_head(self, &checkpoint, is_signed, &head_err);
    const bool good = is_kept && is_signed == self->has_signer;
    if (is_signed || good) {
        report_checkpoint(&checkpoint, is_signed);
    }
    if (!good) {
        report_failure(self, &checkpoint, err.code != ERROR_NONE ? &err : &head_err);
    } else {
        atomic_store(&self->failing_ns, 0);
        self->covered = (struct mark){ head->epoch, head->size };
    }
    return good;
}

/* ---- the thread ---- */

static bool has_news(const struct checkpointer *self, const struct ledger_head *head)
{
    return !head->is_rolled_back && head->size > 0 && !is_at(&self->covered, head);
}

/* Without the time there is no checkpoint, and nothing new for one either. */
static bool is_due(const struct checkpointer *self, const struct ledger_head *head, int64_t now_ns)
{
    return has_news(self, head) && now_ns >= self->retry_ns
        && store_clock(self->options.store).is_trusted
        && (now_ns >= self->next_ns || head->epoch != self->covered.epoch
            || head->size - self->covered.size >= self->entries);
}

/* Tokens wait for checkpoints, or do no more. */
static void report_backlog(struct checkpointer *self)
{
    const struct ledger_status status = ledger_status(self->options.ledger);
    const bool is_behind = !status.permits && !status.is_rolled_back;

    if (is_behind != self->is_behind) {
        log_event(is_behind ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "ledger.backlog",
                  "entries=%" PRId64 " effect='%s'", status.size - status.checkpointed,
                  is_behind ? "no token is issued until a checkpoint is signed"
                            : "tokens are issued again");
    }
    self->is_behind = is_behind;
}

/* What the store lost is remembered for a restart, and for the operator's tool, which is waited for. */
static void await_acceptance(struct checkpointer *self, const struct ledger_head *head)
{
    struct checkpoint checkpoint;
    struct error err = { .code = ERROR_NONE };

    compose(&checkpoint, &self->options, head);
    if (head->size > self->kept.size && head->epoch == self->kept.epoch
        && !keep_head(self, &checkpoint, false, &err)) {
        report_failure(self, &checkpoint, &err);
    }
    (void)!ledger_look(self->options.ledger, self->options.store, &err); /* and again soon */
}

static void look(struct checkpointer *self)
{
    const struct ledger_head head = ledger_head(self->options.ledger);
    const int64_t now_ns = monotonic_ns();

    report_backlog(self);
    if (head.is_rolled_back && now_ns >= self->retry_ns) {
        await_acceptance(self, &head);
        self->retry_ns = monotonic_ns() + RETRY_MS * (int64_t)NS_PER_MS;
    }
    if (is_due(self, &head, now_ns)) {
        const bool made = make_checkpoint(self, &head, INT64_MAX);
        self->next_ns = now_ns + self->interval_s * NS_PER_S;
        self->retry_ns = made ? 0 : monotonic_ns() + RETRY_MS * (int64_t)NS_PER_MS;
    }
}

static bool wait_for_stop(struct checkpointer *self)
{
    return semaphore_await(&self->stopping, monotonic_ns() + LOOK_EVERY_MS * (int64_t)NS_PER_MS);
}

static void *checkpointer_run(void *argument)
{
    struct checkpointer *self = argument;

    do {
        look(self);
    } while (!wait_for_stop(self));
    return NULL;
}

/* ---- start and stop ---- */

static bool recall(struct checkpointer *self, struct error *err)
{
    const struct ledger_head head = ledger_head(self->options.ledger);
    struct stored_checkpoint last = { .size = 0 };

    if (head.tree != 0 && !store_last_checkpoint(self->options.store, head.tree, &last, err)
        && err->code != ERROR_NOT_FOUND) {
        return false;
    }
    atomic_store(&self->signed_s, last.time_s);
    return true;
}

/* A checkpoint is due before issuing stops. */
void checkpointer_set_pace(struct checkpointer *self, int64_t entries, int64_t interval_s,
                           int64_t backlog_max)
{
    const int64_t half = (backlog_max + 1) / 2;

    self->entries = backlog_max > 0 && entries > half ? half : entries;
    self->interval_s = interval_s;
}

bool checkpointer_start(const struct checkpointer_options *options,
                        struct checkpointer **checkpointer_out, struct error *err)
{
    struct checkpointer *self = xcalloc(1, sizeof(*self));

    self->options = *options;
    checkpointer_set_pace(self, options->entries, options->interval_s, options->backlog_max);
    sem_init(&self->stopping, 0, 0);
    (void)snprintf(self->signer, sizeof(self->signer), "%s", find_signer(self).name);
    self->has_signer = self->signer[0] != '\0';
    if (!check_directory(options->head_path, err) || !recall(self, err)) {
        checkpointer_stop(self);
        return false;
    }
    if (!self->has_signer) {
        log_event(LOG_LEVEL_WARNING, "ledger.not_signed",
                  "node=%s effect='whoever can write the store can rewrite the ledger' "
                  "hint='an audit key: [ledger] signer'",
                  options->node);
    }
    if (pthread_create(&self->thread, NULL, checkpointer_run, self) != 0) {
        checkpointer_stop(self);
        return fail(err, ERROR_INTERNAL, "start the checkpointer's thread");
    }
    self->has_thread = true;
    *checkpointer_out = self;
    return true;
}

/* Again while its signer is up: what failed may have been the store, or too little time. */
static void make_last_checkpoint(struct checkpointer *self, int64_t deadline_ns)
{
    const struct timespec pause = timespec_from_ns(LOOK_EVERY_MS * (int64_t)NS_PER_MS);
    struct ledger_head head = ledger_head(self->options.ledger);

    while (has_news(self, &head) && !make_checkpoint(self, &head, deadline_ns) && self->has_signer
           && find_signer(self).state == SIGNER_UP && monotonic_ns() < deadline_ns) {
        (void)nanosleep(&pause, NULL);
        head = ledger_head(self->options.ledger);
    }
}

void checkpointer_stop(struct checkpointer *self)
{
    if (self == NULL) {
        return;
    }
    if (self->has_thread) {
        const int64_t deadline_ns = monotonic_ns() + LAST_S * NS_PER_S;
        (void)sem_post(&self->stopping);
        pthread_join(self->thread, NULL);
        make_last_checkpoint(self, deadline_ns);
    }
    sem_destroy(&self->stopping);
    free(self);
}

/* ---- status, metrics ---- */

struct checkpointer_status checkpointer_status(struct checkpointer *self)
{
    return (struct checkpointer_status){
        .signer = self->has_signer ? self->signer : NULL,
        .signed_s = atomic_load(&self->signed_s),
        .failing_ns = atomic_load(&self->failing_ns),
    };
}

static void print_gauge(struct text *text, const char *name, const char *help, int64_t value)
{
    metrics_print_head(text, name, "gauge", help);
    text_add(text, name);
    text_add(text, " ");
    text_add_number(text, value);
    text_add(text, "\n");
}

void checkpointer_print_metrics(struct checkpointer *self, struct text *text)
{
    const struct ledger_status status = ledger_status(self->options.ledger);
    const int64_t signed_s = atomic_load(&self->signed_s);

    print_gauge(text, "issuerd_ledger_size", "Entries of this node's tree.", status.size);
    print_gauge(text, "issuerd_ledger_checkpoint_size",
                "How many of them the newest signed checkpoint covers.", status.checkpointed);
    print_gauge(text, "issuerd_ledger_checkpoint_age_seconds",
                "Age of the newest signed checkpoint; -1: none.",
                signed_s == 0 ? -1 : store_now_s(self->options.store) - signed_s);
    print_gauge(text, "issuerd_ledger_stopped", "1 while no token is issued for the ledger's sake.",
                !status.permits);
}
