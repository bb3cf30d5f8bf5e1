#include "crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/memory.h"
#include "crash/io_shim.h"
#include "support/api.h"
#include "support/health.h"

enum {
    IN_HAND = 3, /* requests and codes, before there is trouble */
    KEPT_MAX = 200,
    PAUSE_US = 10000,
    FULL_S = 20, /* until everything was refused once */
    STEP_KIB = 4,
    DISK_MIB = 8,
    HEADS = 5, /* of the head file's: there is no last one */
};

DEFINE_RELEASE(release_client, struct http_client, http_close)

/* ---- a client that does one thing after the other ---- */

enum step { STEP_CREATE, STEP_APPROVE, STEP_REDEEM, STEPS };

static const char *const step_names[STEPS] = { "create", "approve", "redeem" };

struct client {
    struct bed *bed;
    struct verdict *verdict;
    struct load *book;
    bool may_be_killed;   /* issuerd */
    size_t request_count; /* not approved yet */
    char requests[KEPT_MAX][API_ID_SIZE];
    size_t code_count; /* not redeemed yet */
    struct load_code codes[KEPT_MAX];
    unsigned refused[STEPS];
};

/* True if it was done; after a refusal it can be tried again; anything else is a finding. */
static bool judge(struct client *self, enum step step, const struct http_reply *reply, int good)
{
    if (reply->status == good) {
        return true;
    }
    if (is_refusal_reply(reply)) {
        self->refused[step]++;
    } else if (reply->status != 0 || !self->may_be_killed) {
        (void)bed_find(self->verdict, "answer: %s: status %d, %.100s", step_names[step],
                       reply->status, reply->body);
    }
    return false;
}

static bool create(struct client *self)
{
    scoped(release_client) struct http_client *http =
        http_connect(instance_public_port(self->bed->instance));
    char state[44];
    char nonce[44];
    char body[160];

    if (self->request_count == KEPT_MAX) {
        return false;
    }
    api_random_text(state);
    api_random_text(nonce);
    (void)snprintf(body, sizeof(body), "{\"state\":\"%s\",\"nonce\":\"%s\"}", state, nonce);
    const struct http_reply *reply = http_post_json(http, AUTHORIZATIONS_PATH, body);
    if (!judge(self, STEP_CREATE, reply, 201)
        || !reply_member(reply, "id", self->requests[self->request_count], API_ID_SIZE)) {
        return false;
    }
    self->request_count++;
    return true;
}

/* An approval that was not answered may have been done: then its code is not known to anyone. */
static bool approve(struct client *self)
{
    scoped(release_client) struct http_client *http =
        http_connect(instance_admin_port(self->bed->instance));
    struct load_code code = { .refusals = 0 };

    if (self->request_count == 0 || self->code_count == KEPT_MAX) {
        return false;
    }
    (void)memcpy(code.authorization, self->requests[self->request_count - 1], API_ID_SIZE);
    const struct http_reply *reply =
        api_approve(self->bed->instance, http, code.authorization, HOLDER_DID, NULL);
    if (reply->status == 0) {
        self->request_count--;
    }
    if (!judge(self, STEP_APPROVE, reply, 200)
        || !reply_member(reply, "code", code.code, API_CODE_SIZE)) {
        return false;
    }
    self->request_count--;
    self->codes[self->code_count++] = code;
    return true;
}

/* The checker judges what came. */
static bool redeem(struct client *self)
{
    if (self->code_count == 0) {
        return false;
    }
    struct load_code *code = &self->codes[self->code_count - 1];
    const enum load_outcome outcome = load_ask(self->book, code);
    self->refused[STEP_REDEEM] += outcome == LOAD_GIVEN_UP;
    if (outcome == LOAD_GIVEN_UP || outcome == LOAD_UNANSWERED) {
        return false;
    }
    load_enter(self->book, code);
    self->code_count--;
    return true;
}

static void take_in_hand(struct client *self)
{
    while (self->request_count + self->code_count < (size_t)2 * IN_HAND && create(self)) {
        if (self->code_count < IN_HAND && !approve(self)) {
            break;
        }
    }
    if (self->code_count < IN_HAND) {
        (void)bed_find(self->verdict, "no service before the fault");
    }
}

