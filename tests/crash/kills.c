#include "crash/kills.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/memory.h"
#include "support/health.h"

enum {
    LOOK_US = 2000,
    MOST_PASSES = 12,
    PASSES_OF_STATEMENTS = 120,
    LONGEST_LIFE_MS = 1500, /* some are killed while they start */
    KILLS_A_BOOK = 25,
};

static const struct load_options light = {
    .threads = 3, .pause_us = 2000, .is_persistent = true, .replay_every = 8
};
static const struct load_options full = {
    .threads = 16, .pause_us = 1000, .is_persistent = true, .replay_every = 50
};

#define CRASH_POINT_NAME(name, text) text,
static const char *const points[] = { CRASH_POINT_TABLE(CRASH_POINT_NAME) };

const char *kills_point_name(unsigned index)
{
    return index < COUNT_OF(points) ? points[index] : NULL;
}

/* ---- at a point ---- */

/* One is passed once in a while only, another many times before there is a token. */
static unsigned most_passes(const char *name)
{
    return strcmp(name, "purged") == 0          ? 1
         : strcmp(name, "postgresql-sent") == 0 ? PASSES_OF_STATEMENTS
                                                : MOST_PASSES;
}

static bool is_signers(const char *name)
{
    return strncmp(name, "signer-", strlen("signer-")) == 0;
}

static const char *mark_path(const struct bed *bed)
{
    static char path[600];
    (void)snprintf(path, sizeof(path), "%s/crash-mark", bed->state_dir); /* issuerd writes there */
    return path;
}

static bool has_died(const struct bed *bed)
{
    return access(mark_path(bed), F_OK) == 0;
}

static void arm(struct bed *bed, const char *name)
{
    char at[80];

    (void)snprintf(at, sizeof(at), "%s:%u", name,
                   1 + (unsigned)rand_r(&bed->seed) % most_passes(name));
    (void)unlink(mark_path(bed));
    (void)setenv("ISSUERD_CRASH_AT", at, 1);
    (void)setenv("ISSUERD_CRASH_MARK", mark_path(bed), 1);
}

static void disarm(void)
{
    (void)unsetenv("ISSUERD_CRASH_AT");
    (void)unsetenv("ISSUERD_CRASH_MARK");
}

static bool await_death(const struct bed *bed)
{
    const int64_t deadline_ns = monotonic_ns() + BED_GIVE_UP_S * NS_PER_S;

    while (!has_died(bed)) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_US);
    }
    return true;
}

/* A signer that dies is started again by issuerd, which serves on, and then is killed itself. */
static bool outlives_signer(struct bed *bed, struct load *load, struct verdict *verdict)
{
    load_mark(load);
    if (!bed_await_calm(bed, load, BED_HEAL_MS)) {
        return bed_find(verdict, "heal: not within %d ms after its signer died", BED_HEAL_MS);
    }
    if (bed_has_ended(bed)) {
        return bed_find(verdict, "issuerd died with its signer");
    }
    instance_kill(bed->instance);
    return true;
}

static bool is_killed(struct bed *bed, struct verdict *verdict)
{
    const int status = instance_wait(bed->instance, BED_GIVE_UP_S);
    return status == 128 + SIGKILL
        || bed_find(verdict, "issuerd ended with %d, not killed", status);
}

/* One life, to its end at the point. */
static bool live_once(struct bed *bed, const char *name, struct load *load, struct verdict *verdict)
{
    arm(bed, name);
    if (!bed_start(bed, verdict)) {
        return has_died(bed) || bed_find(verdict, "it did not start again: see its log");
    }
    if (!await_death(bed)) {
        return bed_find(verdict, "the point was not passed");
    }
    return is_signers(name) ? outlives_signer(bed, load, verdict) : is_killed(bed, verdict);
}

