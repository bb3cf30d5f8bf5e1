/*
 * A PKCS#11 module that stands in front of another one and misbehaves on command: the slow HSM of
 * the benchmark, the broken HSM of the fault tests. From the environment it takes
 *
 *   SHIM_MODULE   the real module (required)
 *   SHIM_CONTROL  a file of faults; read again when it changes (looked at every 2 ms at most), so
 *                 replace it by rename(2). Counting starts afresh then. No file: no faults.
 *   SHIM_LOG      a file that gets a line "C_Login pid=71 rv=0xa0" for each call of a LOGGED function
 *
 * A line of faults names a function and what befalls its calls; several lines for one function add up:
 *
 *   C_Sign delay_us=5000             takes 5 ms longer
 *   C_Sign rv=0x30 after=10 count=1  ten calls pass, one fails with CKR_DEVICE_ERROR, the rest pass
 *   C_Sign flip                      succeeds, with one bit of the signature wrong
 *   C_Sign hang                      never returns
 *   C_Sign abort                     takes the process down
 *   C_Sign rv=0x30 skip              fails without calling the real function
 *   C_Sign close_sessions            every session of every token is closed first, the caller's too
 *   C_Sign logout                    the user is logged out of every token first
 *
 * An injected error of a function that ends an operation is reported after the real function has
 * run, as PKCS#11 wants the operation over whatever C_Sign returns (but CKR_BUFFER_TOO_SMALL);
 * "skip" leaves it active, as some modules do. For a function that begins something (a login, a
 * session, an operation) it is the other way about: a refusal leaves nothing behind unless "finish"
 * asks for "done, but reported as failed". An error of the real function is never hidden. A line that
 * cannot be read ends the process: no test may pass because its fault was misspelt.
 *
 * Threads: any. The lock is held to look up and count faults, never over a delay or a real call.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */

/* The functions that can misbehave through the plain wrapper: X(name, begins or ends something,
 * logged or not, parameters, arguments). A new one is one line here. */
#define PLAIN_FUNCTIONS(X)                                                                         \
    X(C_Initialize, BEGINS, LOGGED, (void *args), (args))                                          \
    X(C_Finalize, ENDS, SILENT, (void *reserved), (reserved))                                      \
    X(C_GetSlotList, BEGINS, SILENT,                                                               \
      (CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count), (present, slots, count))             \
    X(C_GetTokenInfo, BEGINS, SILENT, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))        \
    X(C_OpenSession, BEGINS, SILENT,                                                               \
      (CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify, CK_SESSION_HANDLE *out),  \
      (slot, flags, context, notify, out))                                                         \
    X(C_CloseSession, ENDS, SILENT, (CK_SESSION_HANDLE session), (session))                        \
    X(C_GetSessionInfo, BEGINS, SILENT,                                                            \
      (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))                         \
    X(C_Login, BEGINS, LOGGED,                                                                     \
      (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG length),               \
      (session, user, pin, length))                                                                \
    X(C_FindObjectsInit, BEGINS, SILENT,                                                           \
      (CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count),                       \
      (session, attributes, count))                                                                \
    X(C_FindObjects, BEGINS, SILENT,                                                               \
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG size, CK_ULONG *count),      \
      (session, objects, size, count))                                                             \
    X(C_GetAttributeValue, BEGINS, SILENT,                                                         \
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,               \
       CK_ULONG count),                                                                            \
      (session, object, attributes, count))                                                        \
    X(C_CopyObject, BEGINS, SILENT,                                                                \
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,               \
       CK_ULONG count, CK_OBJECT_HANDLE *copy),                                                    \
      (session, object, attributes, count, copy))                                                  \
    X(C_GenerateKeyPair, BEGINS, LOGGED,                                                           \
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_attributes,        \
       CK_ULONG public_count, CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,            \
       CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),                               \
      (session, mechanism, public_attributes, public_count, private_attributes, private_count,     \
       public_key, private_key))                                                                   \
    X(C_SignInit, BEGINS, SILENT,                                                                  \
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key),                  \
      (session, mechanism, key))

