/*
 * `pkcs11:` keys: a private key in a token, which signs and never leaves it.
 *
 * One anchor session never signs: it is opened first and closed last, so the login, which ends with
 * the last session, lives as long as the key. Each worker has a session of its own beside it. What
 * breaks and can be mended, pkcs11_recovery.c mends; for the rest the process ends and its
 * supervisor starts it afresh.
 */
#include "hsm/pkcs11_signer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "hsm/pkcs11_ceremony.h"
#include "hsm/pkcs11_signature.h"

enum {
    SESSIONS_BESIDE = 2, /* the anchor, and libp11's own */
    PSS_SALT = 32,       /* RFC 7518 3.5: as long as the hash */
    TRIES_MAX = 3,       /* of one signature */
    QUIESCE_MS = 500,
};

static key_open_fn pkcs11_open;
static key_sign_fn pkcs11_sign;
static key_close_fn pkcs11_close;
static key_quiesce_fn pkcs11_quiesce;
static key_destroy_fn pkcs11_destroy;

const struct key_provider pkcs11_provider = {
    .scheme = "pkcs11",
    .open = pkcs11_open,
    .sign = pkcs11_sign,
    .close = pkcs11_close,
    .quiesce = pkcs11_quiesce,
    .generate = pkcs11_generate,
    .destroy = pkcs11_destroy,
    .init_token = pkcs11_init_token,
};

static void signer_free(struct pkcs11_signer *self)
{
    for (unsigned i = 0; i < self->base.sessions; i++) {
        pkcs11_session_close(&self->workers[i].session);
    }
    pkcs11_session_close(&self->anchor);
    release_pkcs11_device(&self->device);
    EVP_PKEY_free(self->base.public_key);
    release_pkcs11_uri(&self->uri);
    pthread_mutex_destroy(&self->lock);
    free(self->workers);
    free(self);
}

DEFINE_RELEASE(release_signer, struct pkcs11_signer, signer_free)

static void pkcs11_close(struct device_key *key)
{
    signer_free((struct pkcs11_signer *)key);
}

/* SoftHSM2 writes its token's file anew at each login: one that is cut short leaves no token. */
static void pkcs11_quiesce(struct device_key *key)
{
    struct pkcs11_signer *self = (struct pkcs11_signer *)key;
    const struct timespec until =
        timespec_from_ns(monotonic_ns() + QUIESCE_MS * (int64_t)NS_PER_MS);

    (void)pthread_mutex_clocklock(&self->lock, CLOCK_MONOTONIC, &until);
}

/* How many workers the token has sessions for. CK_EFFECTIVELY_INFINITE is 0. */
static unsigned session_ceiling(const struct pkcs11_device *device, unsigned wanted)
{
    const CK_ULONG most = device->token.ulMaxSessionCount;

    if (most == CK_EFFECTIVELY_INFINITE || most == CK_UNAVAILABLE_INFORMATION
        || most >= wanted + SESSIONS_BESIDE) {
        return wanted;
    }
    return most > SESSIONS_BESIDE ? (unsigned)most - SESSIONS_BESIDE : 1;
}

/* All before the login, which then holds for each of them. With fewer than asked for, if that is
 * all that the token has, or has left. */
static bool open_sessions(struct pkcs11_signer *self, unsigned wanted, struct error *err)
{
    const unsigned ceiling = session_ceiling(self->device, wanted);

    if (!pkcs11_session_open(self->device, 0, &self->anchor, err)) {
        return false;
    }
    self->workers = xcalloc(ceiling, sizeof(*self->workers));
    while (
        self->base.sessions < ceiling
        && pkcs11_session_open(self->device, 0, &self->workers[self->base.sessions].session, err)) {
        self->base.sessions++;
    }
    if (self->base.sessions < ceiling
        && (self->base.sessions == 0 || err->cause.number != CKR_SESSION_COUNT)) {
        return error_context(err, "session %u of %u", self->base.sessions + 1, ceiling);
    }
    if (self->base.sessions < wanted) {
        log_event(LOG_LEVEL_WARNING, "signer.fewer_sessions", "token='%s' has=%u wanted=%u",
                  self->device->token_name, self->base.sessions, wanted);
    }
    return true;
}

