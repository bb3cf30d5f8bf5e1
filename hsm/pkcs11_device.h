/*
 * A loaded PKCS#11 module and one of its tokens. libp11 initialises the module, lists the slots and
 * logs in; everything else goes over the module's own function list, for libp11 0.4.12 waits for
 * ever when C_OpenSession fails and sees no key at all when it does not know the type of one.
 *
 * Threads: all of this by one thread. `api` may be used by any, each on its own session.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "hsm/pkcs11_uri.h"

#include <libp11.h>
#include <p11-kit/pkcs11.h>

struct pkcs11_device {
    void *library; /* our own reference to the module, which libp11 opens as well */
    CK_FUNCTION_LIST *api;
    PKCS11_CTX *libp11;
    PKCS11_SLOT *slots;
    unsigned slot_count;

    /* The chosen token. */
    PKCS11_SLOT *slot;
    CK_SLOT_ID slot_id;
    CK_TOKEN_INFO token;
    char token_name[96]; /* "token \"main\" serial 1a2b" */
};

/* Loads and initialises the module. Fails with ERROR_CONFIG, naming it, or DEVICE_UNAVAILABLE. The
 * caller owns *device_out, and closes every session of its own before it closes the device. */
MUST_CHECK bool pkcs11_device_open(const struct pkcs11_uri *uri, struct pkcs11_device **device_out,
                                   struct error *err);
void pkcs11_device_close(struct pkcs11_device *device);
void release_pkcs11_device(struct pkcs11_device **device);

/* Chooses the one initialised token that the URI names. Fails with DEVICE_UNAVAILABLE (not there;
 * says which are), ERROR_CONFIG (several) or KEY_POLICY (not initialised). */
MUST_CHECK bool pkcs11_device_choose_token(struct pkcs11_device *device,
                                           const struct pkcs11_uri *uri, struct error *err);

/* Chooses a token that is not initialised, for C_InitToken. Fails with ERROR_CONFLICT if the URI
 * names an initialised one, DEVICE_UNAVAILABLE if no slot is free. */
MUST_CHECK bool pkcs11_device_choose_free_slot(struct pkcs11_device *device,
                                               const struct pkcs11_uri *uri, struct error *err);

/* The chosen token for the auditor: manufacturer, model, serial, hardware and firmware version. */
void pkcs11_device_print(const struct pkcs11_device *device, struct text *text);

/* Refuses a token whose PIN is locked, at its last try, to be changed or not set, without trying
 * it; else logs the user in with the PIN of the URI's pin-source. Sessions that are open already
 * are logged in as well. Fails with KEY_LOCKED, KEY_POLICY, ERROR_CONFIG or DEVICE_UNAVAILABLE. */
MUST_CHECK bool pkcs11_device_login(struct pkcs11_device *device, const struct pkcs11_uri *uri,
                                    struct error *err);

/* A session on the chosen token. One thread at a time. */
struct pkcs11_session {
    const struct pkcs11_device *device; /* NULL: not open */
    CK_SESSION_HANDLE handle;
};

/* Opens a session: read-only, or with `flags` CKF_RW_SESSION. Fails with DEVICE_UNAVAILABLE. */
MUST_CHECK bool pkcs11_session_open(const struct pkcs11_device *device, CK_FLAGS flags,
                                    struct pkcs11_session *session_out, struct error *err);

/* True if the session is alive and its user logged in. */
bool pkcs11_session_is_logged_in(const struct pkcs11_session *session);

/* Logs the user in again, over the session, as pkcs11_device_login() does at first. libp11 takes no
 * part: it believes itself logged in for ever. */
MUST_CHECK bool pkcs11_session_login(struct pkcs11_device *device,
                                     const struct pkcs11_session *session,
                                     const struct pkcs11_uri *uri, struct error *err);

/* Does nothing to a session that is not open. */
void pkcs11_session_close(struct pkcs11_session *session);
