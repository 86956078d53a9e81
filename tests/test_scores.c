/* test_scores.c - kernels/scores: the fast passes against the plain ones, at each level. */
#include <math.h>
#include <string.h>

#include "kernels/scores.h"
#include "kernels/simd.h"
#include "tests/test.h"

#define MOST 5000

static const enum simd_level LEVELS[] = {SIMD_BASE, SIMD_V3, SIMD_V4};
static float x[MOST];
static uint64_t dice;

static float roll(void)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(dice >> 32) * 0x1p-31f;
}

/* Logits of n tokens, with what models and masks make of some. */
static void fill(int n, int kind)
{
    for (int i = 0; i < n; i++) {
        x[i] = roll() * (kind == 1 ? 60.0f : 9.0f);
        if (kind == 2 && i % 3) x[i] = -INFINITY;
        if (kind == 3 && i % 7 == 0) x[i] = NAN;
        if (kind == 4) x[i] = 3; /* all alike */
    }
}

static const int SIZES[] = {1, 15, 16, 17, 100, 1023, 1024, 1025, 2049, MOST};
#define N_SIZES (int)(sizeof SIZES / sizeof SIZES[0])

START_TEST(fast_passes_say_what_plain_ones_say)
{
    static int32_t a[MOST], b[MOST];
    static float v[MOST], w[MOST];

    simd_cap(LEVELS[_i]);
    for (int s = 0; s < N_SIZES; s++)
        for (int kind = 0; kind < 5; kind++) {
            const int n = SIZES[s];
            int32_t best;
            float top, scale = kind == 1 ? 0.2f : 1.4f;
            double sum;
            int found;

            fill(n, kind);
            best = scores_best(x, n);
            ck_assert_int_eq(best, scores_best_ref(x, n));
            top = x[best];
            if (!isfinite(top)) continue;
            sum = scores_sum_ref(x, n, top, scale);
            ck_assert_double_eq_tol(scores_sum(x, n, top, scale), sum, SCORES_RTOL * sum);
            scores_weights(v, x, n, top, scale);
            scores_weights_ref(w, x, n, top, scale);
            for (int i = 0; i < n; i++)
                ck_assert_float_eq_tol(v[i], w[i], SCORES_RTOL * w[i] + 1e-37f);
            for (float below = 0; below < 40; below += 3.7f) {
                found = scores_above(a, x, n, 7, top - below);
                ck_assert_int_eq(found, scores_above_ref(b, x, n, 7, top - below));
                ck_assert_mem_eq(a, b, (size_t)found * sizeof *a);
            }
        }
}
END_TEST

START_TEST(the_lowest_id_of_equals_is_best_and_a_nan_never)
{
    float few[40];

    simd_cap(LEVELS[_i]);
    for (int i = 0; i < 40; i++)
        few[i] = i == 21 || i == 33 ? 5 : i % 2 ? NAN : -1;
    ck_assert_int_eq(scores_best(few, 40), 21);
    few[21] = few[33] = -INFINITY;
    ck_assert_int_eq(scores_best(few, 40), 0);
    few[0] = NAN;
    ck_assert_int_eq(scores_best(few, 40), 2);
    for (int i = 0; i < 40; i++)
        few[i] = NAN;
    ck_assert_int_eq(scores_best(few, 40), 0);
}
END_TEST

START_TEST(a_forbidden_token_weighs_nothing)
{
    float few[] = {2, -INFINITY, NAN, -90, 1}, w[5];

    simd_cap(LEVELS[_i]);
    scores_weights(w, few, 5, 2, 1);
    ck_assert_float_eq_tol(w[0], 1, 1e-6f);
    ck_assert(w[1] == 0 && w[2] == 0 && w[3] == 0);
    ck_assert_float_gt(w[4], 0.3f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("scores");
    TCase *t = tcase_create("scores");

    tcase_add_loop_test(t, fast_passes_say_what_plain_ones_say, 0, 3);
    tcase_add_loop_test(t, the_lowest_id_of_equals_is_best_and_a_nan_never, 0, 3);
    tcase_add_loop_test(t, a_forbidden_token_weighs_nothing, 0, 3);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