static bool find_key(struct pkcs11_signer *self, struct error *err)
{
    struct text device = text_over(self->base.device, sizeof(self->base.device));
    struct text attributes = text_over(self->base.attributes, sizeof(self->base.attributes));

    if (!pkcs11_key_find(&self->anchor, self->uri, &self->key, err)
        || !pkcs11_key_check_policy(&self->anchor, &self->key, err)
        || !pkcs11_key_print_attributes(&self->anchor, &self->key, &attributes, err)
        || !pkcs11_key_read_public(&self->anchor, &self->key, &self->base.public_key, err)) {
        return false;
    }
    pkcs11_device_print(self->device, &device);
    (void)snprintf(self->base.description, sizeof(self->base.description), "%s", self->key.name);
    return true;
}

/* A token that reads and decrypts its stored key for each signature, as SoftHSM does, signs much
 * faster from a copy in the session. */
static void take_keys(struct pkcs11_signer *self)
{
    struct error err;

    for (unsigned i = 0; i < self->base.sessions; i++) {
        if (!pkcs11_worker_take_key(self, &self->workers[i], &err)) {
            log_error(LOG_LEVEL_WARNING, "signer.session_copy_refused", &err,
                      "key='%s' effect='signs with the token object'", self->key.name);
            self->session_copy = false; /* the other sessions would be refused as well */
        }
    }
}

static bool pkcs11_open(const struct key_options *options, struct device_key **key_out,
                        struct error *err)
{
    scoped(release_signer) struct pkcs11_signer *self = xcalloc(1, sizeof(*self));

    self->base.provider = &pkcs11_provider;
    self->uri_text = options->uri;
    self->state_dir =
        options->state_dir != NULL && options->state_dir[0] != '\0' ? options->state_dir : NULL;
    self->session_copy = options->session_copy;
    pthread_mutex_init(&self->lock, NULL);
    if (!pkcs11_uri_parse(options->uri, &self->uri, err)
        || !pkcs11_device_open(self->uri, &self->device, err)
        || !pkcs11_device_choose_token(self->device, self->uri, err)
        || !open_sessions(self, options->sessions, err)
        || !pkcs11_device_login(self->device, self->uri, err) || !find_key(self, err)
        || !device_key_settle_algorithm(&self->base, options->algorithm, err)) {
        return false;
    }
    take_keys(self);
    *key_out = &take(self)->base;
    return true;
}

static bool pkcs11_destroy(struct device_key *key, struct error *err)
{
    struct pkcs11_signer *self = (struct pkcs11_signer *)key;
    struct pkcs11_session session = { .device = NULL };

    if (!pkcs11_session_open(self->device, CKF_RW_SESSION, &session, err)) {
        return false;
    }
    const bool destroyed = pkcs11_key_destroy(&session, &self->key, err);
    pkcs11_session_close(&session);
    return destroyed;
}

struct failed_call {
    const char *name;
    CK_RV rv;
};

static struct failed_call sign_once(struct pkcs11_signer *self, const struct pkcs11_worker *worker,
                                    CK_MECHANISM *mechanism, uint8_t *data, size_t length,
                                    struct signature *signature_out)
{
    const CK_FUNCTION_LIST *api = self->device->api;
    CK_ULONG signed_length = sizeof(signature_out->bytes);

    /* The handle of a session that could not be opened again may be another's by now. */
    CK_RV rv = worker->session.device == NULL
                 ? CKR_SESSION_HANDLE_INVALID
                 : api->C_SignInit(worker->session.handle, mechanism, worker->key);
    if (rv != CKR_OK) {
        return (struct failed_call){ "C_SignInit", rv };
    }
    rv = api->C_Sign(worker->session.handle, data, length, signature_out->bytes, &signed_length);
    signature_out->length = signed_length;
    return (struct failed_call){ "C_Sign", rv };
}

