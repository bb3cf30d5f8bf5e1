/* What a PKCS#11 module said, as an error of ours. */
#pragma once

#include "base/error.h"

#include <p11-kit/pkcs11.h>

/* Fills `err` with the code that the return value's class asks for (who must act), the message,
 * and the value's name and number as the cause. Returns false. */
MUST_CHECK bool fail_pkcs11(struct error *err, CK_RV rv, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What may help after a call that failed with this value, short of a fresh process. */
enum pkcs11_remedy {
    PKCS11_REMEDY_NONE,    /* the device is gone, or the PIN is refused */
    PKCS11_REMEDY_SESSION, /* another session, and once more */
    PKCS11_REMEDY_LOGIN,   /* log in if need be, find the key again, and once more */
    PKCS11_REMEDY_PAUSE,   /* once more, a little later */
};
enum pkcs11_remedy pkcs11_remedy_of(CK_RV rv);

/* What the module told libp11 in its last failing call on this thread; CKR_GENERAL_ERROR if libp11
 * failed by itself. Empties OpenSSL's error queue, in which libp11 keeps it. */
CK_RV pkcs11_rv_of_libp11(void);
