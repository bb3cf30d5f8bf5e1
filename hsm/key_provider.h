/*
 * What a key provider implements: pkcs11.c, tpm.c and software.c each define one, and
 * key_provider.c picks by the URI's scheme. Nothing outside the device side of hsm/ includes this header.
 *
 * Threads: open, close and the ceremonies are called by one thread. sign() is called by
 * key->sessions threads at once, each with a worker number of its own in [0, sessions): what a
 * worker needs for itself (a session) is indexed by that number, so nothing is locked while the
 * device is well.
 */
#pragma once

#include "base/error.h"
#include "jose/algorithm.h"
#include "jose/jws.h"

#include <stddef.h>
#include <stdint.h>

struct device_key;

struct key_options {
    const char *uri;               /* RFC 7512 for pkcs11:, hsm/tpm_uri.h for tpm: */
    enum jose_algorithm algorithm; /* NONE: what the key's type suggests */
    unsigned sessions;             /* how many threads sign at once, at most */
    int64_t deadline_ms;           /* tpm: of one signature */
    const char *state_dir;         /* where a refused PIN is remembered; NULL or "": nowhere */
    bool session_copy;             /* pkcs11: sign from a C_CopyObject copy in each session */
};

/* What a ceremony needs beside the key's options. */
struct ceremony_options {
    enum jose_algorithm algorithm; /* of the key to generate; NONE: ES256 */
    unsigned rsa_bits;             /* of an RSA key: 2048 to 4096; 0: 3072 */
    const char *so_pin_file;       /* token init */
};

/* Finds the one private key that the URI names, checks its policy (each refusal names token,
 * object and attribute), reads its public half, opens the sessions. On true the caller owns
 * *key_out. Fails with ERROR_CONFIG (URI, module, PIN file), KEY_NOT_FOUND (none, or several),
 * KEY_POLICY, KEY_LOCKED (PIN refused, locked, or its final try: not tried again) or
 * DEVICE_UNAVAILABLE (token not there, device in trouble: trying again may help). */
typedef MUST_CHECK bool key_open_fn(const struct key_options *options, struct device_key **key_out,
                                    struct error *err);

/* Signs `input`, hashing on the host where the mechanism wants a digest. The result has JOSE's
 * form whatever form the device speaks, and is not yet verified. A lost session, login or handle is
 * restored, and the signature made again, twice at most. Fails with DEVICE_UNAVAILABLE: the process is
 * expected to end and be started afresh. */
typedef MUST_CHECK bool key_sign_fn(struct device_key *key, unsigned worker, const void *input,
                                    size_t length, struct signature *signature_out,
                                    struct error *err);

/* Logs out, wipes and frees. */
typedef void key_close_fn(struct device_key *key);

/* Before the process ends with workers at work: waits, not for long, while one does what must not be
 * cut short, and lets none begin it. NULL: there is nothing of the kind. */
typedef void key_quiesce_fn(struct device_key *key);

/* Generates the key pair that the URI names inside the device: private, sensitive, never
 * extractable, sign only. Fails with ERROR_CONFLICT if there is one already. NULL: not offered. */
typedef MUST_CHECK bool key_generate_fn(const struct key_options *options,
                                        const struct ceremony_options *ceremony, struct error *err);

/* Deletes the open key, both halves, from its device. Fails as opening does. NULL: not offered. */
typedef MUST_CHECK bool key_destroy_fn(struct device_key *key, struct error *err);

/* Initialises a free slot's token with the URI's token label and sets the user PIN that the URI's
 * pin-source holds. Fails with ERROR_CONFLICT if a token of that label is there. NULL: none. */
typedef MUST_CHECK bool token_init_fn(const struct key_options *options,
                                      const struct ceremony_options *ceremony, struct error *err);

struct key_provider {
    const char *scheme; /* "pkcs11", "tpm", "file" */
    key_open_fn *open;
    key_sign_fn *sign;
    key_close_fn *close;
    key_quiesce_fn *quiesce;
    key_generate_fn *generate;
    key_destroy_fn *destroy;
    token_init_fn *init_token;
};

/* The first member of every provider's own key struct. */
struct device_key {
    const struct key_provider *provider;
    EVP_PKEY *public_key;          /* the provider owns it */
    enum jose_algorithm algorithm; /* never NONE */
    unsigned sessions;             /* what the device gives of those asked for; at least 1 */
    char description[160];         /* "token \"main\" serial 1a2b, object \"issuerd-es256\"" */
    char device[200];              /* who made it, model, serial, versions: for the auditor */
    char attributes[400];          /* what the device says of the key: "CKA_PRIVATE=true CKA_..." */
};

/* For providers: sets key->algorithm to `wanted`, or to what the key's type suggests. Fails with
 * ERROR_KEY_POLICY, naming the key, if its type, curve or size does not fit. */
MUST_CHECK bool device_key_settle_algorithm(struct device_key *key, enum jose_algorithm wanted,
                                            struct error *err);

/* NULL if no provider has the URI's scheme. */
const struct key_provider *key_provider_for(const char *uri);

extern const struct key_provider pkcs11_provider;
extern const struct key_provider software_provider;
extern const struct key_provider tpm_provider;
