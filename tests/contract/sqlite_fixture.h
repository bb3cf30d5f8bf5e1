/* What tests of the SQLite store alone need besides store_fixture.h. */
#pragma once

#include "contract/store_fixture.h"

/* The database's directory, which is removed with all files in it. */
const char *sqlite_fixture_directory(void);

/* The database file. */
const char *sqlite_fixture_path(void);
