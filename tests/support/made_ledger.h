/*
 * A ledger in an SQLite store, made by the server's own appender, with checkpoints that a key in
 * software signs by OpenSSL alone. What fails ends the process: it is no test's subject.
 */
#pragma once

#include "core/ledger.h"

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#define MADE_ISSUER "issuer.example"

struct made_ledger {
    char directory[256];
    char url[512]; /* of the store: sqlite:DIRECTORY/store.db */
    char store_path[512];
    char key_path[512]; /* the audit key's public half, in PEM */
    char head_path[512];
    struct ledger_options options;
    struct store *store;
    struct ledger *ledger;
    EVP_PKEY *key;
    char jwk[1024];
    int64_t time_s; /* of the last entry */
    uint64_t seed;
};

/* In a directory that is there. `algorithm`: "ES256" or "Ed25519". */
void made_ledger_open(struct made_ledger *made, const char *directory, const char *node,
                      const char *algorithm);
void made_ledger_close(struct made_ledger *made);

/* Appends entries as they come when tokens are issued, one a second, in one transaction. */
void made_ledger_append(struct made_ledger *made, int count);

/* Signs the node's newest tree as it is, and keeps the checkpoint. */
void made_ledger_checkpoint(struct made_ledger *made);

/* The jti of the entry `index` of the tree of number 1; "": it has none. */
void made_ledger_jti(struct made_ledger *made, int64_t index, char jti_out[JTI_LENGTH + 1]);

/* Closes and opens the store, so that all of it is in its one file. */
void made_ledger_settle(struct made_ledger *made);
