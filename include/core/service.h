/*
 * The service: what issuerd does, without HTTP. Authorization requests are created and approved,
 * codes are traded for tokens, health is told. Lifetimes and single use are decided here.
 *
 * Threads: any, but for start and stop. Everything that waits has a deadline.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "core/key_rules.h"
#include "core/ledger.h"
#include "core/status.h"
#include "hsm/signer.h"
#include "store/store.h"
#include "vc/presentation.h"

#include <stddef.h>
#include <stdint.h>

struct service;

struct service_options {
    const char *issuer;   /* URL: the tokens' iss */
    const char *audience; /* the tokens' aud */
    int64_t token_lifetime_s;
    int64_t code_lifetime_s;
    int64_t request_lifetime_s;
    const char *did_resolver_url; /* "": did:key and did:jwk alone */
    const struct trusted_issuer *trusted;
    size_t trusted_count;
    const char *store_url;
    struct store_options store;
    struct ledger_options ledger;
    int64_t checkpoint_entries; /* as checkpointer_options has them */
    int64_t checkpoint_s;
    struct key_rules keys;
    /* program, state_dir, development, signers, count; the rest is the service's to fill in */
    struct signers_options signers;
};

/* Opens the store and starts the signers. Borrows the options for the service's life, but for those
 * that a reload may change. Fails as
 * store_open() and signers_start() do. */
MUST_CHECK bool service_start(const struct service_options *options, struct service **service_out,
                              struct error *err);

/* No other thread may be inside. */
void service_stop(struct service *service);

/* ---- reload ----
 * By the thread that started it, in three steps. Of the options that are given then there count the
 * signers, the lifetimes of codes and requests, the bounds of store and ledger, the times of checkpoints,
 * the trust and its resolver. All of it is copied. */

/* Starts the signers that are new, or other than before under their names. They sign nothing yet. Fails,
 * with nothing changed, as signers_begin_change() does. */
MUST_CHECK bool service_begin_reload(struct service *service, const struct service_options *options,
                                     struct error *err);

/* True once each of them has come up or failed, or had its time. */
bool service_reload_is_settled(struct service *service);

/* All of it is in effect from now on: what is under way ends as it began, and signers that are not named
 * any more, or otherwise, finish what they have. Fails, with nothing changed, as signers_check_change()
 * does, or with CONFIG if no signer would be left that may sign where there is one. */
MUST_CHECK bool service_end_reload(struct service *service, const struct service_options *options,
                                   struct error *err);

/* Instead of the end: nothing has changed. */
void service_abandon_reload(struct service *service);

/* ---- authorization requests ---- */

struct authorization_request {
    const char *state; /* STATE_MIN to STATE_MAX of [A-Za-z0-9_-], as is the nonce */
    const char *nonce;
    const char *presentation_definition; /* JSON text, or NULL */
};

struct authorization {
    char id[AUTHORIZATION_ID_LENGTH + 1];
    char state[STATE_MAX + 1];
    char nonce[STATE_MAX + 1];
    char *presentation_definition;       /* JSON text, or NULL */
    int64_t expires_s;                   /* of the request; once there is a code, of the code */
    char holder_did[HOLDER_DID_MAX + 1]; /* "": none yet */
    char code[44];                       /* "": none yet. A secret */
};

/* Wipes and frees what it holds. */
void authorization_clear(struct authorization *authorization);

/* Fails with INVALID_REQUEST (a presentation definition that cannot be evaluated here, too),
 * OVERLOADED, STORE_UNAVAILABLE or CLOCK_UNTRUSTED. */
MUST_CHECK bool service_create_authorization(struct service *service,
                                             const struct authorization_request *request,
                                             struct authorization *created_out, struct error *err);

enum { VALIDATION_TRIES_MAX = 5 };

struct validation_request {
    const char *id;
    const char *state; /* both as the request was created with */
    const char *nonce;
    const char *vp;                      /* a JWT VP */
    const char *presentation_submission; /* JSON text, or NULL */
};

/* Makes the code for the holder that the presentation proves: 256 random bits. A request is
 * validated once; a presentation that does not prove leaves it open, VALIDATION_TRIES_MAX times at
 * most. A wrong state or nonce is no such try: who knows the id alone cannot use them up.
 *
 * Fails with INVALID_REQUEST (state or nonce), NOT_FOUND (unknown or expired), NOT_OPEN (validated,
 * or tried too often), PRESENTATION, or, and then it is no try, RESOLVER_UNAVAILABLE,
 * STORE_UNAVAILABLE or CLOCK_UNTRUSTED. `now_ns` is monotonic. */
