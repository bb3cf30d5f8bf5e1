/* What service.c, authorization.c and exchange.c share. Nothing else includes it. */
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
    struct metrics metrics;

    pthread_mutex_t heartbeat_lock;
    int64_t heartbeat_ns; /* monotonic time of the last write that worked; 0: none */
};

/* exchange.c: for committer_start(). */
committer_take_signature_fn exchange_take_signature;
