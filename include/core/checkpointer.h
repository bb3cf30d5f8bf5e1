/*
 * The checkpoints of this node's ledger: a thread looks at the tree that is committed, has what is new
 * of it signed by the audit key, puts the signed note into the store and keeps it outside of it, in the
 * head file. Nobody waits for that: tokens are issued while too many entries do not wait for a
 * checkpoint (ledger_permits()).
 *
 * Without an audit key the head file is kept all the same, and holds the checkpoint's body alone; so
 * it does while the audit key's signer does not answer. A tree that was rolled back is not signed.
 */
#pragma once

#include "base/text.h"
#include "core/committer.h"

struct checkpointer;

struct checkpointer_options {
    struct store *store;
    struct ledger *ledger;
    struct signers *signers;
    const char *issuer; /* URL */
    const char *node;
    const char *head_path; /* the head file; absolute */
    int64_t entries;       /* that make the next checkpoint due */
    int64_t interval_s;    /* the same, if there is one new entry at least */
    int64_t backlog_max;   /* as ledger_options has it */
};

/* The audit key is that of the signer for checkpoints, if there is one. Copies the options, borrows
 * what they name. Fails with CONFIG (the head file's directory) or STORE_UNAVAILABLE. */
MUST_CHECK bool checkpointer_start(const struct checkpointer_options *options,
                                   struct checkpointer **checkpointer_out, struct error *err);

/* Ends the thread, then makes the last checkpoint, over all that is committed by now; a device that
 * does not answer holds it up for 5 s at most. */
void checkpointer_stop(struct checkpointer *checkpointer);

struct checkpointer_status {
    const char *signer; /* its name; NULL: no audit key signs */
    int64_t signed_s;   /* when the newest signed checkpoint was made; 0: there is none */
    int64_t failing_ns; /* since when none could be made (monotonic); 0: the last one was */
};

/* From the next checkpoint on, instead of what the options had. Any thread. */
void checkpointer_set_pace(struct checkpointer *checkpointer, int64_t entries, int64_t interval_s,
                           int64_t backlog_max);

/* Any thread. */
struct checkpointer_status checkpointer_status(struct checkpointer *checkpointer);
void checkpointer_print_metrics(struct checkpointer *checkpointer, struct text *text);
