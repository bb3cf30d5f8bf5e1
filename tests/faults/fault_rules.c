#include "fault_rules.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A line of the control file. */
struct rule {
    size_t function;
    struct fault fault;
    uint64_t after;
    uint64_t count;
    uint64_t every;
    uint64_t times;
    uint64_t calls; /* seen so far */
};

enum { RULES_MAX = 64, LINE_MAX_LENGTH = 256, PATH_MAX_LENGTH = 1024, LOOK_EVERY_NS = 2000000 };

static struct {
    pthread_mutex_t lock; /* over all below */
    int64_t looked_ns;
    struct stat read_as; /* the control file when it was last read */
    struct rule rules[RULES_MAX];
    size_t count;
} rules = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct {
    const char *word;
    unsigned mode;
    bool of_all; /* functions */
} modes[] = {
    { "skip", FAULT_SKIP, true },
    { "hang", FAULT_HANG, true },
    { "abort", FAULT_ABORT, true },
    { "flip", FAULT_FLIP, false },
    { "drop", FAULT_DROP, false },
    { "mute", FAULT_MUTE, false },
    { "close_sessions", FAULT_CLOSE_SESSIONS, false },
    { "logout", FAULT_LOGOUT, false },
};

void fault_give_up(const struct fault_shim *shim, const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s: %s\n", shim->name, what, detail);
    abort();
}

/* ---- the control file ---- */

static bool parse_mode(const struct fault_shim *shim, struct rule *rule, const char *word)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const bool has_it =
            modes[i].of_all || (shim->functions[rule->function].modes & modes[i].mode) != 0;
        if (has_it && strcmp(modes[i].word, word) == 0) {
            rule->fault.modes |= modes[i].mode;
            return true;
        }
    }
    if (strcmp(word, "finish") == 0) {
        rule->fault.modes &= ~(unsigned)FAULT_SKIP;
        return true;
    }
    return false;
}

static bool parse_number(const struct fault_shim *shim, struct rule *rule, const char *word)
{
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        { shim->code_word, &rule->fault.code },
        { "delay_us", &rule->fault.delay_us },
        { "after", &rule->after },
        { "count", &rule->count },
        { "every", &rule->every },
        { "times", &rule->times },
    };
    const size_t length = strcspn(word, "=");
    char *end = NULL;

    for (size_t i = 0; word[length] == '=' && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strlen(numbers[i].name) == length && strncmp(numbers[i].name, word, length) == 0) {
            *numbers[i].number = strtoull(word + length + 1, &end, 0);
            return end != word + length + 1 && *end == '\0';
        }
    }
    return false;
}

static size_t parse_function(const struct fault_shim *shim, const char *word, const char *line)
{
    for (size_t i = 0; i < shim->function_count; i++) {
        if (strcmp(shim->functions[i].name, word) == 0) {
            return i;
        }
    }
    fault_give_up(shim, "a fault for a function that is not wrapped", line);
}

static void parse_rule(const struct fault_shim *shim, const char *line)
{
    char words[LINE_MAX_LENGTH];
    char *rest = NULL;
    snprintf(words, sizeof(words), "%s", line);
    const char *word = strtok_r(words, " \t", &rest);
    if (word == NULL || word[0] == '#') {
        return;
    }
    if (rules.count == RULES_MAX) {
        fault_give_up(shim, "more faults than there is room for", line);
    }
    struct rule *rule = &rules.rules[rules.count++];
    *rule = (struct rule){ .function = parse_function(shim, word, line),
                           .count = UINT64_MAX,
                           .every = 1,
                           .times = UINT64_MAX };
    rule->fault.modes = shim->functions[rule->function].effect == BEGINS ? FAULT_SKIP : 0;
    while ((word = strtok_r(NULL, " \t", &rest)) != NULL) {
        if (!parse_mode(shim, rule, word) && !parse_number(shim, rule, word)) {
            fault_give_up(shim, "a word that is no fault", line);
        }
    }
    if (rule->every == 0) {
        fault_give_up(shim, "every no call", line);
    }
    if (rule->fault.code == 0) { /* without an error to report there is nothing to skip for */
        rule->fault.modes &= ~(unsigned)FAULT_SKIP;
    }
}

