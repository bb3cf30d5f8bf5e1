/* issuerctl ledger accept-restore: the operator's word for a store that is older than its ledger was. */
#pragma once

#include "core/service.h"

struct restore_options {
    const char *reason; /* NULL: none was given */
    bool yes;           /* do not ask */
    bool json;
};

/* Prints and returns the exit status. */
int ledger_accept(const struct service_options *service, const struct restore_options *options);
