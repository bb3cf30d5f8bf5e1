/* A listening socket for an address of the configuration. */
#pragma once

#include "base/error.h"

#include <sys/socket.h>

enum { ADDRESS_MAX = 160 };

/* Binds and listens; a Unix socket gets mode 0600, and replaces one that nobody serves any more.
 * The caller owns *fd_out; `url_out` tells where it listens ("http://127.0.0.1:8080",
 * "unix:/path"), with the real port; `scheme` is "http" or "https". Fails with CONFIG. */
MUST_CHECK bool listener_open(const struct sockaddr *address, socklen_t length, const char *scheme,
                              int *fd_out, char url_out[static ADDRESS_MAX], struct error *err);

/* Of a socket that was opened by another: that it is a stream socket and listens at `address`, so that
 * whatever the configuration's checks found of that holds of it. Fails with CONFIG. */
MUST_CHECK bool listener_check(int fd, const struct sockaddr *address, socklen_t length,
                               const char *scheme, char url_out[static ADDRESS_MAX],
                               struct error *err);
