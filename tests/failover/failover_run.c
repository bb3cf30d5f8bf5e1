/*
 * The failover run, one round of it: two issuerd on a pair of PostgreSQL clusters, under a light load,
 * while a cluster is killed, promoted, or comes back. After each scenario the checker
 * (tests/faults/check.py) holds what clients saw against the cluster that is left.
 *
 *     failover_run BOUNDS SEED ROUND RESULTS
 *
 * BOUNDS is "tight": a failover takes no more than 10 s from a token to the next; or "loose": it comes
 * to its end, however slow the machine is. Started by run.sh, in the environment of with_software.sh.
 * Each scenario is a line of RESULTS, with a tab between:
 *
 *     verdict scenario round issued refusals outage_ms slowest_ms finding
 *
 * outage_ms is the longest time without a token.
 */
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/load.h"
#include "support/program.h"

enum {
    NODES = 2,
    THREADS = 3, /* of the load on each node */
    CALM_TOKENS = 12,
    GIVE_UP_S = 60 * HEALTH_SLACK,
    RUN_S = 120,
    LOOK_US = 5000,
    STEADY_MS = 700,
    WAIT_MS = 3000, /* without the standby: longer than a commit is waited for, twice */
    CODES = 4,
    CANCEL_EVERY_MS = 100,
    OUTAGE_MS = 10000,
    ANSWER_MS = 2000,
    STOP_S = 15 * HEALTH_SLACK,
    SPENT_TRIES = 8,
    CHILDREN_MAX = 128,
};

static struct {
    bool is_tight;
    unsigned seed;
    const char *round;
    FILE *results;
    char primary[512]; /* directories */
    char standby[512];
    char url[1536];
    struct instance *nodes[NODES];
    struct load *loads[NODES];

    /* of the scenario */
    const char *name;
    unsigned issued;
    unsigned refusals;
    int64_t outage_ms;
    int64_t slowest_ms;
    char finding[512]; /* "": passed */
} run;

__attribute__((format(printf, 1, 2))) static bool find(const char *format, ...)
{
    va_list args;

    if (run.finding[0] == '\0') {
        va_start(args, format);
        (void)vsnprintf(run.finding, sizeof(run.finding), format, args);
        va_end(args);
    }
    return false;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list args;

    printf("  %s: ", run.name);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    printf("\n");
    (void)fflush(stdout);
}

static void sleep_ms(int64_t ms)
{
    (void)usleep((useconds_t)(ms * 1000));
}

/* ---- clusters ---- */

/* What the script says; a test cannot go on without it. NULL: no such argument. */
static const char *cluster(const char *verb, const char *directory, const char *other)
{
    const char *const argv[] = { getenv("TEST_POSTGRESQL_CLUSTER"), verb, directory, other, NULL };
    const struct program_result *said = program_run(argv, RUN_S);

    if (said->status != 0) {
        fprintf(stderr, "failover_run: %s %s: %s", verb, directory, said->errors);
        exit(2);
    }
    return said->output;
}

static int64_t select_number(const char *directory, const char *sql)
{
    const char *const argv[] = { getenv("TEST_POSTGRESQL_CLUSTER"),
                                 "psql",
                                 directory,
                                 "-At",
                                 "-d",
                                 "issuerd",
                                 "-c",
                                 sql,
                                 NULL };
    const struct program_result *said = program_run(argv, RUN_S);
    return said->status == 0 ? strtoll(said->output, NULL, 10) : -1;
}

static size_t list_children(pid_t parent, pid_t pids_out[static CHILDREN_MAX])
{
    size_t count = 0;
    DIR *all = opendir("/proc");

    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        char path[64];
        int its_parent = 0;
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        FILE *file = pid > 0 ? fopen(path, "re") : NULL;
        if (file != NULL) {
            if (fscanf(file, "%*d (%*[^)]) %*c %d", &its_parent) == 1 && its_parent == parent
                && count < CHILDREN_MAX) {
                pids_out[count++] = pid;
            }
            fclose(file);
        }
    }
    closedir(all);
    return count;
}

