/* issuerctl ledger: what an auditor asks of a ledger, on the store of a running issuerd or on a copy of
 * it. Nothing is written to a store. Each command prints and returns the exit status. */
#pragma once

#include <argp.h>

#include "core/service.h"
#include "ctl/audit.h"

struct ledger_arguments {
    const char *store_url; /* NULL: the configured one */
    const char *key_paths[AUDIT_KEYS_MAX];
    size_t key_count;
    const char *trusted_paths[AUDIT_TRUSTED_MAX];
    size_t trusted_count;
    const char *out;  /* prove; NULL: JTI.tlog-proof */
    const char *tree; /* NODE/EPOCH; NULL: the command chooses */
    int64_t from;     /* export; -1: from the first on */
    bool all;         /* checkpoint: of every tree */
    bool json;
};

/* The options of these commands; their input is a struct ledger_arguments. */
extern const struct argp ledger_argp;

/* Whether the command of these words asks for a configuration. */
bool ledger_needs_configuration(const char *const *words, size_t count,
                                const struct ledger_arguments *options);

/* `words`: behind "ledger". `service` NULL: there is no configuration. */
int ledger_run(const struct service_options *service, const char *const *words, size_t count,
               const struct ledger_arguments *options);
