/* What service.c, authorization.c, holder_proof.c, exchange.c and replay.c share. Nothing else includes
 * it. */
#pragma once

#include "core/checkpointer.h"
#include "core/code_table.h"
#include "core/committer.h"
#include "core/keyring.h"
#include "core/metrics.h"
#include "core/revocations.h"
#include "core/service.h"
#include "core/trust.h"
#include "core/undelivered.h"

#include <pthread.h>

struct service {
    const struct service_options *options;
    struct signers_options signers_options;
    struct store *store;
    struct ledger *ledger;
    struct signers *signers;
    struct committer *committer;
    struct keyring *keyring;
    struct revocations *revocations;
    struct checkpointer *checkpointer;
    int64_t started_ns; /* monotonic */
    int64_t started_s;  /* the same by the store's clock */
    bool has_started;   /* and the ledger says so */
    bool owes_start;    /* it does not yet, as there was no time for it to say; by heartbeat_lock */
    struct code_table *codes;
    struct undelivered *undelivered;
    _Atomic int64_t code_lifetime_s; /* these may change while it runs */
    _Atomic int64_t request_lifetime_s;
    pthread_mutex_t trust_lock;
    struct trust *trust;
    struct metrics metrics;

    pthread_mutex_t heartbeat_lock;
    int64_t heartbeat_ns;         /* monotonic time of the last write's end; 0: there was none */
    struct error heartbeat_error; /* of that write; code ERROR_NONE: it worked */
};

/* reload.c: whom a presentation may be from now. The caller owns the reference. */
struct trust *service_trust(struct service *service);

/* reload.c: what a trust is made of. */
struct trust_options trust_options_of(const struct service_options *options);

/* replay.c: a code that turned out to be spent was redeemed again: enters that into the ledger, and
 * revokes the token that it was spent for, if that lives. `stored` is as it was looked up, before the
 * code was spent or after. Fails with STORE_UNAVAILABLE or LEDGER_STOPPED; then it may have been entered
 * or not. */
MUST_CHECK bool replay_record(struct service *service, const struct digest *code,
                              const struct stored_code *stored, struct error *err);

/* exchange.c: wipes and frees the job of an exchange. */
void exchange_free(struct job *job);

/* authorization.c: who gets a code, and by what right. */
struct grant {
    const char *id;
    const char *holder_did;
    const char *scope;                            /* NULL: none */
    const struct used_presentation *presentation; /* NULL: a trusted caller approves */
};

/* Makes a code and gives it to the open request. Fails as store_approve() does. */
MUST_CHECK bool authorization_grant(struct service *service, const struct grant *grant,
                                    struct authorization *granted_out, struct error *err);

/* 16 bytes that nobody can guess, but for the first 6: the time in ms, as in a UUIDv7 (RFC 9562 5.7).
 * What is made at one time then stands at one place of the store's indices. */
void random_id(uint8_t out[static 16], int64_t now_s);
