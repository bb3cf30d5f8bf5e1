#include "crash/bed.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/health.h"
#include "support/program.h"

enum { CALM_TOKENS = 12, LOOK_US = 2000, CHECK_S = 300, PORT_MIN = 20000, PORT_MAX = 32000 };

bool bed_find(struct verdict *verdict, const char *format, ...)
{
    va_list args;

    if (verdict->finding[0] == '\0') {
        va_start(args, format);
        (void)vsnprintf(verdict->finding, sizeof(verdict->finding), format, args);
        va_end(args);
    }
    return false;
}

/* ---- the instance ---- */

/* Bound and not listened at, the port is issuerd's, which binds it with SO_REUSEADDR too, and nobody
 * else's while issuerd is down. It is held until this program ends. */
static bool hold_port(int port)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
        release_fd(&fd);
        return false;
    }
    return true;
}

/* Not one that the kernel gives to clients: while issuerd is down, one of ours could get it, and be
 * connected with itself. */
static int choose_port(void)
{
    static unsigned next;
    int port;

    next = next == 0 ? (unsigned)getpid() * 16 : next;
    do {
        port = PORT_MIN + (int)(next++ % (PORT_MAX - PORT_MIN));
    } while (!hold_port(port));
    return port;
}

static void make_audit_key(const struct bed *bed)
{
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/audit.pem", instance_directory(bed->instance));
    const char *const argv[] = { "openssl", "genpkey", "-quiet", "-algorithm",
                                 "ed25519", "-out",    path,     NULL };
    if (program_run(argv, BED_GIVE_UP_S)->status != 0) {
        fprintf(stderr, "crash_run: openssl makes no key\n");
        exit(2);
    }
    instance_set(bed->instance, "signer audit.uri=file:%s", path);
    instance_set(bed->instance, "ledger.signer=audit");
}

/* TEST_POSTGRESQL_URL with a database of its own, which its administrator makes. */
static void make_database(struct bed *bed)
{
    static const char database[] = "/issuerd?";
    static unsigned number;
    const char *url = getenv("TEST_POSTGRESQL_URL");
    const char *found = url != NULL ? strstr(url, database) : NULL;
    char name[48];
    char create[96];

    (void)snprintf(name, sizeof(name), "crash_%d_%u", (int)getpid(), number++);
    (void)snprintf(create, sizeof(create), "CREATE DATABASE %s OWNER issuerd", name);
    const char *const argv[] = {
        "psql",      "--no-psqlrc", "--quiet", "--dbname", getenv("TEST_POSTGRESQL_ADMIN"),
        "--command", create,        NULL
    };
    if (found == NULL || program_run(argv, BED_GIVE_UP_S)->status != 0) {
        fprintf(stderr, "crash_run: no database is made: TEST_POSTGRESQL_URL?\n");
        exit(2);
    }
    (void)snprintf(bed->store_url, sizeof(bed->store_url), "%.*s/%s?%s", (int)(found - url), url,
                   name, found + strlen(database));
}

void bed_make(struct bed *bed)
{
    bed->instance = instance_new(NULL);
    (void)snprintf(bed->state_dir, sizeof(bed->state_dir), "%s/state",
                   instance_directory(bed->instance));
    if (bed->is_postgresql) {
        make_database(bed);
    } else {
        (void)snprintf(bed->store_url, sizeof(bed->store_url), "sqlite:%s/issuerd.db",
                       bed->state_dir);
    }
    if (mkdir(bed->state_dir, 0700) != 0) {
        perror(bed->state_dir);
        exit(2);
    }
    instance_set(bed->instance, "public.listen=127.0.0.1:%d", choose_port());
    instance_set(bed->instance, "admin.listen=127.0.0.1:%d", choose_port());
    instance_set(bed->instance, "issuer.environment=development");
    instance_set(bed->instance, "signer main.sandbox=files"); /* a crash point leaves its mark */
    instance_set(bed->instance, "signer audit.sandbox=files");
    instance_set(bed->instance, "store.url=%s", bed->store_url);
    instance_set(bed->instance, "store.state_dir=%s", bed->state_dir);
    instance_set(bed->instance, "tokens.code_lifetime_s=300");
    instance_set(bed->instance, "ledger.node=node-1");
    instance_set(bed->instance, "ledger.checkpoint_entries=5");
    instance_set(bed->instance, "ledger.checkpoint_s=1");
    instance_set(bed->instance, "log.level=notice");
    make_audit_key(bed);
}

const char *bed_store_path(const struct bed *bed)
{
    return bed->store_url + strlen("sqlite:");
}

void bed_clear(struct bed *bed)
{
    instance_free(take(bed->instance));
}