/* The last start, after which all must be well. */
static void settle(struct bed *bed, struct load *load, struct verdict *verdict)
{
    disarm();
    instance_kill(bed->instance);
    if (!bed_start(bed, verdict)) {
        (void)bed_find(verdict, "it did not start again: see its log");
    }
    load_mark(load);
    if (!bed_await_calm(bed, load, BED_HEAL_MS)) {
        (void)bed_find(verdict, "no tokens after the last start");
    }
}

void kills_at_point(struct bed *bed, const char *name, unsigned times)
{
    struct verdict verdict = { .ready_ms = -1 };

    bed_make(bed);
    disarm();
    struct load *load = bed_start(bed, &verdict) ? load_start_with(bed->instance, &light) : NULL;
    if (load == NULL) {
        (void)bed_find(&verdict, "issuerd did not start");
    } else {
        instance_kill(bed->instance);
        while (verdict.kills < times && live_once(bed, name, load, &verdict)) {
            verdict.kills++;
        }
        settle(bed, load, &verdict);
        bed_close_book(bed, load, &verdict);
    }
    bed_report(bed, name, &verdict);
    bed_clear(bed);
}

/* ---- at random ---- */

static struct instance *victim;
static volatile sig_atomic_t is_struck;

/* The alarm may come between the fork and our knowing of it: then it comes again. */
static void strike(int signal)
{
    const struct itimerval soon = { .it_value.tv_usec = 1000 };
    const pid_t pid = instance_pid(victim);
    (void)signal;

    if (pid == 0) {
        (void)setitimer(ITIMER_REAL, &soon, NULL);
    } else {
        is_struck = 1;
        (void)kill(pid, SIGKILL);
    }
}

static bool live_at_random(struct bed *bed, struct verdict *verdict)
{
    const long life_us = 1000L * (1 + rand_r(&bed->seed) % LONGEST_LIFE_MS);
    const struct itimerval end = { .it_value = { .tv_sec = life_us / 1000000,
                                                 .tv_usec = life_us % 1000000 } };

    is_struck = 0;
    if (setitimer(ITIMER_REAL, &end, NULL) != 0) {
        return bed_find(verdict, "no alarm: %s", strerror(errno));
    }
    if (!bed_start(bed, verdict)) {
        return is_struck != 0 || bed_find(verdict, "it did not start again: see its log");
    }
    while (!bed_has_ended(bed)) {
        (void)usleep(LOOK_US);
    }
    return is_killed(bed, verdict);
}

/* The load's threads are not the alarm's. */
static struct load *start_full_load(struct bed *bed)
{
    sigset_t alarm_set;

    (void)sigemptyset(&alarm_set);
    (void)sigaddset(&alarm_set, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &alarm_set, NULL);
    struct load *load = load_start_with(bed->instance, &full);
    (void)pthread_sigmask(SIG_UNBLOCK, &alarm_set, NULL);
    return load;
}

static bool run_book(struct bed *bed, unsigned times, struct verdict *verdict)
{
    const unsigned goal = verdict->kills + times;
    struct load *load = bed_start(bed, verdict) ? start_full_load(bed) : NULL;

    if (load == NULL) {
        return bed_find(verdict, "issuerd did not start");
    }
    instance_kill(bed->instance);
    while (verdict->kills < goal && live_at_random(bed, verdict)) {
        verdict->kills++;
    }
    settle(bed, load, verdict);
    bed_close_book(bed, load, verdict);
    instance_kill(bed->instance);
    return verdict->finding[0] == '\0';
}

void kills_at_random(struct bed *bed, unsigned times)
{
    const struct sigaction action = { .sa_handler = strike, .sa_flags = SA_RESTART };
    struct verdict verdict = { .ready_ms = -1 };

    bed_make(bed);
    disarm();
    victim = bed->instance;
    (void)sigaction(SIGALRM, &action, NULL);
    while (verdict.kills < times
           && run_book(bed,
                       times - verdict.kills < KILLS_A_BOOK ? times - verdict.kills : KILLS_A_BOOK,
                       &verdict)) {
    }
    (void)signal(SIGALRM, SIG_IGN);
    bed_report(bed, "random", &verdict);
    bed_clear(bed);
}
