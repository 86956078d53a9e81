/* test_predict.c - how long an answer will be. */
#include <math.h>

#include "broker/predict.h"
#include "tests/test.h"

static struct predict *p;
static uint64_t state = 5;

static void setup(void)
{
    ck_assert_int_eq(predict_open(&p), ERR_OK);
}

static void teardown(void)
{
    predict_close(&p);
}

static double draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(state >> 33) + 0.5) / 2147483648.0;
}

static void add_n(int64_t batch, int32_t prompt, int32_t output, int n)
{
    while (n--)
        predict_add(p, batch, prompt, output);
}

static double mean_of(int64_t batch, int32_t prompt, int32_t max)
{
    return predict_ask(p, batch, prompt, max).mean;
}

START_TEST(nothing_seen_is_a_guess_within_max_tokens)
{
    ck_assert(mean_of(1, 100, 0) > 1);
    ck_assert(mean_of(1, 100, 16) <= 16); /* PR1 */
    ck_assert(predict_ask(p, 1, 100, 16).high <= 16);
    ck_assert(mean_of(1, 100, 1) >= 1);
}
END_TEST

START_TEST(many_answers_of_a_batch_decide_alone)
{
    add_n(2, 100, 1000, 400);
    add_n(1, 100, 50, 200);
    ck_assert_double_eq_tol(mean_of(1, 100, 0), 50, 8); /* PR3 */
    ck_assert_double_eq_tol(mean_of(2, 100, 0), 1000, 10);
    add_n(1, 100, 50, 2000);
    ck_assert_double_eq_tol(mean_of(1, 100, 0), 50, 2);
}
END_TEST

START_TEST(few_answers_lean_on_the_wider_group)
{
    double m;

    add_n(1, 3000, 20, 300);
    m = mean_of(1, 100, 0); /* no such prompt in the batch: its others */
    ck_assert_double_eq_tol(m, 20, 10);
    add_n(1, 100, 500, 2);
    m = mean_of(1, 100, 0);
    ck_assert(m > 60 && m < 400);
    ck_assert_double_eq_tol(mean_of(7, 3000, 0), 20, 15); /* a new batch: all batches */
}
END_TEST

START_TEST(prompts_a_quarter_octave_apart_are_told_apart)
{
    add_n(1, 1200, 80, 300);
    add_n(1, 1300, 400, 300);
    ck_assert_double_eq_tol(mean_of(1, 1200, 0), 80, 20);
    ck_assert_double_eq_tol(mean_of(1, 1300, 0), 400, 20);
}
END_TEST

START_TEST(prompts_of_another_length_have_answers_of_another_length)
{
    for (int k = 0; k < 300; k++) {
        predict_add(p, 1, 100, 10);
        predict_add(p, 1, 4000, 900);
    }
    ck_assert_double_eq_tol(mean_of(1, 100, 0), 10, 15);
    ck_assert_double_eq_tol(mean_of(1, 4000, 0), 900, 30);
}
END_TEST

START_TEST(the_mean_is_that_of_what_was_drawn)
{
    double sum = 0, sum_cut = 0;
    int n = 500;

    for (int k = 0; k < n; k++) {
        int32_t x = 1 + (int32_t)(-200 * log(draw()));

        sum += x;
        sum_cut += x < 150 ? x : 150;
        predict_add(p, 1, 100, x);
    }
    ck_assert_double_eq_tol(mean_of(1, 100, 0) / (sum / n), 1, 0.05);
    ck_assert_double_eq_tol(mean_of(1, 100, 150) / (sum_cut / n), 1, 0.05); /* PR1: cut, not lost */
}
END_TEST

START_TEST(nine_of_ten_answers_are_not_longer_than_high)
{
    int longer = 0;

    for (int k = 0; k < 4000; k++)
        predict_add(p, 1, 100, 1 + (int32_t)(1000 * draw()));
    for (int k = 0; k < 4000; k++)
        longer += 1 + 1000 * draw() > predict_ask(p, 1, 100, 0).high;
    ck_assert_int_ge(longer, 100);
    ck_assert_int_le(longer, 800);
}
END_TEST

