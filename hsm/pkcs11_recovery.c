/*
 * What a PKCS#11 key does about a lost session, login or handle while it serves. Faster than a fresh
 * process, which remains the remedy for everything else.
 */
#include "hsm/pkcs11_signer.h"

#include <time.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "hsm/pin_latch.h"

enum {
    PAUSE_MS = 10,          /* at least; at most twice as long */
    LATCH_TIMEOUT_MS = 500, /* another process logs in with this PIN */
    OPEN_TRIES = 10,        /* while others have all of the token's sessions */
};

static void pause_a_little(void)
{
    uint16_t random;
    random_bytes(&random, sizeof(random));
    const struct timespec pause =
        timespec_from_ns(PAUSE_MS * (int64_t)NS_PER_MS * (UINT16_MAX + random) / UINT16_MAX);
    (void)nanosleep(&pause, NULL);
}

static bool reopen(struct pkcs11_signer *self, struct pkcs11_session *session, struct error *err)
{
    pkcs11_session_close(session);
    for (int i = 0; i < OPEN_TRIES; i++) {
        if (pkcs11_session_open(self->device, 0, session, err)) {
            return true;
        }
        if (pkcs11_remedy_of(err->cause.number) != PKCS11_REMEDY_PAUSE) {
            return false;
        }
        pause_a_little();
    }
    return false;
}

/* ---- login and key, with the lock held ---- */

static bool login_under_latch(struct pkcs11_signer *self, struct error *err)
{
    scoped(pin_latch_close) struct pin_latch latch;

    pin_latch_open(&latch, self->state_dir, self->uri_text);
    if (!pin_latch_lock(&latch, -1, LATCH_TIMEOUT_MS, err)) {
        return false;
    }
    if (pin_latch_holds(&latch)) {
        return fail(err, ERROR_KEY_LOCKED, "%s: this PIN was refused before",
                    self->device->token_name);
    }
    const bool logged_in = pkcs11_session_login(self->device, &self->anchor, self->uri, err);
    if (!logged_in && err->code == ERROR_KEY_LOCKED) {
        pin_latch_set(&latch);
    }
    return logged_in;
}

/* The key that is found must be the one whose public half is published. */
static bool find_same_key(struct pkcs11_signer *self, struct error *err)
{
    struct pkcs11_key found;
    EVP_PKEY *public = NULL;

    if (!pkcs11_key_find(&self->anchor, self->uri, &found, err)
        || !pkcs11_key_check_policy(&self->anchor, &found, err)
        || !pkcs11_key_read_public(&self->anchor, &found, &public, err)) {
        return false;
    }
    const bool same = EVP_PKEY_eq(public, self->base.public_key) == 1;
    EVP_PKEY_free(public);
    if (!same) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "%s: the key changed under its name",
                    self->base.description);
    }
    self->key = found;
    return true;
}

static bool restore(struct pkcs11_signer *self, struct error *err)
{
    CK_SESSION_INFO info;

    self->is_lost = true;
    const bool alive = self->device->api->C_GetSessionInfo(self->anchor.handle, &info) == CKR_OK;

    if ((!alive && !reopen(self, &self->anchor, err))
        || (!pkcs11_session_is_logged_in(&self->anchor) && !login_under_latch(self, err))
        || !find_same_key(self, err)) {
        return false;
    }
    self->is_lost = false;
    self->epoch++;
    log_event(LOG_LEVEL_WARNING, "signer.login_restored", "key='%s' times=%u",
              self->base.description, self->epoch);
    return true;
}

/* ---- one worker ---- */

bool pkcs11_worker_take_key(struct pkcs11_signer *self, struct pkcs11_worker *worker,
                            struct error *err)
{
    struct pkcs11_key copy;

    worker->key = self->key.handle;
    worker->epoch = self->epoch;
    if (!self->session_copy) {
        return true;
    }
    if (!pkcs11_key_copy(&worker->session, &self->key, &copy, err)) {
        return false;
    }
    worker->key = copy.handle;
    return true;
}

static bool repair(struct pkcs11_signer *self, struct pkcs11_worker *worker,
                   enum pkcs11_remedy remedy, struct error *err)
{
    const bool key_is_lost =
        remedy == PKCS11_REMEDY_LOGIN && worker->epoch == self->epoch; /* nobody was here since */

    if ((key_is_lost || self->is_lost || !pkcs11_session_is_logged_in(&self->anchor))
        && !restore(self, err)) {
        return false;
    }
    if (!reopen(self, &worker->session, err)) {
        return false;
    }
    return pkcs11_worker_take_key(self, worker, err) || worker->key == self->key.handle;
}

bool pkcs11_recover(struct pkcs11_signer *self, struct pkcs11_worker *worker, CK_RV rv,
                    struct error *err)
{
    const enum pkcs11_remedy remedy = pkcs11_remedy_of(rv);

    if (remedy == PKCS11_REMEDY_NONE) {
        return false;
    }
    if (remedy == PKCS11_REMEDY_PAUSE) {
        pause_a_little();
        return true;
    }
    pthread_mutex_lock(&self->lock);
    const bool repaired = repair(self, worker, remedy, err);
    pthread_mutex_unlock(&self->lock);
    return repaired;
}
