/*
 * The audit of a ledger: every tree is computed again from its entries and held against what the store
 * keeps of it, against its checkpoints, and against checkpoints that were carried away before.
 *
 * The store's rows are taken as an enemy may have left them. One pass, in memory that does not grow
 * with the ledger.
 */
#pragma once

#include "ctl/audit_key.h"
#include "ctl/signed_note.h"
#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

enum { AUDIT_KEYS_MAX = 8, AUDIT_TRUSTED_MAX = 64, AUDIT_CLOCK_MAX_S = 300 };

/* A checkpoint that did not lie in the store. */
struct trusted_head {
    const char *path; /* borrowed; for messages */
    struct tree_head head;
    char node[LEDGER_NODE_MAX + 1];
    int64_t epoch;
};

/* A tree in which nothing was found. */
struct audited_tree {
    char node[LEDGER_NODE_MAX + 1];
    int64_t epoch;
    int64_t size;
    int64_t pruned;      /* of these, not in the store any more */
    int64_t checkpoints; /* in the store */
    int64_t covered;     /* the entries that the newest of them covers */
    int64_t first_s; /* time of the first entry in the store, and of the last; 0: there is none */
    int64_t last_s;
    struct digest root;
};

typedef void audit_tree_fn(void *context, const struct audited_tree *tree);

/* Entries done, and all of them. */
typedef void audit_progress_fn(void *context, int64_t done, int64_t all);

struct audit_options {
    struct audit_key *const *keys; /* that may have signed a checkpoint */
    size_t key_count;              /* 0: those that the store names itself */
    const struct trusted_head *trusted;
    size_t trusted_count;
    audit_tree_fn *take_tree;    /* NULL: none */
    audit_progress_fn *progress; /* NULL: none */
    void *context;
};

struct audit_report {
    int64_t trees;
    int64_t entries;
    int64_t checkpoints;
    int64_t trusted;

    /* What is wrong first, if anything. */
    bool is_wrong;
    char node[LEDGER_NODE_MAX + 1]; /* "": no tree that can be named */
    int64_t epoch;
    int64_t index;      /* of the entry; -1: it is no one entry's matter */
    int64_t last_index; /* over `index`: one of the entries from `index` to this one */
    char what[320];     /* printable ASCII */
};

/* Reads a trusted checkpoint's file. With keys, one of them has signed it, else it may also be the
 * three lines alone. Fails with INVALID_REQUEST. Borrows the path. */
MUST_CHECK bool trusted_head_read(const char *path, struct audit_key *const *keys, size_t key_count,
                                  struct trusted_head *trusted_out, struct error *err);

/* Audits a store that was opened `read_only`. False: it could not be read to its end, and no more is
 * known. */
MUST_CHECK bool audit_ledger(struct store *store, const struct audit_options *options,
                             struct audit_report *report_out, struct error *err);
