/*
 * The launcher: a process that issuerd forks off before its first thread and before it listens, to
 * start the signers for it. So issuerd itself can give up the right to start a program, and to open
 * what signers need, although both are for good and what it starts would inherit that.
 *
 * A signer is asked for by its identity (child_identity), never by its settings: the launcher starts
 * those that the configuration file names, and reads that file itself. Whoever takes over the process
 * that speaks to the network can have no program and no URI of their own started.
 *
 * It ends when issuerd does, and its signers with it. When it ends before, issuerd, whose only child
 * it is, gets SIGCHLD, and ends to be started again: there is nothing that it could do without.
 *
 * Threads: any may ask; one is served at a time.
 */
#pragma once

#include "base/digest.h"
#include "hsm/child.h"
#include "hsm/signer.h"

/* The signers as the configuration file has them now; valid until the next call. Called in the
 * launcher. */
typedef MUST_CHECK bool launcher_read_fn(void *context, struct signers_options *options_out,
                                         struct error *err);

struct launcher;

/* `first` are the signers that it knows from the start. The caller ends *launcher_out
 * (launcher_stop). Fails with INTERNAL. */
MUST_CHECK bool launcher_start(const struct signers_options *first, launcher_read_fn *read,
                               void *context, struct launcher **launcher_out, struct error *err);

/* Its signers end, too. */
void launcher_stop(struct launcher *launcher);

/* As child_spawn(), of the signer with this identity. Fails with CONFIG if the configuration file has
 * none, with DEVICE_UNAVAILABLE if it cannot be started or the launcher does not answer. */
MUST_CHECK bool launcher_start_child(struct launcher *launcher, const struct digest *identity,
                                     int request_fd, int answer_fd, struct child *child_out,
                                     struct error *err);

/* As child_end(). */
int launcher_end_child(struct launcher *launcher, struct child *child);
