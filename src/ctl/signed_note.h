/*
 * Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint) as an auditor reads them. What a
 * note says is worth nothing before its signature is verified.
 */
#pragma once

#include "base/digest.h"
#include "ctl/audit_key.h"

#include <stdint.h>

enum {
    NOTE_MAX = 65536, /* bytes; those of witnesses sign it too, some with 5 kB */
    NOTE_SIGNATURES_MAX = 64,
    ORIGIN_MAX = 384,
};

struct note_signature {
    const char *name; /* no NUL ends it, nor the next */
    size_t name_length;
    const char *base64;
    size_t base64_length;
};

/* Points into what it was read from. */
struct signed_note {
    const char *text; /* what is signed, its last newline with it */
    size_t text_length;
    size_t signature_count; /* 0: the text stands alone, without the empty line */
    struct note_signature signatures[NOTE_SIGNATURES_MAX];
};

/* Fails with INVALID_REQUEST: no such text. */
MUST_CHECK bool signed_note_parse(const char *note, size_t length, struct signed_note *note_out,
                                  struct error *err);

/* True if the key has signed it under that name: one signature of the name and the key's id, and it
 * verifies. Those of others do not matter. */
bool signed_note_is_by(const struct signed_note *note, const char *name,
                       const struct audit_key *key);

/* What a checkpoint says of a tree. */
struct tree_head {
    char origin[ORIGIN_MAX + 1];
    int64_t size;
    struct digest root;
};

/* Reads a checkpoint's three lines; one of a ledger has no extension lines. Fails with
 * INVALID_REQUEST. */
MUST_CHECK bool tree_head_parse(const struct signed_note *note, struct tree_head *head_out,
                                struct error *err);

/* The node and the epoch that the origin names: ISSUER/ledger/NODE/EPOCH. False: it does not. */
MUST_CHECK bool tree_head_names(const struct tree_head *head, char *node_out, size_t node_size,
                                int64_t *epoch_out);

/* A number in decimal without leading zeros, below 2^40. */
MUST_CHECK bool tree_size_parse(const char *digits, size_t length, int64_t *size_out);
