/* The verdict is CUnit's failure records, not its failed tests: those leave out a suite that could
 * not start. A run without a test is a failure too. */
#include "support/run.h"

#include <stdio.h>

#include <CUnit/Basic.h>

int run_suite(const char *name, CU_SetUpFunc setup, CU_TearDownFunc teardown, CU_TestInfo *tests)
{
    CU_SuiteInfo suites[] = {
        { name, NULL, NULL, setup, teardown, tests },
        CU_SUITE_INFO_NULL,
    };

    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash keeps the name of the test it was in */
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
        (void)fprintf(stderr, "%s: %s\n", name, CU_get_error_msg());
        return 1;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    const unsigned failures = CU_get_number_of_failure_records();
    const unsigned ran = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    return failures == 0 && ran > 0 ? 0 : 1;
}