static void read_rules(const struct fault_shim *shim, const char *path)
{
    char line[LINE_MAX_LENGTH];
    rules.count = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        parse_rule(shim, line);
    }
    fclose(file);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size
        && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_at_control(const struct fault_shim *shim, const char *path)
{
    struct timespec now;
    struct stat found = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (path == NULL || (rules.looked_ns != 0 && now_ns - rules.looked_ns < LOOK_EVERY_NS)) {
        return;
    }
    rules.looked_ns = now_ns;
    (void)stat(path, &found); /* a missing file is all zeros: a change like another */
    if (!is_same_file(&found, &rules.read_as)) {
        rules.read_as = found;
        read_rules(shim, path);
    }
}

/* ---- one call ---- */

/* Which ticket of this rule, in all processes, the call draws: each appends a byte to a file, named
 * by what the control file is now, and ends where its own byte does. */
static uint64_t draw_ticket(const struct fault_shim *shim, const char *control,
                            const struct rule *rule)
{
    char path[PATH_MAX_LENGTH];

    snprintf(path, sizeof(path), "%s.%llu-%lld.%09ld-%d", control,
             (unsigned long long)rules.read_as.st_ino, (long long)rules.read_as.st_mtim.tv_sec,
             rules.read_as.st_mtim.tv_nsec, (int)(rule - rules.rules));
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    const off_t ticket = fd >= 0 && write(fd, "", 1) == 1 ? lseek(fd, 0, SEEK_CUR) : -1;
    if (ticket < 1) {
        fault_give_up(shim, "cannot count beside SHIM_CONTROL", path);
    }
    close(fd);
    return (uint64_t)ticket;
}

static bool befalls(const struct fault_shim *shim, const char *control, struct rule *rule)
{
    const uint64_t call = rule->calls++;

    if (call < rule->after || call - rule->after >= rule->count
        || (call - rule->after + 1) % rule->every != 0) {
        return false;
    }
    return rule->times == UINT64_MAX || draw_ticket(shim, control, rule) <= rule->times;
}

static void add(struct fault *sum, const struct fault *fault)
{
    sum->delay_us += fault->delay_us;
    if (fault->code != 0) {
        sum->code = fault->code;
        sum->modes &= ~(unsigned)FAULT_SKIP;
    }
    sum->modes |= fault->modes;
}

static bool look_up(const struct fault_shim *shim, size_t index, struct fault *sum)
{
    const char *control = getenv("SHIM_CONTROL");
    bool any = false;

    pthread_mutex_lock(&rules.lock);
    look_at_control(shim, control);
    for (struct rule *rule = rules.rules; rule < rules.rules + rules.count; rule++) {
        if (rule->function == index && befalls(shim, control, rule)) {
            add(sum, &rule->fault);
            any = true;
        }
    }
    pthread_mutex_unlock(&rules.lock);
    return any;
}

__attribute__((format(printf, 2, 3))) static void log_line(const struct fault_shim *shim,
                                                           const char *format, ...)
{
    const char *path = getenv("SHIM_LOG");
    va_list args;

    if (path == NULL) {
        return;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    va_start(args, format);
    if (fd == -1 || vdprintf(fd, format, args) < 0) {
        fault_give_up(shim, "cannot write to SHIM_LOG", path);
    }
    va_end(args);
    close(fd);
}

void fault_log_call(const struct fault_shim *shim, size_t index, uint64_t code)
{
    if (shim->functions[index].logged == LOGGED) {
        log_line(shim, "%s pid=%d %s=0x%llx\n", shim->functions[index].name, getpid(),
                 shim->code_word, (unsigned long long)code);
    }
}

static void wait_out(uint64_t delay_us)
{
    struct timespec left = { .tv_sec = (time_t)(delay_us / 1000000),
                             .tv_nsec = (long)(delay_us % 1000000 * 1000) };
    while (nanosleep(&left, &left) != 0) {
    }
}

struct fault fault_befall(const struct fault_shim *shim, size_t index)
{
    struct fault fault = { .code = 0 };

    if (!look_up(shim, index, &fault)) {
        return fault;
    }
    log_line(shim, "fault pid=%d %s\n", getpid(), shim->functions[index].name);
    if ((fault.modes & FAULT_ABORT) != 0) {
        abort();
    }
    while ((fault.modes & FAULT_HANG) != 0) {
        pause();
    }
    if (fault.delay_us > 0) {
        wait_out(fault.delay_us);
    }
    return fault;
}
