/* test_nvml.c - what the management library tells of a device, from a library of the test's own. */
#include "kernels/nvml.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

#define BUS "0000:17:00.0"

static struct errmsg e;

/* This program is BUILD/tests/test_nvml, the library BUILD/tests/fake/nvml.so. */
static const char *library(void)
{
    static char path[PATH_MAX + 16];
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    strcpy(strrchr(path, '/'), "/fake/nvml.so");
    return path;
}

static struct device_reading read_with(const char *mode, const char *pids)
{
    struct device_reading r;
    struct nvml *n;

    setenv("FAKE_NVML", mode, 1);
    setenv("FAKE_PIDS", pids, 1);
    ck_assert_msg(nvml_open(&n, library(), &e) == ERR_OK, "%s", e.text);
    ck_assert_int_eq(nvml_read(n, BUS, &r, &e), ERR_OK);
    nvml_close(&n);
    ck_assert_ptr_null(n);
    return r;
}

START_TEST(a_device_tells_its_memory_power_and_clock)
{
    const struct device_reading r = read_with("", "");

    ck_assert_int_eq(r.used_bytes, 754820096);
    ck_assert_int_eq(r.power_mw, 412345);
    ck_assert_int_eq(r.clock_mhz, 1980); /* of the multiprocessors, not of the memory */
}
END_TEST

START_TEST(processes_but_this_one_are_others)
{
    char pids[64];

    ck_assert_int_eq(read_with("", "").others, 0);
    snprintf(pids, sizeof pids, "%d", (int)getpid());
    ck_assert_int_eq(read_with("", pids).others, 0);
    snprintf(pids, sizeof pids, "%d,17", (int)getpid());
    ck_assert_int_eq(read_with("", pids).others, 1);
    ck_assert_int_eq(read_with("", "many").others, 999);
}
END_TEST

START_TEST(where_process_ids_are_not_ours_one_is_this_one)
{
    ck_assert_int_eq(read_with("", "1999999").others, 0);
    ck_assert_int_eq(read_with("", "1999998,1999999").others, 1);
}
END_TEST

START_TEST(what_a_device_does_not_tell_is_not_known)
{
    const struct device_reading r = read_with("mute", "17");

    ck_assert_int_eq(r.used_bytes, 0);
    ck_assert_int_eq(r.power_mw, 0);
    ck_assert_int_eq(r.clock_mhz, 0);
    ck_assert_int_eq(r.others, -1);
}
END_TEST

START_TEST(a_device_that_it_does_not_know_is_an_error_with_its_address)
{
    struct device_reading r;
    struct nvml *n;

    ck_assert_int_eq(nvml_open(&n, library(), &e), ERR_OK);
    ck_assert_int_eq(nvml_read(n, "0000:01:00.0", &r, &e), ERR_IO);
    ck_assert_str_eq(e.text, "NVML: 0000:01:00.0: Not Found");
    ck_assert_int_eq(r.others, -1);
    nvml_close(&n);
}
END_TEST

START_TEST(the_driver_has_a_version)
{
    struct nvml *n;
    char text[32];

    ck_assert_int_eq(nvml_open(&n, library(), &e), ERR_OK);
    nvml_driver(n, text, sizeof text);
    ck_assert_str_eq(text, "580.65.06");
    nvml_close(&n);
}
END_TEST

START_TEST(without_the_library_or_the_driver_one_line_says_so)
{
    struct nvml *n;

    ck_assert_int_eq(nvml_open(&n, "/nowhere/libnvidia-ml.so.1", &e), ERR_UNSUPPORTED);
    ck_assert_ptr_null(n);
    ck_assert_msg(strstr(e.text, "no NVML: /nowhere/libnvidia-ml.so.1"), "%s", e.text);
    ck_assert_int_eq(nvml_open(&n, "libm.so.6", &e), ERR_UNSUPPORTED);
    ck_assert_str_eq(e.text, "NVML has no nvmlInit_v2");
    setenv("FAKE_NVML", "begin", 1);
    ck_assert_int_eq(nvml_open(&n, library(), &e), ERR_IO);
    ck_assert_str_eq(e.text, "NVML: Driver Not Loaded");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("nvml");
    TCase *c = tcase_create("all");

    tcase_add_test(c, a_device_tells_its_memory_power_and_clock);
    tcase_add_test(c, processes_but_this_one_are_others);
    tcase_add_test(c, where_process_ids_are_not_ours_one_is_this_one);
    tcase_add_test(c, what_a_device_does_not_tell_is_not_known);
    tcase_add_test(c, a_device_that_it_does_not_know_is_an_error_with_its_address);
    tcase_add_test(c, the_driver_has_a_version);
    tcase_add_test(c, without_the_library_or_the_driver_one_line_says_so);
    suite_add_tcase(s, c);
    return s;
}

TEST_MAIN(suite)
