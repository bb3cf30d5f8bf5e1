/*
 * What a signer for checkpoints refuses to sign, whoever asks: anything but the body of a checkpoint
 * (C2SP tlog-checkpoint) of one of this issuer's ledgers, and a tree that could not have grown out of
 * the one signed before. So a front process in wrong hands cannot have two histories signed in the
 * signer's life.
 *
 * Threads: lint_checkpoint() may be called by many at once.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHECKPOINT_NODE_MAX = 64,
    CHECKPOINT_DIGITS_MAX = 13, /* of a size below 2^40; of an epoch */
    CHECKPOINT_TREES_MAX = 16,  /* that are remembered: a node has one, and one more a restore */
};

/* The newest that was let through of one tree. */
struct checkpoint_tree {
    char name[CHECKPOINT_NODE_MAX + 1 + CHECKPOINT_DIGITS_MAX + 1]; /* NODE/EPOCH */
    int64_t size;
    struct digest root;
};

struct checkpoint_policy {
    const char *issuer; /* the URL; borrowed */
    pthread_mutex_t lock;
    struct checkpoint_tree trees[CHECKPOINT_TREES_MAX];
    size_t tree_count;
};

void checkpoint_policy_init(struct checkpoint_policy *policy, const char *issuer);

/* True if `input` is exactly three lines: ISSUER/ledger/NODE/EPOCH, the issuer without its scheme;
 * the tree's size, from 1, in decimal; its root in base64; and that size is larger than the last of
 * this tree, or the same with the same root. Remembers it. Fails with ERROR_LINT. */
MUST_CHECK bool lint_checkpoint(struct checkpoint_policy *policy, const char *input, size_t length,
                                struct error *err);
