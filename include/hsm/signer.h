/*
 * The signers as the server sees them: one child process (issuerd-signer) per configured device
 * key. Each is started, watched, killed when stuck and started again here; the private key, the
 * PIN and the vendor's module live only in the child.
 *
 * A signature is asked for with signers_submit() by any thread; it comes back to the one thread
 * that calls signers_collect() (the committer), or to the `failed` function when the child died,
 * hung or refused. Exactly one of the two happens for every request submitted.
 */
#pragma once

#include "base/error.h"
#include "base/sandbox.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SIGNING_INPUT_MAX = 3072,       /* of a token */
    REVOKED_INPUT_MAX = 192 * 1024, /* of a list of revoked tokens, the longest input there is */
    SIGNERS_MAX = 8,                /* in use at once */
    SIGNER_NAME_MAX = 32,
};

/* A key signs one kind of thing, as its signer sees to. */
enum signer_purpose {
    SIGNER_TOKENS,
    SIGNER_CHECKPOINTS, /* of the ledger: with an audit key, ES256 or Ed25519 */
};

struct signer_options {
    const char *name;
    enum signer_purpose purpose;
    const char *uri;
    const char *algorithm;     /* JOSE name, or "" for what the key's type suggests */
    const char *const *setenv; /* "NAME=value" for the child alone */
    size_t setenv_count;
    unsigned sessions;   /* signatures at once */
    unsigned queue;      /* signatures in flight at most, over it OVERLOADED */
    int64_t queue_ms;    /* how long a signature waits for its turn at most, likewise */
    int64_t deadline_ms; /* a signature that takes longer gets the child killed */
    bool session_copy;
    enum sandbox_calls sandbox;
    enum sandbox_mode sandbox_mode;
};

/* A request whose signature will not come: DEVICE_UNAVAILABLE, OVERLOADED (its turn did not come in
 * time) or INTERNAL (refused by the signer's own policy). Called by any thread, and possibly before
 * signers_submit() returns. */
typedef void signer_failed_fn(void *context, void *tag, enum error_code code);

struct signers_options {
    const char *program;       /* path of issuerd-signer */
    struct launcher *launcher; /* who starts it; NULL: this process itself (hsm/launcher.h) */
    const char *state_dir;     /* where "this PIN was refused" outlives a restart; NULL: nowhere */
    const char *issuer;        /* what the signers' own policy accepts: iss, */
    const char *audience;      /* aud, */
    int64_t lifetime_max_s;    /* and exp - iat */
    bool development;          /* file: keys are allowed */
    const struct signer_options *signers;
    size_t count;
    signer_failed_fn *failed;
    void *context;
};

/* The key that a signer holds. Known from its first start on; fixed for the signer's life. */
struct signer_key {
    char algorithm[8];
    char kid[48];
    char jwk[1024]; /* the public key as a JWK, one JSON object */
    char header
        [160]; /* the one JOSE header of the tokens that the signer signs, base64url; "": none */
    char revoked_header[160]; /* the one of lists of revoked tokens, likewise */
    char description[160];    /* token, serial, object: for people */
    char device[200];         /* who made it, model, serial, versions; "": a file */
    char attributes[400];     /* what the device says of the key; "": a file */
};

enum signer_state { SIGNER_DOWN, SIGNER_UP, SIGNER_LOCKED };

/* A signer's id is its own: none that comes later has it again. */
struct signer_status {
    size_t id;
    char name[SIGNER_NAME_MAX + 1];
    enum signer_purpose purpose;
    enum signer_state state;
    const struct signer_key *key; /* NULL until the first start; valid for good */
    unsigned in_flight;
    unsigned queue;
    bool permitted; /* to sign tokens */
    uint64_t restarts;
    uint64_t signatures;       /* made, self-tests apart */
    uint64_t wrong_signatures; /* made by the device, not verified by its public key, thrown away */
    int64_t deadline_ms;       /* of one signature */
    int64_t patience_ms;       /* within which a request has its end, one way or the other */
    int64_t self_test_ns;      /* monotonic time of the last verified self-test; 0: none */
    int64_t since_ns;          /* monotonic time when it came to its state */
};

/* What last brought a signer down, or kept it from coming up. */
struct signer_failure {
    int64_t at_ns; /* monotonic; 0: nothing ever did */
    struct error err;
};

struct signers;

/* Starts every signer and waits until each is up or has failed once. Options are borrowed for the
 * life of *signers_out, but for the signers', which are copied. Fails with the first CONFIG or KEY_POLICY error, and with KEY_NOT_FOUND
 * if no signer for tokens is up. A device that is not there, or a refused PIN, is no failure: the signer is DOWN (tried again, at most 5 s
 * apart) or LOCKED (until the PIN source changes), and the log says so. */
MUST_CHECK bool signers_start(const struct signers_options *options, struct signers **signers_out,
                              struct error *err);

