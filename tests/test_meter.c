/* test_meter.c - memory, power and clock, read from a machine made of files. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"
#include "worker/meter.h"

/* A file below the test's root, its folders made. */
static void put(const char *name, const char *text)
{
    char path[512];

    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%s/%.*s", test_dir(), (int)(slash - name), name);
        mkdir(path, 0700);
    }
    test_file(name, text, strlen(text));
}

static struct meter m;
static struct meter_reading got;

START_TEST(a_machine_that_tells_nothing_gives_nothing)
{
    meter_init(&m, test_dir(), NULL);
    meter_read(&m, 1000, &got);
    meter_read(&m, 2000, &got);
    ck_assert_int_eq(got.memory_bytes + got.power_mw + got.clock_mhz, 0);
}
END_TEST

START_TEST(memory_is_the_resident_set)
{
    put("proc/self/statm", "900 422 394 5 0 123 0\n");
    meter_init(&m, test_dir(), NULL);
    meter_read(&m, 1000, &got);
    ck_assert_int_eq(got.memory_bytes, 422 * sysconf(_SC_PAGESIZE));
}
END_TEST

START_TEST(memory_to_take_is_the_machines_or_the_smallest_limit_above)
{
    ck_assert_int_eq(meter_available_bytes(test_dir()), 0);
    put("proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    5000 kB\n");
    ck_assert_int_eq(meter_available_bytes(test_dir()), 5000 * 1024);
    put("proc/self/cgroup", "3:cpu:/other\n0::/user/job\n");
    ck_assert_int_eq(meter_available_bytes(test_dir()), 5000 * 1024);
    put("sys/fs/cgroup/user/job/memory.max", "max\n");
    put("sys/fs/cgroup/user/memory.max", "3000000\n");
    ck_assert_int_eq(meter_available_bytes(test_dir()), 3000000);
    put("sys/fs/cgroup/user/job/memory.max", "2000000\n");
    ck_assert_int_eq(meter_available_bytes(test_dir()), 2000000);
    put("sys/fs/cgroup/memory.max", "1000000\n"); /* as a container sees its own */
    ck_assert_int_eq(meter_available_bytes(test_dir()), 1000000);
    put("proc/meminfo", "MemAvailable: 500 kB\n");
    ck_assert_int_eq(meter_available_bytes(test_dir()), 500 * 1024);
}
END_TEST

START_TEST(power_is_the_energy_of_all_packages_over_the_time)
{
    put("sys/class/powercap/intel-rapl:0/energy_uj", "5000000\n");
    put("sys/class/powercap/intel-rapl:1/energy_uj", "900\n");
    meter_init(&m, test_dir(), NULL);
    meter_read(&m, 1000, &got);
    ck_assert_int_eq(got.power_mw, 0); /* from one reading nothing follows */
    put("sys/class/powercap/intel-rapl:0/energy_uj", "65000000\n");
    put("sys/class/powercap/intel-rapl:1/energy_uj", "10000900\n");
    meter_read(&m, 3000, &got);
    ck_assert_int_eq(got.power_mw, 35000); /* 70 J in 2 s */
    meter_read(&m, 3000, &got);            /* no time has passed */
    ck_assert_int_eq(got.power_mw, 0);
}
END_TEST

