/*
 * `tpm:` keys: a persistent key in a TPM 2.0, over ESYS.
 *
 * A TPM does one thing at a time and an ESYS context serves one thread: so there is one worker, with
 * one context, and the queue is the signer's request socket. What a reset, a lost session or a
 * broken connection takes away is connected afresh, once or twice; for the rest the process ends
 * and its supervisor starts it afresh.
 *
 * The HMAC session is neither salted nor bound: an authorization value of 192 random bits, as
 * provisioning/tpm-key.sh makes it, cannot be guessed from what crosses the bus.
 */
#include "hsm/key_provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "base/text.h"
#include "hsm/pin_latch.h"
#include "hsm/tpm_error.h"
#include "hsm/tpm_public.h"
#include "hsm/tpm_signature.h"
#include "hsm/tpm_uri.h"

enum {
    TRIES_MAX = 3, /* of one signature */
    PAUSE_MS = 20,
    LATCH_TIMEOUT_MS = 100,
    PROPERTIES = 8, /* TPM2_PT_MANUFACTURER to TPM2_PT_FIRMWARE_VERSION_2, in a row */
    VENDOR_STRINGS = 4,
    HANDLES_MAX = 64,
};

struct tpm_signer {
    struct device_key base;
    struct tpm_uri uri;
    const char *uri_text; /* borrowed, as is state_dir */
    const char *state_dir;
    int64_t deadline_ms;
    struct secret auth;
    TPM2B_PUBLIC public_area;

    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR key;
    ESYS_TR session; /* ESYS_TR_NONE: none yet */
    bool is_proven;  /* the session has signed */
};

static key_open_fn tpm_open;
static key_sign_fn tpm_sign;
static key_close_fn tpm_close;
static key_destroy_fn tpm_destroy;

const struct key_provider tpm_provider = {
    .scheme = "tpm",
    .open = tpm_open,
    .sign = tpm_sign,
    .close = tpm_close,
    .destroy = tpm_destroy,
};

DEFINE_RELEASE(release_tss2, void, Esys_Free)

/* ---- the connection ---- */

static void disconnect(struct tpm_signer *self)
{
    if (self->esys != NULL && self->session != ESYS_TR_NONE && !self->uri.password) {
        (void)Esys_FlushContext(self->esys, self->session);
    }
    self->session = ESYS_TR_NONE;
    self->is_proven = false;
    Esys_Finalize(&self->esys);
    Tss2_TctiLdr_Finalize(&self->tcti);
}

/* A TPM behind a kernel or a daemon is started by them. */
static TSS2_RC find_handle(struct tpm_signer *self)
{
    const TPM2_HANDLE handle = self->uri.handle;
    TSS2_RC rc = Esys_TR_FromTPMPublic(self->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &self->key);

    if (tpm_rc_is(rc, TPM2_RC_INITIALIZE)) {
        rc = Esys_Startup(self->esys, TPM2_SU_CLEAR);
        rc = rc == TSS2_RC_SUCCESS ? Esys_TR_FromTPMPublic(self->esys, handle, ESYS_TR_NONE,
                                                           ESYS_TR_NONE, ESYS_TR_NONE, &self->key)
                                   : rc;
    }
    return rc;
}

static bool find_key(struct tpm_signer *self, struct error *err)
{
    TPM2B_AUTH auth = { .size = (uint16_t)self->auth.length };
    TSS2_RC rc = find_handle(self);

    if (tpm_rc_is(rc, TPM2_RC_HANDLE)) {
        return fail(err, ERROR_KEY_NOT_FOUND, "%s: no key at this handle", self->base.description);
    }
    if (rc != TSS2_RC_SUCCESS) {
        return fail_tss2(err, rc, "%s: read its public area", self->base.description);
    }
    memcpy(auth.buffer, self->auth.text, auth.size);
    rc = Esys_TR_SetAuth(self->esys, self->key, &auth);
    OPENSSL_cleanse(&auth, sizeof(auth));
    return rc == TSS2_RC_SUCCESS || fail_tss2(err, rc, "%s: set its auth", self->base.description);
}