/* Fails what is in flight, ends the children, frees. No other thread may be inside. */
void signers_stop(struct signers *signers);

/* Whether the signer, one for tokens, may sign them; at first none may. Its self-tests go on without. */
void signers_permit(struct signers *signers, size_t id, bool permitted);

/* The signer to use now: the first that is permitted, up and not full. A queue that one more would
 * have to wait in for longer than queue_ms, by the time that signatures took of late, is full, too.
 * On true *key_out is valid for good. Fails with DEVICE_UNAVAILABLE (none is up) or OVERLOADED (all
 * that are up are full). */
MUST_CHECK bool signers_choose(struct signers *signers, size_t *id_out,
                               const struct signer_key **key_out, struct error *err);

/* Sends the whole signing input (RFC 7515 5.1), or a checkpoint's body, to the signer. `tag` comes back with the
 * result. `deadline_ns` is monotonic: a signature not begun by then, or within queue_ms, is not
 * made. Does not block. Fails as signers_choose() does, for a signer that was chosen and has left meanwhile,
 * too; then there is no result. */
MUST_CHECK bool signers_submit(struct signers *signers, size_t id, const char *input, size_t length,
                               int64_t deadline_ns, void *tag, struct error *err);

/* A verified signature in JOSE's fixed-width form. `bytes` lives for the call. */
typedef void signer_answer_fn(void *context, void *tag, const uint8_t *bytes, size_t length,
                              int64_t sign_ns);

/* Hands over every signature that has arrived; if none has, waits up to `timeout_ms` for the
 * first, or for signers_wake(). One thread only. Returns how many were handed over. */
size_t signers_collect(struct signers *signers, int timeout_ms, signer_answer_fn *answer,
                       void *context);

/* How many signatures are asked for and not collected yet. */
unsigned signers_in_flight(const struct signers *signers);

/* Ends a wait in signers_collect(), now or the next. Any thread. */
void signers_wake(struct signers *signers);

size_t signers_count(const struct signers *signers);

/* Those in use, in the order in which they are asked to sign. Returns how many. */
size_t signers_list(struct signers *signers, struct signer_status list_out[static SIGNERS_MAX]);

/* One that has left is DOWN and has no name. At the start the first has the id 0, and so on. */
struct signer_status signers_status(struct signers *signers, size_t id);
struct signer_failure signers_last_failure(struct signers *signers, size_t id);

/* The longest deadline of a signer for tokens. Does not wait. */
int64_t signers_deadline_ms(const struct signers *signers);

/* ---- change ----
 * While it serves, in steps, by one thread: begun, settled, checked, and ended or abandoned. Who is named
 * as before, with the same options and an untouched PIN file, stays. */

/* Starts those of `wanted` that are not there yet, beside those in use; they are not chosen yet. Copies
 * the options. Fails, with nothing changed, with CONFLICT (signers of an earlier change have not ended
 * yet) or INTERNAL. */
MUST_CHECK bool signers_begin_change(struct signers *signers, const struct signer_options *wanted,
                                     size_t count, struct error *err);

/* True once each has come up or failed, or had 20 s for it. */
bool signers_change_is_settled(struct signers *signers);

/* Those that would be in use then. They may be permitted already. */
size_t signers_list_change(struct signers *signers,
                           struct signer_status list_out[static SIGNERS_MAX]);

/* Fails as signers_start() does, or with what keeps one from coming up that is to follow one that is
 * up. */
MUST_CHECK bool signers_check_change(struct signers *signers, struct error *err);

/* Those that are wanted are in use from now on. The others are chosen no more; they finish what they
 * have, and end by themselves. */
void signers_end_change(struct signers *signers);

/* Ends those that were started for it. */
void signers_abandon_change(struct signers *signers);

const char *signer_state_name(enum signer_state state);

/* Key ceremonies, for issuerctl: run the child once for this alone. */
enum signer_ceremony {
    CEREMONY_PROBE,
    CEREMONY_GENERATE_KEY,
    CEREMONY_DESTROY_KEY,
    CEREMONY_INIT_TOKEN,
};

struct signer_ceremony_options {
    enum signer_ceremony ceremony;
    const char *algorithm;   /* of the key to generate; "": as configured */
    const char *so_pin_file; /* CEREMONY_INIT_TOKEN */
    unsigned rsa_bits;       /* 0: the default */
    const char *kid;         /* CEREMONY_DESTROY_KEY: what the key that goes must have */
};

/* Runs `ceremony` for options->signers[index]. Afterwards *key_out is the key that is there (not
 * for CEREMONY_INIT_TOKEN). Fails as the key provider does; the message says what to do. */
MUST_CHECK bool signer_run_ceremony(const struct signers_options *options, size_t index,
                                    const struct signer_ceremony_options *ceremony,
                                    struct signer_key *key_out, struct error *err);
