/*
 * `pkcs11:` keys: a private key in a token, which signs and never leaves it.
 *
 * One anchor session never signs: it is opened first and closed last, so the login, which ends with
 * the last session, lives as long as the key. Each worker has a session of its own beside it. When
 * any of them breaks, the process ends and its supervisor starts it afresh: nothing is repaired
 * here.
 */
#include "hsm/key_provider.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "hsm/pkcs11_ceremony.h"
#include "hsm/pkcs11_device.h"
#include "hsm/pkcs11_error.h"
#include "hsm/pkcs11_key.h"
#include "hsm/pkcs11_signature.h"
#include "hsm/pkcs11_uri.h"

enum {
    SESSIONS_BESIDE = 2, /* the anchor, and libp11's own */
    PSS_SALT = 32,       /* RFC 7518 3.5: as long as the hash */
};

struct worker {
    struct pkcs11_session session;
    CK_OBJECT_HANDLE key; /* the token's object, or the session's copy of it */
};

struct pkcs11_signer {
    struct device_key base;
    struct pkcs11_device *device;
    struct pkcs11_session anchor;
    struct pkcs11_key key;
    struct worker *workers;
    unsigned worker_count;
};

static key_open_fn pkcs11_open;
static key_sign_fn pkcs11_sign;
static key_close_fn pkcs11_close;
static key_destroy_fn pkcs11_destroy;

const struct key_provider pkcs11_provider = {
    .scheme = "pkcs11",
    .open = pkcs11_open,
    .sign = pkcs11_sign,
    .close = pkcs11_close,
    .generate = pkcs11_generate,
    .destroy = pkcs11_destroy,
    .init_token = pkcs11_init_token,
};

static void signer_free(struct pkcs11_signer *self)
{
    for (unsigned i = 0; i < self->worker_count; i++) {
        pkcs11_session_close(&self->workers[i].session);
    }
    pkcs11_session_close(&self->anchor);
    release_pkcs11_device(&self->device);
    EVP_PKEY_free(self->base.public_key);
    free(self->workers);
    free(self);
}

DEFINE_RELEASE(release_signer, struct pkcs11_signer, signer_free)

static void pkcs11_close(struct device_key *key)
{
    signer_free((struct pkcs11_signer *)key);
}

/* CK_EFFECTIVELY_INFINITE is 0. */
static bool check_session_ceiling(const struct pkcs11_device *device, unsigned wanted,
                                  struct error *err)
{
    const CK_ULONG most = device->token.ulMaxSessionCount;

    if (most == CK_EFFECTIVELY_INFINITE || most == CK_UNAVAILABLE_INFORMATION
        || most >= wanted + SESSIONS_BESIDE) {
        return true;
    }
    return fail(err, ERROR_CONFIG,
                "%s has %lu sessions: sessions = %u needs %u (one a worker and two beside them)",
                device->token_name, most, wanted, wanted + SESSIONS_BESIDE);
}

/* All before the login, which then holds for each of them. */
static bool open_sessions(struct pkcs11_signer *self, unsigned count, struct error *err)
{
    if (!check_session_ceiling(self->device, count, err)
        || !pkcs11_session_open(self->device, 0, &self->anchor, err)) {
        return false;
    }
    self->workers = xcalloc(count, sizeof(*self->workers));
    self->worker_count = count;
    for (unsigned i = 0; i < count; i++) {
        if (!pkcs11_session_open(self->device, 0, &self->workers[i].session, err)) {
            return error_context(err, "session %u of %u", i + 1, count);
        }
    }
    return true;
}

static bool find_key(struct pkcs11_signer *self, const struct pkcs11_uri *uri, struct error *err)
{
    if (!pkcs11_key_find(&self->anchor, uri, &self->key, err)
        || !pkcs11_key_check_policy(&self->anchor, &self->key, err)
        || !pkcs11_key_read_public(&self->anchor, &self->key, &self->base.public_key, err)) {
        return false;
    }
    (void)snprintf(self->base.description, sizeof(self->base.description), "%s", self->key.name);
    for (unsigned i = 0; i < self->worker_count; i++) {
        self->workers[i].key = self->key.handle;
    }
    return true;
}

