/* What the ledger's commands share. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/ledger.h"

struct ledger_command {
    const struct ledger_arguments *arguments;
    const char *node;    /* of the configuration; NULL: there is none */
    struct store *store; /* open to be read; NULL: the command needs none */
    struct audit_key *keys[AUDIT_KEYS_MAX];
    size_t key_count;
};

/* The operands are those behind the command's name. */
int ledger_verify(struct ledger_command *command);
int ledger_prove(struct ledger_command *command, const char *jti);
int ledger_check_proof(struct ledger_command *command, const char *path);
int ledger_consistency(struct ledger_command *command, const char *old_head, const char *new_head);

/* The tree that --tree names, else the newest of the configured node, or of the only node that there
 * is. Fails with NOT_FOUND or INVALID_REQUEST. */
MUST_CHECK bool ledger_choose_tree(const struct ledger_command *command,
                                   struct ledger_tree *tree_out, struct error *err);

/* A checkpoint of the store: what it says, and the key that signed it: one of --audit-key, or without
 * any the one that the store names. Fails with CONFLICT: it does not verify. The caller frees *key_out. */
MUST_CHECK bool ledger_open_checkpoint(const struct ledger_command *command,
                                       const struct stored_checkpoint *checkpoint,
                                       struct tree_head *head_out, struct audit_key **key_out,
                                       struct error *err);

/* The answer is no: in one line, or as JSON. Returns CTL_REFUSED. */
int ledger_refuse(const struct ledger_command *command, const char *what);
