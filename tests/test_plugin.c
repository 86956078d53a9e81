/* test_plugin.c - kernels/plugin and nvidia_library: what is found, and what is said when not. */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/plugin.h"
#include "tests/test.h"

#define NEEDED "libcufake.so.1"

/* tests/fake of this build. */
static char fakes[PATH_MAX];

static void setup(void)
{
    const ssize_t n = readlink("/proc/self/exe", fakes, sizeof fakes - 16);
    char path[PATH_MAX + 16];

    ck_assert_int_gt(n, 0);
    fakes[n] = 0;
    strcpy(strrchr(fakes, '/'), "/fake");
    snprintf(path, sizeof path, "%s/plugin.so", fakes);
    setenv(PLUGIN_ENV, path, 1);
    unsetenv("VIRTUAL_ENV"), unsetenv("CONDA_PREFIX"), unsetenv("HOME");
    setenv("PATH", "/nowhere", 1);
}

START_TEST(a_library_that_pip_brought_is_found)
{
    static const char *const FOLDERS[] = {"lib",
                                          "lib/python3.11",
                                          "lib/python3.11/site-packages",
                                          "lib/python3.11/site-packages/nvidia",
                                          "lib/python3.11/site-packages/nvidia/cu13",
                                          "lib/python3.11/site-packages/nvidia/cu13/lib"};
    struct errmsg e = {0};
    char from[PATH_MAX + 32];

    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++)
        ck_assert_int_eq(mkdir(test_path(FOLDERS[i]), 0700), 0);
    snprintf(from, sizeof from, "%s/" NEEDED, fakes);
    ck_assert_int_eq(
        symlink(from, test_path("lib/python3.11/site-packages/nvidia/cu13/lib/" NEEDED)), 0);
    setenv("VIRTUAL_ENV", test_dir(), 1);
    ck_assert_msg(plugin_open(&e) != NULL, "%s", e.text);
}
END_TEST

START_TEST(a_library_that_is_nowhere_is_named)
{
    struct errmsg e = {0};

    ck_assert_ptr_null(plugin_open(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "no CUDA plug-in: " NEEDED));
}
END_TEST

START_TEST(a_file_that_is_no_library_is_named)
{
    struct errmsg e = {0};

    setenv(PLUGIN_ENV, "/proc/self/status", 1);
    ck_assert_ptr_null(plugin_open(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "/proc/self/status"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plugin");
    TCase *t = tcase_create("plugin");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, a_library_that_pip_brought_is_found);
    tcase_add_test(t, a_library_that_is_nowhere_is_named);
    tcase_add_test(t, a_file_that_is_no_library_is_named);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
