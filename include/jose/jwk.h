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

/* What a key of this server signs with when nobody says: P-256 ES256, P-384 ES384, Ed25519 itself,
 * RSA PS256, else JOSE_ALGORITHM_NONE. */
enum jose_algorithm jwk_default_algorithm(EVP_PKEY *key);

/* True if the algorithm is one of the key's, to verify with: also RS256 for RSA, and ES256K for
 * secp256k1. */
bool jwk_fits(EVP_PKEY *key, enum jose_algorithm algorithm);

/* Reads a public key that another has made: P-256, P-384 or secp256k1 (RFC 7518 6.2.1, RFC 8812 3.1),
 * or Ed25519 (RFC 8037 2). Members that say nothing about the key are passed over (RFC 7517 4).
 *
 * Fails with INVALID_REQUEST, naming the member: `kty`, `crv`, `x` or `y` missing or of none of
 * these; coordinates not canonical base64url of exactly the curve's width, not on the curve, or of
 * small order; any private member; `alg` of another key, `use` other than "sig", `key_ops` without
 * "verify". The caller owns *key_out (EVP_PKEY_free). */
MUST_CHECK bool jwk_parse(const cJSON *jwk, EVP_PKEY **key_out, struct error *err);

/* Copies the public half of `key` into OpenSSL's own memory: what is done with it then never
 * reaches a device or an engine. NULL if `key` has none; OpenSSL's queue says why. The caller
 * frees. */
EVP_PKEY *jwk_public_half(EVP_PKEY *key);