/* All of its processes at once; the postmaster is held, so that it starts no other. */
static void kill_cluster(const char *directory)
{
    pid_t pids[CHILDREN_MAX];
    const pid_t postmaster = (pid_t)strtol(cluster("pid", directory, NULL), NULL, 10);

    if (postmaster <= 1 || kill(postmaster, SIGSTOP) != 0) {
        fprintf(stderr, "failover_run: %s does not run\n", directory);
        exit(2);
    }
    const size_t count = list_children(postmaster, pids);
    for (size_t i = 0; i < count; i++) {
        (void)kill(pids[i], SIGKILL);
    }
    (void)kill(postmaster, SIGKILL);
    while (kill(postmaster, 0) == 0) {
        (void)usleep(LOOK_US);
    }
}

static void make_pair(void)
{
    static unsigned number;

    number++;
    (void)snprintf(run.primary, sizeof(run.primary), "%s/one-%u", getenv("TEST_DIR"), number);
    (void)snprintf(run.standby, sizeof(run.standby), "%s/two-%u", getenv("TEST_DIR"), number);
    (void)cluster("start", run.primary, NULL);
    (void)cluster("standby", run.standby, run.primary);
    (void)snprintf(run.url, sizeof(run.url), "%s", cluster("url", run.primary, run.standby));
    run.url[strcspn(run.url, "\n")] = '\0';
}

static void remove_pair(void)
{
    (void)cluster("remove", run.primary, NULL);
    (void)cluster("remove", run.standby, NULL);
}

/* ---- nodes and their loads ---- */

static struct instance *make_node(const char *name, const char *url)
{
    struct instance *node = instance_new(NULL);

    instance_set(node, "issuer.environment=development");
    instance_set(node, "store.url=%s", url);
    instance_set(node, "store.state_dir=%s", instance_directory(node));
    instance_set(node, "ledger.node=%s", name);
    instance_set(node, "ledger.checkpoint_s=1");
    instance_set(node, "tokens.code_lifetime_s=300");
    return node;
}

static bool is_calm(int node)
{
    const int64_t deadline_ns = monotonic_ns() + GIVE_UP_S * NS_PER_S;

    while (load_calm_ns(run.loads[node], CALM_TOKENS) < 0) {
        if (monotonic_ns() > deadline_ns) {
            return find("heal: node %c issues no tokens", 'a' + node);
        }
        (void)usleep(LOOK_US);
    }
    return true;
}

static bool come_to_be_calm(void)
{
    for (int i = 0; i < NODES; i++) {
        load_mark(run.loads[i]);
    }
    return is_calm(0) && is_calm(1);
}

static bool start_nodes(void)
{
    static const struct load_options light = { .threads = THREADS,
                                               .pause_us = 10000,
                                               .is_persistent = true };
    static const char *const names[NODES] = { "a", "b" };

    for (int i = 0; i < NODES; i++) {
        run.nodes[i] = make_node(names[i], run.url);
        if (!instance_start(run.nodes[i])) {
            return find("start: node %s does not", names[i]);
        }
        run.loads[i] = load_start_with(run.nodes[i], &light);
        if (run.loads[i] == NULL) {
            return find("start: there is no load on node %s", names[i]);
        }
    }
    return come_to_be_calm();
}

static bool restart_node(int node)
{
    if (instance_stop(run.nodes[node], STOP_S) != 0) {
        return find("stop: node %c did not end in good order", 'a' + node);
    }
    return instance_start(run.nodes[node]) || find("start: node %c does not come back", 'a' + node);
}

/* ---- what clients saw ---- */

