/*
 * issuerd-signer: the process that holds one device key. Started by issuerd-launch (launcher.h) or issuerctl, it
 * speaks hsm/wire.h on three inherited descriptors and nothing else: no arguments, no
 * configuration file, no network of its own.
 *
 * Crash-only: a device that fails, or signs wrongly, ends the process; the supervisor starts it
 * afresh.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/digest.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "hsm/key_provider.h"
#include "hsm/lint.h"
#include "hsm/lint_checkpoint.h"
#include "hsm/wire.h"
#include "jose/claims.h"
#include "jose/jwk.h"

static struct wire_launch launch;
static struct device_key *key;
static struct signer_key identity;
static struct lint_policy policy;
static struct checkpoint_policy checkpoint_policy;
static struct jws_verifier *own_verifier; /* the workers' are clones of it */

/* ---- one signature ---- */

enum { SIGNATURES_MAX = 2 };

struct signing {
    struct signature signature;
    int64_t sign_ns; /* the device's part, of the last */
    uint32_t wrong;  /* thrown away */
};

/* Nothing leaves that does not verify. A device that errs once is asked once more; one that errs
 * again is not to be trusted. */
static bool sign_and_verify(unsigned worker, struct jws_verifier *verifier, const void *input,
                            size_t length, struct signing *signing, struct error *err)
{
    for (signing->wrong = 0; signing->wrong < SIGNATURES_MAX; signing->wrong++) {
        const int64_t start_ns = monotonic_ns();
        if (!key->provider->sign(key, worker, input, length, &signing->signature, err)) {
            return false;
        }
        signing->sign_ns = monotonic_ns() - start_ns;
        CRASH_POINT(SIGNER_SIGNED);
        if (jws_verify(verifier, input, length, &signing->signature)) {
            CRASH_POINT(SIGNER_VERIFIED);
            return true;
        }
        log_event(LOG_LEVEL_ERROR, "signer.wrong_signature", "signer=%s key='%s'", launch.name,
                  key->description);
    }
    return fail(err, ERROR_DEVICE_UNAVAILABLE,
                "%s: the device made %d signatures that its public key does not verify",
                key->description, SIGNATURES_MAX);
}

/* A text that cannot be taken for a signing input: it has no dot and is not base64url. */
static size_t self_test_input(char out[static 64])
{
    uint64_t random;
    random_bytes(&random, sizeof(random));
    return (size_t)snprintf(out, 64, "issuerd self-test %016llx", (unsigned long long)random);
}

static bool lint(const char *input, size_t length, struct error *err)
{
    return launch.purpose == SIGNER_CHECKPOINTS
             ? lint_checkpoint(&checkpoint_policy, input, length, err)
             : lint_signing_input(&policy, input, length, wall_s(), err);
}

static bool make_answer(unsigned worker, struct jws_verifier *verifier,
                        const struct wire_request *request, struct wire_answer *answer,
                        struct error *err)
{
    struct signing signing = { .wrong = 0 };
    char self_test[64];
    const char *input = request->input;
    size_t length = request->length;

    if (monotonic_ns() > request->deadline_ns) {
        answer->status = WIRE_LATE;
        return true;
    }
    if (request->kind == WIRE_SELF_TEST) {
        length = self_test_input(self_test);
        input = self_test;
    } else if (!lint(input, length, err)) {
        log_error(LOG_LEVEL_ERROR, "signer.refused", err, "signer=%s", launch.name);
        answer->status = WIRE_REFUSED;
        return true;
    }
    const bool signed_well = sign_and_verify(worker, verifier, input, length, &signing, err);
    answer->wrong = signing.wrong;
    if (!signed_well) {
        return false;
    }
    answer->status = WIRE_SIGNED;
    answer->sign_ns = signing.sign_ns;
    answer->length = (uint32_t)signing.signature.length;
    memcpy(answer->signature, signing.signature.bytes, signing.signature.length);
    return true;
}

