/* Runs one CUnit suite; what main() of every test program returns. */
#pragma once

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>

/* `setup` and `teardown` run around each test; NULL: none. Returns 0 only if at least one test ran
 * and nothing failed, the suite's own registration included. */
int run_suite(const char *name, CU_SetUpFunc setup, CU_TearDownFunc teardown, CU_TestInfo *tests);