bool bed_has_ended(const struct bed *bed)
{
    siginfo_t info = { .si_pid = 0 };
    return waitid(P_PID, (id_t)instance_pid(bed->instance), &info, WEXITED | WNOHANG | WNOWAIT) != 0
        || info.si_pid != 0;
}

static bool await_ready(const struct bed *bed)
{
    const int64_t deadline_ns = monotonic_ns() + BED_GIVE_UP_S * NS_PER_S;

    while (!health_is_ready(bed->instance)) {
        if (bed_has_ended(bed) || monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_US);
    }
    return true;
}

bool bed_start(struct bed *bed, struct verdict *verdict)
{
    const int64_t start_ns = monotonic_ns();

    if (!instance_start(bed->instance)) {
        return false;
    }
    if (!await_ready(bed)) {
        instance_kill(bed->instance);
        return false;
    }
    const int64_t ready_ms = (monotonic_ns() - start_ns) / NS_PER_MS;
    verdict->ready_ms = ready_ms > verdict->ready_ms ? ready_ms : verdict->ready_ms;
    if (bed->is_tight && ready_ms > BED_READY_MS * HEALTH_SLACK) {
        (void)bed_find(verdict, "ready: after %" PRId64 " ms", ready_ms);
    }
    return true;
}

bool bed_await_calm(const struct bed *bed, struct load *load, int64_t within_ms)
{
    const int64_t patience_ms = bed->is_tight ? within_ms * HEALTH_SLACK : BED_GIVE_UP_S * 1000;
    const int64_t deadline_ns = monotonic_ns() + patience_ms * NS_PER_MS;

    while (load_calm_ns(load, CALM_TOKENS) < 0) {
        if (monotonic_ns() > deadline_ns) {
            return false;
        }
        (void)usleep(LOOK_US);
    }
    return true;
}

/* ---- the checker ---- */

static void write_transcript(const struct load_book *book, unsigned number, const char *path)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        perror(path);
        exit(2);
    }
    load_write_transcript(book, number, file);
    (void)fclose(file);
}

static void check(struct bed *bed, const char *transcript, struct verdict *verdict)
{
    char answer_ms[32];
    char after[600];
    char head[600];
    (void)snprintf(answer_ms, sizeof(answer_ms), "--answer-ms=%d",
                   bed->is_tight ? ANSWER_S * 1000 : BED_GIVE_UP_S * 1000);
    (void)snprintf(after, sizeof(after), "--after=%s/seen", instance_directory(bed->instance));
    (void)snprintf(head, sizeof(head), "--head=%s/node-1.checkpoint", bed->state_dir);
    const char *const argv[] = {
        "python3",  bed->check, answer_ms,
        after,      head,       bed->is_postgresql ? bed->store_url : bed_store_path(bed),
        transcript, NULL
    };
    const struct program_result *said = program_run(argv, CHECK_S);
    if (said->status != 0) {
        const char *text = said->output[0] != '\0' ? said->output : said->errors;
        (void)bed_find(verdict, "%.*s", (int)strcspn(text, "\n"), text);
    }
}

void bed_close_book(struct bed *bed, struct load *load, struct verdict *verdict)
{
    static unsigned number;
    const struct load_book *book = load_stop(load);
    char transcript[600];

    number++;
    verdict->issued += book->issued;
    verdict->spent += book->spent;
    verdict->refusals += book->refusals;
    if (book->unanswered > 0) {
        (void)bed_find(verdict, "answer: %u codes never got any", book->unanswered);
    }
    if (book->count == LOAD_CODES_MAX) {
        (void)bed_find(verdict, "the load's book was too small");
    }
    (void)snprintf(transcript, sizeof(transcript), "%s/transcript-%u",
                   instance_directory(bed->instance), number);
    write_transcript(book, number, transcript);
    check(bed, transcript, verdict);
    load_free(load);
}

/* ---- results ---- */

static const char *engine(const struct bed *bed)
{
    return bed->is_postgresql ? "postgresql" : "sqlite";
}

void bed_report(struct bed *bed, const char *name, const struct verdict *verdict)
{
    fprintf(bed->results, "%s\t%s\t%s\t%u\t%" PRId64 "\t%u\t%u\t%u\t%s\n",
            verdict->finding[0] == '\0' ? "passed" : "FAILED", engine(bed), name, verdict->kills,
            verdict->ready_ms, verdict->issued, verdict->spent, verdict->refusals,
            verdict->finding);
    (void)fflush(bed->results);
}

void bed_report_skipped(struct bed *bed, const char *name, const char *why)
{
    fprintf(bed->results, "skipped\t%s\t%s\t0\t-1\t0\t0\t0\t%s\n", engine(bed), name, why);
    (void)fflush(bed->results);
}
