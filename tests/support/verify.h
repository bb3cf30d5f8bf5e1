/* Checks signatures with OpenSSL alone: none of the code that made them, or that verifies them in
 * the signer, is used. */
#pragma once

#include "jose/algorithm.h"
#include "jose/jws.h"

#include <stdbool.h>
#include <stddef.h>

#include <openssl/types.h>

/* How long every signature of the key must be (RFC 7518 3.3 to 3.5). */
size_t signature_width(EVP_PKEY *key, enum jose_algorithm algorithm);

bool signature_verifies(EVP_PKEY *key, enum jose_algorithm algorithm, const void *input,
                        size_t length, const struct signature *signature);
