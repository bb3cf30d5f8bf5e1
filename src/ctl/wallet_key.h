/*
 * A wallet's key, the DID that it makes (did:key, did:jwk), and its signatures. Its encoders are its
 * own: the server's decoders must not agree with themselves alone.
 */
#pragma once

#include "base/error.h"
#include "jose/did.h"

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#define WALLET_ALGORITHM_NAMES "ES256, ES384, ES256K or Ed25519"

/* A new key. NULL: no such algorithm. The caller frees (EVP_PKEY_free). */
EVP_PKEY *wallet_key_new(const char *algorithm);

/* Reads a private key in PEM, without a passphrase, out of a file that only its owner may open. Fails
 * with INVALID_REQUEST. The caller frees *key_out. */
MUST_CHECK bool wallet_key_read(const char *path, EVP_PKEY **key_out, struct error *err);

/* "ES256", ...: what the key signs with. NULL: nothing that a wallet knows. */
const char *wallet_key_algorithm(EVP_PKEY *key);

enum wallet_did_method { WALLET_DID_KEY, WALLET_DID_JWK };

struct wallet_did {
    char did[DID_MAX + 1];
    char kid[2 * DID_MAX + 2]; /* the DID URL of its one verification method */
};

/* Fails with INVALID_REQUEST for a key without an algorithm. */
MUST_CHECK bool wallet_did_of(EVP_PKEY *key, enum wallet_did_method method,
                              struct wallet_did *did_out, struct error *err);

struct wallet_signature {
    uint8_t bytes[96];
    size_t length;
};

/* In JOSE's form (RFC 7518 3.4, RFC 8812 3.2, RFC 8037 3.1). Fails with INTERNAL. */
MUST_CHECK bool wallet_sign(EVP_PKEY *key, const void *input, size_t length,
                            struct wallet_signature *signature_out, struct error *err);
