/*
 * A wallet's half, for tests: a holder (or an issuer of credentials) with a key and a did:jwk, who signs
 * JWTs as told, right or wrong. Signatures are OpenSSL's, none of the code that is tested.
 */
#pragma once

#include <openssl/types.h>

struct holder {
    EVP_PKEY *key;
    const char *alg;
    char jwk[400]; /* the public key */
    char did[512];
    char kid[520]; /* of the key, as a DID URL */
};

/* `alg` is "ES256", "ES384", "ES256K" or "Ed25519" ("EdDSA" signs the same). A fresh key each time.
 * The caller clears it. */
struct holder holder_new(const char *alg);
void holder_clear(struct holder *holder);

/* A compact JWS of the two texts, whatever they say. The caller frees. */
char *holder_sign_parts(const struct holder *holder, const char *header, const char *payload);

/* The same, with the header {"alg":...,"kid":...,"typ":"JWT"}; the payload is printed by `format`. */
char *holder_sign(const struct holder *holder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
