/* From the configuration to what the layers want: they see no configuration, only their options. */
#pragma once

#include "config.h"
#include "core/service.h"

struct service_config {
    struct service_options options;
    struct signer_options signers[CONFIG_SIGNERS_MAX];
    struct trusted_issuer trusted[CONFIG_LIST_MAX];
    char program[4096]; /* issuerd-signer */
    char node[LEDGER_NODE_MAX + 1];
    char head_path[4096 + LEDGER_NODE_MAX + 16];
};

/* Borrows `config`. Fails with INTERNAL if the running program's own path cannot be read, with CONFIG
 * if issuerd-signer is in neither of its places from there. */
MUST_CHECK bool service_config_fill(struct service_config *out, const struct config *config,
                                    struct error *err);
