/* What an instance's store holds, read without the code under test, while it runs or after its end. */
#pragma once

#include "base/digest.h"
#include "support/instance.h"
#include "support/load.h"

#include <stdint.h>

/* How many tokens were entered into the ledger; -1: it could not be read. */
int64_t ledger_entries(const struct instance *instance);

/* How many entries the token of this SHA-256 has. */
int64_t ledger_entries_of(const struct instance *instance, const struct digest *token);

/* How many entries there are beyond one an authorization: 0, whatever happens. */
int64_t ledger_doubles(const struct instance *instance);

/* How many keys the keyring has. */
int64_t ledger_keys(const struct instance *instance);

/* Does to the store what no program of ours does. */
bool ledger_edit(const struct instance *instance, const char *sql);

/* Keeps everyone else from writing to the store for so long. */
bool ledger_hold(const struct instance *instance, int ms);

/* True if every answer of the load was a good token or a 503 in time, every code gave its token at
 * last, and the ledger has just these tokens and `others`. Says on stderr what is not so. */
bool ledger_agrees(const struct instance *instance, const struct load_book *book, unsigned others);
