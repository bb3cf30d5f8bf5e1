/*
 * What is publicly known of a key in a TPM (TPMT_PUBLIC, TPM 2.0 Part 2 12.2): its policy, its public
 * half, its name. The provider uses it on the key it opens, issuerctl on a key's evidence.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <openssl/types.h>
#include <tss2/tss2_tpm2_types.h>

/* Refuses with KEY_POLICY, naming `name` and the attribute, unless the key was made in its TPM, cannot
 * leave it, does nothing but sign, and wants its authorization value for that. */
MUST_CHECK bool tpm_public_check_policy(const TPMT_PUBLIC *public_area, const char *name,
                                        struct error *err);

/* Adds the attributes that are set, by their names in the specification, blanks between. */
void tpm_public_print_attributes(const TPMT_PUBLIC *public_area, struct text *text);

/* The public key. Fails with KEY_POLICY: neither P-256, P-384 nor RSA. The caller owns *key_out. */
MUST_CHECK bool tpm_public_read_key(const TPMT_PUBLIC *public_area, const char *name,
                                    EVP_PKEY **key_out, struct error *err);
