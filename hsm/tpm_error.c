#include "hsm/tpm_error.h"

#include <stdarg.h>
#include <stdio.h>

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tpm2_types.h>

#include "base/memory.h"

enum {
    FORMAT_ONE = 0x080,      /* TPM 2.0 Part 2 6.6.2: an error of a parameter, handle or session, */
    FORMAT_ONE_MASK = 0x0bf, /* without its number and kind */
};

struct meaning {
    TSS2_RC code;
    enum error_code error;
    enum tpm_remedy remedy;
};

/* The classes of TPM 2.0 Part 2 6.6.3. What is not listed: the device's trouble, and a fresh
 * connection may do better. */
static const struct meaning meanings[] = {
/* clang-format off */
#define MEANS(error, remedy, code) { TPM2_RC_##code, ERROR_##error, TPM_REMEDY_##remedy }
    /* Busy for a moment; ESYS has tried five times by now. */
    MEANS(DEVICE_UNAVAILABLE, PAUSE, RETRY),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, YIELDED),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, TESTING),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, CANCELED),

    /* Busy for longer: the pause before the next process is what it asks for. */
    MEANS(DEVICE_UNAVAILABLE, NONE, NV_RATE),
    MEANS(DEVICE_UNAVAILABLE, NONE, NV_UNAVAILABLE),
    MEANS(DEVICE_UNAVAILABLE, NONE, MEMORY),

    /* Reset under us: TPM2_Startup is wanted, or key or session is not known any more. */
    MEANS(DEVICE_UNAVAILABLE, CONNECT, INITIALIZE),
    MEANS(DEVICE_UNAVAILABLE, CONNECT, CONTEXT_GAP),
    MEANS(DEVICE_UNAVAILABLE, CONNECT, NONCE),

    /* Its slots are taken: connecting flushes the sessions that dead processes left. */
    MEANS(DEVICE_UNAVAILABLE, CONNECT, OBJECT_MEMORY),
    MEANS(DEVICE_UNAVAILABLE, CONNECT, SESSION_MEMORY),
    MEANS(DEVICE_UNAVAILABLE, CONNECT, SESSION_HANDLES),
    MEANS(DEVICE_UNAVAILABLE, CONNECT, OBJECT_HANDLES),

    /* Dead until a person or a reboot. */
    MEANS(DEVICE_UNAVAILABLE, NONE, FAILURE),
    MEANS(DEVICE_UNAVAILABLE, NONE, REBOOT),
    MEANS(DEVICE_UNAVAILABLE, NONE, UPGRADE),
    MEANS(DEVICE_UNAVAILABLE, NONE, DISABLED),

    /* The authorization value: never tried again by itself, since the TPM counts the tries. */
    MEANS(KEY_LOCKED, NONE, AUTH_FAIL),
    MEANS(KEY_LOCKED, NONE, BAD_AUTH),
    MEANS(KEY_LOCKED, NONE, LOCKOUT),

    /* The key is not there, or does not do what is asked of it. */
    MEANS(KEY_NOT_FOUND, NONE, HANDLE),
    MEANS(KEY_POLICY, NONE, ATTRIBUTES),
    MEANS(KEY_POLICY, NONE, ASYMMETRIC),
    MEANS(KEY_POLICY, NONE, AUTH_MISSING),
    MEANS(KEY_POLICY, NONE, AUTH_TYPE),
    MEANS(KEY_POLICY, NONE, AUTH_UNAVAILABLE),
    MEANS(KEY_POLICY, NONE, EXPIRED),
    MEANS(KEY_POLICY, NONE, HASH),
    MEANS(KEY_POLICY, NONE, KEY),
    MEANS(KEY_POLICY, NONE, PCR_CHANGED),
    MEANS(KEY_POLICY, NONE, POLICY),
    MEANS(KEY_POLICY, NONE, POLICY_FAIL),
    MEANS(KEY_POLICY, NONE, SCHEME),
    MEANS(KEY_POLICY, NONE, SIZE),
    MEANS(KEY_POLICY, NONE, TICKET),
    MEANS(KEY_POLICY, NONE, TYPE),
    MEANS(KEY_POLICY, NONE, VALUE),
#undef MEANS
    /* clang-format on */
};

/* 0 if another layer than the TPM said it. REFERENCE_H0..S6 (a handle or session that is not loaded)
 * are left as they are: not listed. */
static TSS2_RC tpm_code_of(TSS2_RC rc)
{
    const TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    const TSS2_RC code = rc & ~TSS2_RC_LAYER_MASK;

    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER) {
        return 0;
    }
    return (code & FORMAT_ONE) != 0 ? code & FORMAT_ONE_MASK : code;
}

static struct meaning meaning_of(TSS2_RC rc)
{
    const TSS2_RC code = tpm_code_of(rc);

    for (size_t i = 0; i < COUNT_OF(meanings); i++) {
        if (code != 0 && meanings[i].code == code) {
            return meanings[i];
        }
    }
    return (struct meaning){ rc, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT };
}

bool fail_tss2(struct error *err, TSS2_RC rc, const char *format, ...)
{
    va_list args;

    *err = (struct error){
        .code = meaning_of(rc).error,
        .cause = { .library = "tss2", .number = rc },
    };
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s", Tss2_RC_Decode(rc));
    return false;
}

enum tpm_remedy tpm_remedy_of(TSS2_RC rc)
{
    return meaning_of(rc).remedy;
}

bool tpm_rc_is(TSS2_RC rc, TSS2_RC code)
{
    return tpm_code_of(rc) == code;
}