static TSS2_RC start_hmac_session(struct tpm_signer *self)
{
    const TPMT_SYM_DEF no_encryption = { .algorithm = TPM2_ALG_NULL };

    return Esys_StartAuthSession(self->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &no_encryption, TPM2_ALG_SHA256,
                                 &self->session);
}

/* A TPM without a resource manager keeps the sessions of processes that were killed, and has room
 * for few. Whoever else uses it now, another signer of ours say, connects afresh. */
static void flush_sessions(struct tpm_signer *self)
{
    scoped(release_tss2) void *released = NULL;
    TPMS_CAPABILITY_DATA *found = NULL;
    TPMI_YES_NO more;

    if (Esys_GetCapability(self->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                           TPM2_LOADED_SESSION_FIRST, HANDLES_MAX, &more, &found)
        != TSS2_RC_SUCCESS) {
        return;
    }
    released = found;
    for (uint32_t i = 0; i < found->data.handles.count; i++) {
        ESYS_TR session;
        if (Esys_TR_FromTPMPublic(self->esys, found->data.handles.handle[i], ESYS_TR_NONE,
                                  ESYS_TR_NONE, ESYS_TR_NONE, &session)
            == TSS2_RC_SUCCESS) {
            (void)Esys_FlushContext(self->esys, session);
        }
    }
    log_event(LOG_LEVEL_WARNING, "signer.sessions_flushed", "key='%s' count=%u",
              self->base.description, found->data.handles.count);
}

static bool start_session(struct tpm_signer *self, struct error *err)
{
    if (self->uri.password) {
        self->session = ESYS_TR_PASSWORD;
        return true;
    }
    TSS2_RC rc = start_hmac_session(self);
    if (tpm_rc_is(rc, TPM2_RC_SESSION_MEMORY) || tpm_rc_is(rc, TPM2_RC_SESSION_HANDLES)) {
        flush_sessions(self);
        rc = start_hmac_session(self);
    }
    if (rc == TSS2_RC_SUCCESS) {
        rc = Esys_TRSess_SetAttributes(self->esys, self->session, TPMA_SESSION_CONTINUESESSION,
                                       0xff);
    }
    return rc == TSS2_RC_SUCCESS
        || fail_tss2(err, rc, "%s: TPM2_StartAuthSession", self->base.description);
}

static bool connect_tpm(struct tpm_signer *self, struct error *err)
{
    disconnect(self);
    TSS2_RC rc = Tss2_TctiLdr_Initialize(self->uri.tcti, &self->tcti);
    if (rc != TSS2_RC_SUCCESS) {
        return fail_tss2(err, rc, "TCTI %s: no TPM can be reached", self->uri.tcti);
    }
    rc = Esys_Initialize(&self->esys, self->tcti, NULL);
    if (rc != TSS2_RC_SUCCESS) {
        return fail_tss2(err, rc, "TCTI %s: Esys_Initialize", self->uri.tcti);
    }
    return find_key(self, err) && start_session(self, err);
}

/* ---- what is known of TPM and key ---- */

static void add_characters(struct text *text, uint32_t four)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        const char character = (char)(four >> shift & 0x7f);
        text_add_bytes(text, &character, character >= ' ' && character != '"' ? 1 : 0);
    }
}

/* As in: manufacturer "IBM" vendor "SW   TPM" firmware 20191023.00163636 */
static bool describe_tpm(struct tpm_signer *self, struct error *err)
{
    scoped(release_tss2) void *released = NULL;
    TPMS_CAPABILITY_DATA *found = NULL;
    TPMI_YES_NO more;
    char version[32];
    struct text text = text_over(self->base.device, sizeof(self->base.device));

    const TSS2_RC rc = Esys_GetCapability(self->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                          TPM2_CAP_TPM_PROPERTIES, TPM2_PT_MANUFACTURER, PROPERTIES,
                                          &more, &found);
    if (rc != TSS2_RC_SUCCESS) {
        return fail_tss2(err, rc, "%s: TPM2_GetCapability", self->base.description);
    }
    released = found;
    const TPML_TAGGED_TPM_PROPERTY *properties = &found->data.tpmProperties;
    if (properties->count < PROPERTIES) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "%s: the TPM does not say what it is",
                    self->base.description);
    }
    text_add(&text, "manufacturer \"");
    add_characters(&text, properties->tpmProperty[0].value);
    text_add(&text, "\" vendor \"");
    for (size_t i = 1; i <= VENDOR_STRINGS; i++) {
        add_characters(&text, properties->tpmProperty[i].value);
    }
    (void)snprintf(version, sizeof(version), "\" firmware %08x.%08x",
                   properties->tpmProperty[PROPERTIES - 2].value,
                   properties->tpmProperty[PROPERTIES - 1].value);
    text_add(&text, version);
    return true;
}