START_TEST(an_energy_counter_that_begins_again_loses_nothing)
{
    put("sys/class/powercap/intel-rapl:0/energy_uj", "99000000\n");
    put("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "100000000\n");
    meter_init(&m, test_dir(), NULL);
    meter_read(&m, 0, &got);
    put("sys/class/powercap/intel-rapl:0/energy_uj", "4000000\n");
    meter_read(&m, 1000, &got);
    ck_assert_int_eq(got.power_mw, 5000);
}
END_TEST

START_TEST(the_clock_is_the_mean_of_the_processors)
{
    put("proc/cpuinfo", "cpu MHz\t\t: 2000.4\nflags : x\ncpu MHz\t\t: 3000.0\n");
    meter_init(&m, test_dir(), NULL);
    meter_read(&m, 0, &got);
    ck_assert_int_eq(got.clock_mhz, 2500);
    put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1200000\n");
    put("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1400000\n");
    meter_read(&m, METER_CLOCK_MS - 1, &got);
    ck_assert_int_eq(got.clock_mhz, 2500); /* not looked at every time */
    meter_read(&m, METER_CLOCK_MS, &got);
    ck_assert_int_eq(got.clock_mhz, 1300);
}
END_TEST

START_TEST(this_machine_tells_its_memory)
{
    meter_init(&m, "", NULL);
    meter_read(&m, 0, &got);
    ck_assert_int_gt(got.memory_bytes, 100000);
}
END_TEST

static int tell(int index, struct device_reading *out)
{
    *out = (struct device_reading){1000 + index, 300, 1000 + 500 * index, 2 * index - 1};
    return index < 3 ? ERR_OK : ERR_UNSUPPORTED;
}

START_TEST(an_instance_on_devices_tells_of_them_together)
{
    const struct device told = {.name = "told", .read = tell};
    struct place place = {.device = &told, .n_devices = 2, .devices = {1, 2}};

    meter_init(&m, test_dir(), &place);
    meter_read(&m, 1000, &got);
    ck_assert_int_eq(got.memory_bytes, 2003);
    ck_assert_int_eq(got.power_mw, 600);
    ck_assert_int_eq(got.clock_mhz, 1750);
    ck_assert_int_eq(got.others, 3);
    place.devices[1] = 3; /* which does not tell: then it is the host's */
    put("proc/self/statm", "900 422 394 5 0 123 0\n");
    meter_read(&m, 2000, &got);
    ck_assert_int_eq(got.memory_bytes, 422 * sysconf(_SC_PAGESIZE));
    ck_assert_int_eq(got.others, -1);
}
END_TEST

START_TEST(processors_have_a_name_and_a_number)
{
    char name[64];

    meter_cpu_name(test_dir(), name, sizeof name);
    ck_assert_str_eq(name, "");
    put("proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast One 3000\nmodel name\t: Other\n");
    meter_cpu_name(test_dir(), name, sizeof name);
    ck_assert_ptr_nonnull(strstr(name, "Fast One 3000 x "));
}
END_TEST

/* user, nice, system, idle, iowait, irq, softirq, steal; this process itself uses next to nothing
 */
START_TEST(others_have_what_is_busy_and_not_ours)
{
    struct meter_load l;

    meter_load_begin(&l, test_dir());
    ck_assert_double_lt(meter_load_others(&l), 0); /* not told */
    put("proc/stat", "cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 1 2 3\n");
    meter_load_begin(&l, test_dir());
    ck_assert_double_lt(meter_load_others(&l), 0); /* no time has passed */
    put("proc/stat", "cpu  20100 0 10100 70000 1000 0 0 0 0 0\n");
    ck_assert_double_eq_tol(meter_load_others(&l), 0.3, 0.001);
    put("proc/stat", "cpu  20100 0 10100 70000 1000 0 0 100000 0 0\n"); /* stolen */
    ck_assert_double_eq_tol(meter_load_others(&l), 0.65, 0.001);
    put("proc/stat", "cpu  100 0 100 91000 10000 0 0 0 0 0\n");
    ck_assert_double_eq(meter_load_others(&l), 0);
    put("proc/stat", "cpu  nothing\n");
    ck_assert_double_lt(meter_load_others(&l), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("meter");
    TCase *t = tcase_create("meter");

    tcase_add_test(t, a_machine_that_tells_nothing_gives_nothing);
    tcase_add_test(t, memory_is_the_resident_set);
    tcase_add_test(t, an_instance_on_devices_tells_of_them_together);
    tcase_add_test(t, memory_to_take_is_the_machines_or_the_smallest_limit_above);
    tcase_add_test(t, power_is_the_energy_of_all_packages_over_the_time);
    tcase_add_test(t, an_energy_counter_that_begins_again_loses_nothing);
    tcase_add_test(t, the_clock_is_the_mean_of_the_processors);
    tcase_add_test(t, this_machine_tells_its_memory);
    tcase_add_test(t, processors_have_a_name_and_a_number);
    tcase_add_test(t, others_have_what_is_busy_and_not_ours);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