/* C_Sign has a wrapper of its own: it can also flip a bit. */
#define FUNCTIONS(X) PLAIN_FUNCTIONS(X) X(C_Sign, ENDS, SILENT, , )

#define FUNCTION_ENUM(name, effect, logged, parameters, arguments) FUNCTION_##name,
#define FUNCTION_ROW(name, effect, logged, parameters, arguments) { #name, (effect), (logged) },

/* clang-format on */

enum function_effect { BEGINS, ENDS };
enum { SILENT = false, LOGGED = true };
enum function { FUNCTIONS(FUNCTION_ENUM) FUNCTION_COUNT };

static const struct {
    const char *name;
    enum function_effect effect;
    bool logged;
} functions[FUNCTION_COUNT] = { FUNCTIONS(FUNCTION_ROW) };

/* What befalls one call. */
struct fault {
    uint64_t delay_us;
    CK_RV rv; /* CKR_OK: none */
    bool skip;
    bool hang;
    bool abort;
    bool flip;
    bool close_sessions;
    bool logout;
};

/* A line of the control file. It befalls calls [after, after + count) of its function. */
struct rule {
    enum function function;
    struct fault fault;
    uint64_t after;
    uint64_t count;
    uint64_t calls; /* seen so far */
};

enum { RULES_MAX = 64, LINE_MAX_LENGTH = 256, LOOK_EVERY_NS = 2000000 };

static struct {
    pthread_once_t once;
    CK_FUNCTION_LIST list;        /* ours: the real one with our wrappers in it */
    const CK_FUNCTION_LIST *real; /* NULL: the real module could not be loaded */

    /* Held by every real call, exclusively to take sessions away: SoftHSM2 crashes if one of them is
     * signing just then. */
    pthread_rwlock_t calls;

    pthread_mutex_t lock; /* over all below */
    int64_t looked_ns;
    struct stat read_as; /* the control file when it was last read */
    struct rule rules[RULES_MAX];
    size_t rule_count;
} shim = { .once = PTHREAD_ONCE_INIT,
           .calls = PTHREAD_RWLOCK_INITIALIZER,
           .lock = PTHREAD_MUTEX_INITIALIZER };

static _Noreturn void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "pkcs11_shim: %s: %s\n", what, detail);
    abort();
}

/* The control file. */

static uint64_t parse_number(const char *word, const char *line)
{
    char *end = NULL;
    uint64_t number = strtoull(word, &end, 0);
    if (end == word || *end != '\0') {
        give_up("no number in the fault", line);
    }
    return number;
}

static enum function parse_function(const char *word, const char *line)
{
    for (int i = 0; i < FUNCTION_COUNT; i++) {
        if (strcmp(functions[i].name, word) == 0) {
            return (enum function)i;
        }
    }
    give_up("a fault for a function that is not wrapped", line);
}

static void parse_word(struct rule *rule, const char *word, const char *line)
{
    const char *equals = strchr(word, '=');
    const char *value = equals == NULL ? "" : equals + 1;
    size_t length = (size_t)(value - word);

    if (strcmp(word, "hang") == 0) {
        rule->fault.hang = true;
    } else if (strcmp(word, "abort") == 0) {
        rule->fault.abort = true;
    } else if (strcmp(word, "flip") == 0 && rule->function == FUNCTION_C_Sign) {
        rule->fault.flip = true;
    } else if (strcmp(word, "close_sessions") == 0) {
        rule->fault.close_sessions = true;
    } else if (strcmp(word, "logout") == 0) {
        rule->fault.logout = true;
    } else if (strcmp(word, "skip") == 0) {
        rule->fault.skip = true;
    } else if (strcmp(word, "finish") == 0) {
        rule->fault.skip = false;
    } else if (equals != NULL && strncmp(word, "rv=", length) == 0) {
        rule->fault.rv = (CK_RV)parse_number(value, line);
    } else if (equals != NULL && strncmp(word, "delay_us=", length) == 0) {
        rule->fault.delay_us = parse_number(value, line);
    } else if (equals != NULL && strncmp(word, "after=", length) == 0) {
        rule->after = parse_number(value, line);
    } else if (equals != NULL && strncmp(word, "count=", length) == 0) {
        rule->count = parse_number(value, line);
    } else {
        give_up("a word that is no fault", line);
    }
}

