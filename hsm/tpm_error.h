/* What a TPM, or the TSS on the way to it, said, as an error of ours. */
#pragma once

#include "base/error.h"

#include <tss2/tss2_common.h>

/* Fills `err` with the code that the response code's class asks for (who must act), the message, and
 * the code's text and number as the cause. Returns false. */
MUST_CHECK bool fail_tss2(struct error *err, TSS2_RC rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What may help after a command that failed so, short of a fresh process. */
enum tpm_remedy {
    TPM_REMEDY_NONE,    /* the TPM is dead or refuses; or wants a longer pause than a request has */
    TPM_REMEDY_PAUSE,   /* once more, a little later */
    TPM_REMEDY_CONNECT, /* all afresh: TCTI, context, start-up, key, session; then once more */
};
enum tpm_remedy tpm_remedy_of(TSS2_RC rc);

/* True if the response code is the TPM's own `code` (TPM2_RC_...), whichever parameter, handle or session
 * it names, and whichever resource manager passed it on. */
bool tpm_rc_is(TSS2_RC rc, TSS2_RC code);