static int compare_times(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* The longest time in which no client got a token. */
static int64_t longest_outage_ms(struct load_book *const books[NODES])
{
    int64_t *times = xcalloc(NODES * LOAD_CODES_MAX, sizeof(*times));
    size_t count = 0;
    int64_t longest_ns = 0;

    for (int i = 0; i < NODES; i++) {
        for (unsigned j = 0; j < books[i]->count; j++) {
            if (books[i]->codes[j].outcome == LOAD_ISSUED) {
                times[count++] = books[i]->codes[j].last_ns;
            }
        }
    }
    qsort(times, count, sizeof(*times), compare_times);
    for (size_t i = 1; i < count; i++) {
        longest_ns = times[i] - times[i - 1] > longest_ns ? times[i] - times[i - 1] : longest_ns;
    }
    free(times);
    return longest_ns / NS_PER_MS;
}

static void write_transcript(const struct load_book *book, int node, char path_out[static 600])
{
    (void)snprintf(path_out, 600, "%s/transcript", instance_directory(run.nodes[node]));
    FILE *file = fopen(path_out, "we");
    if (file == NULL) {
        perror(path_out);
        exit(2);
    }
    load_write_transcript(book, (unsigned)node, file);
    (void)fclose(file);
}

static void check(const char *directory, const char *first, const char *second)
{
    char url[1024];
    char answer_ms[32];
    (void)snprintf(url, sizeof(url), "%s", cluster("url", directory, NULL));
    url[strcspn(url, "\n")] = '\0';
    (void)snprintf(answer_ms, sizeof(answer_ms), "--answer-ms=%d",
                   run.is_tight ? ANSWER_MS : GIVE_UP_S * 1000);
    const char *const argv[] = { "python3", getenv("FAULT_CHECK"), answer_ms, url, first, second,
                                 NULL };
    const struct program_result *said = program_run(argv, RUN_S);

    if (said->status != 0) {
        const char *text = said->output[0] != '\0' ? said->output : said->errors;
        (void)find("%.*s", (int)strcspn(text, "\n"), text);
    }
}

/* Ends the loads; holds what they saw against the cluster in `directory`, unless that is NULL. */
static void close_books(const char *directory)
{
    struct load_book books[NODES];
    struct load_book *const both[NODES] = { &books[0], &books[1] };
    char paths[NODES][600];

    for (int i = 0; i < NODES; i++) {
        books[i] = *load_stop(run.loads[i]);
        write_transcript(&books[i], i, paths[i]);
        run.issued += books[i].issued;
        run.refusals += books[i].refusals;
        const int64_t slowest_ms = books[i].slowest_ns / NS_PER_MS;
        run.slowest_ms = slowest_ms > run.slowest_ms ? slowest_ms : run.slowest_ms;
        if (books[i].count == LOAD_CODES_MAX) {
            (void)find("the load's book was too small");
        }
    }
    run.outage_ms = longest_outage_ms(both);
    if (directory != NULL) {
        check(directory, paths[0], paths[1]);
    }
}

/* ---- the primary dies ---- */

static bool fail_over(void)
{
    sleep_ms(STEADY_MS + rand_r(&run.seed) % STEADY_MS);
    const int64_t start_ns = monotonic_ns();
    kill_cluster(run.primary);
    (void)cluster("promote", run.standby, NULL);
    say("primary killed, standby promoted after %" PRId64 " ms",
        (monotonic_ns() - start_ns) / NS_PER_MS);
    return come_to_be_calm();
}

static int64_t entries_of(const char *directory)
{
    return select_number(directory, "SELECT sum(size) FROM ledger_trees");
}

/* Has every node look for a connection, the old primary being the next to try. */
static void end_connections(const char *directory)
{
    (void)select_number(directory, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                   " WHERE application_name = 'issuerd'");
}

static void check_old_primary_is_left_alone(void)
{
    (void)cluster("start", run.primary, NULL);
    const int64_t entries = entries_of(run.primary);
    say("the old primary is back, with %" PRId64 " entries; the new one has %" PRId64, entries,
        entries_of(run.standby));

    end_connections(run.standby);
    if (!come_to_be_calm()) {
        return;
    }
    if (!instance_has_logged(run.nodes[0], "store.fenced")
        && !instance_has_logged(run.nodes[1], "store.fenced")) {
        (void)find("fence: nobody met the old primary");
    }
    if (restart_node(0) && come_to_be_calm()) {
        say("a node was restarted, and serves");
    }
    if (entries < 0 || entries_of(run.primary) != entries) {
        (void)find("fence: the old primary was written to");
    }
}

/* Who knows of nothing else: its commits wait for the standby, and are no commits. */
static void check_old_primary_acknowledges_nothing(void)
{
    char url[1024];
    (void)snprintf(url, sizeof(url), "%s", cluster("url", run.primary, NULL));
    url[strcspn(url, "\n")] = '\0';
    struct instance *stranger = make_node("c", url);

    if (instance_start(stranger) && api_serves(stranger)) {
        (void)find("fence: the old primary serves a node that knows of no other");
    }
    if (!instance_has_logged(stranger, "store.in_doubt")) {
        (void)find("fence: no commit of the old primary was in doubt");
    }
    instance_free(stranger);
    say("a node that knows the old primary alone does not serve");
}

static void lose_primary(void)
{
    if (start_nodes() && fail_over()) {
        check_old_primary_is_left_alone();
    }
    close_books(run.standby);
    if (run.is_tight && run.outage_ms > OUTAGE_MS) {
        (void)find("outage: %" PRId64 " ms without a token", run.outage_ms);
    }
    if (run.finding[0] == '\0') {
        check_old_primary_acknowledges_nothing();
    }
}

/* ---- the standby is down ---- */

static bool lose_it_under_load(void)
{
    sleep_ms(STEADY_MS);
    kill_cluster(run.standby);
    sleep_ms(WAIT_MS);
    const unsigned issued = load_issued(run.loads[0]) + load_issued(run.loads[1]);
    sleep_ms(STEADY_MS);
    if (load_issued(run.loads[0]) + load_issued(run.loads[1]) != issued) {
        (void)find("standby: tokens are issued without it");
    }
    say("the standby is down; nothing is issued");
    (void)cluster("start", run.standby, NULL);
    return come_to_be_calm();
}

static int redeem(const char *code)
{
    struct http_client *client = http_connect(instance_public_port(run.nodes[0]));
    const int status = api_redeem(client, code)->status;

    http_close(client);
    return status;
}

struct attempt {
    const char *code;
    int status;
    _Atomic bool is_over;
};

static void *try_code(void *argument)
{
    struct attempt *attempt = argument;

    attempt->status = redeem(attempt->code);
    attempt->is_over = true;
    return NULL;
}

/* Redeems it while an impatient operator cancels whatever waits for the standby: the server then keeps
 * what it warns of, and its locks are free for the next. */
static int redeem_impatiently(const char *code)
{
    struct attempt attempt = { .code = code };
    pthread_t thread;

    if (pthread_create(&thread, NULL, try_code, &attempt) != 0) {
        abort();
    }
    while (!attempt.is_over) {
        (void)select_number(run.primary, "SELECT count(pg_cancel_backend(pid)) FROM"
                                         " pg_stat_activity WHERE wait_event = 'SyncRep'");
        sleep_ms(CANCEL_EVERY_MS);
    }
    (void)pthread_join(thread, NULL);
    return attempt.status;
}

/* The first code's commit is in doubt; what comes after, one at a time, is not put into doubt as well.
 * Each has its token afterwards. */
static void lose_it_with_codes(void)
{
    char codes[CODES][API_CODE_SIZE];

    for (int i = 0; i < CODES; i++) {
        if (!api_make_code(run.nodes[0], NULL, codes[i])) {
            (void)find("heal: no code is made");
            return;
        }
    }
    kill_cluster(run.standby);
    for (int i = 0; i < CODES; i++) {
        const int status = redeem_impatiently(codes[i]);
        if (status != 503) {
            (void)find("standby: without it a code was answered %d", status);
        }
    }
    (void)cluster("start", run.standby, NULL);
    if (!health_await(run.nodes[0], health_is_ready, monotonic_ns() + GIVE_UP_S * NS_PER_S)) {
        (void)find("heal: node a is not ready");
    }
    for (int i = 0; i < CODES; i++) {
        const int status = redeem(codes[i]);
        if (status != 201) {
            (void)find("burnt: a code that was refused is answered %d afterwards", status);
        }
    }
    say("the standby was down again; %d codes waited", CODES);
}

static void lose_standby(void)
{
    const bool is_calm_again = start_nodes() && lose_it_under_load();

    close_books(run.primary);
    if (is_calm_again) {
        lose_it_with_codes();
    }
}

/* ---- a standby that did not have all is promoted ---- */

static bool is_fenced(const struct instance *node)
{
    return instance_has_logged(node, "store.fenced");
}

static bool is_stopped(int node)
{
    return health_await(run.nodes[node], health_is_not_ready, monotonic_ns() + GIVE_UP_S * NS_PER_S)
        || find("restore: node %c is ready on an older store", 'a' + node);
}

static bool accept_restore(int node)
{
    const char *const argv[] = {
        "issuerctl", "--config",          instance_conf_path(run.nodes[node]),
        "ledger",    "accept-restore",    "--yes",
        "--reason",  "a lagging standby", NULL
    };
    return program_ended(program_run(argv, RUN_S), 0, "accepted")
        || find("restore: node %c: it cannot be accepted", 'a' + node);
}

static bool serves(const struct instance *node)
{
    return health_is_ready(node) && api_serves(node);
}

/* What was redeemed before stays so, though the store has forgotten. */
static bool stay_spent(void)
{
    for (int i = 0; i < NODES; i++) {
        const struct load_book *book = load_stop(run.loads[i]);
        struct http_client *client = http_connect(instance_public_port(run.nodes[i]));
        for (unsigned j = 0; j < SPENT_TRIES && j < book->count; j++) {
            const struct load_code *code = &book->codes[book->count - 1 - j];
            if (api_redeem(client, code->code)->status == 201) {
                (void)find("twice: a code was good again");
            }
        }
        http_close(client);
    }
    return run.finding[0] == '\0';
}

static bool go_on_without_the_lost(void)
{
    for (int i = 0; i < NODES; i++) {
        if (!accept_restore(i)) {
            return false;
        }
    }
    for (int i = 0; i < NODES; i++) {
        if (!health_await(run.nodes[i], serves, monotonic_ns() + GIVE_UP_S * NS_PER_S)) {
            return find("restore: node %c does not go on", 'a' + i);
        }
    }
    say("accepted; both nodes go on");
    return stay_spent();
}

static void promote_lagging(void)
{
    (void)cluster("alone", run.primary, NULL);
    if (!start_nodes()) {
        return;
    }
    (void)cluster("stop", run.standby, NULL);
    if (!come_to_be_calm()) {
        return;
    }
    sleep_ms(2000 + STEADY_MS); /* the head files are written every second */
    close_books(run.primary);
    kill_cluster(run.primary);
    (void)cluster("start", run.standby, NULL);
    (void)cluster("promote", run.standby, NULL);
    say("the standby lacks acknowledged commits, and is promoted");
    if (!is_stopped(0) || !is_stopped(1)) {
        return;
    }
    if (!health_await(run.nodes[1], is_fenced, monotonic_ns() + GIVE_UP_S * NS_PER_S)) {
        (void)find("restore: node b did not notice");
    }
    if (restart_node(0) && is_stopped(0)
        && !instance_has_logged(run.nodes[0], "ledger.rolled_back")) {
        (void)find("restore: node a did not notice after its restart");
    }
    if (api_serves(run.nodes[0]) || api_serves(run.nodes[1])) {
        (void)find("restore: a token was issued");
    }
    if (run.finding[0] == '\0') {
        (void)go_on_without_the_lost();
    }
}

/* ---- all of a round ---- */

static void clear_nodes(void)
{
    for (int i = 0; i < NODES; i++) {
        load_free(take(run.loads[i]));
        if (run.finding[0] != '\0' && run.nodes[i] != NULL) {
            fprintf(stderr, "log of node %c: %s\n", 'a' + i, instance_log_path(run.nodes[i]));
        }
        instance_free(take(run.nodes[i]));
    }
}

static void run_scenario(const char *name, void (*scenario)(void))
{
    run.name = name;
    run.issued = run.refusals = 0;
    run.outage_ms = run.slowest_ms = 0;
    run.finding[0] = '\0';
    make_pair();
    scenario();
    clear_nodes();
    remove_pair();
    fprintf(run.results, "%s\t%s\t%s\t%u\t%u\t%" PRId64 "\t%" PRId64 "\t%s\n",
            run.finding[0] == '\0' ? "passed" : "FAILED", name, run.round, run.issued, run.refusals,
            run.outage_ms, run.slowest_ms, run.finding);
    (void)fflush(run.results);
}

int main(int argc, char **argv)
{
    run.results = argc == 5 ? fopen(argv[4], "ae") : NULL;
    if (run.results == NULL || getenv("FAULT_CHECK") == NULL
        || getenv("TEST_POSTGRESQL_CLUSTER") == NULL) {
        fprintf(stderr, "failover_run: started by run.sh\n");
        return 2;
    }
    run.is_tight = strcmp(argv[1], "tight") == 0;
    run.seed = (unsigned)strtoul(argv[2], NULL, 10);
    run.round = argv[3];
    run_scenario("primary lost", lose_primary);
    run_scenario("standby lost", lose_standby);
    run_scenario("lagging standby promoted", promote_lagging);
    return fclose(run.results) == 0 ? 0 : 1;
}
