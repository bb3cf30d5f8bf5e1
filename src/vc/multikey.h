/* Public keys as one word: multibase, multicodec, compressed point (W3C Controlled Identifiers 2.2.2,
 * the identifiers of did:key). */
#pragma once

#include "base/error.h"

#include <openssl/types.h>

/* Reads "z" and base58btc of a P-256, P-384, secp256k1 or Ed25519 public key with its multicodec
 * before it. Fails with INVALID_REQUEST, naming what is wrong. The caller owns *key_out. */
MUST_CHECK bool multikey_parse(const char *multibase, EVP_PKEY **key_out, struct error *err);
