/*
 * JWTs that others signed, as compact JWS (RFC 7515 7.1, RFC 7519): taken apart strictly, then
 * verified with a key that was found elsewhere. Nothing in the header is trusted to bring a key, and
 * nothing that is not understood is passed over (RFC 8725).
 */
#pragma once

#include "base/error.h"
#include "jose/jws.h"

#include <stddef.h>

#include <cjson/cJSON.h>

enum { JWT_MAX = 60 * 1024 };

/* Parsed, not verified. */
struct jwt {
    cJSON *header;
    cJSON *claims;
    enum jose_algorithm algorithm;
    const char *kid;   /* the header's */
    const char *input; /* "header.payload", inside the text that was parsed */
    size_t input_length;
    struct signature signature;
};

/* Takes apart `length` bytes of text, which must live as long as *jwt_out. `type` is the media type
 * that the header's `typ` may name, with or without "application/" ("vp+jwt"); "JWT", or no `typ`,
 * is good as well, any other kind of JWT is refused (RFC 8725 3.11).
 *
 * Fails with INVALID_REQUEST, naming part and member: longer than JWT_MAX; not three parts of
 * canonical base64url; header or payload not a strict JSON object (base/json_check.h); `alg` not
 * exactly one of ES256, ES384, ES256K, Ed25519, EdDSA; `kid` missing, empty or with bytes outside
 * printable ASCII; a signature that has not the algorithm's length; `crit`, `b64`, `zip`, `jwk`,
 * `jku`, `x5u`, `x5c`, `x5t` or `x5t#S256` present at all. The caller clears *jwt_out. */
MUST_CHECK bool jwt_parse(const char *text, size_t length, const char *type, struct jwt *jwt_out,
                          struct error *err);
void jwt_clear(struct jwt *jwt);

/* True only if `key` is of the kind that the algorithm needs (ES256 P-256, ES384 P-384, ES256K
 * secp256k1, Ed25519) and the signature is its own. Leaves OpenSSL's error queue empty. */
bool jwt_verify(const struct jwt *jwt, EVP_PKEY *key);