static void parse_rule(const char *line)
{
    char words[LINE_MAX_LENGTH];
    char *rest = NULL;
    snprintf(words, sizeof(words), "%s", line);
    const char *word = strtok_r(words, " \t", &rest);
    if (word == NULL || word[0] == '#') {
        return;
    }
    if (shim.rule_count == RULES_MAX) {
        give_up("more faults than there is room for", line);
    }
    struct rule *rule = &shim.rules[shim.rule_count++];
    *rule = (struct rule){ .function = parse_function(word, line), .count = UINT64_MAX };
    rule->fault.skip = functions[rule->function].effect == BEGINS;
    while ((word = strtok_r(NULL, " \t", &rest)) != NULL) {
        parse_word(rule, word, line);
    }
    /* Without an error to report there is nothing to skip for. */
    rule->fault.skip = rule->fault.skip && rule->fault.rv != CKR_OK;
}

static void read_rules(const char *path)
{
    char line[LINE_MAX_LENGTH];
    shim.rule_count = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        parse_rule(line);
    }
    fclose(file);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size
        && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_at_control(void)
{
    const char *path = getenv("SHIM_CONTROL");
    struct timespec now;
    struct stat found = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (path == NULL || (shim.looked_ns != 0 && now_ns - shim.looked_ns < LOOK_EVERY_NS)) {
        return;
    }
    shim.looked_ns = now_ns;
    (void)stat(path, &found); /* a missing file is all zeros: a change like another */
    if (!is_same_file(&found, &shim.read_as)) {
        shim.read_as = found;
        read_rules(path);
    }
}

/* One call. */

static void fault_add(struct fault *sum, const struct fault *fault)
{
    sum->delay_us += fault->delay_us;
    if (fault->rv != CKR_OK) {
        sum->rv = fault->rv;
        sum->skip = fault->skip;
    }
    sum->hang = sum->hang || fault->hang;
    sum->abort = sum->abort || fault->abort;
    sum->flip = sum->flip || fault->flip;
    sum->close_sessions = sum->close_sessions || fault->close_sessions;
    sum->logout = sum->logout || fault->logout;
}

static void wait_out(uint64_t delay_us)
{
    struct timespec left = { .tv_sec = (time_t)(delay_us / 1000000),
                             .tv_nsec = (long)(delay_us % 1000000 * 1000) };
    while (nanosleep(&left, &left) != 0) {
    }
}

static void log_out(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session;

    if (shim.real->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK) {
        (void)shim.real->C_Logout(session);
        (void)shim.real->C_CloseSession(session);
    }
}

/* What another program, or the token by itself, may do to our sessions. */
static void take_sessions_away(const struct fault *fault)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = sizeof(slots) / sizeof(slots[0]);

    if (shim.real->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) {
        give_up("cannot list the slots", "C_GetSlotList");
    }
    pthread_rwlock_wrlock(&shim.calls);
    for (CK_ULONG i = 0; i < count; i++) {
        if (fault->logout) {
            log_out(slots[i]);
        }
        if (fault->close_sessions) {
            (void)shim.real->C_CloseAllSessions(slots[i]);
        }
    }
    pthread_rwlock_unlock(&shim.calls);
}

/* Counts the call and does what happens before the real function, if it is to be reached at all. */
static struct fault fault_begin(enum function function)
{
    struct fault sum = { .rv = CKR_OK };