static bool send_answer(const struct wire_answer *answer)
{
    const size_t size = offsetof(struct wire_answer, signature) + answer->length;
    return send(WIRE_ANSWER_FD, answer, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_request(struct wire_request *request)
{
    const ssize_t got = recv(WIRE_REQUEST_FD, request, sizeof(*request) + REVOKED_INPUT_MAX, 0);
    return got >= (ssize_t)sizeof(*request) && (size_t)got == sizeof(*request) + request->length;
}

_Noreturn static void die(const struct error *err)
{
    log_error(LOG_LEVEL_ERROR, "signer.device_failed", err, "signer=%s", launch.name);
    if (key->provider->quiesce != NULL) {
        key->provider->quiesce(key);
    }
    _exit(EX_TEMPFAIL); /* no exit handlers: a module in trouble may hang or crash in its own */
}

static void *worker_run(void *argument)
{
    const unsigned worker = (unsigned)(uintptr_t)argument;
    struct jws_verifier *verifier = NULL;
    struct error err = { .code = ERROR_NONE };
    /* Of its pages only those are there that a request has filled. */
    struct wire_request *request = xcalloc(1, sizeof(*request) + REVOKED_INPUT_MAX);

    if (!jws_verifier_clone(own_verifier, &verifier, &err)) {
        die(&err);
    }
    while (receive_request(request)) {
        struct wire_answer answer = { .id = request->id };
        CRASH_POINT(SIGNER_REQUEST_RECEIVED);
        const bool alive = make_answer(worker, verifier, request, &answer, &err);
        if (!alive) {
            answer.status = WIRE_FAILED;
        }
        if (!send_answer(&answer) || !alive) {
            die(&err);
        }
        CRASH_POINT(SIGNER_ANSWERED);
    }
    (void)!fail_errno(&err, ERROR_INTERNAL, "read a request");
    die(&err);
}

/* ---- start ---- */

/* Our parent ends us, when it has no more use for us. */
static void ignore_signals(void)
{
    static const int ignored[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < COUNT_OF(ignored); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
}

/* A checkpoint is a signed note, and those know these two (C2SP signed-note). */
static bool check_purpose(enum jose_algorithm algorithm, struct error *err)
{
    return launch.purpose != SIGNER_CHECKPOINTS || algorithm == JOSE_ALGORITHM_NONE
        || algorithm == JOSE_ES256 || algorithm == JOSE_ED25519
        || fail(err, ERROR_KEY_POLICY, "%s: the ledger's key must be an ES256 or Ed25519 one",
                jose_algorithm_name(algorithm));
}

typedef void header_fn(struct text *text, const char *algorithm, const char *kid);

/* The header that `print` prints, in base64url. */
static bool encode_header(header_fn *print, char *out, size_t size)
{
    char json[160];
    struct text header = text_over(json, sizeof(json));
    struct text encoded = text_over(out, size);

    print(&header, identity.algorithm, identity.kid);
    text_add_base64url(&encoded, json, header.length);
    return !header.overflowed && !encoded.overflowed;
}

static bool describe(struct error *err)
{
    struct jwk jwk;

    if (!check_purpose(key->algorithm, err)
        || !jwk_from_key(key->public_key, key->algorithm, &jwk, err)) {
        return error_context(err, "%s", key->description);
    }
    (void)snprintf(identity.algorithm, sizeof(identity.algorithm), "%s",
                   jose_algorithm_name(key->algorithm));
    (void)snprintf(identity.kid, sizeof(identity.kid), "%s", jwk.kid);
    (void)snprintf(identity.jwk, sizeof(identity.jwk), "%s", jwk.json);
    (void)snprintf(identity.description, sizeof(identity.description), "%s", key->description);
    (void)snprintf(identity.device, sizeof(identity.device), "%s", key->device);
    (void)snprintf(identity.attributes, sizeof(identity.attributes), "%s", key->attributes);
    policy = (struct lint_policy){ .header = identity.header,
                                   .revoked_header = identity.revoked_header,
                                   .issuer = launch.issuer,
                                   .audience = launch.audience,
                                   .lifetime_max_s = launch.lifetime_max_s };
    checkpoint_policy_init(&checkpoint_policy, launch.issuer);
    return launch.purpose == SIGNER_CHECKPOINTS
        || (encode_header(access_token_header, identity.header, sizeof(identity.header))
            && encode_header(revoked_tokens_header, identity.revoked_header,
                             sizeof(identity.revoked_header)));
}

/* Each session proves itself before it counts; by OpenSSL's own verification, before the verifier
 * is prepared for many. */
static bool prove_sessions(struct error *err)
{
    if (!jws_verifier_new(key->public_key, key->algorithm, &own_verifier, err)) {
        return false;
    }
    for (unsigned worker = 0; worker < key->sessions; worker++) {
        char input[64];
        struct signing signing;
        if (!sign_and_verify(worker, own_verifier, input, self_test_input(input), &signing, err)) {
            return false;
        }
    }
    return true;
}

static bool check_scheme(const struct key_provider *provider, struct error *err)
{
    if (provider == NULL) {
        return fail(err, ERROR_CONFIG, "uri: no provider for this scheme (pkcs11:, tpm:, file:)");
    }
    if (provider == &software_provider && !launch.development) {
        return fail(err, ERROR_CONFIG,
                    "uri: file: keys are for development: set [issuer] environment = development");
    }
    return true;
}

static bool destroy(struct error *err)
{
    if (strcmp(identity.kid, launch.kid) != 0) {
        return fail(err, ERROR_KEY_NOT_FOUND, "%s: is key %s, not %s", key->description,
                    identity.kid, launch.kid);
    }
    return key->provider->destroy != NULL
             ? key->provider->destroy(key, err)
             : fail(err, ERROR_CONFIG, "%s: devices do not destroy keys here",
                    key->provider->scheme);
}

static bool run_mode(const struct key_options *options, struct error *err)
{
    const struct key_provider *provider = key_provider_for(options->uri);
    const struct ceremony_options ceremony = { .algorithm = options->algorithm,
                                               .so_pin_file = launch.so_pin_file,
                                               .rsa_bits = launch.rsa_bits };

    if (!check_scheme(provider, err)) {
        return false;
    }
    if (launch.mode == WIRE_INIT_TOKEN) {
        return provider->init_token != NULL
                 ? provider->init_token(options, &ceremony, err)
                 : fail(err, ERROR_CONFIG, "%s: devices have no token to initialise",
                        provider->scheme);
    }
    if (launch.mode == WIRE_GENERATE_KEY) {
        if (provider->generate == NULL) {
            return fail(err, ERROR_CONFIG, "%s: devices do not generate keys here",
                        provider->scheme);
        }
        if (!check_purpose(options->algorithm, err)
            || !provider->generate(options, &ceremony, err)) {
            return false;
        }
    }
    return provider->open(options, &key, err) && describe(err)
        && (launch.mode == WIRE_DESTROY_KEY ? destroy(err) : prove_sessions(err));
}

/* The module is loaded, the token logged in to, the key found: what comes now is known by the
 * device's kind. */
static void limit_calls(void)
{
    const enum sandbox_mode mode = (enum sandbox_mode)launch.sandbox_mode;
    const enum sandbox_calls calls = (enum sandbox_calls)launch.sandbox;
    struct error err;

    if (!sandbox_limit_calls(calls, mode, &err)) {
        log_error(LOG_LEVEL_WARNING, "sandbox.missing", &err,
                  "what='calls of signer %s' effect='%s'", launch.name, "it is done without");
    } else {
        log_event(mode == SANDBOX_ENFORCE ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE, "signer.sandbox",
                  "signer=%s sandbox=%s mode=%s", launch.name, sandbox_calls_name(calls),
                  sandbox_mode_name(mode));
    }
}

static bool receive_launch(void)
{
    return recv(WIRE_CONTROL_FD, &launch, sizeof(launch), 0) == sizeof(launch)
        && launch.size == sizeof(launch);
}

static void send_ready(const struct error *err)
{
    struct wire_ready ready = { .error_code = err->code, .key = identity };
    if (key != NULL) {
        ready.sessions = key->sessions;
    }
    if (err->code != ERROR_NONE) {
        (void)snprintf(ready.error, sizeof(ready.error), "%s", error_line(err).text);
    }
    (void)send(WIRE_CONTROL_FD, &ready, sizeof(ready), MSG_NOSIGNAL);
}

static void serve(void)
{
    for (unsigned worker = 0; worker < key->sessions; worker++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker_run, (void *)(uintptr_t)worker) != 0) {
            const struct error err = { .code = ERROR_INTERNAL, .message = "start a worker" };
            die(&err);
        }
    }
    char end;
    while (recv(WIRE_CONTROL_FD, &end, sizeof(end), 0) > 0) {
    }
}

int main(void)
{
    struct error err = { .code = ERROR_NONE };

    process_harden();
    (void)process_lock_memory(); /* issuerd says if it cannot be */
    journal_open(JOURNAL_SOCKET);
    ignore_signals();
    if (!receive_launch()) {
        (void)fprintf(stderr, "issuerd-signer is started by issuerd and issuerctl, of one build "
                              "with it; it is not for a shell.\n");
        return EX_USAGE;
    }
    const struct key_options options = {
        .uri = launch.uri,
        .algorithm = jose_algorithm_from_name(launch.algorithm),
        .sessions = launch.mode == WIRE_SERVE ? launch.sessions : 1,
        .deadline_ms = launch.deadline_ms,
        .session_copy = launch.session_copy != 0,
        .state_dir = launch.state_dir,
    };
    const bool good = run_mode(&options, &err);
    if (!good && err.code == ERROR_NONE) {
        (void)!fail(&err, ERROR_INTERNAL, "the key's header does not fit");
    }
    if (good) {
        err = (struct error){ .code = ERROR_NONE };
    }
    if (good && launch.mode == WIRE_SERVE) {
        limit_calls();
    }
    send_ready(&err);
    if (good && launch.mode == WIRE_SERVE) {
        (void)jws_verifier_prepare(own_verifier);
        serve();
    } else if (key != NULL) {
        key->provider->close(key);
    }
    _exit(good ? EX_OK : EX_UNAVAILABLE); /* after serving, workers may be inside the module */
}