/* What was refused is done now, without a restart, and so is all that is new. */
static void heal(struct client *self)
{
    const int64_t patience_ms =
        self->bed->is_tight ? BED_HEAL_MS * HEALTH_SLACK : BED_GIVE_UP_S * 1000;
    const int64_t deadline_ns = monotonic_ns() + patience_ms * NS_PER_MS;
    bool is_new_done = false;

    while ((!is_new_done || self->request_count > 0 || self->code_count > 0)
           && self->verdict->finding[0] == '\0') {
        if (monotonic_ns() > deadline_ns) {
            (void)bed_find(self->verdict,
                           "heal: not within %" PRId64 " ms: %zu requests, %zu codes are left",
                           patience_ms, self->request_count, self->code_count);
        }
        is_new_done = is_new_done || create(self);
        if (!approve(self) && !redeem(self)) {
            (void)usleep(PAUSE_US);
        }
    }
}

static bool client_open(struct client *self, struct bed *bed, struct verdict *verdict)
{
    static const struct load_options none = { .threads = 0, .is_persistent = true };

    self->bed = bed;
    self->verdict = verdict;
    self->book = load_start_with(bed->instance, &none);
    return self->book != NULL || bed_find(verdict, "issuerd did not start");
}

/* ---- a full disk ---- */

static bool mount_small(const struct bed *bed)
{
    char options[64];
    (void)snprintf(options, sizeof(options), "mode=0700,size=%dm", DISK_MIB);
    return mount("issuerd", bed->state_dir, "tmpfs", 0, options) == 0;
}

/* Else what the WAL has had is room enough for long. */
static void truncate_wal(const struct bed *bed)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(bed_store_path(bed), &db) == SQLITE_OK) {
        (void)sqlite3_busy_timeout(db, 1000);
        (void)sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    }
    (void)sqlite3_close(db);
}

static const char *filler(const char *directory)
{
    static char path[600];
    (void)snprintf(path, sizeof(path), "%s/filler", directory);
    return path;
}