    pthread_mutex_lock(&shim.lock);
    look_at_control();
    for (struct rule *rule = shim.rules; rule < shim.rules + shim.rule_count; rule++) {
        if (rule->function != function) {
            continue;
        }
        uint64_t call = rule->calls++;
        if (call >= rule->after && call - rule->after < rule->count) {
            fault_add(&sum, &rule->fault);
        }
    }
    pthread_mutex_unlock(&shim.lock);

    if (sum.abort) {
        abort();
    }
    while (sum.hang) {
        pause();
    }
    if (sum.delay_us > 0) {
        wait_out(sum.delay_us);
    }
    if (sum.close_sessions || sum.logout) {
        take_sessions_away(&sum);
    }
    return sum;
}

static void log_call(enum function function, CK_RV rv)
{
    const char *path = getenv("SHIM_LOG");
    if (path == NULL || !functions[function].logged) {
        return;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1
        || dprintf(fd, "%s pid=%d rv=0x%lx\n", functions[function].name, getpid(), rv) < 0) {
        give_up("cannot write to SHIM_LOG", path);
    }
    close(fd);
}

/* What the caller is told, given what the real function returned. */
static CK_RV fault_end(enum function function, const struct fault *fault, CK_RV rv)
{
    CK_RV reported = rv == CKR_OK ? fault->rv : rv;
    log_call(function, reported);
    return reported;
}

#define DEFINE_WRAPPER(name, effect, logged, parameters, arguments)                                \
    static CK_RV shim_##name parameters                                                            \
    {                                                                                              \
        struct fault fault = fault_begin(FUNCTION_##name);                                         \
        pthread_rwlock_rdlock(&shim.calls);                                                        \
        CK_RV rv = fault.skip ? CKR_OK : shim.real->name arguments;                                \
        pthread_rwlock_unlock(&shim.calls);                                                        \
        return fault_end(FUNCTION_##name, &fault, rv);                                             \
    }

PLAIN_FUNCTIONS(DEFINE_WRAPPER)

static CK_RV shim_C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length,
                         CK_BYTE *signature, CK_ULONG *length)
{
    if (signature == NULL) { /* asks for the length alone: no signature, no fault */
        return shim.real->C_Sign(session, data, data_length, signature, length);
    }
    struct fault fault = fault_begin(FUNCTION_C_Sign);
    pthread_rwlock_rdlock(&shim.calls);
    CK_RV rv =
        fault.skip ? CKR_OK : shim.real->C_Sign(session, data, data_length, signature, length);
    pthread_rwlock_unlock(&shim.calls);
    if (fault.flip && !fault.skip && rv == CKR_OK) {
        signature[*length / 2] ^= 1;
    }
    return fault_end(FUNCTION_C_Sign, &fault, rv);
}

/* The module. */

static CK_RV shim_C_GetFunctionList(CK_FUNCTION_LIST **list_out);

static void load_real_module(void)
{
    const char *path = getenv("SHIM_MODULE");
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get_list = NULL;
    CK_FUNCTION_LIST *real = NULL;
    if (module == NULL) {
        fprintf(stderr, "pkcs11_shim: SHIM_MODULE: %s\n", path == NULL ? "not set" : dlerror());
        return;
    }
    *(void **)&get_list = dlsym(module, "C_GetFunctionList"); /* POSIX's own idiom */
    if (get_list == NULL || get_list(&real) != CKR_OK) {
        fprintf(stderr, "pkcs11_shim: %s is not a PKCS#11 module\n", path);
        return;
    }
    shim.real = real;
    shim.list = *real;
    shim.list.C_GetFunctionList = shim_C_GetFunctionList;
#define INSTALL(name, effect, logged, parameters, arguments) shim.list.name = shim_##name;
    FUNCTIONS(INSTALL)
#undef INSTALL
}

static CK_RV shim_C_GetFunctionList(CK_FUNCTION_LIST **list_out)
{
    pthread_once(&shim.once, load_real_module);
    if (shim.real == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list_out = &shim.list;
    return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list_out)
{
    return shim_C_GetFunctionList(list_out);
}
