/*
 * What lies in the memory of issuerd and of its signer after a load: no code, spent or not, no token, no
 * client secret, and the PIN in the signer alone. Connections that rest meanwhile hold nothing either.
 * Run by root, who alone can look: the two are closed to their own user.
 */
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/holder.h"
#include "support/memory_scan.h"
#include "support/program.h"
#include "support/run.h"

#define ISSUER "https://of-the-memory-test.example"

enum {
    THREADS = 8,
    ROUNDS = 40,
    PRESENTATIONS = 8,
    SETTLE_S = 3,
    PATH_SIZE = 1024,
    RUN_S = 60,
    SKIPPED = 77
};

enum kind { CODE, TOKEN, SIGNATURE, CLIENT_SECRET, PIN, TLS_KEY, HASH_OF_LIVE_CODE, ISSUER_URL };

static const char *const kinds[] = {
    "a code",          "a token",    "a token's signature, as bytes",
    "a client secret", "the PIN",    "the TLS key",
    "a hash",          "the issuer",
};

static struct {
    struct instance *instance;
    struct http_client *public_client; /* stays open */
    struct http_client *admin_client;
    struct memory_scan *scan;
    pthread_mutex_t lock; /* of the scan, and of what is counted */
    unsigned issued;
    unsigned wrong;
} fixture = { .lock = PTHREAD_MUTEX_INITIALIZER };

static char certificates[PATH_SIZE];

/* ---- what is looked for ---- */

static void look_for(enum kind kind, const void *bytes, size_t length)
{
    pthread_mutex_lock(&fixture.lock);
    memory_scan_add(fixture.scan, kind, bytes, length);
    pthread_mutex_unlock(&fixture.lock);
}

static void look_for_text(enum kind kind, const char *text)
{
    look_for(kind, text, strlen(text));
}

/* Without its signature it is none. */
static void look_for_token(const char *token)
{
    const char *text = strrchr(token, '.') + 1;
    uint8_t signature[512];
    size_t length = 0;

    look_for_text(TOKEN, text);
    if (base64url_decode(text, strlen(text), signature, sizeof(signature), &length)) {
        look_for(SIGNATURE, signature, length);
    }
}

static void look_for_file(enum kind kind, const char *path)
{
    char line[256];
    FILE *file = fopen(path, "re");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "-----", 5) != 0) {
            look_for_text(kind, line);
        }
    }
    fclose(file);
}

static void set_up(void)
{
    static const char *const settings[] = { "issuer.url=" ISSUER, "log.level=debug", NULL };

    fixture.instance = instance_new(settings);
    fixture.scan = memory_scan_new();
    fixture.issued = fixture.wrong = 0;
    look_for_text(CLIENT_SECRET, instance_client_secret(fixture.instance));
    look_for_text(ISSUER_URL, ISSUER);
    look_for_file(PIN, getenv("TEST_PIN_FILE"));
}

static void tear_down(void)
{
    http_close(take(fixture.public_client));
    http_close(take(fixture.admin_client));
    instance_free(take(fixture.instance));
    memory_scan_free(take(fixture.scan));
}

/* ---- the load ---- */

struct caller {
    struct http_client *public_client;
    struct http_client *admin_client;
};

static struct caller caller_new(void)
{
    return (struct caller){ http_connect(instance_public_port(fixture.instance)),
                            http_connect(instance_admin_port(fixture.instance)) };
}

static void caller_clear(struct caller *caller)
{
    http_close(caller->public_client);
    http_close(caller->admin_client);
}

static void expect(bool is_right)
{
    pthread_mutex_lock(&fixture.lock);
    fixture.wrong += is_right ? 0 : 1;
    pthread_mutex_unlock(&fixture.lock);
}

static bool make_code(const struct caller *caller, char code_out[static API_CODE_SIZE])
{
    char id[API_ID_SIZE];
    const bool is_made =
        api_create(caller->public_client, id)
        && reply_member(api_approve(fixture.instance, caller->admin_client, id, HOLDER_DID, "read"),
                        "code", code_out, API_CODE_SIZE);
    expect(is_made);
    if (is_made) {
        look_for_text(CODE, code_out);
    }
    return is_made;
}

