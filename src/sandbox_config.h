/*
 * From the configuration to the sandbox (base/sandbox.h) that issuerd runs in.
 *
 * It may read: the directories of the configuration file, of the client secret (of a credential of
 * systemd: that file alone), of certificates and their keys; the libraries in /usr/lib; of /etc what
 * OpenSSL and the dynamic linker read, and all of it, with the CAs, if names are resolved (PostgreSQL,
 * a DID resolver); itself in /proc. It may write: in the directories of the SQLite file, of the state
 * and of the checkpoint file; and make sockets where its listeners have theirs. The PIN, the module,
 * the token and the device are the signers'.
 */
#pragma once

#include "config.h"

/* Before the first thread. `path` is the configuration's. What this kernel cannot do is logged, and
 * done without. */
void sandbox_config_limit_files(const struct config *config, const char *path);

/* When everything is started. Likewise. */
void sandbox_config_limit_calls(const struct config *config);

/* What a reload changed needs no file that the start's configuration did not. Fails with CONFIG. */
MUST_CHECK bool sandbox_config_check(const struct config *config, struct error *err);
