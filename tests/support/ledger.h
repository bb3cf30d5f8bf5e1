/* What an instance's store holds, read with SQLite alone, while it runs or after its end. */
#pragma once

#include "base/digest.h"
#include "support/instance.h"

#include <stdint.h>

/* How many tokens were entered into the ledger; -1: it could not be read. */
int64_t ledger_entries(const struct instance *instance);

/* How many entries the token of this SHA-256 has. */
int64_t ledger_entries_of(const struct instance *instance, const struct digest *token);

/* How many entries there are beyond one an authorization: 0, whatever happens. */
int64_t ledger_doubles(const struct instance *instance);
