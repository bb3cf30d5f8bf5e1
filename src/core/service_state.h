/* What service.c, authorization.c, holder_proof.c and exchange.c share. Nothing else includes it. */
#pragma once

#include "core/code_table.h"
#include "core/committer.h"
#include "core/keyring.h"
#include "core/metrics.h"
#include "core/service.h"

#include <pthread.h>

struct service {
    const struct service_options *options;
    struct signers_options signers_options;
    struct store *store;
    struct signers *signers;
    struct committer *committer;
    struct keyring *keyring;
    struct code_table *codes;
    struct did_resolver *resolver; /* NULL: none is configured */
    struct presentation_rules presentation_rules;
    struct metrics metrics;

    pthread_mutex_t heartbeat_lock;
    int64_t heartbeat_ns; /* monotonic time of the last write that worked; 0: none */
};

/* exchange.c: for committer_start(). */
committer_take_signature_fn exchange_take_signature;

/* authorization.c: who gets a code, and by what right. */
struct grant {
    const char *id;
    const char *holder_did;
    const char *scope;                            /* NULL: none */
    const struct used_presentation *presentation; /* NULL: a trusted caller approves */
};

/* Makes a code and gives it to the open request. Fails as store_approve() does. */
MUST_CHECK bool authorization_grant(struct service *service, const struct grant *grant,
                                    int64_t now_s, struct authorization *granted_out,
                                    struct error *err);
