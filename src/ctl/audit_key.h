/*
 * The key that signs a ledger's checkpoints, its public half, as an auditor has it: ECDSA P-256 or
 * Ed25519, verified by OpenSSL alone.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct audit_key;

enum { AUDIT_KEY_ID_LENGTH = 4, AUDIT_SIGNATURE_MAX = 80 };

/* Reads a JWK as issuerd writes it, to the byte. Fails with INVALID_REQUEST. The caller owns *key_out. */
MUST_CHECK bool audit_key_from_jwk(const char *jwk, struct audit_key **key_out, struct error *err);

/* Reads a file: a public key in PEM (SubjectPublicKeyInfo), or any JWK of it. Fails with
 * INVALID_REQUEST. The caller owns *key_out. */
MUST_CHECK bool audit_key_read(const char *path, struct audit_key **key_out, struct error *err);
void audit_key_free(struct audit_key *key);

/* As issuerd writes it. Borrowed. */
const char *audit_key_jwk(const struct audit_key *key);

/* SubjectPublicKeyInfo in PEM. The caller frees. */
char *audit_key_pem(const struct audit_key *key);

/* What its signatures under this name begin with (C2SP signed-note). */
void audit_key_id(const struct audit_key *key, const char *name,
                  uint8_t id_out[AUDIT_KEY_ID_LENGTH]);

/* True for its signature of `text`: ECDSA in DER over SHA-256, Ed25519 as RFC 8032 has it. */
bool audit_key_verifies(const struct audit_key *key, const char *text, size_t length,
                        const uint8_t *signature, size_t signature_length);
