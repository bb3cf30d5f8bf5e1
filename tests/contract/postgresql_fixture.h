/* What tests of the PostgreSQL store alone need besides store_fixture.h. */
#pragma once

#include "contract/store_fixture.h"

#include <stdbool.h>

#include <libpq-fe.h>

/* Runs SQL text over a connection beside the store's, as the role issuerd or as the superuser. The
 * first number of the last result, 0 if it has none. -1: it failed; why is on stderr. */
int64_t postgresql_fixture_run(const char *sql);
int64_t postgresql_fixture_run_as_superuser(const char *sql);

/* From now on a commit waits for the standby of this name; "": for none. */
bool postgresql_fixture_wait_for_standby(const char *name);
