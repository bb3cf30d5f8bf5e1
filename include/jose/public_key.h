/* Public keys from the numbers that tokens, TPMs and JWKs give. The caller frees what is returned; NULL,
 * with OpenSSL's errors queued: it is no such key. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

/* A point of the named curve ("prime256v1", "secp384r1") as SEC 1 2.3.3 encodes it: 04 || X || Y. */
EVP_PKEY *public_key_from_point(const char *curve, const uint8_t *point, size_t length);

/* RFC 8032 5.1.5: 32 octets. A point of small order is no key either: one signature would be good for
 * any message. */
EVP_PKEY *public_key_from_ed25519(const uint8_t *octets, size_t length);

/* Modulus and exponent, big-endian; leading zeros do not matter. */
EVP_PKEY *public_key_from_rsa(const uint8_t *modulus, size_t modulus_length,
                              const uint8_t *exponent, size_t exponent_length);
