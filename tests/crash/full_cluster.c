#include "crash/full_cluster.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "crash/disk.h"
#include "support/health.h"
#include "support/program.h"

enum {
    STEP_KIB = 8, /* a page */
    FULL_S = 20,  /* until it was met */
    HOLD_MS = 2000,
    SHORT_HOLD_MS = 200,
    LOOK_US = 20000,
};

/* What of the cluster finds no room, and how its log says so. */
struct shortage {
    const char *name;
    const char *said;
    bool is_of_wal;
};

static const struct shortage shortages[] = {
    { "table full", "ERROR:  could not extend file", false },
    { "WAL full", "PANIC:  could not write to file \"pg_wal/", true },
};

/* ---- the cluster ---- */

static const char *place(const char *name)
{
    static char path[600];
    (void)snprintf(path, sizeof(path), "%s/%s", getenv("TEST_POSTGRESQL_DIR"), name);
    return path;
}

/* One after the other, each for itself. */
static bool run_sql(const char *first, const char *second)
{
    const char *const argv[] = { "psql",
                                 "--no-psqlrc",
                                 "--quiet",
                                 "--dbname",
                                 getenv("TEST_POSTGRESQL_ADMIN"),
                                 "--output",
                                 "/dev/null",
                                 "--set",
                                 "ON_ERROR_STOP=1",
                                 "--command",
                                 first,
                                 "--command",
                                 second,
                                 NULL };
    return program_run(argv, BED_GIVE_UP_S)->status == 0;
}

/* No segment is kept for later: each new one needs room. */
static bool configure_wal(void)
{
    return run_sql("ALTER SYSTEM SET wal_recycle = off", "ALTER SYSTEM SET wal_keep_size = 0")
        && run_sql("SELECT pg_reload_conf()", "");
}

/* Who comes first over the segment's end, this or the load, needs the next. */
static void lead_wal_to_its_end(unsigned kib_left)
{
    char sql[400];
    (void)snprintf(sql, sizeof(sql),
                   "SELECT pg_logical_emit_message(false, 'filler', repeat('x', greatest(0,"
                   " (SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size')"
                   " - (pg_walfile_name_offset(pg_current_wal_insert_lsn())).file_offset - %u)))",
                   kib_left * 1024);
    (void)run_sql(sql, "");
}

static off_t log_size(void)
{
    struct stat status;
    return stat(place("log"), &status) == 0 ? status.st_size : 0;
}

static bool has_said(const char *words, off_t since)
{
    static char text[1 << 20]; /* a refused statement says a few hundred bytes */
    scoped(release_fd) int fd = open(place("log"), O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? pread(fd, text, sizeof(text) - 1, since) : -1;

    text[length > 0 ? length : 0] = '\0';
    return strstr(text, words) != NULL;
}

/* As an operator would, if it is not there any more. */
static void start_if_ended(void)
{
    if (access(place("data/postmaster.pid"), F_OK) != 0) {
        const char *const argv[] = { getenv("TEST_POSTGRESQL_CLUSTER"), "start",
                                     getenv("TEST_POSTGRESQL_DIR"), NULL };
        (void)program_run(argv, BED_GIVE_UP_S);
    }
}

static bool await_answers(void)
{
    const int64_t deadline_ns = monotonic_ns() + BED_GIVE_UP_S * NS_PER_S;

    while (!run_sql("SELECT 1", "")) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        start_if_ended();
    }
    return true;
}

/* ---- one shortage ---- */

/* A segment that was removed has its room until the last process that wrote to it closes it: what
 * becomes free is filled as well. */
static bool run_short(const struct shortage *shortage, const char *data, unsigned kib_left)
{
    const int64_t deadline_ns = monotonic_ns() + FULL_S * HEALTH_SLACK * NS_PER_S;
    const off_t since = log_size();

    while (!has_said(shortage->said, since)) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        if (disk_fill(data, shortage->is_of_wal ? 0 : kib_left) && shortage->is_of_wal) {
            lead_wal_to_its_end(kib_left);
        }
        (void)usleep(LOOK_US);
    }
    return true;
}

static void suffer(struct bed *bed, const struct shortage *shortage, unsigned kib_left,
                   struct verdict *verdict)
{
    char data[600];

    (void)snprintf(data, sizeof(data), "%s", place("data"));
    if (!run_sql("SELECT pg_switch_wal()", "CHECKPOINT")) {
        (void)bed_find(verdict, "no segment of the WAL is begun");
    } else if (!run_short(shortage, data, kib_left)) {
        (void)bed_find(verdict, "the database never said \"%s\"", shortage->said);
    } else {
        (void)usleep((bed->is_tight ? HOLD_MS : SHORT_HOLD_MS) * 1000);
    }
    disk_make_room(data);
}

/* PostgreSQL's own recovery takes what time it takes. */
static void heal(struct bed *bed, struct load *load, struct verdict *verdict)
{
    if (!await_answers()) {
        (void)bed_find(verdict, "the database did not come back");
        return;
    }
    const int64_t start_ns = monotonic_ns();
    load_mark(load);
    if (!health_await(bed->instance, health_is_ready, start_ns + BED_GIVE_UP_S * NS_PER_S)) {
        (void)bed_find(verdict, "not ready again");
    }
    verdict->ready_ms = (monotonic_ns() - start_ns) / NS_PER_MS;
    if (bed->is_tight && verdict->ready_ms > BED_READY_MS * HEALTH_SLACK) {
        (void)bed_find(verdict, "ready: after %" PRId64 " ms", verdict->ready_ms);
    }
    if (!bed_await_calm(bed, load, BED_HEAL_MS)) {
        (void)bed_find(verdict, "heal: not within %d ms", BED_HEAL_MS);
    }
    if (bed_has_ended(bed)) {
        (void)bed_find(verdict, "issuerd died of it");
    }
}

static void run_shortage(struct bed *bed, const struct shortage *shortage, unsigned kib_left)
{
    static const struct load_options options = {
        .threads = 4, .pause_us = 1000, .is_persistent = true, .replay_every = 20
    };
    struct verdict verdict = { .ready_ms = -1, .kills = 1 };
    struct load *load = load_start_with(bed->instance, &options);
    char name[40];

    (void)snprintf(name, sizeof(name), "%s, %u KiB left", shortage->name, kib_left);
    if (load == NULL || !bed_await_calm(bed, load, BED_HEAL_MS)) {
        (void)bed_find(&verdict, "no service before the fault");
    } else {
        suffer(bed, shortage, kib_left, &verdict);
        heal(bed, load, &verdict);
    }
    if (load != NULL) {
        bed_close_book(bed, load, &verdict);
    }
    bed_report(bed, name, &verdict);
}

void cluster_is_full(struct bed *bed, unsigned steps)
{
    struct verdict verdict = { .ready_ms = -1 };

    if (getenv("TEST_POSTGRESQL_DISK_MIB") == NULL) {
        bed_report_skipped(bed, "full", "no right to mount a small disk");
        return;
    }
    bed_make(bed);
    if (!configure_wal() || !bed_start(bed, &verdict)) {
        (void)bed_find(&verdict, "PostgreSQL or issuerd did not start");
        bed_report(bed, "full", &verdict);
        steps = 0;
    }
    for (unsigned i = 0; i < steps; i++) {
        run_shortage(bed, &shortages[i % COUNT_OF(shortages)], i / COUNT_OF(shortages) * STEP_KIB);
    }
    bed_clear(bed);
}
