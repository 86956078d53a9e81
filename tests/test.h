/* test.h - what every suite starts with.
 *
 * A test file is one suite: START_TEST blocks named as facts, a function `suite` that lists them,
 * TEST_MAIN(suite). Each test runs in its own process (Check forks), so a socket, a database or a
 * thread is opened inside the test.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* A new empty directory, removed with all in it when the test's process ends.  Static storage. */
const char *test_dir(void);

/* dir/name in static storage (64 may be held at a time). */
const char *test_path(const char *name);

/* Writes a file below test_dir and returns its path. */
const char *test_file(const char *name, const void *data, size_t len);

/* A path below the shared test data (NIGHTMILL_TEST_DATA, default ../shared/data), static storage,
 * eight at a time. */
const char *test_data(const char *name);

/* Is the shared test data here?  When not: prints one SKIPPED line the first time, and exits with
 * failure where REQUIRE_DATA=1 is set.  A suite that needs it adds those cases only when this is
 * true. */
bool test_has_data(void);

/* How often: a few times in `make test`, many in `make chaos`, which sets CHAOS. */
int test_rounds(int few, int many);

#define TEST_MAIN(make_suite)                                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        SRunner *r = srunner_create(make_suite());                                                 \
        int failed;                                                                                \
        srunner_run_all(r, CK_ENV);                                                                \
        failed = srunner_ntests_failed(r);                                                         \
        srunner_free(r);                                                                           \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                               \
    }

#endif
