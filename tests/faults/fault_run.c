/*
 * The fault run, one shard of it: a started issuerd under a light load meets case after case, and
 * after each the checker (check.py) reads what clients saw and what the store says.
 *
 *     fault_run BOUNDS PROVIDER SHARD SHARDS MOST SEED ONLY RESULTS
 *     fault_run BOUNDS flips TOKENS RESULTS
 *
 * runs the cases of a provider, MOST of each class, of these those that have the words ONLY; or
 * signatures of which every second one has a wrong bit. BOUNDS is "tight": the service heals and
 * answers in the time that is promised; or "loose": it does at all, however slow the machine is.
 *
 * Started by run.sh, in the environment of with_softhsm.sh or with_swtpm.sh. Each case is a line of
 * RESULTS, its fields, with a tab between:
 *
 *     verdict provider class function trigger words duration faults outage_ms refusals issued
 *     slowest_ms pin_tries is_loss finding
 *
 * A case has not passed whose fault nothing met.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "faults/fault_cases.h"
#include "support/api.h"
#include "support/health.h"
#include "support/load.h"
#include "support/program.h"

enum {
    DEADLINE_MS = 1500 * HEALTH_SLACK, /* of a signature: the bounds are for this one */
    MET_S = 4 * HEALTH_SLACK,          /* for the fault to befall somebody as often as it should */
    GIVE_UP_S = 40 * HEALTH_SLACK,     /* with a server that does not heal */
    LOCKED_MS = 1500, /* a refused PIN is left alone for so long, and then we believe it */
    STEADY_MS = 5500, /* a signer that lived so long is restarted without a back-off */
    CALM_TOKENS = 12,
    LOOK_US = 5000,
    CHECK_S = 120,
    FLIPS_S = 1200,
    STOP_S = 15 * HEALTH_SLACK,
    LASTING_MS = 300, /* at least; at most twice as long */
};

struct bounds {
    const char *name;
    int64_t heal_ms;
    int64_t heal_loss_ms;
    int64_t answer_ms;
};

static const struct bounds bounds[] = {
    { "tight", INT64_C(5000) * HEALTH_SLACK, INT64_C(1000) * HEALTH_SLACK,
      ANSWER_S *INT64_C(1000) },
    { "loose", GIVE_UP_S *INT64_C(1000), GIVE_UP_S *INT64_C(1000), GIVE_UP_S *INT64_C(1000) },
};

static const struct load_options light = { .threads = 3, .pause_us = 30000, .give_up_every = 4 };

static struct {
    const struct bounds *bounds;
    const char *provider;
    unsigned seed;
    unsigned goal; /* how many tokens the load is to have */
    FILE *results;
    struct instance *instance;
    bool is_young; /* the signer: it has not lived for STEADY_MS yet */
    bool variant;  /* of the server's signer, as fault_cases.h has it */
    pid_t issuerd;
    struct load *load;
    const char *check; /* the checker's path */
} run;

/* What became of a case. */
struct verdict {
    unsigned number;
    long log_from; /* where the shim's log, and issuerd's, ended before the case */
    long issuerd_log_from;
    unsigned faults;
    int64_t outage_ms;
    unsigned refusals;
    unsigned issued;
    int64_t slowest_ms;
    unsigned pin_tries; /* the most for one PIN file */
    char finding[512];  /* "": passed */
};

__attribute__((format(printf, 2, 3))) static bool find(struct verdict *verdict, const char *format,
                                                       ...)
{
    va_list args;

    if (verdict->finding[0] == '\0') {
        va_start(args, format);
        (void)vsnprintf(verdict->finding, sizeof(verdict->finding), format, args);
        va_end(args);
    }
    return false;
}

static void sleep_ms(int64_t ms)
{
    (void)usleep((useconds_t)(ms * 1000));
}

/* ---- logs ---- */

static long file_size(const char *path)
{
    FILE *file = fopen(path, "re");
    long size = 0;

    if (file != NULL) {
        (void)fseek(file, 0, SEEK_END);
        size = ftell(file);
        (void)fclose(file);
    }
    return size;
}