/* ENOSPC: the server took some of it meanwhile, once or twice. */
bool disk_fill(const char *directory, unsigned kib_left)
{
    enum { TRIES = 10 };
    scoped(release_fd) int fd = open(filler(directory), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs space;

    errno = fd < 0 ? errno : ENOSPC;
    for (int i = 0; i < TRIES && fd >= 0 && errno == ENOSPC; i++) {
        if (statvfs(directory, &space) != 0) {
            return false;
        }
        const off_t size = (off_t)(space.f_bavail * space.f_frsize) - (off_t)kib_left * 1024;
        errno = size > 0 ? posix_fallocate(fd, lseek(fd, 0, SEEK_END), size) : 0;
    }
    return errno == 0;
}

void disk_make_room(const char *directory)
{
    (void)unlink(filler(directory));
}

/* Until each step was refused; what there is room for is done before. */
static void exhaust(struct client *self)
{
    const int64_t deadline_ns = monotonic_ns() + FULL_S * HEALTH_SLACK * NS_PER_S;

    memset(self->refused, 0, sizeof(self->refused));
    for (size_t step = 0; step < STEPS;) {
        (void)create(self);
        (void)approve(self);
        (void)redeem(self);
        for (step = 0; step < STEPS && self->refused[step] > 0; step++) {
        }
        if (step < STEPS && monotonic_ns() > deadline_ns) {
            (void)bed_find(self->verdict, "%s was never refused", step_names[step]);
        }
        if (self->verdict->finding[0] != '\0') {
            return;
        }
    }
    if (bed_has_ended(self->bed)) {
        (void)bed_find(self->verdict, "issuerd died of a full disk");
    }
}

static void run_full(struct bed *bed, unsigned kib_left)
{
    struct client *client = xcalloc(1, sizeof(*client));
    struct verdict verdict = { .ready_ms = -1, .kills = 1 };
    char name[32];

    (void)snprintf(name, sizeof(name), "full, %u KiB left", kib_left);
    if (client_open(client, bed, &verdict)) {
        take_in_hand(client);
        truncate_wal(bed);
        if (!disk_fill(bed->state_dir, kib_left)) {
            (void)bed_find(&verdict, "the disk cannot be filled: %s", strerror(errno));
        } else {
            exhaust(client);
        }
        disk_make_room(bed->state_dir);
        heal(client);
        bed_close_book(bed, client->book, &verdict);
    }
    bed_report(bed, name, &verdict);
    free(client);
}

void disk_is_full(struct bed *bed, unsigned steps)
{
    struct verdict verdict = { .ready_ms = -1 };

    bed_make(bed);
    if (!mount_small(bed)) {
        bed_report_skipped(bed, "full", "no right to mount a small disk");
    } else {
        if (!bed_start(bed, &verdict)) {
            (void)bed_find(&verdict, "issuerd did not start");
            bed_report(bed, "full", &verdict);
            steps = 0;
        }
        for (unsigned i = 0; i < steps; i++) {
            run_full(bed, i * STEP_KIB);
        }
        instance_kill(bed->instance);
        (void)umount2(bed->state_dir, MNT_DETACH);
    }
    bed_clear(bed);
}

/* ---- calls that fail ---- */

struct failure {
    const char *name;
    enum io_call call;
    int error;      /* 0: killed there */
    bool is_killed; /* there, or when the failure was answered */
};

static const struct failure failures[] = {
    { "write, EIO", IO_WRITE, EIO, false },
    { "write, ENOSPC", IO_WRITE, ENOSPC, false },
    { "write, EIO, then killed", IO_WRITE, EIO, true },
    { "killed at a write", IO_WRITE, 0, true },
    { "sync, EIO", IO_SYNC, EIO, false },
    { "sync, ENOSPC", IO_SYNC, ENOSPC, false },
    { "sync, EIO, then killed", IO_SYNC, EIO, true },
    { "killed at a sync", IO_SYNC, 0, true },
    { "rename, EIO", IO_RENAME, EIO, false },
    { "killed at a rename", IO_RENAME, 0, true },
};

static struct io_control *make_control(const struct bed *bed)
{
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/io-control", instance_directory(bed->instance));
    scoped(release_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *mapped = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(struct io_control)) == 0) {
        mapped = mmap(NULL, sizeof(struct io_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (mapped == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    (void)setenv("ISSUERD_IO_CONTROL", path, 1);
    (void)setenv("ISSUERD_IO_DIRECTORY", bed->state_dir, 1);
    return mapped;
}

static bool start_with_shim(struct bed *bed, struct verdict *verdict)
{
    (void)setenv("LD_PRELOAD", getenv("TEST_IO_SHIM"), 1);
    const bool started = bed_start(bed, verdict);
    (void)unsetenv("LD_PRELOAD");
    return started || bed_find(verdict, "issuerd did not start");
}

static void arm(struct io_control *control, enum io_call call, int error, unsigned after)
{
    atomic_store(&control->fired, 0);
    atomic_store(&control->error, error);
    atomic_store(&control->after, after);
    atomic_store(&control->call, (int)call);
}

static bool await_failure(const struct io_control *control)
{
    const int64_t deadline_ns = monotonic_ns() + BED_GIVE_UP_S * NS_PER_S;

    while (atomic_load(&control->fired) == 0) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(PAUSE_US);
    }
    return true;
}

/* Which is written after the steps; with a database elsewhere it is all that is written here. */
static bool is_of_head_file(const struct bed *bed, const struct failure *failure)
{
    return failure->call == IO_RENAME || bed->is_postgresql;
}

/* One of each step with the call number `after` failing. False if they do not make so many. */
static bool suffer(struct client *client, struct io_control *control, const struct failure *failure,
                   unsigned after)
{
    arm(control, failure->call, failure->error, after);
    (void)create(client);
    (void)approve(client);
    (void)redeem(client);
    if (is_of_head_file(client->bed, failure)) {
        (void)await_failure(control);
    }
    atomic_store(&control->call, IO_NONE);
    return atomic_load(&control->fired) > 0;
}

static void recover(struct client *client, const struct failure *failure)
{
    struct bed *bed = client->bed;

    if (failure->is_killed) {
        instance_kill(bed->instance);
        (void)start_with_shim(bed, client->verdict);
    } else if (bed_has_ended(bed)) {
        (void)bed_find(client->verdict, "issuerd died of it");
    }
    heal(client);
}

/* An issuerd of its own, with the shim in it; NULL: it did not start. */
static struct io_control *open_failing_bed(struct bed *bed, struct verdict *verdict)
{
    bed_make(bed);
    struct io_control *control = make_control(bed);
    return start_with_shim(bed, verdict) ? control : NULL;
}

static void run_failure(struct bed *bed, const struct failure *failure, unsigned most)
{
    struct client *client = xcalloc(1, sizeof(*client));
    struct verdict verdict = { .ready_ms = -1 };
    struct io_control *control = open_failing_bed(bed, &verdict);
    const bool is_head = is_of_head_file(bed, failure);

    most = is_head && most > HEADS ? HEADS : most;
    client->may_be_killed = failure->is_killed;
    if (control != NULL && client_open(client, bed, &verdict)) {
        take_in_hand(client);
        while (verdict.kills < most && verdict.finding[0] == '\0'
               && suffer(client, control, failure, is_head ? 0 : verdict.kills)) {
            verdict.kills++;
            recover(client, failure);
            take_in_hand(client);
        }
        heal(client);
        bed_close_book(bed, client->book, &verdict);
        if (verdict.kills == 0) {
            (void)bed_find(&verdict, "no call failed");
        }
    }
    bed_report(bed, failure->name, &verdict);
    bed_clear(bed);
    free(client);
}

/* No sync works for longer than issuerd asks what became of a commit: its tokens are kept, and lost with
 * the commit. Each code gives one token afterwards, and no other comes of it. */
static void run_lost(struct bed *bed)
{
    struct client *client = xcalloc(1, sizeof(*client));
    struct verdict verdict = { .ready_ms = -1, .kills = 1 };
    struct io_control *control = open_failing_bed(bed, &verdict);
    char codes[IN_HAND][API_CODE_SIZE];

    if (control != NULL && client_open(client, bed, &verdict)) {
        take_in_hand(client);
        for (size_t i = 0; i < client->code_count && i < IN_HAND; i++) {
            (void)snprintf(codes[i], sizeof(codes[i]), "%s", client->codes[i].code);
        }
        arm(control, IO_SYNC, EIO, 0);
        atomic_store(&control->lasts, true);
        (void)redeem(client);
        (void)redeem(client);
        if (client->refused[STEP_REDEEM] != 2
            || !instance_has_logged(bed->instance, "store.in_doubt")) {
            (void)bed_find(&verdict, "no commit was in doubt");
        }
        atomic_store(&control->call, IO_NONE);
        heal(client);
        for (size_t i = 0; i < IN_HAND; i++) {
            if (!health_is_gone(bed->instance, codes[i])) {
                (void)bed_find(&verdict, "twice: a code that gave its token is not gone");
            }
        }
        bed_close_book(bed, client->book, &verdict);
    }
    bed_report(bed, "sync, EIO for long", &verdict);
    bed_clear(bed);
    free(client);
}

/* Under a load the WAL is moved into the database, too: most writes are of that. */
static void run_load(struct bed *bed, int error, const char *name, unsigned times)
{
    static const struct load_options options = {
        .threads = 3, .pause_us = 1000, .is_persistent = true, .replay_every = 20
    };
    struct verdict verdict = { .ready_ms = -1 };
    struct io_control *control = open_failing_bed(bed, &verdict);
    struct load *load = control != NULL ? load_start_with(bed->instance, &options) : NULL;

    while (load != NULL && verdict.kills < times && verdict.finding[0] == '\0') {
        const bool is_sync = verdict.kills % 4 == 0;
        arm(control, is_sync ? IO_SYNC : IO_WRITE, error,
            (unsigned)rand_r(&bed->seed) % (is_sync ? 30 : 1000));
        if (!await_failure(control)) {
            (void)bed_find(&verdict, "no call failed");
        }
        verdict.kills++;
        load_mark(load);
        if (!bed_await_calm(bed, load, BED_HEAL_MS)) {
            (void)bed_find(&verdict, "heal: not within %d ms", BED_HEAL_MS);
        }
    }
    if (load != NULL) {
        bed_close_book(bed, load, &verdict);
    }
    bed_report(bed, name, &verdict);
    bed_clear(bed);
}

void disk_fails(struct bed *bed, unsigned most)
{
#ifdef SANITIZED
    bed_report_skipped(bed, "errors", "AddressSanitizer has to be loaded before anything else");
    return;
#endif
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        run_failure(bed, &failures[i], most);
    }
    if (bed->is_postgresql) {
        return;
    }
    run_lost(bed);
    run_load(bed, EIO, "EIO under a load", most);
    run_load(bed, ENOSPC, "ENOSPC under a load", most);
}