MUST_CHECK bool service_validate(struct service *service, const struct validation_request *request,
                                 int64_t now_ns, struct authorization *validated_out,
                                 struct error *err);

struct approval_request {
    const char *id;
    const char *holder_did;
    const char *scope; /* NULL: none */
};

/* Makes the code: 256 random bits. Fails with INVALID_REQUEST (DID or scope), NOT_FOUND, CONFLICT,
 * STORE_UNAVAILABLE or CLOCK_UNTRUSTED. */
MUST_CHECK bool service_approve(struct service *service, const struct approval_request *request,
                                struct authorization *approved_out, struct error *err);

/* ---- the exchange ---- */

struct exchange;

struct access_token {
    const char *jwt; /* compact serialisation; lives until access_token_clear() */
    size_t jwt_length;
    int64_t lifetime_s;
    struct exchange *exchange; /* who owns the text */
};

/* Wipes and frees. */
void access_token_clear(struct access_token *token);

/* Trades `code` for a token: at most one ever leaves, and only after its ledger entry is durable. When a
 * spent code comes again, that is entered, too, and its token revoked, before CODE_SPENT is told.
 * `received_ns` (monotonic) is when the request arrived: its deadlines count from there. Fails with
 * INVALID_REQUEST (not a code's form), CODE_UNKNOWN, CODE_EXPIRED, CODE_SPENT, or, and then the
 * code is still good, OVERLOADED, DEVICE_UNAVAILABLE, STORE_UNAVAILABLE, LEDGER_STOPPED or CLOCK_UNTRUSTED; or with
 * STORE_IN_DOUBT: the code is good, or spent for a token that who asks again here gets. */
MUST_CHECK bool service_redeem(struct service *service, const char *code, int64_t received_ns,
                               struct access_token *token_out, struct error *err);

/* Counts a request to the exchange that was refused before it reached service_redeem(). */
void service_count_refusal(struct service *service, enum error_code code, int64_t received_ns);

/* ---- the clock ---- */

/* An operator says that the clock, which is off by so much from what it should say, is right; the ledger
 * keeps that. Fails with CONFLICT (it is trusted, or off by something else by now), STORE_UNAVAILABLE,
 * STORE_IN_DOUBT or LEDGER_STOPPED; then nothing has changed. */
MUST_CHECK bool service_confirm_clock(struct service *service, int64_t deviation_s,
                                      struct error *err);

/* The status's "clock" alone. */
void service_print_clock(struct service *service, struct text *text);

/* ---- for everyone to see ---- */

/* The JWK Set (RFC 7517 5): every key that signs, will sign, or signed a token that lives. */
void service_print_jwks(struct service *service, struct text *text);

/* The JWK Set of the keys that may sign now. */
void service_print_active_jwks(struct service *service, struct text *text);

enum { REVOKED_LIST_MAX = REVOKED_INPUT_MAX + 1024 };

/* The list of the tokens that are revoked and have not expired, a compact JWT of at most
 * REVOKED_LIST_MAX bytes. Fails with DEVICE_UNAVAILABLE, OVERLOADED or STORE_UNAVAILABLE if there is
 * none that lives. */
MUST_CHECK bool service_print_revoked_tokens(struct service *service, struct text *text,
                                             struct error *err);

/* True when the service can issue a token now: its clock is trusted, a signer is up whose last self-test signature, at
 * most 10 s old, verified, and the store answered a write. Fails with the reason. */
MUST_CHECK bool service_is_ready(struct service *service, struct error *err);

/* For a watchdog, which starts a server again that hangs: true while the self-test signatures come
 * round, through signer and committer, at most 10 s apart. No restart mends a device: where every
 * signer is known to be down, and so is tried again by its supervisor, true while the committer works.
 * Does not wait. */
bool service_is_alive(struct service *service);

/* What an operator wants to know, as core/status.h has it; at most STATUS_MAX bytes. `edge` is what the
 * caller knows. It asks whether the service is ready, and waits for the store as that does. */
void service_print_status(struct service *service, const struct edge_status *edge,
                          struct text *text);

/* In the Prometheus text format 0.0.4. It asks whether the service is ready, likewise. */
void service_print_metrics(struct service *service, struct text *text);
