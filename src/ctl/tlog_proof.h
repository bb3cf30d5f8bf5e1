/* The file that proves that an entry is in a ledger (C2SP tlog-proof), the entry with it as its extra
 * data. What it says is worth nothing before it is checked. */
#pragma once

#include "base/error.h"
#include "ctl/audit_tree.h"

#include <stddef.h>
#include <stdint.h>

enum { TLOG_PROOF_MAX = 262144 };

struct tlog_proof {
    char *entry; /* a NUL follows it */
    size_t entry_length;
    int64_t index;
    struct audit_proof path;
    const char *note; /* the checkpoint. Borrowed from what was read */
    size_t note_length;
};

/* The caller frees. */
char *tlog_proof_print(const struct tlog_proof *proof);

/* Fails with INVALID_REQUEST. The caller clears *proof_out. */
MUST_CHECK bool tlog_proof_parse(const char *text, size_t length, struct tlog_proof *proof_out,
                                 struct error *err);
void tlog_proof_clear(struct tlog_proof *proof);
