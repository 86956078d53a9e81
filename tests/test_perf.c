/* test_perf.c - the instance model: step time and memory. */
#include "schema/perf.h"
#include "tests/test.h"

static const struct perf K = {.k0 = 1, .kw = 8, .k1 = 0.5, .k2 = 0.01, .k3 = 0.25, .k4 = 0.001};

static void is_close(double got, double want)
{
    ck_assert_msg(got > want - 1e-9 && got < want + 1e-9, "%.12g, not %.12g", got, want);
}

START_TEST(below_the_knee_a_token_is_free)
{
    is_close(perf_step_ms(&K, 1, 0, 0, 0), 9);
    is_close(perf_step_ms(&K, 16, 0, 0, 0), 9); /* 0.5 * 16 = kw: the knee */
    is_close(perf_step_ms(&K, 17, 0, 0, 0), 9.5);
}
END_TEST

START_TEST(each_term_has_its_constant)
{
    is_close(perf_step_ms(&K, 0, 0, 0, 0), 1 + 8);
    is_close(perf_step_ms(&K, 20, 0, 210, 0), 1 + 0.5 * 20 + 0.01 * 210);
    is_close(perf_step_ms(&K, 0, 4, 0, 4000), 1 + 8 + 0.25 * 4 + 0.001 * 4000);
    is_close(perf_step_ms(&K, 30, 10, 465, 1000),
             1 + 0.5 * 40 + 0.01 * 465 + 0.25 * 10 + 0.001 * 1000);
}
END_TEST

START_TEST(what_is_scaled_has_steps_so_many_times_as_long)
{
    const struct perf twice = perf_scaled(&K, 2);

    is_close(perf_step_ms(&twice, 30, 10, 465, 1000), 2 * perf_step_ms(&K, 30, 10, 465, 1000));
    is_close(perf_step_ms(&twice, 1, 0, 1, 0), 2 * perf_step_ms(&K, 1, 0, 1, 0));
}
END_TEST

START_TEST(p1_more_of_anything_never_makes_a_step_shorter)
{
    const double at[4] = {12, 6, 78, 900};

    for (int i = 0; i < 4; i++) {
        double a[4] = {at[0], at[1], at[2], at[3]}, last = 0;

        for (int k = 0; k < 50; k++, a[i] += 3) {
            double t = perf_step_ms(&K, a[0], a[1], a[2], a[3]);

            ck_assert(t >= last);
            last = t;
        }
    }
}
END_TEST

START_TEST(memory_is_that_of_the_rank_with_least)
{
    const struct perf_rank ranks[2] = {{1000, 300, 100}, {1000, 400, 100}};

    ck_assert_int_eq(perf_kv_tokens(ranks, 1, 0.9, 10, 8), 50); /* (900-400)/10 */
    ck_assert_int_eq(perf_kv_tokens(ranks, 2, 0.9, 10, 8), 80); /* (900-500)/(10/2) */
    ck_assert_int_eq(perf_kv_tokens(ranks, 2, 0.9, 10, 1), 40); /* one head cannot be split */
    ck_assert_int_eq(perf_kv_tokens(ranks, 2, 0.5, 10, 8), 0);  /* the weights leave nothing */
    ck_assert_int_eq(perf_kv_tokens(ranks, 2, 0.45, 10, 8), 0); /* nor less than nothing */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("perf");
    TCase *t = tcase_create("perf");

    tcase_add_test(t, below_the_knee_a_token_is_free);
    tcase_add_test(t, each_term_has_its_constant);
    tcase_add_test(t, what_is_scaled_has_steps_so_many_times_as_long);
    tcase_add_test(t, p1_more_of_anything_never_makes_a_step_shorter);
    tcase_add_test(t, memory_is_that_of_the_rank_with_least);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