/* What a remedy and another try do not bring, a fresh process may. Two remedies, not one: a session of
 * SoftHSM2 that was opened while others were may not be found once more. */
static bool sign_raw(struct pkcs11_signer *self, struct pkcs11_worker *worker,
                     CK_MECHANISM *mechanism, uint8_t *data, size_t length,
                     struct signature *signature_out, struct error *err)
{
    for (int tries = 1;; tries++) {
        const struct failed_call call =
            sign_once(self, worker, mechanism, data, length, signature_out);
        if (call.rv == CKR_OK) {
            return true;
        }
        err->code = ERROR_NONE;
        if (tries == TRIES_MAX || !pkcs11_recover(self, worker, call.rv, err)) {
            if (err->code == ERROR_NONE) {
                (void)!fail_pkcs11(err, call.rv, "%s: %s", self->base.description, call.name);
            }
            err->code = ERROR_DEVICE_UNAVAILABLE;
            return false;
        }
    }
}

static bool sign_ecdsa(struct pkcs11_signer *self, struct pkcs11_worker *worker, uint8_t *digest,
                       size_t length, struct signature *signature_out, struct error *err)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };

    return sign_raw(self, worker, &mechanism, digest, length, signature_out, err)
        && signature_widen(signature_out, jose_ecdsa_half(self->base.algorithm), err);
}

/* PKCS#11 has no const; the module reads. */
static bool sign_eddsa(struct pkcs11_signer *self, struct pkcs11_worker *worker, const void *input,
                       size_t length, struct signature *signature_out, struct error *err)
{
    CK_MECHANISM mechanism = { CKM_EDDSA, NULL, 0 };

    return sign_raw(self, worker, &mechanism, (uint8_t *)(uintptr_t)input, length, signature_out,
                    err);
}

static bool sign_rsa(struct pkcs11_signer *self, struct pkcs11_worker *worker,
                     const struct digest *digest, struct signature *signature_out,
                     struct error *err)
{
    struct digest_info info = digest_info_of(digest);
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, PSS_SALT };
    CK_MECHANISM pkcs1 = { CKM_RSA_PKCS, NULL, 0 };
    CK_MECHANISM pkcs1_pss = { CKM_RSA_PKCS_PSS, &pss, sizeof(pss) };
    uint8_t *digest_bytes = info.bytes + sizeof(info.bytes) - sizeof(digest->bytes);

    return self->base.algorithm == JOSE_RS256
             ? sign_raw(self, worker, &pkcs1, info.bytes, sizeof(info.bytes), signature_out, err)
             : sign_raw(self, worker, &pkcs1_pss, digest_bytes, sizeof(digest->bytes),
                        signature_out, err);
}

static bool pkcs11_sign(struct device_key *key, unsigned worker_number, const void *input,
                        size_t length, struct signature *signature_out, struct error *err)
{
    struct pkcs11_signer *self = (struct pkcs11_signer *)key;
    struct pkcs11_worker *worker = &self->workers[worker_number];

    assert(worker_number < key->sessions);
    if (key->algorithm == JOSE_ED25519) {
        return sign_eddsa(self, worker, input, length, signature_out, err);
    }
    if (key->algorithm == JOSE_ES384) {
        struct digest384 digest = sha384(input, length);
        return sign_ecdsa(self, worker, digest.bytes, sizeof(digest.bytes), signature_out, err);
    }
    struct digest digest = sha256(input, length);
    return key->algorithm == JOSE_ES256
             ? sign_ecdsa(self, worker, digest.bytes, sizeof(digest.bytes), signature_out, err)
             : sign_rsa(self, worker, &digest, signature_out, err);
}