static void redeem(struct http_client *client, const char *code)
{
    char token[API_TOKEN_SIZE];
    const bool is_issued = is_token_reply(api_redeem(client, code), token);

    expect(is_issued);
    if (is_issued) {
        look_for_token(token);
        pthread_mutex_lock(&fixture.lock);
        fixture.issued++;
        pthread_mutex_unlock(&fixture.lock);
    }
}

static void be_refused(const struct caller *caller, const char *spent)
{
    char unknown[44];
    char body[256];

    expect(api_redeem(caller->public_client, spent)->status == 400);
    api_random_text(unknown);
    look_for_text(CODE, unknown);
    expect(api_redeem(caller->public_client, unknown)->status == 404);
    (void)snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\",\"more\":\"%s\"}", unknown,
                   spent);
    expect(http_post_json(caller->public_client, TOKENS_PATH, body)->status == 400);
    (void)snprintf(body, sizeof(body), "{\"authorization_code\":\"%s\"", unknown);
    expect(http_post_json(caller->public_client, TOKENS_PATH, body)->status == 400);
}

/* With a secret that is not the one, but might be nearly. */
static void be_unauthorized(const struct caller *caller)
{
    char secret[44];
    char headers[128];

    api_random_text(secret);
    look_for_text(CLIENT_SECRET, secret);
    (void)snprintf(headers, sizeof(headers),
                   "Content-Type: application/json\r\nx-client-secret: %s\r\n", secret);
    expect(http_request(caller->admin_client, "POST",
                        AUTHORIZATIONS_PATH "/01890a5d-ac96-774b-bcce-b302099a8057/approve",
                        headers, "{\"holder_did\":\"" HOLDER_DID "\"}")
               ->status
           == 401);
}

/* Goes away in the middle of a request, before the last byte, and after it. */
static void go_away(const struct caller *caller, bool is_whole)
{
    char code[API_CODE_SIZE];
    char request[512];

    if (make_code(caller, code)) {
        struct http_client *client = http_connect(instance_public_port(fixture.instance));
        (void)snprintf(request, sizeof(request),
                       "POST " TOKENS_PATH " HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                       "{\"authorization_code\":\"%s\"}",
                       strlen(code) + strlen("{\"authorization_code\":\"\"}") + (is_whole ? 0 : 1),
                       code);
        expect(http_send_text(client, request));
        http_abort(client);
    }
}

static void *call(void *unused)
{
    struct caller caller = caller_new();
    char code[API_CODE_SIZE];

    for (unsigned round = 0; round < ROUNDS; round++) {
        if (!make_code(&caller, code)) {
            continue;
        }
        redeem(caller.public_client, code);
        if (round % 4 == 0) {
            be_refused(&caller, code);
            be_unauthorized(&caller);
            go_away(&caller, round % 8 == 0);
        }
    }
    caller_clear(&caller);
    return unused;
}

static char *print_presentation(const struct holder *holder, const char *state, const char *nonce)
{
    char *vp = holder_sign(holder,
                           "{\"iss\":\"%s\",\"aud\":\"" ISSUER "\",\"nonce\":\"%s\",\"iat\":%lld,"
                           "\"vp\":{\"type\":[\"VerifiablePresentation\"]}}",
                           holder->did, nonce, (long long)wall_s());
    char *body = NULL;

    if (asprintf(&body, "{\"vp\":\"%s\",\"state\":\"%s\",\"nonce\":\"%s\"}", vp, state, nonce)
        < 0) {
        abort();
    }
    free(vp);
    return body;
}

/* A wallet's way to a code. */
static void present(const struct caller *caller)
{
    struct holder holder = holder_new("ES256");
    char state[44];
    char nonce[44];
    char id[API_ID_SIZE];
    char code[API_CODE_SIZE];
    char text[256];

    api_random_text(state);
    api_random_text(nonce);
    (void)snprintf(text, sizeof(text), "{\"state\":\"%s\",\"nonce\":\"%s\"}", state, nonce);
    if (reply_member(http_post_json(caller->public_client, AUTHORIZATIONS_PATH, text), "id", id,
                     sizeof(id))) {
        scoped(release_memory) char *body = print_presentation(&holder, state, nonce);
        (void)snprintf(text, sizeof(text), AUTHORIZATIONS_PATH "/%s/validate", id);
        const bool has_code = reply_member(http_post_json(caller->public_client, text, body),
                                           "code", code, sizeof(code));
        expect(has_code);
        if (has_code) {
            look_for_text(CODE, code);
            redeem(caller->public_client, code);
        }
    }
    holder_clear(&holder);
}

/* A code that waits for its redeem is there as its hash: this is found. */
static void leave_a_live_code(const struct caller *caller)
{
    char code[API_CODE_SIZE];

    if (make_code(caller, code)) {
        const struct digest hash = sha256(code, strlen(code));
        look_for(HASH_OF_LIVE_CODE, hash.bytes, sizeof(hash.bytes));
    }
}

/* The connections that stay open have held a code last. */
static void hold_a_code_last(const struct caller *caller)
{
    char code[API_CODE_SIZE];

    if (make_code(caller, code)) {
        redeem(caller->public_client, code);
    }
}

static void run_load(void)
{
    pthread_t threads[THREADS];
    const struct caller caller = caller_new();

    fixture.public_client = caller.public_client;
    fixture.admin_client = caller.admin_client;
    for (size_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, call, NULL), 0);
    }
    for (unsigned i = 0; i < PRESENTATIONS; i++) {
        present(&caller);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    leave_a_live_code(&caller);
    hold_a_code_last(&caller);
    CU_ASSERT_EQUAL(fixture.wrong, 0);
    CU_ASSERT_EQUAL(fixture.issued, THREADS * ROUNDS + PRESENTATIONS + 1);
}

