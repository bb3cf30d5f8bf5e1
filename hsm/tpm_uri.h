/*
 * The URI of a key in a TPM 2.0: the persistent handle, how to reach the TPM (a TCTI as tss2-tctildr
 * names it), and where the key's authorization value is.
 *
 *     tpm:handle=0x81000001?tcti=device:/dev/tpmrm0&pin-source=file:/run/credentials/u/tpm-auth
 *
 * auth=hmac (the default) proves the authorization value in an HMAC session, so that it never
 * crosses the bus to the chip; auth=password sends it, which is faster.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct tpm_uri {
    uint32_t handle; /* TPM2_HT_PERSISTENT: 0x81000000 to 0x81ffffff */
    bool password;   /* auth=password */
    char tcti[512];
    char auth_file[512]; /* an absolute path */
};

/* Fails with ERROR_CONFIG, naming what is missing, malformed or not known. */
MUST_CHECK bool tpm_uri_parse(const char *text, struct tpm_uri *uri_out, struct error *err);