static void warn_of_lockout(const struct tpm_signer *self)
{
    if ((self->public_area.publicArea.objectAttributes & TPMA_OBJECT_NODA) == 0) {
        log_event(LOG_LEVEL_WARNING, "signer.key_without_noda",
                  "key='%s' effect='wrong tries at other keys, and power losses, lock it too'",
                  self->base.description);
    }
}

static bool read_key(struct tpm_signer *self, struct error *err)
{
    TPM2B_PUBLIC *found = NULL;
    const TPMT_PUBLIC *area = &self->public_area.publicArea;
    struct text attributes = text_over(self->base.attributes, sizeof(self->base.attributes));

    const TSS2_RC rc = Esys_ReadPublic(self->esys, self->key, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &found, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS) {
        return fail_tss2(err, rc, "%s: TPM2_ReadPublic", self->base.description);
    }
    self->public_area = *found;
    Esys_Free(found);
    tpm_public_print_attributes(area, &attributes);
    return tpm_public_check_policy(area, self->base.description, err)
        && tpm_public_read_key(area, self->base.description, &self->base.public_key, err);
}

static TPM2_ALG_ID scheme_of(enum jose_algorithm algorithm)
{
    return jose_ecdsa_half(algorithm) > 0 ? TPM2_ALG_ECDSA
         : algorithm == JOSE_RS256        ? TPM2_ALG_RSASSA
                                          : TPM2_ALG_RSAPSS;
}

static TPM2_ALG_ID hash_of(enum jose_algorithm algorithm)
{
    return algorithm == JOSE_ES384 ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
}

/* A key may be bound to one scheme and hash when it is made. */
static bool check_scheme(const struct tpm_signer *self, struct error *err)
{
    const TPMT_PUBLIC *area = &self->public_area.publicArea;
    const enum jose_algorithm algorithm = self->base.algorithm;
    const bool rsa = area->type == TPM2_ALG_RSA;
    const TPM2_ALG_ID scheme =
        rsa ? area->parameters.rsaDetail.scheme.scheme : area->parameters.eccDetail.scheme.scheme;
    const TPM2_ALG_ID hash = rsa ? area->parameters.rsaDetail.scheme.details.anySig.hashAlg
                                 : area->parameters.eccDetail.scheme.details.anySig.hashAlg;

    return scheme == TPM2_ALG_NULL || (scheme == scheme_of(algorithm) && hash == hash_of(algorithm))
        || fail(err, ERROR_KEY_POLICY, "%s: the key's scheme (0x%x, hash 0x%x) is not that of %s",
                self->base.description, scheme, hash, jose_algorithm_name(algorithm));
}

/* TPM 2.0 before revision 1.59 salts PSS with as many bytes as fit, unless in FIPS mode; JOSE wants
 * as many as the hash has (RFC 7518 3.5). */
static bool check_pss_salt(struct tpm_signer *self, struct error *err)
{
    static const char input[] = "issuerd PSS test";
    struct jws_verifier *verifier = NULL;
    struct signature signature;

    if (self->base.algorithm != JOSE_PS256) {
        return true;
    }
    if (!tpm_sign(&self->base, 0, input, strlen(input), &signature, err)
        || !jws_verifier_new(self->base.public_key, JOSE_PS256, &verifier, err)) {
        return false;
    }
    const bool verifies = jws_verify(verifier, input, strlen(input), &signature);
    jws_verifier_free(verifier);
    return verifies
        || fail(err, ERROR_KEY_POLICY,
                "%s: this TPM's PSS signatures do not have the salt of 32 bytes that PS256 wants: "
                "set algorithm = RS256, or make an ECC key",
                self->base.description);
}

/* ---- sign ---- */