/* ---- what is found ---- */

static bool has_secret(const struct memory_findings *findings, enum kind last)
{
    for (unsigned kind = CODE; kind <= last; kind++) {
        if (findings->counts[kind] > 0) {
            return true;
        }
    }
    return false;
}

static void tell(const char *whose, const struct memory_findings *findings)
{
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++) {
        if (findings->counts[kind] > 0) {
            (void)fprintf(stderr, "%s: %s: %zu times, at %s\n", whose, kinds[kind],
                          findings->counts[kind], findings->places[kind]);
        }
    }
}

/* Connections that were closed are taken apart a moment later. Secrets are the kinds up to `last`. */
static struct memory_findings settle(pid_t pid, const char *whose, enum kind last)
{
    const struct timespec pause = timespec_from_ns(100 * NS_PER_MS);
    const int64_t deadline_ns = monotonic_ns() + SETTLE_S * NS_PER_S;
    struct memory_findings findings;

    for (;;) {
        CU_ASSERT_TRUE_FATAL(memory_scan_run(fixture.scan, pid, &findings));
        if (!has_secret(&findings, last)) {
            return findings;
        }
        if (monotonic_ns() > deadline_ns) {
            tell(whose, &findings);
            return findings;
        }
        (void)nanosleep(&pause, NULL);
    }
}

static void assert_clean(void)
{
    const struct memory_findings server =
        settle(instance_pid(fixture.instance), "issuerd", TLS_KEY);
    const struct memory_findings signer =
        settle(instance_signer_pid(fixture.instance), "issuerd-signer", TOKEN);

    CU_ASSERT_FALSE(has_secret(&server, TLS_KEY));
    CU_ASSERT_FALSE(has_secret(&signer, TOKEN)); /* the last signatures are there: it made them */
    CU_ASSERT_EQUAL(signer.counts[CLIENT_SECRET], 0);
    CU_ASSERT_EQUAL(signer.counts[TLS_KEY], 0);
    /* What is there is found. */
    CU_ASSERT_TRUE(server.counts[HASH_OF_LIVE_CODE] > 0);
    CU_ASSERT_TRUE(server.counts[ISSUER_URL] > 0);
    CU_ASSERT_TRUE(signer.counts[ISSUER_URL] > 0);
    CU_ASSERT_TRUE(signer.counts[PIN] > 0);
}

static void test_after_a_load_no_secret_is_left(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    run_load();
    assert_clean();
}

static void use_tls(const char *section)
{
    instance_set(fixture.instance, "%s.tls_certificate_file=%s/ecdsa.pem", section, certificates);
    instance_set(fixture.instance, "%s.tls_key_file=%s/ecdsa.key", section, certificates);
}