/* What issuerd has logged since the case began; for who has to find out why it failed. */
static void show_log(const struct fault_case *fault, const struct verdict *verdict)
{
    char line[1024];
    FILE *file = fopen(instance_log_path(run.instance), "re");

    fprintf(stderr, "case %u, %s %s (%s): %s\n", verdict->number, fault->function, fault->words,
            fault_duration_name(fault->duration), verdict->finding);
    if (file == NULL || fseek(file, verdict->issuerd_log_from, SEEK_SET) != 0) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        fprintf(stderr, "    %s", line);
    }
    (void)fclose(file);
}

/* How many lines of the shim since the case began start with `begin` and end with `end`. */
static unsigned count_log(const struct verdict *verdict, const char *begin, const char *end)
{
    char line[256];
    unsigned count = 0;
    FILE *file = fopen(instance_shim_log_path(run.instance), "re");

    if (file == NULL || fseek(file, verdict->log_from, SEEK_SET) != 0) {
        return 0;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const size_t length = strlen(line);
        count += strncmp(line, begin, strlen(begin)) == 0 && length >= strlen(end)
              && strcmp(line + length - strlen(end), end) == 0;
    }
    (void)fclose(file);
    return count;
}

static unsigned count_faults(const struct verdict *verdict, const struct fault_case *fault)
{
    char end[64];
    (void)snprintf(end, sizeof(end), " %s", fault->function);
    return count_log(verdict, "fault ", end);
}

/* How often a PIN or an authorization value was tried and refused as the case has it. */
static unsigned count_tries(const struct verdict *verdict, const struct fault_case *fault)
{
    char begin[64];
    char end[64];
    (void)snprintf(begin, sizeof(begin), "%s ", fault->function);
    (void)snprintf(end, sizeof(end), " %s", fault->words);
    return count_log(verdict, begin, end);
}

/* ---- the fault ---- */

static unsigned times_of(const struct fault_case *fault)
{
    return fault->duration == DURATION_ONCE ? 1 : fault->duration == DURATION_THRICE ? 3 : 0;
}

static void kill_signer(void)
{
    const pid_t signer = instance_signer_pid(run.instance);
    if (signer > 0) {
        (void)kill(signer, SIGKILL);
    }
}

static void provoke(const struct fault_case *fault)
{
    char lines[256];
    char times[32] = "";
    const unsigned after =
        fault->trigger == TRIGGER_SIGNATURE ? (unsigned)rand_r(&run.seed) % 5 : 0;

    if (times_of(fault) != 0) {
        (void)snprintf(times, sizeof(times), "times=%u", times_of(fault));
    }
    (void)snprintf(lines, sizeof(lines), "%s %s after=%u %s\n%s\n", fault->function, fault->words,
                   after, times, fault->with);
    instance_set_faults(run.instance, lines);
    if (fault->trigger == TRIGGER_START) {
        kill_signer();
    }
}

/* It befell as many calls as it should, or, in vain, has had the time to. */
static void await_faults(const struct fault_case *fault, struct verdict *verdict)
{
    const int64_t begin_ns = monotonic_ns();
    const unsigned wanted = times_of(fault) != 0 ? times_of(fault) : 1;
    unsigned met;

    while ((met = count_faults(verdict, fault)) < wanted
           && monotonic_ns() < begin_ns + (met > 0 ? MET_S : GIVE_UP_S) * NS_PER_S) {
        (void)usleep(LOOK_US);
    }
    if (fault->duration == DURATION_LASTING) {
        sleep_ms(LASTING_MS + rand_r(&run.seed) % LASTING_MS);
    }
}

/* ---- a refused PIN ---- */

static bool is_locked(const struct instance *instance)
{
    return health_metric(instance, "issuerd_signer_locked{signer=\"main\"}") > 0;
}

/* The same PIN, in a file that is another one. */
static void rewrite_pin(void)
{
    char path[1024];
    char pin[256] = "";
    const char *pin_path = getenv("TEST_PIN_FILE");
    FILE *file = fopen(pin_path, "re");

    (void)snprintf(path, sizeof(path), "%s.new", pin_path);
    if (file == NULL || fgets(pin, sizeof(pin), file) == NULL || fclose(file) != 0
        || (file = fopen(path, "we")) == NULL || fputs(pin, file) < 0 || fclose(file) != 0
        || rename(path, pin_path) != 0) {
        perror(pin_path);
        exit(2);
    }
}