/* A token that reads and decrypts its stored key for each signature, as SoftHSM does, signs much
 * faster from a copy in the session. */
static void copy_keys(struct pkcs11_signer *self)
{
    for (unsigned i = 0; i < self->worker_count; i++) {
        struct worker *worker = &self->workers[i];
        struct pkcs11_key copy;
        struct error err;
        if (!pkcs11_key_copy(&worker->session, &self->key, &copy, &err)) {
            log_error(LOG_LEVEL_WARNING, "signer.session_copy_refused", &err,
                      "key='%s' effect='signs with the token object'", self->key.name);
            return; /* the other sessions would be refused as well */
        }
        worker->key = copy.handle;
    }
}

static bool pkcs11_open(const struct key_options *options, struct device_key **key_out,
                        struct error *err)
{
    scoped(release_pkcs11_uri) struct pkcs11_uri *uri = NULL;
    scoped(release_signer) struct pkcs11_signer *self = xcalloc(1, sizeof(*self));

    self->base.provider = &pkcs11_provider;
    if (!pkcs11_uri_parse(options->uri, &uri, err) || !pkcs11_device_open(uri, &self->device, err)
        || !pkcs11_device_choose_token(self->device, uri, err)
        || !open_sessions(self, options->sessions, err)
        || !pkcs11_device_login(self->device, uri, err) || !find_key(self, uri, err)
        || !device_key_settle_algorithm(&self->base, options->algorithm, err)) {
        return false;
    }
    if (options->session_copy) {
        copy_keys(self);
    }
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

/* Whatever the module says: a fresh process may do better. */
static bool fail_sign(struct error *err, const struct pkcs11_signer *self, const char *call,
                      CK_RV rv)
{
    (void)!fail_pkcs11(err, rv, "%s: %s", self->base.description, call);
    err->code = ERROR_DEVICE_UNAVAILABLE;
    return false;
}

static bool sign_raw(struct pkcs11_signer *self, const struct worker *worker,
                     CK_MECHANISM *mechanism, uint8_t *data, size_t length,
                     struct signature *signature_out, struct error *err)
{
    const CK_FUNCTION_LIST *api = self->device->api;
    CK_ULONG signed_length = sizeof(signature_out->bytes);

    CK_RV rv = api->C_SignInit(worker->session.handle, mechanism, worker->key);
    if (rv != CKR_OK) {
        return fail_sign(err, self, "C_SignInit", rv);
    }
    rv = api->C_Sign(worker->session.handle, data, length, signature_out->bytes, &signed_length);
    if (rv != CKR_OK) {
        return fail_sign(err, self, "C_Sign", rv);
    }
    signature_out->length = signed_length;
    return true;
}

static bool pkcs11_sign(struct device_key *key, unsigned worker, const void *input, size_t length,
                        struct signature *signature_out, struct error *err)
{
    struct pkcs11_signer *self = (struct pkcs11_signer *)key;
    const struct digest digest = sha256(input, length);
    struct digest_info info = digest_info_of(&digest);
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, PSS_SALT };
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    uint8_t *digest_bytes = info.bytes + sizeof(info.bytes) - sizeof(digest.bytes);

    assert(worker < self->worker_count);
    switch (key->algorithm) {
    case JOSE_ES256:
        return sign_raw(self, &self->workers[worker], &mechanism, digest_bytes,
                        sizeof(digest.bytes), signature_out, err)
            && signature_widen_es256(signature_out, err);
    case JOSE_RS256:
        mechanism.mechanism = CKM_RSA_PKCS;
        return sign_raw(self, &self->workers[worker], &mechanism, info.bytes, sizeof(info.bytes),
                        signature_out, err);
    case JOSE_PS256:
        mechanism = (CK_MECHANISM){ CKM_RSA_PKCS_PSS, &pss, sizeof(pss) };
        return sign_raw(self, &self->workers[worker], &mechanism, digest_bytes,
                        sizeof(digest.bytes), signature_out, err);
    case JOSE_ALGORITHM_NONE:
        break;
    }
    return fail(err, ERROR_INTERNAL, "%s: no algorithm", key->description);
}
