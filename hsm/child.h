/*
 * One issuerd-signer process: what it is told at its start, how it is started, and how it ends. For
 * whoever is its parent: the launcher of a server (launcher.c), issuerctl for a ceremony.
 */
#pragma once

#include "base/digest.h"
#include "hsm/signer.h"
#include "hsm/wire.h"

#include <sys/types.h>

struct child {
    pid_t pid;
    int control_fd;
};

/* The caller owns the copy. */
struct signer_options *signer_options_copy(const struct signer_options *from);
void signer_options_free(struct signer_options *options);

/* All of *launch, which was zero. */
void child_fill_launch(struct wire_launch *launch, enum wire_mode mode,
                       const struct signers_options *all, const struct signer_options *options);

/* Of everything that a child's start depends on but the program. */
struct digest child_identity(const struct wire_launch *launch,
                             const struct signer_options *options);

/* Starts `program` with these sockets (-1: none) and tells it `launch`, so that whoever is handed
 * the control socket afterwards cannot tell it otherwise. The caller ends *child_out (child_end).
 * Fails with DEVICE_UNAVAILABLE. */
MUST_CHECK bool child_spawn(const char *program, const struct wire_launch *launch,
                            const struct signer_options *options, int request_fd, int answer_fd,
                            struct child *child_out, struct error *err);

/* Kills it unless it has ended, waits for its end, and closes its socket. How it ended, as waitpid()
 * says; 0 if it was none. */
int child_end(struct child *child);
