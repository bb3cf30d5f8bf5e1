/* Multikeys: a public key with its multicodec in front, as multibase base58-btc
 * (Controlled Identifiers 2.4.1; the did:key method, 3.1). */
#pragma once

#include "base/error.h"

#include <openssl/types.h>

/* A P-256, P-384, secp256k1 or Ed25519 key. Fails with INVALID_REQUEST. The caller frees *key_out. */
MUST_CHECK bool multikey_parse(const char *text, EVP_PKEY **key_out, struct error *err);