/* It is tried once, in vain, and not again until its file changes. */
static bool check_refusal(const struct fault_case *fault, struct verdict *verdict,
                          unsigned tries_before)
{
    const int64_t deadline_ns = monotonic_ns() + GIVE_UP_S * NS_PER_S;

    /* Until then the signer is locked by the refusal before. */
    while (count_tries(verdict, fault) == tries_before && monotonic_ns() < deadline_ns) {
        (void)usleep(LOOK_US);
    }
    if (!health_await(run.instance, is_locked, deadline_ns)) {
        return find(verdict, "pin: a refusal did not lock the signer");
    }
    sleep_ms(LOCKED_MS);
    const unsigned tries = count_tries(verdict, fault) - tries_before;
    verdict->pin_tries = tries > verdict->pin_tries ? tries : verdict->pin_tries;
    return (tries == 1 && is_locked(run.instance))
        || find(verdict, "pin: it was tried %u times after it was refused", tries);
}

/* As often as it is refused, its file is written once more. */
static void mend_pin(const struct fault_case *fault, struct verdict *verdict)
{
    const unsigned refusals = fault->duration == DURATION_THRICE ? 3 : 1;

    for (unsigned i = 0; i < refusals && check_refusal(fault, verdict, i); i++) {
        if (i + 1 < refusals) {
            rewrite_pin();
        }
    }
}

/* ---- what comes after ---- */

static void await_calm(const struct fault_case *fault, struct verdict *verdict)
{
    const int64_t bound_ms =
        (fault->traits & IS_LOSS) != 0 ? run.bounds->heal_loss_ms : run.bounds->heal_ms;
    const int64_t deadline_ns = monotonic_ns() + GIVE_UP_S * NS_PER_S;
    int64_t calm_ns = -1;

    while ((calm_ns = load_calm_ns(run.load, CALM_TOKENS)) < 0 && monotonic_ns() < deadline_ns) {
        (void)usleep(LOOK_US);
    }
    verdict->outage_ms = calm_ns < 0 ? GIVE_UP_S * INT64_C(1000) : calm_ns / NS_PER_MS;
    if (calm_ns < 0 || verdict->outage_ms > bound_ms) {
        (void)find(verdict, "heal: not within %" PRId64 " ms", bound_ms);
    }
    if (!health_await(run.instance, health_is_ready,
                      monotonic_ns() + run.bounds->heal_ms * NS_PER_MS)) {
        (void)find(verdict, "heal: codes are redeemed and readyz is not 200");
    }
    if (kill(run.issuerd, 0) != 0 || instance_pid(run.instance) != run.issuerd) {
        (void)find(verdict, "issuerd is not the same process");
    }
}

/* All the cases' stories, or those of the last one alone. */
static const char *transcript_path(bool of_all)
{
    static char path[1024];
    (void)snprintf(path, sizeof(path), "%s/transcript%s", instance_directory(run.instance),
                   of_all ? "" : "-last");
    return path;
}

static void write_transcript(const struct load_book *book, unsigned number, bool of_all)
{
    FILE *file = fopen(transcript_path(of_all), of_all ? "ae" : "we");

    if (file == NULL) {
        perror(transcript_path(of_all));
        exit(2);
    }
    load_write_transcript(book, number, file);
    (void)fclose(file);
}

static void check(struct verdict *verdict, bool of_all)
{
    char answer_ms[32];
    char after[1024];
    (void)snprintf(answer_ms, sizeof(answer_ms), "--answer-ms=%" PRId64, run.bounds->answer_ms);
    (void)snprintf(after, sizeof(after), "--after=%s/seen%s", instance_directory(run.instance),
                   of_all ? "-all" : "");
    const char *const argv[] = { "python3",
                                 run.check,
                                 answer_ms,
                                 after,
                                 instance_store_path(run.instance),
                                 transcript_path(of_all),
                                 NULL };
    const struct program_result *said = program_run(argv, CHECK_S);
    if (said->status != 0) {
        const char *text = said->output[0] != '\0' ? said->output : said->errors;
        (void)find(verdict, "%.*s", (int)strcspn(text, "\n"), text);
    }
}

static void close_book(struct load *load, struct verdict *verdict)
{
    const struct load_book *book = load_stop(load);

    verdict->refusals = book->refusals;
    verdict->issued = book->issued;
    verdict->slowest_ms = book->slowest_ns / NS_PER_MS;
    write_transcript(book, verdict->number, false);
    write_transcript(book, verdict->number, true);
    check(verdict, false);
}

