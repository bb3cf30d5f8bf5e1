/*
 * "This PIN was refused": remembered across signers, processes and restarts, because tokens count
 * the tries. What is kept is which PIN file was refused (device, inode, size and times of the
 * file), never anything derived from the PIN. A systemd credential is another file at every start; of
 * such a one only the size is kept, so that no restart tries it again, and the operator ends it.
 *
 * Who wants to try the PIN locks the latch, looks whether it holds, tries, sets it if the PIN was
 * refused, and unlocks: so those who share a PIN file try it one after the other. They exclude each
 * other by flock(2) on state_dir/pin-refused-DIGEST (SHA-256 of the PIN file's path, its first 16
 * characters of base64url), which is never removed; without a state_dir, or where that file cannot
 * be opened (the log says so), within this process alone.
 *
 * Threads: each has a latch of its own; latches of one PIN file know of each other. A process has
 * at most PIN_LATCHES_MAX of them.
 */
#pragma once

#include "base/error.h"

enum { PIN_LATCHES_MAX = 16 }; /* SIGNERS_MAX, and as many that end while others begin */

/* What a PIN file was at one moment: changes whenever it is written or replaced. */
struct pin_identity {
    char text[48]; /* "": none; "-": the file is not there, or empty: about to be written */
};

struct pin_latch {
    struct pin_source *source;
    const char *state_dir; /* borrowed; NULL: nothing is kept there */
    int fd;                /* of the file in state_dir, while locked; -1: none */
    bool locked;
    struct pin_identity tried; /* when the lock was taken */
    struct pin_identity kept;  /* in state_dir then */
};

/* True if the PIN file in the key's URI is as it was then; without one, always. */
bool pin_file_is(const char *uri, const struct pin_identity *identity);

/* The latch of the PIN file in the key's URI. Without one (`file:` keys) it shares nothing and
 * never waits. The caller closes it. */
void pin_latch_open(struct pin_latch *latch, const char *state_dir, const char *uri);

/* The same for the PIN in `path`. */
void pin_latch_open_file(struct pin_latch *latch, const char *state_dir, const char *path);

/* Unlocks. A refusal that could not be written is forgotten with the PIN file's last latch. */
void pin_latch_close(struct pin_latch *latch);

/* Waits until nobody else tries this PIN, then learns what was refused meanwhile. Fails with
 * SHUTTING_DOWN once `stop_fd` is readable (-1: none), with DEVICE_UNAVAILABLE after `timeout_ms`
 * (-1: never). */
MUST_CHECK bool pin_latch_lock(struct pin_latch *latch, int stop_fd, int timeout_ms,
                               struct error *err);

/* True while the PIN file is the one that was refused, or gone or empty since. What other processes
 * learn is seen with the next lock. */
bool pin_latch_holds(const struct pin_latch *latch);

/* With the lock: the PIN was refused out of the file as it was when the lock was taken. */
void pin_latch_set(struct pin_latch *latch);

/* Does nothing without the lock. */
void pin_latch_unlock(struct pin_latch *latch);

/* What ends it, for the log. Static. */
const char *pin_latch_hint(const struct pin_latch *latch);
