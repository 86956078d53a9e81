/* test_schedule_rows.c - how many rows an instance is given now. */
#include "broker/schedule.h"
#include "tests/test.h"

/* An instance alone, with enough of everything. */
static struct schedule_ask alone(void)
{
    return (struct schedule_ask){.n_instances = 1, .backlog = 100000, .want = 100000, .step = 16};
}

START_TEST(who_wants_nothing_or_when_there_is_nothing_gets_nothing)
{
    struct schedule_ask a = alone();

    a.want = 0;
    ck_assert_int_eq(schedule_rows(&a), 0);
    a.want = -5;
    ck_assert_int_eq(schedule_rows(&a), 0);
    a = alone();
    a.backlog = 0;
    ck_assert_int_eq(schedule_rows(&a), 0);
    a.backlog = -1;
    ck_assert_int_eq(schedule_rows(&a), 0);
}
END_TEST

START_TEST(an_unknown_instance_begins_with_one_step)
{
    struct schedule_ask a = alone();

    ck_assert_int_eq(schedule_rows(&a), 16);
}
END_TEST

START_TEST(a_known_instance_is_topped_up_to_seconds_of_its_work)
{
    struct schedule_ask a = alone();

    a.rows_per_s = a.total_rows_per_s = 100;
    ck_assert_int_eq(schedule_rows(&a), 400);
    a.held = 150;
    ck_assert_int_eq(schedule_rows(&a), 250);
    a.held = 400;
    ck_assert_int_eq(schedule_rows(&a), 0);
    a.held = 5000;
    ck_assert_int_eq(schedule_rows(&a), 0);
    a.held = 0;
    a.rows_per_s = a.total_rows_per_s = 0.5; /* never less than it runs at once */
    ck_assert_int_eq(schedule_rows(&a), 16);
}
END_TEST

START_TEST(the_last_rows_are_divided_by_speed)
{
    struct schedule_ask a = alone();

    a.backlog = 10, a.n_instances = 2;
    a.rows_per_s = 90, a.total_rows_per_s = 100;
    ck_assert_int_eq(schedule_rows(&a), 9);
    a.rows_per_s = 10;
    ck_assert_int_eq(schedule_rows(&a), 1);
    a.held = 1; /* the slow one has its part already */
    ck_assert_int_eq(schedule_rows(&a), 0);
}
END_TEST

START_TEST(an_idle_instance_always_gets_one)
{
    struct schedule_ask a = alone();

    a.backlog = 1, a.n_instances = 50;
    ck_assert_int_eq(schedule_rows(&a), 1);
    a.rows_per_s = 0.001, a.total_rows_per_s = 1000;
    ck_assert_int_eq(schedule_rows(&a), 1);
    a.n_instances = 0;
    ck_assert_int_eq(schedule_rows(&a), 1);
}
END_TEST

START_TEST(a_grant_is_never_more_than_wanted_or_there)
{
    uint64_t r = 3;

    for (int i = 0; i < 20000; i++) {
        struct schedule_ask a;
        int64_t n, v[7];

        for (int k = 0; k < 7; k++) {
            r = r * 6364136223846793005u + 1442695040888963407u;
            v[k] = (int64_t)(r >> 40) % (k % 2 ? 50 : 5000);
        }
        a = (struct schedule_ask){.rows_per_s = (double)v[0] / 10,
                                  .total_rows_per_s = (double)(v[0] + v[1]) / 10,
                                  .n_instances = v[2] % 9,
                                  .backlog = v[3],
                                  .held = v[4],
                                  .want = v[5],
                                  .step = v[6] % 64};
        n = schedule_rows(&a);
        ck_assert(n >= 0 && (n == 0 || (n <= a.want && n <= a.backlog)));
        ck_assert(n > 0 || a.held > 0 || a.want <= 0 || a.backlog <= 0); /* nobody idles */
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("schedule_rows");
    TCase *t = tcase_create("schedule");

    tcase_add_test(t, who_wants_nothing_or_when_there_is_nothing_gets_nothing);
    tcase_add_test(t, an_unknown_instance_begins_with_one_step);
    tcase_add_test(t, a_known_instance_is_topped_up_to_seconds_of_its_work);
    tcase_add_test(t, the_last_rows_are_divided_by_speed);
    tcase_add_test(t, an_idle_instance_always_gets_one);
    tcase_add_test(t, a_grant_is_never_more_than_wanted_or_there);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