static TSS2_RC finish_by(ESYS_CONTEXT *esys, int64_t until_ns, TPMT_SIGNATURE **signature_out)
{
    TSS2_RC rc;

    do { /* a TCTI that knows no time-out blocks: then the supervisor ends the process */
        const int64_t left_ms = (until_ns - monotonic_ns()) / NS_PER_MS;
        if (left_ms <= 0) {
            return TSS2_ESYS_RC_TRY_AGAIN;
        }
        (void)Esys_SetTimeout(esys, (int32_t)left_ms);
        rc = Esys_Sign_Finish(esys, signature_out);
    } while ((rc & ~TSS2_RC_LAYER_MASK) == TSS2_BASE_RC_TRY_AGAIN);
    return rc;
}

static TSS2_RC sign_once(struct tpm_signer *self, const TPM2B_DIGEST *digest, int64_t until_ns,
                         TPMT_SIGNATURE **signature_out)
{
    const TPMT_SIG_SCHEME how = { .scheme = scheme_of(self->base.algorithm),
                                  .details.any.hashAlg = hash_of(self->base.algorithm) };
    const TPMT_TK_HASHCHECK no_ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };

    if (self->esys == NULL || self->session == ESYS_TR_NONE) { /* connecting failed */
        return TSS2_ESYS_RC_BAD_SEQUENCE;
    }
    const TSS2_RC rc = Esys_Sign_Async(self->esys, self->key, self->session, ESYS_TR_NONE,
                                       ESYS_TR_NONE, digest, &how, &no_ticket);
    return rc == TSS2_RC_SUCCESS ? finish_by(self->esys, until_ns, signature_out) : rc;
}

/* So that the next process does not try it again. At the start the supervisor has the latch locked,
 * and sees to it. */
static void remember_refusal(const struct tpm_signer *self)
{
    scoped(pin_latch_close) struct pin_latch latch;
    struct error err;

    pin_latch_open(&latch, self->state_dir, self->uri_text);
    if (pin_latch_lock(&latch, -1, LATCH_TIMEOUT_MS, &err)) {
        pin_latch_set(&latch);
    }
}

/* A TPM without a resource manager gives the handle of a session that is gone to the next one that asks,
 * and then ours looks like a wrong authorization. One that does not count tries may be asked again. */
static bool may_be_of_another_session(const struct tpm_signer *self, TSS2_RC rc)
{
    return tpm_rc_is(rc, TPM2_RC_BAD_AUTH) && self->is_proven && !self->uri.password;
}

/* True if trying once more may help now. */
static bool recover(struct tpm_signer *self, TSS2_RC rc, struct error *err)
{
    static const struct timespec pause = { .tv_nsec = PAUSE_MS * NS_PER_MS };

    switch (may_be_of_another_session(self, rc) ? TPM_REMEDY_CONNECT : tpm_remedy_of(rc)) {
    case TPM_REMEDY_NONE:
        return false;
    case TPM_REMEDY_PAUSE:
        (void)nanosleep(&pause, NULL);
        return true;
    case TPM_REMEDY_CONNECT:
        if (!connect_tpm(self, err)) {
            return false;
        }
        log_event(LOG_LEVEL_WARNING, "signer.tpm_connected_again", "key='%s' rc=0x%x",
                  self->base.description, rc);
        return true;
    }
    return false;
}

static bool sign_digest(struct tpm_signer *self, const TPM2B_DIGEST *digest,
                        TPMT_SIGNATURE **signature_out, struct error *err)
{
    const int64_t until_ns = monotonic_ns() + self->deadline_ms * NS_PER_MS;

    for (int tries = 1;; tries++) {
        const TSS2_RC rc = sign_once(self, digest, until_ns, signature_out);
        if (rc == TSS2_RC_SUCCESS) {
            self->is_proven = true;
            return true;
        }
        (void)!fail_tss2(err, rc, "%s: TPM2_Sign", self->base.description);
        if (err->code == ERROR_KEY_LOCKED && !may_be_of_another_session(self, rc)) {
            remember_refusal(self);
        }
        if (rc == TSS2_ESYS_RC_TRY_AGAIN || tries == TRIES_MAX || !recover(self, rc, err)) {
            return false;
        }
    }
}