/* ---- the server ---- */

static void start_server(bool variant, unsigned sessions)
{
    run.variant = variant;
    run.instance = instance_new(NULL);
    instance_set(run.instance, "signer main.deadline_ms=%d", DEADLINE_MS);
    instance_set(run.instance, "signer main.sessions=%u", sessions);
    instance_set(run.instance, "tokens.code_lifetime_s=300");
    instance_set(run.instance, "log.level=notice");
    if (strcmp(run.provider, "tpm") == 0) {
        instance_use_tcti_shim(run.instance, variant);
    } else {
        instance_use_shim(run.instance);
        instance_set(run.instance, "signer main.session_copy=%s", variant ? "yes" : "no");
    }
    if (!instance_start(run.instance)
        || !health_await(run.instance, health_is_ready, monotonic_ns() + GIVE_UP_S * NS_PER_S)) {
        fprintf(stderr, "fault_run: issuerd did not start\n");
        exit(2);
    }
    run.issuerd = instance_pid(run.instance);
    run.is_young = true;
}

static double restarts(void)
{
    return health_metric(run.instance, "issuerd_signer_restarts_total{signer=\"main\"}");
}

static void stop_server(struct verdict *verdict)
{
    check(verdict, true);
    if (instance_stop(run.instance, STOP_S) != 0) {
        (void)find(verdict, "issuerd did not end in good order");
    }
    instance_free(take(run.instance));
}

/* ---- results ---- */

static void report(const struct fault_case *fault, const struct verdict *verdict)
{
    fprintf(run.results,
            "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%u\t%" PRId64 "\t%u\t%u\t%" PRId64 "\t%u\t%d\t%s\n",
            verdict->finding[0] == '\0' ? "passed" : "FAILED", run.provider, fault->class,
            fault->function, fault_trigger_name(fault->trigger), fault->words,
            fault_duration_name(fault->duration), verdict->faults, verdict->outage_ms,
            verdict->refusals, verdict->issued, verdict->slowest_ms, verdict->pin_tries,
            (fault->traits & IS_LOSS) != 0, verdict->finding);
    (void)fflush(run.results);
}

/* ---- one case ---- */

static bool is_under_way(const struct instance *instance)
{
    (void)instance;
    return load_calm_ns(run.load, CALM_TOKENS) >= 0;
}

static struct load *start_load(const struct load_options *options, struct verdict *verdict)
{
    run.load = load_start_with(run.instance, options);
    if (run.load == NULL
        || !health_await(run.instance, is_under_way, monotonic_ns() + GIVE_UP_S * NS_PER_S)) {
        (void)find(verdict, "there was no service before the fault");
    }
    return run.load;
}

static void suffer(const struct fault_case *fault, struct verdict *verdict)
{
    verdict->log_from = file_size(instance_shim_log_path(run.instance));
    verdict->issuerd_log_from = file_size(instance_log_path(run.instance));
    provoke(fault);
    await_faults(fault, verdict);
    if ((fault->traits & IS_REFUSAL) != 0) {
        mend_pin(fault, verdict);
    }
    verdict->faults = count_faults(verdict, fault);
    instance_set_faults(run.instance, "");
    load_mark(run.load);
    if ((fault->traits & IS_REFUSAL) != 0) {
        rewrite_pin();
    }
    if (verdict->faults == 0) {
        (void)find(verdict, "nothing met the fault");
    }
    await_calm(fault, verdict);
}

/* A signer that is ready for a case, whatever the one before did to it: one that was refused its session
 * copies goes without them for as long as it lives. */
static void await_steady_signer(void)
{
    if (!run.is_young) {
        return;
    }
    if (run.variant) {
        kill_signer();
    }
    sleep_ms(STEADY_MS);
    run.is_young = false;
}

static void run_case(const struct fault_case *fault, unsigned number)
{
    struct verdict verdict = { .number = number };

    await_steady_signer();
    const double restarts_before = restarts();
    if (start_load(&light, &verdict) != NULL) {
        suffer(fault, &verdict);
        if ((fault->traits & IS_HARMLESS) != 0 && restarts() > restarts_before + 1) {
            (void)find(&verdict, "it was not harmless");
        }
        close_book(run.load, &verdict);
    }
    load_free(take(run.load));
    report(fault, &verdict);
    if (verdict.finding[0] != '\0') {
        show_log(fault, &verdict);
    }
    run.is_young = restarts() > restarts_before || restarts() < 0;
}

