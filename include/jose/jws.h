/* Signatures in JOSE's own form: R || S of fixed width for ECDSA (RFC 7518 3.4), the octets of RSA
 * and of Ed25519 (RFC 8032) as they are. */
#pragma once

#include "base/error.h"
#include "jose/algorithm.h"

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

enum { SIGNATURE_MAX = 512 /* RSA 4096 */, ES256_HALF = 32, ECDSA_HALF_MAX = 48 };

struct signature {
    uint8_t bytes[SIGNATURE_MAX];
    size_t length;
};

/* Verifies signatures of one public key with one algorithm. Threads: one verifier a thread. */
struct jws_verifier;

/* Copies the public half of `key`, so that verifying never asks the device that signed. Fails with
 * ERROR_INTERNAL, also when `algorithm` is not one of this key's. The caller owns *verifier_out. */
MUST_CHECK bool jws_verifier_new(EVP_PKEY *key, enum jose_algorithm algorithm,
                                 struct jws_verifier **verifier_out, struct error *err);

/* For a key that will verify thousands of signatures: spends some 20 ms once, and from then on an
 * ES256 verification takes half the time. False, and nothing changed, if there is nothing to gain. */
bool jws_verifier_prepare(struct jws_verifier *verifier);

/* A verifier of the same key for another thread, prepared if `verifier` is. Fails with INTERNAL. */
MUST_CHECK bool jws_verifier_clone(const struct jws_verifier *verifier,
                                   struct jws_verifier **verifier_out, struct error *err);

/* True only for a valid signature of exactly the algorithm's length over `input`. PS256 asks for
 * MGF1 with SHA-256 and a salt of 32 octets (RFC 7518 3.5). Leaves OpenSSL's error queue empty. */
bool jws_verify(struct jws_verifier *verifier, const void *input, size_t input_length,
                const struct signature *signature);

/* jws_verify() with a key in OpenSSL's own memory, as jwk_parse() makes them, that is not worth a
 * verifier: a copy of the key, made by way of DER, would take longer than the signature. False also
 * if `algorithm` is not one of the key's. */
bool jws_verify_once(EVP_PKEY *key, enum jose_algorithm algorithm, const void *input,
                     size_t input_length, const struct signature *signature);

void jws_verifier_free(struct jws_verifier *verifier);
