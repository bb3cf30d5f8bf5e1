/* A TPM's signature in JOSE's form. */
#pragma once

#include "base/error.h"
#include "jose/algorithm.h"
#include "jose/jws.h"

#include <tss2/tss2_tpm2_types.h>

/* ECDSA's r and s of any length up to the curve's are widened to it (RFC 7518 3.4), RSA's octets
 * taken as they are. Fails with DEVICE_UNAVAILABLE: not of this algorithm, or too long. */
MUST_CHECK bool tpm_signature_read(const TPMT_SIGNATURE *from, enum jose_algorithm algorithm,
                                   struct signature *signature_out, struct error *err);
