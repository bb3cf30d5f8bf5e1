/*
 * The cases of the fault run: every class of PKCS#11 return values (and of TPM response codes) by
 * every function that a signer calls, for as long; and what codes cannot say: hangs, crashes, wrong
 * bits, lost sessions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What makes a signer call the function. */
enum fault_trigger {
    TRIGGER_SIGNATURE, /* it does for each */
    TRIGGER_RECOVERY,  /* a loss that it mends in its process: see `with` */
    TRIGGER_START,     /* its death, and so a fresh process */
};

enum fault_duration {
    DURATION_ONCE,
    DURATION_THRICE,
    DURATION_LASTING, /* until cleared */
};

enum fault_trait {
    IS_LOSS = 1,     /* of a session or the login: healed sooner */
    IS_REFUSAL = 2,  /* of the PIN: not tried again until its file changes */
    IS_HARMLESS = 4, /* nothing is to be felt */
    IS_OF_VARIANT = 8,
};

struct fault_case {
    const char *class;
    const char *function;
    char words[48]; /* what befalls it, as fault_rules.h has it */
    enum fault_trigger trigger;
    enum fault_duration duration;
    const char *with; /* a line of faults that goes with it; "": none */
    unsigned traits;
    bool variant; /* for a signer with session_copy, of a TPM: with auth=password */
};

enum { FAULT_CASES_MAX = 1200 };

/* Those of a provider ("pkcs11", "tpm"), at most `most` of each class; which, and in which order, `seed`
 * decides; those for the variant last. The result is how many; 0: no such provider. */
size_t fault_cases_make(const char *provider, size_t most, unsigned seed,
                        struct fault_case cases_out[static FAULT_CASES_MAX]);

const char *fault_trigger_name(enum fault_trigger trigger);
const char *fault_duration_name(enum fault_duration duration);
