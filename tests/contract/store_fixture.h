/*
 * What the store's contract needs beyond include/store/store.h: an empty database of each engine,
 * and a look into it that does not go through the code under test. One file an engine implements it
 * (sqlite_fixture.c).
 */
#pragma once

#include <stdint.h>

/* Makes an empty database. Its URL is valid until store_fixture_remove(). NULL: it could not. */
const char *store_fixture_make(void);

/* Removes it, whatever became of it. */
void store_fixture_remove(void);

/* How many ledger entries carry `jti`, or are there at all (NULL). -1: it could not be read. */
int64_t store_fixture_ledger_entries(const char *jti);

/* How many authorizations there are, whatever their stage. -1: it could not be read. */
int64_t store_fixture_authorizations(void);
