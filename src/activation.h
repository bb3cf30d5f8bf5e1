/*
 * Socket activation (sd_listen_fds(3)): sockets that the service manager opened, keeps open when we
 * end, and passes to the next of us.
 *
 * The protocol is three environment variables, stable by systemd's word, and is read here rather than
 * by libsystemd: that would bring five more libraries into the process that speaks to the network.
 */
#pragma once

#include "base/error.h"

struct activation {
    int public_fd; /* named "public" by FileDescriptorName=; -1: none was passed */
    int admin_fd;  /* named "admin" */
};

/* Takes what was passed to this process, if anything was, and removes it from the environment, which
 * our children inherit. Before the first thread. The caller owns the descriptors. Fails with CONFIG if
 * one has another name, or two have one. */
MUST_CHECK bool activation_take(struct activation *activation_out, struct error *err);