/* ---- all of a shard ---- */

struct shard {
    size_t index;
    size_t count;
    const char *only;
};

static bool is_ours(const struct shard *shard, size_t index, const struct fault_case *fault)
{
    char words[256];
    (void)snprintf(words, sizeof(words), "%s %s %s %s %s", fault->class, fault->function,
                   fault_trigger_name(fault->trigger), fault->words,
                   fault_duration_name(fault->duration));
    return index % shard->count == shard->index && strstr(words, shard->only) != NULL;
}

/* What only the end shows counts as a case as well. */
static void run_end(const char *class)
{
    const struct fault_case end = { .class = class, .function = "-", .words = "-" };
    struct verdict verdict = { .number = 0 };

    stop_server(&verdict);
    if (verdict.finding[0] != '\0') {
        report(&end, &verdict);
    }
}

static void run_cases(const struct shard *shard, size_t most)
{
    static struct fault_case cases[FAULT_CASES_MAX];
    const size_t count = fault_cases_make(run.provider, most, run.seed, cases);

    for (size_t i = 0; i < count; i++) {
        if (!is_ours(shard, i, &cases[i])) {
            continue;
        }
        if (run.instance != NULL && run.variant != cases[i].variant) {
            run_end("the end");
        }
        if (run.instance == NULL) {
            start_server(cases[i].variant, 2);
        }
        run_case(&cases[i], (unsigned)i + 1);
    }
    if (run.instance != NULL) {
        run_end("the end");
    }
}

/* ---- wrong signatures, by the thousand ---- */

/* Not faster: a code takes three connections, and the port of each is held for a minute after its end. */
static const struct load_options heavy = { .threads = 8, .pause_us = 60000 };

static bool has_enough(const struct instance *instance)
{
    (void)instance;
    return load_issued(run.load) >= run.goal;
}

/* With one session, and one more try for a signature that does not verify, each token costs a wrong
 * one. */
static void run_flips(unsigned tokens)
{
    const struct fault_case fault = { .class = "wrong signatures",
                                      .function = "C_Sign",
                                      .words = "flip every=2",
                                      .with = "",
                                      .duration = DURATION_LASTING };
    struct verdict verdict = { .number = 1 };

    start_server(false, 1);
    await_steady_signer();
    if (start_load(&heavy, &verdict) != NULL) {
        provoke(&fault);
        run.goal = load_issued(run.load) + tokens + 2 * heavy.threads;
        if (!health_await(run.instance, has_enough, monotonic_ns() + FLIPS_S * NS_PER_S)) {
            (void)find(&verdict, "too few tokens");
        }
        verdict.faults = count_faults(&verdict, &fault);
        close_book(run.load, &verdict);
        if (verdict.faults < tokens || verdict.refusals > 0) {
            (void)find(&verdict, "%u wrong signatures and %u refusals", verdict.faults,
                       verdict.refusals);
        }
    }
    load_free(take(run.load));
    report(&fault, &verdict);
    run_end("the end of the wrong signatures");
}

static const struct bounds *find_bounds(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        if (strcmp(bounds[i].name, name) == 0) {
            return &bounds[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *const *word = (const char *const *)argv + 1;

    run.check = getenv("FAULT_CHECK");
    run.bounds = argc > 1 ? find_bounds(word[0]) : NULL;
    run.results = argc > 2 ? fopen(argv[argc - 1], "ae") : NULL;
    if (run.check == NULL || run.bounds == NULL || run.results == NULL
        || (argc != 5 && argc != 9)) {
        fprintf(stderr, "fault_run: started by run.sh\n");
        return 2;
    }
    run.provider = word[1];
    if (argc == 5) {
        run_flips((unsigned)strtoul(word[2], NULL, 10));
    } else {
        const struct shard shard = { strtoul(word[2], NULL, 10), strtoul(word[3], NULL, 10),
                                     word[6] };
        run.seed = (unsigned)strtoul(word[5], NULL, 10);
        run_cases(&shard, strtoul(word[4], NULL, 10));
    }
    return fclose(run.results) == 0 ? 0 : 1;
}
