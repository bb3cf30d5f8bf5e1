/* What pkcs11.c (open, sign, close) and pkcs11_recovery.c share. Nothing else includes it. */
#pragma once

#include "hsm/key_provider.h"
#include "hsm/pkcs11_device.h"
#include "hsm/pkcs11_error.h"
#include "hsm/pkcs11_key.h"
#include "hsm/pkcs11_uri.h"

#include <pthread.h>

/* One thread's own. */
struct pkcs11_worker {
    struct pkcs11_session session;
    CK_OBJECT_HANDLE key; /* the token's object, or the session's copy of it */
    unsigned epoch;       /* the signer's when `key` was found */
};

struct pkcs11_signer {
    struct device_key base;
    struct pkcs11_uri *uri;
    const char *uri_text; /* borrowed, as is state_dir */
    const char *state_dir;
    bool session_copy;
    struct pkcs11_worker *workers; /* base.sessions of them */

    pthread_mutex_t lock; /* over what follows, once the workers run */
    struct pkcs11_device *device;
    struct pkcs11_session anchor; /* signs nothing; the login lives as long as it does */
    struct pkcs11_key key;
    unsigned epoch; /* how often login and key were restored */
    bool is_lost;   /* a restoration was begun and has not succeeded yet */
};

/* Takes over the key's handle, or has the session make its copy. Fails as pkcs11_key_copy() does,
 * and then the worker signs with the token's object. */
MUST_CHECK bool pkcs11_worker_take_key(struct pkcs11_signer *signer, struct pkcs11_worker *worker,
                                       struct error *err);

/* After a call of the worker that failed with `rv`: true if trying once more may help now. Of any
 * number of workers that find the login lost one restores it; the others go on with what it found.
 * A PIN is tried under its latch (hsm/pin_latch.h). */
MUST_CHECK bool pkcs11_recover(struct pkcs11_signer *signer, struct pkcs11_worker *worker, CK_RV rv,
                               struct error *err);
