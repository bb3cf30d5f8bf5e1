/*
 * What a token can do by itself: SHA-256 digests signed by C_Sign in N sessions, one thread each,
 * with the mechanisms that issuerd uses. The benchmark divides tokens per second by this figure.
 *
 * Prints one line: "algorithm=ES256 sessions=2 session_copy=no seconds=3.001 signatures=57000
 * per_second=18993.7". Anything unexpected ends the process with status 1.
 */
#include "base/memory.h"

#include <dlfcn.h>
#include <getopt.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SESSIONS_MAX = 256, DIGEST_LENGTH = 32, SIGNATURE_MAX = 1024, PIN_MAX = 256 };

/* DER of DigestInfo for SHA-256, up to the digest (RFC 8017 9.2 note 1). */
static const CK_BYTE DIGEST_INFO[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                       0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

static CK_RSA_PKCS_PSS_PARAMS pss_sha256 = { CKM_SHA256, CKG_MGF1_SHA256, DIGEST_LENGTH };

static const struct algorithm {
    const char *name;
    CK_MECHANISM mechanism;
    size_t prefix_length; /* of DIGEST_INFO before the digest */
} algorithms[] = {
    { "ES256", { CKM_ECDSA, NULL, 0 }, 0 },
    { "RS256", { CKM_RSA_PKCS, NULL, 0 }, sizeof(DIGEST_INFO) },
    { "PS256", { CKM_RSA_PKCS_PSS, &pss_sha256, sizeof(pss_sha256) }, 0 },
};

static struct {
    const char *module;
    const char *token;
    const char *object;
    const char *pin_file;
    const struct algorithm *algorithm;
    size_t sessions;
    double seconds;
    bool session_copy;
} options = { .sessions = 1, .seconds = 3 };

static CK_FUNCTION_LIST *p11;
static pthread_barrier_t start;
static atomic_bool stop;

struct worker {
    pthread_t thread;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    uint64_t signatures;
};

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("raw_sign: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void check(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        die("%s failed with 0x%lx", what, rv);
    }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void load_module(void)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    CK_C_GetFunctionList get_list = NULL;
    void *module = dlopen(options.module, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        die("%s", dlerror());
    }
    *(void **)&get_list = dlsym(module, "C_GetFunctionList"); /* POSIX's own idiom */
    if (get_list == NULL) {
        die("%s is not a PKCS#11 module", options.module);
    }
    check(get_list(&p11), "C_GetFunctionList");
    check(p11->C_Initialize(&args), "C_Initialize");
}

static CK_SLOT_ID find_slot(void)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = COUNT_OF(slots);
    CK_TOKEN_INFO info;
    char label[sizeof(info.label) + 1];

    check(p11->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    snprintf(label, sizeof(label), "%-*s", (int)sizeof(info.label), options.token);
    for (CK_ULONG i = 0; i < count; i++) {
        check(p11->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (memcmp(info.label, label, sizeof(info.label)) == 0) {
            return slots[i];
        }
    }
    die("no token %s", options.token);
}

static void login(CK_SESSION_HANDLE session)
{
    char pin[PIN_MAX] = { 0 };
    FILE *file = fopen(options.pin_file, "re");
    if (file == NULL || fgets(pin, sizeof(pin), file) == NULL) {
        die("cannot read a PIN from %s", options.pin_file);
    }
    fclose(file);
    CK_ULONG length = strcspn(pin, "\n");
    CK_RV rv = p11->C_Login(session, CKU_USER, (CK_BYTE *)pin, length);
    explicit_bzero(pin, sizeof(pin));
    check(rv, "C_Login");
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE; /* not the copies of other sessions: they carry the same label */
    char label[256];
    snprintf(label, sizeof(label), "%s", options.object);
    CK_ATTRIBUTE wanted[] = { { CKA_CLASS, &class, sizeof(class) },
                              { CKA_TOKEN, &yes, sizeof(yes) },
                              { CKA_LABEL, label, strlen(label) } };
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;

    check(p11->C_FindObjectsInit(session, wanted, COUNT_OF(wanted)), "C_FindObjectsInit");
    check(p11->C_FindObjects(session, found, COUNT_OF(found), &count), "C_FindObjects");
    check(p11->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    if (count != 1) {
        die("%s private key %s", count == 0 ? "no" : "more than one", options.object);
    }
    return found[0];
}

/* A copy per session, as a copy shared by all would be one more lock to wait for. */
static CK_OBJECT_HANDLE copy_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE changes[] = { { CKA_TOKEN, &no, sizeof(no) } };
    CK_OBJECT_HANDLE copy = 0;
    check(p11->C_CopyObject(session, key, changes, COUNT_OF(changes), &copy), "C_CopyObject");
    return copy;
}

static void open_worker(struct worker *worker, CK_SLOT_ID slot, bool is_first)
{
    check(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &worker->session),
          "C_OpenSession");
    if (is_first) { /* a login is the application's, not the session's */
        login(worker->session);
    }
    worker->key = find_key(worker->session);
    if (options.session_copy) {
        worker->key = copy_key(worker->session, worker->key);
    }
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    CK_MECHANISM mechanism = options.algorithm->mechanism;
    CK_BYTE input[sizeof(DIGEST_INFO) + DIGEST_LENGTH] = { 0 };
    CK_BYTE signature[SIGNATURE_MAX];
    const CK_ULONG prefix_length = options.algorithm->prefix_length;
    const CK_ULONG input_length = prefix_length + DIGEST_LENGTH;
    uint64_t signatures = 0;

    memcpy(input, DIGEST_INFO, prefix_length);
    memset(input + prefix_length, 0xa5, DIGEST_LENGTH);
    pthread_barrier_wait(&start);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        CK_ULONG length = sizeof(signature);
        memcpy(input + prefix_length, &signatures, sizeof(signatures)); /* a new digest each time */
        check(p11->C_SignInit(worker->session, &mechanism, worker->key), "C_SignInit");
        check(p11->C_Sign(worker->session, input, input_length, signature, &length), "C_Sign");
        signatures++;
    }
    worker->signatures = signatures;
    return NULL;
}