START_TEST(what_is_long_already_is_expected_to_be_longer)
{
    for (int k = 0; k < 400; k++)
        predict_add(p, 1, 100, k % 10 ? 10 : 600);
    ck_assert(predict_beyond(p, 1, 100, 0, 5) < 120);
    ck_assert_double_eq_tol(predict_beyond(p, 1, 100, 0, 50), 600, 60);
    ck_assert_double_eq_tol(predict_beyond(p, 1, 100, 300, 50), 300, 20); /* PR1 */
    ck_assert(predict_beyond(p, 1, 100, 0, 5000) >= 5000);
    ck_assert(predict_beyond(p, 9, 100, 0, 1) >= 1);
}
END_TEST

START_TEST(old_answers_are_forgotten)
{
    add_n(1, 100, 1000, 5000);
    add_n(1, 100, 10, 5000);
    ck_assert_double_eq_tol(mean_of(1, 100, 0), 10, 20);
}
END_TEST

START_TEST(the_same_answers_give_the_same_prediction)
{
    struct predict *other;

    ck_assert_int_eq(predict_open(&other), ERR_OK);
    for (int k = 0; k < 3000; k++) {
        int64_t batch = 1 + (int64_t)(5 * draw());
        int32_t prompt = 1 + (int32_t)(5000 * draw()), output = 1 + (int32_t)(700 * draw());

        predict_add(p, batch, prompt, output);
        predict_add(other, batch, prompt, output);
        if (k % 7) continue;
        ck_assert_double_eq(predict_ask(p, batch, prompt, 300).mean, /* PR2 */
                            predict_ask(other, batch, prompt, 300).mean);
    }
    predict_close(&other);
}
END_TEST

START_TEST(of_too_many_batches_the_oldest_goes)
{
    add_n(1, 100, 1000, 200);
    for (int64_t b = 2; b <= PREDICT_BATCHES; b++)
        add_n(b, 100, 10, 20);
    add_n(1, 100, 1000, 1); /* seen again */
    add_n(PREDICT_BATCHES + 1, 100, 10, 20);
    ck_assert(mean_of(1, 100, 0) > 700);
    add_n(2, 100, 2000, 1); /* gone, and here again: as if new */
    ck_assert(mean_of(2, 100, 0) > 100);
    for (int64_t b = 1000; b <= 1000 + PREDICT_BATCHES; b++)
        add_n(b, 100, 10, 20);
    ck_assert(mean_of(1, 100, 0) < 200);
}
END_TEST

START_TEST(lengths_at_the_limits_are_counted)
{
    add_n(1, INT32_MAX, INT32_MAX, 3);
    add_n(1, 0, 0, 3);
    add_n(0, -1, -1, 3);
    ck_assert(isfinite(mean_of(1, INT32_MAX, 0)));
    ck_assert(mean_of(1, 0, 0) >= 1); /* PR1 */
    ck_assert(predict_ask(p, 0, 0, INT32_MAX).high <= INT32_MAX);
}
END_TEST

static Suite *suite(void)
{
    Suite *x = suite_create("predict");
    TCase *t = tcase_create("predict");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, nothing_seen_is_a_guess_within_max_tokens);
    tcase_add_test(t, many_answers_of_a_batch_decide_alone);
    tcase_add_test(t, few_answers_lean_on_the_wider_group);
    tcase_add_test(t, prompts_a_quarter_octave_apart_are_told_apart);
    tcase_add_test(t, prompts_of_another_length_have_answers_of_another_length);
    tcase_add_test(t, the_mean_is_that_of_what_was_drawn);
    tcase_add_test(t, nine_of_ten_answers_are_not_longer_than_high);
    tcase_add_test(t, what_is_long_already_is_expected_to_be_longer);
    tcase_add_test(t, old_answers_are_forgotten);
    tcase_add_test(t, the_same_answers_give_the_same_prediction);
    tcase_add_test(t, of_too_many_batches_the_oldest_goes);
    tcase_add_test(t, lengths_at_the_limits_are_counted);
    suite_add_tcase(x, t);
    return x;
}

TEST_MAIN(suite)
