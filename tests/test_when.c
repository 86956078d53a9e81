/* test_when.c - clients/when: times as people write them, through both changes of the clocks. */
#include <stdlib.h>
#include <time.h>

#include "clients/when.h"
#include "tests/test.h"

#define NOW_S 1795287600 /* Saturday, 21 November 2026, 20:00 in Berlin */
#define NOW   ((int64_t)NOW_S * 1000)
#define MIN   60
#define HOUR  3600
#define DAY   86400

static void expect_at(const char *text, int64_t now_ms, int64_t seconds)
{
    struct errmsg e;
    int64_t ms = -1;

    ck_assert_msg(!when_parse(text, now_ms, &ms, &e), "%s: %s", text, e.text);
    ck_assert_msg(ms == seconds * 1000, "%s: %lld, not %lld (%lld s apart)", text,
                  (long long)ms / 1000, (long long)seconds, (long long)(ms / 1000 - seconds));
}

static void set_zone(void)
{
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1); /* no zone files needed */
    tzset();
}

START_TEST(a_date_and_a_time_are_local)
{
    expect_at("2026-11-21 20:00", NOW, NOW_S);
    expect_at("2026-11-21T20:00:30", NOW, NOW_S + 30);
    expect_at("2026-07-01 12:00", NOW, 1782900000); /* 10:00 UTC: summer time */
}
END_TEST

START_TEST(a_time_of_day_is_the_next_one)
{
    expect_at("22:00", NOW, NOW_S + 2 * HOUR);
    expect_at("19:59", NOW, NOW_S + DAY - MIN);
    expect_at("20:00", NOW, NOW_S + DAY); /* this very moment is not to come */
    expect_at("20:00", NOW - 1, NOW_S);
    expect_at("00:00:01", NOW, NOW_S + 4 * HOUR + 1);
}
END_TEST

START_TEST(the_next_time_of_day_keeps_the_wall_clock_when_summer_time_changes)
{
    /* 28 March 2026, 12:00 +01; the night of the 29th loses an hour. */
    expect_at("08:00", 1774695600000, 1774695600 + 19 * HOUR);
    /* 24 October 2026, 12:00 +02; the night of the 25th has one more. */
    expect_at("08:00", 1792836000000, 1792836000 + 21 * HOUR);
}
END_TEST

START_TEST(a_skipped_time_moves_on_with_the_clocks)
{
    expect_at("2026-03-29 01:59", NOW, 1774745940);
    expect_at("2026-03-29 02:30", NOW, 1774747800); /* 03:30 +02 */
    expect_at("2026-03-29 03:30", NOW, 1774747800);
}
END_TEST

START_TEST(of_a_time_that_comes_twice_the_first_is_meant)
{
    expect_at("2026-10-25 02:30", NOW, 1792888200); /* 00:30 UTC, still summer time */
    expect_at("2026-10-25 03:00", NOW, 1792893600);
    expect_at("02:30", 1792888200000, 1792888200 + 25 * HOUR);
}
END_TEST

START_TEST(a_span_counts_from_now)
{
    expect_at("+2h30m", NOW, NOW_S + 2 * HOUR + 30 * MIN);
    expect_at("+45s", NOW, NOW_S + 45);
    expect_at("+1d", NOW, NOW_S + DAY);
    expect_at("+1d2h3m4s", NOW, NOW_S + DAY + 2 * HOUR + 3 * MIN + 4);
    expect_at("+0s", NOW, NOW_S);
}
END_TEST

START_TEST(a_bare_number_is_unix_seconds)
{
    expect_at("1795291200", NOW, 1795291200);
    expect_at("0", NOW, 0);
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
    static const char *const BAD[] = {"",
                                      "x",
                                      "+",
                                      "+5",
                                      "+h",
                                      "+1h1h",
                                      "+1m1h",
                                      "-5",
                                      "22:00x",
                                      "24:00",
                                      "12:60",
                                      "2:00",
                                      "22:00 ",
                                      "2026-11-21",
                                      "2026-11-21 ",
                                      "+1w",
                                      "12:00:60",
                                      "12:00:",
                                      "2026-02-30 12:00",
                                      "1e9",
                                      "123456789012",
                                      "2026-13-01 12:00",
                                      "2026-00-10 12:00",
                                      "+999999999d"};
    struct errmsg e;
    int64_t ms;

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(when_parse(BAD[i], NOW, &ms, &e) == ERR_ARG, "%s was taken", BAD[i]);
}
END_TEST

START_TEST(a_window_is_two_minutes_of_the_day)
{
    struct errmsg e;
    int64_t from, to;

    ck_assert_int_eq(when_window("22:00-07:00", &from, &to, &e), ERR_OK);
    ck_assert_int_eq(from, 22 * 60);
    ck_assert_int_eq(to, 7 * 60);
    ck_assert_int_eq(when_window("12:30-24:00", &from, &to, &e), ERR_OK);
    ck_assert_int_eq(from, 12 * 60 + 30);
    ck_assert_int_eq(to, 0); /* midnight ends the day */
    ck_assert_int_eq(when_window("00:00-06:00", &from, &to, &e), ERR_OK);
    ck_assert_int_eq(from, 0);
}
END_TEST

START_TEST(what_is_no_window_is_refused)
{
    static const char *const BAD[] = {"",
                                      "22:00",
                                      "22:00-",
                                      "22-07",
                                      "22:00-22:00",
                                      "00:00-24:00",
                                      "24:00-01:00",
                                      "22:00-07:60",
                                      "22:00-07:00 ",
                                      "25:00-07:00",
                                      "24:01-02:00"};
    struct errmsg e;
    int64_t from, to;

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(when_window(BAD[i], &from, &to, &e) == ERR_ARG, "%s was taken", BAD[i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("when");
    TCase *t = tcase_create("when");

    tcase_add_checked_fixture(t, set_zone, NULL);
    tcase_add_test(t, a_date_and_a_time_are_local);
    tcase_add_test(t, a_time_of_day_is_the_next_one);
    tcase_add_test(t, the_next_time_of_day_keeps_the_wall_clock_when_summer_time_changes);
    tcase_add_test(t, a_skipped_time_moves_on_with_the_clocks);
    tcase_add_test(t, of_a_time_that_comes_twice_the_first_is_meant);
    tcase_add_test(t, a_span_counts_from_now);
    tcase_add_test(t, a_bare_number_is_unix_seconds);
    tcase_add_test(t, what_is_no_time_is_refused);
    tcase_add_test(t, a_window_is_two_minutes_of_the_day);
    tcase_add_test(t, what_is_no_window_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