static const struct algorithm *find_algorithm(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    die("no algorithm %s: ES256, RS256 or PS256", name);
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "module", required_argument, NULL, 'm' },
        { "token", required_argument, NULL, 't' },
        { "object", required_argument, NULL, 'o' },
        { "pin-file", required_argument, NULL, 'p' },
        { "algorithm", required_argument, NULL, 'a' },
        { "sessions", required_argument, NULL, 'n' },
        { "seconds", required_argument, NULL, 's' },
        { "session-copy", no_argument, NULL, 'c' },
        { NULL, 0, NULL, 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'm':
            options.module = optarg;
            break;
        case 't':
            options.token = optarg;
            break;
        case 'o':
            options.object = optarg;
            break;
        case 'p':
            options.pin_file = optarg;
            break;
        case 'a':
            options.algorithm = find_algorithm(optarg);
            break;
        case 'n':
            options.sessions = strtoul(optarg, NULL, 10);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'c':
            options.session_copy = true;
            break;
        default:
            exit(2);
        }
    }
    if (options.module == NULL || options.token == NULL || options.object == NULL
        || options.pin_file == NULL || options.algorithm == NULL || optind != argc
        || options.sessions < 1 || options.sessions > SESSIONS_MAX || !(options.seconds > 0)) {
        fputs("usage: raw_sign --module PATH --token LABEL --object LABEL --pin-file FILE\n"
              "    --algorithm ES256|RS256|PS256 [--sessions N] [--seconds S] [--session-copy]\n",
              stderr);
        exit(2);
    }
}

static double measure(struct worker *workers)
{
    struct timespec pause = { .tv_sec = (time_t)options.seconds };
    pause.tv_nsec = (long)((options.seconds - (double)pause.tv_sec) * 1e9);

    pthread_barrier_init(&start, NULL, (unsigned)options.sessions + 1);
    for (size_t i = 0; i < options.sessions; i++) {
        if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) != 0) {
            die("cannot start a thread");
        }
    }
    pthread_barrier_wait(&start);
    double begun_s = now_s();
    nanosleep(&pause, NULL);
    atomic_store(&stop, true);
    for (size_t i = 0; i < options.sessions; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    return now_s() - begun_s;
}

int main(int argc, char **argv)
{
    static struct worker workers[SESSIONS_MAX];
    uint64_t signatures = 0;

    parse_options(argc, argv);
    load_module();
    CK_SLOT_ID slot = find_slot();
    for (size_t i = 0; i < options.sessions; i++) {
        open_worker(&workers[i], slot, i == 0);
    }
    double elapsed_s = measure(workers);
    for (size_t i = 0; i < options.sessions; i++) {
        signatures += workers[i].signatures;
    }
    check(p11->C_Finalize(NULL), "C_Finalize");
    printf("algorithm=%s sessions=%zu session_copy=%s seconds=%.3f signatures=%llu "
           "per_second=%.1f\n",
           options.algorithm->name, options.sessions, options.session_copy ? "yes" : "no",
           elapsed_s, (unsigned long long)signatures, (double)signatures / elapsed_s);
    return 0;
}
