/* An instance's checkpoints as an auditor sees them, by OpenSSL, SQLite and the definitions alone: none
 * of the code that makes them is used. What does not hold is said on stderr. */
#pragma once

#include "support/instance.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHECKPOINT_TEXT_SIZE = 2048 };

struct checkpoint_seen {
    char text[CHECKPOINT_TEXT_SIZE]; /* the whole note; of the head file perhaps the body alone */
    char jwk[CHECKPOINT_TEXT_SIZE];  /* "": of the head file */
    char origin[256];
    int64_t size;
    char root[48];       /* base64 */
    char signature[160]; /* base64, key ID first; "": it is not signed */
};

/* The head file of the node "node-1". False if there is none, or if it is no checkpoint. */
bool checkpoint_of_file(const struct instance *instance, struct checkpoint_seen *seen_out);

/* The largest in the store; false if there is none, or if it is no checkpoint. */
bool checkpoint_of_store(const struct instance *instance, struct checkpoint_seen *seen_out);

/* How many the store has, and how many entries; -1: it could not be read. */
int64_t checkpoint_count(const struct instance *instance);
int64_t checkpoint_entries(const struct instance *instance);

/* True if the entries of the store, hashed again from the first to `seen->size` (RFC 6962 2.1), have its
 * root. */
bool checkpoint_root_is_right(const struct instance *instance, const struct checkpoint_seen *seen);

/* True if the signature is that of the audit key `jwk` for the body, and the key ID is the key's. */
bool checkpoint_verifies(const struct checkpoint_seen *seen, const char *jwk);
