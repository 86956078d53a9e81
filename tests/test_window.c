/* test_window.c - the hours of the day in which a batch may run, also when clocks change. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "broker/window.h"
#include "tests/test.h"

#define AT(h, m) ((h)*60 + (m))

/* Is it open at this moment of UTC, seen from Berlin? */
static bool in_berlin(int64_t from, int64_t to, int month, int day, int hour, int minute)
{
    struct tm tm = {
        .tm_year = 126, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return window_is_open(from, to, (int64_t)timegm(&tm) * 1000);
}

START_TEST(equal_ends_are_always_open)
{
    ck_assert(in_berlin(-1, -1, 1, 1, 12, 0));
    ck_assert(in_berlin(60, 60, 1, 1, 12, 0));
}
END_TEST

START_TEST(a_window_over_midnight_is_open_on_both_sides)
{
    ck_assert(!in_berlin(AT(22, 0), AT(7, 0), 1, 10, 20, 59)); /* 21:59 in Berlin */
    ck_assert(in_berlin(AT(22, 0), AT(7, 0), 1, 10, 21, 0));
    ck_assert(in_berlin(AT(22, 0), AT(7, 0), 1, 11, 5, 59));
    ck_assert(!in_berlin(AT(22, 0), AT(7, 0), 1, 11, 6, 0));
}
END_TEST

START_TEST(a_window_within_a_day_is_closed_around_it)
{
    ck_assert(!in_berlin(AT(9, 0), AT(17, 30), 1, 10, 7, 59));
    ck_assert(in_berlin(AT(9, 0), AT(17, 30), 1, 10, 8, 0));
    ck_assert(!in_berlin(AT(9, 0), AT(17, 30), 1, 10, 16, 30));
}
END_TEST

START_TEST(its_ends_follow_the_clock_on_the_wall_into_summer_time)
{
    /* 29 March 2026: 02:00 becomes 03:00 in Berlin, at 01:00 UTC. */
    ck_assert(in_berlin(AT(22, 0), AT(7, 0), 3, 29, 4, 59)); /* 06:59 */
    ck_assert(!in_berlin(AT(22, 0), AT(7, 0), 3, 29, 5,
                         0)); /* 07:00, an hour earlier than the day before */
    ck_assert(in_berlin(AT(22, 0), AT(7, 0), 3, 28, 5, 59));
    ck_assert(!in_berlin(AT(2, 15), AT(2, 45), 3, 29, 1, 30)); /* those minutes do not come */
}
END_TEST

START_TEST(an_hour_that_comes_twice_is_open_twice)
{
    /* 25 October 2026: 03:00 becomes 02:00 in Berlin, at 01:00 UTC. */
    ck_assert(in_berlin(AT(2, 15), AT(2, 45), 10, 25, 0, 30));
    ck_assert(!in_berlin(AT(2, 15), AT(2, 45), 10, 25, 0, 50));
    ck_assert(in_berlin(AT(2, 15), AT(2, 45), 10, 25, 1, 30));
    ck_assert(in_berlin(AT(22, 0), AT(7, 0), 10, 25, 5, 59));
    ck_assert(!in_berlin(AT(22, 0), AT(7, 0), 10, 25, 6, 0));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("window");
    TCase *t = tcase_create("window");

    tcase_add_test(t, equal_ends_are_always_open);
    tcase_add_test(t, a_window_over_midnight_is_open_on_both_sides);
    tcase_add_test(t, a_window_within_a_day_is_closed_around_it);
    tcase_add_test(t, its_ends_follow_the_clock_on_the_wall_into_summer_time);
    tcase_add_test(t, an_hour_that_comes_twice_is_open_twice);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
