/* Public keys as JSON Web Keys (RFC 7517) and their thumbprints (RFC 7638). */
#pragma once

#include "base/error.h"
#include "jose/algorithm.h"

#include <cjson/cJSON.h>
#include <openssl/types.h>

enum { JWK_MAX = 1024, KID_LENGTH = 43 };

struct jwk {
    char kid[KID_LENGTH + 1]; /* base64url SHA-256 thumbprint */
    char json[JWK_MAX];       /* {"kty":...,"use":"sig","alg":...,"kid":...}: public members only */
};

/* Fails with ERROR_KEY_POLICY unless `key` is P-256 for ES256, P-384 for ES384, Ed25519, or RSA of 2048 to 4096 bits with an
 * odd public exponent >= 65537 for RS256 and PS256. */
MUST_CHECK bool jwk_from_key(EVP_PKEY *key, enum jose_algorithm algorithm, struct jwk *jwk_out,
                             struct error *err);

/* What a key signs with when nobody says: P-256 ES256, P-384 ES384, Ed25519 itself, RSA PS256, else
 * JOSE_ALGORITHM_NONE. */
enum jose_algorithm jwk_default_algorithm(EVP_PKEY *key);

/* A public key of somebody else's, from a JWK of `kty` EC (P-256, P-384, secp256k1; RFC 7518 6.2.1) or
 * OKP (Ed25519; RFC 8037 2). Fails with INVALID_REQUEST, naming the member: a private one, a
 * coordinate that is not canonical base64url of the curve's width, a point that is not on the curve or
 * of small order, an `alg`, `use` or `key_ops` that is not for verifying with such a key. The caller
 * frees *key_out. */
MUST_CHECK bool jwk_parse(const cJSON *jwk, EVP_PKEY **key_out, struct error *err);

/* What signatures of the key are verified with: as jwk_default_algorithm(), or ES256K. */
enum jose_algorithm jwk_verification_algorithm(EVP_PKEY *key);

/* Copies the public half of `key` into OpenSSL's own memory: what is done with it then never
 * reaches a device or an engine. NULL if `key` has none; OpenSSL's queue says why. The caller
 * frees. */
EVP_PKEY *jwk_public_half(EVP_PKEY *key);
