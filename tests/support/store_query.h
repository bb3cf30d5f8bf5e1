/* A look into an instance's store with the engine's own library, while it runs or after its end. */
#pragma once

#include "support/instance.h"

#include <stdint.h>

/* The one number that `sql` selects, in the SQL that the engines share; $1 is `first`, $2 `second`
 * (NULL: there is none). `entry ->> 'name'` is a member of a ledger entry. -1: it could not be read. */
int64_t store_number(const struct instance *instance, const char *sql, const char *first,
                     const char *second);

/* Runs `sql`, as somebody would who can write the store. */
bool store_edit(const struct instance *instance, const char *sql);

/* Keeps everyone else from writing authorizations for so long. */
bool store_hold(const struct instance *instance, int ms);