static TPM2B_DIGEST digest_of(enum jose_algorithm algorithm, const void *input, size_t length)
{
    TPM2B_DIGEST digest = { .size = 0 };

    if (algorithm == JOSE_ES384) {
        const struct digest384 hash = sha384(input, length);
        digest.size = sizeof(hash.bytes);
        memcpy(digest.buffer, hash.bytes, sizeof(hash.bytes));
    } else {
        const struct digest hash = sha256(input, length);
        digest.size = sizeof(hash.bytes);
        memcpy(digest.buffer, hash.bytes, sizeof(hash.bytes));
    }
    return digest;
}

static bool tpm_sign(struct device_key *key, unsigned worker, const void *input, size_t length,
                     struct signature *signature_out, struct error *err)
{
    struct tpm_signer *self = (struct tpm_signer *)key;
    const TPM2B_DIGEST digest = digest_of(key->algorithm, input, length);
    scoped(release_tss2) void *released = NULL;
    TPMT_SIGNATURE *signature = NULL;

    (void)worker; /* there is one */
    if (!sign_digest(self, &digest, &signature, err)) {
        return false;
    }
    released = signature;
    return tpm_signature_read(signature, key->algorithm, signature_out, err)
        || error_context(err, "%s", key->description);
}

/* ---- open, close, destroy ---- */

static void tpm_free(struct tpm_signer *self)
{
    disconnect(self);
    EVP_PKEY_free(self->base.public_key);
    secret_clear(&self->auth);
    free(self);
}

DEFINE_RELEASE(release_tpm, struct tpm_signer, tpm_free)

static void tpm_close(struct device_key *key)
{
    tpm_free((struct tpm_signer *)key);
}

static bool read_auth(struct tpm_signer *self, struct error *err)
{
    TPM2B_AUTH auth;

    if (!secret_read(self->uri.auth_file, &self->auth, err)) {
        return error_context(err, "auth");
    }
    return self->auth.length <= sizeof(auth.buffer)
        || fail(err, ERROR_CONFIG, "%s: an authorization value has at most %zu bytes",
                self->uri.auth_file, sizeof(auth.buffer));
}

static bool tpm_open(const struct key_options *options, struct device_key **key_out,
                     struct error *err)
{
    scoped(release_tpm) struct tpm_signer *self = xcalloc(1, sizeof(*self));

    /* The TSS logs command buffers, with passwords in them, if it is asked to. */
    (void)setenv("TSS2_LOG", "all+none", 1);
    self->base.provider = &tpm_provider;
    self->base.sessions = 1;
    self->uri_text = options->uri;
    self->state_dir = options->state_dir;
    self->deadline_ms = options->deadline_ms;
    self->session = ESYS_TR_NONE;
    if (!tpm_uri_parse(options->uri, &self->uri, err)) {
        return error_context(err, "uri");
    }
    (void)snprintf(self->base.description, sizeof(self->base.description), "TPM handle 0x%08x",
                   self->uri.handle);
    if (!read_auth(self, err) || !connect_tpm(self, err) || !describe_tpm(self, err)
        || !read_key(self, err)
        || !device_key_settle_algorithm(&self->base, options->algorithm, err)
        || !check_scheme(self, err) || !check_pss_salt(self, err)) {
        return false;
    }
    warn_of_lockout(self);
    *key_out = &take(self)->base;
    return true;
}

/* The owner may have set an authorization value; then it takes a person. */
static bool tpm_destroy(struct device_key *key, struct error *err)
{
    struct tpm_signer *self = (struct tpm_signer *)key;
    ESYS_TR gone;

    const TSS2_RC rc = Esys_EvictControl(self->esys, ESYS_TR_RH_OWNER, self->key, ESYS_TR_PASSWORD,
                                         ESYS_TR_NONE, ESYS_TR_NONE, 0, &gone);
    if (rc == TSS2_RC_SUCCESS) {
        return true;
    }
    (void)!fail_tss2(
        err, rc,
        "%s: TPM2_EvictControl (is there an owner auth? then tpm2_evictcontrol -C o -P "
        "file:AUTH -c 0x%08x, and this again with --emergency)",
        key->description, self->uri.handle);
    err->code = ERROR_DEVICE_UNAVAILABLE; /* it is not the key's auth that was refused */
    return false;
}
