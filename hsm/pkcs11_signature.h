/* The two conversions between what JOSE signs and what PKCS#11 mechanisms take and give. */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "jose/jws.h"

#include <stdint.h>

/* A SHA-256 digest as PKCS#1 v1.5 signs it (RFC 8017 9.2, note 1): CKM_RSA_PKCS only pads. The
 * digest is its last 32 bytes. */
struct digest_info {
    uint8_t bytes[19 + 32];
};
struct digest_info digest_info_of(const struct digest *digest);

/* PKCS#11 lets R and S be as short as the longer of the two needs; JOSE wants `half` bytes each (RFC
 * 7518 3.4). Fails with DEVICE_UNAVAILABLE if it is no pair of equal halves of at most that. */
MUST_CHECK bool signature_widen(struct signature *signature, size_t half, struct error *err);
