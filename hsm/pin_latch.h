/*
 * "This PIN was refused": remembered, across restarts of signer and server, because tokens count
 * the tries. What is kept is which PIN source was refused for which key URI (inode, size and times
 * of the file), never anything derived from the PIN.
 */
#pragma once

#include "hsm/signer.h"

struct pin_latch {
    bool set;
    char source[48]; /* a digest of URI and file identity; "": the file could not be looked at */
};

/* Reads what an earlier process left in `state_dir` (NULL: nothing is kept there). */
void pin_latch_load(struct pin_latch *latch, const char *state_dir,
                    const struct signer_options *options);

/* Remembers that the signer's PIN source, as it is now, was refused. */
void pin_latch_set(struct pin_latch *latch, const char *state_dir,
                   const struct signer_options *options);

/* True while the URI and its PIN source are still the ones that were refused. */
bool pin_latch_holds(const struct pin_latch *latch, const struct signer_options *options);