static void test_after_a_load_over_tls_no_secret_is_left(void)
{
    char path[PATH_SIZE + 16];

    (void)snprintf(path, sizeof(path), "%s/ecdsa.key", certificates);
    look_for_file(TLS_KEY, path);
    use_tls("public");
    use_tls("admin");
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    run_load();
    assert_clean();
}

/* ---- who else may look, and where it may go ---- */

/* Runs a line of shell with $P the process. */
static bool holds(pid_t pid, const char *line)
{
    char number[16];
    const char *const argv[] = { "sh", "-c", line, NULL };

    (void)snprintf(number, sizeof(number), "%d", pid);
    (void)setenv("P", number, 1);
    return program_run(argv, RUN_S)->status == 0;
}

/* By one of the same user, without the capability: the link is shown to who may read the memory. */
static bool is_open_to_others(pid_t pid)
{
    return holds(pid, "readlink /proc/$P/exe");
}

static void assert_closed(pid_t pid)
{
    CU_ASSERT_TRUE(holds(pid, "grep 'Max core file size  *0  *0 ' /proc/$P/limits"));
    CU_ASSERT_FALSE(is_open_to_others(pid));
}

static void test_no_other_program_of_the_user_can_look(void)
{
    const pid_t open_pid = fork();

    if (open_pid == 0) {
        (void)execlp("sleep", "sleep", "60", NULL);
        _exit(127);
    }
    const bool has_started = instance_start(fixture.instance);
    CU_ASSERT_TRUE(is_open_to_others(open_pid));
    (void)kill(open_pid, SIGKILL);
    (void)waitpid(open_pid, NULL, 0);
    CU_ASSERT_TRUE_FATAL(has_started);
    assert_closed(instance_pid(fixture.instance));
    assert_closed(instance_signer_pid(fixture.instance));
}

static bool is_locked(pid_t pid)
{
    return holds(pid, "grep 'VmLck:.* [1-9][0-9]* kB' /proc/$P/status");
}

static void test_memory_is_locked(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(is_locked(instance_pid(fixture.instance)));
    CU_ASSERT_TRUE(is_locked(instance_signer_pid(fixture.instance)));
    CU_ASSERT_FALSE(instance_has_logged(fixture.instance, "memory.not_locked"));
}

/* The last test: what is taken away here does not come back. */
static void test_where_it_may_not_be_locked_this_is_said_and_it_serves(void)
{
    const struct rlimit few = { 64 * 1024, 64 * 1024 };

    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_MEMLOCK, &few), 0);
    CU_ASSERT_EQUAL_FATAL(prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_FALSE(is_locked(instance_pid(fixture.instance)));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "memory.not_locked"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- the run ---- */

static bool has_capability(unsigned number)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    return syscall(SYS_capget, &header, data) == 0
        && (data[number / 32].effective >> number % 32 & 1) != 0;
}

static bool make_certificates(void)
{
    const char *const argv[] = { "sh", getenv("TEST_MAKE_CERTIFICATES"), certificates, NULL };

    (void)snprintf(certificates, sizeof(certificates), "%s/certificates.XXXXXX",
                   getenv("TEST_DIR"));
    return mkdtemp(certificates) != NULL && program_ended(program_run(argv, RUN_S), 0, "");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "after a load no secret is left", test_after_a_load_no_secret_is_left },
        { "after a load over TLS no secret is left", test_after_a_load_over_tls_no_secret_is_left },
        { "no other program of the user can look", test_no_other_program_of_the_user_can_look },
        { "memory is locked", test_memory_is_locked },
        { "where it may not be locked this is said and it serves",
          test_where_it_may_not_be_locked_this_is_said_and_it_serves },
        CU_TEST_INFO_NULL,
    };

    if (!has_capability(CAP_SYS_PTRACE) || !has_capability(CAP_IPC_LOCK)) {
        (void)fprintf(stderr, "memory: skipped: it takes CAP_SYS_PTRACE and CAP_IPC_LOCK\n");
        return SKIPPED;
    }
    if (prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE) != 0) {
        return 2;
    }
    if (!make_certificates()) {
        return 2;
    }
    return run_suite("memory", set_up, tear_down, tests);
}
