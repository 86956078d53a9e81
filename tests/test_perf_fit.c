/* test_perf_fit.c - the instance model from samples, and as steps go by. */
#include "schema/perf_fit.h"

#include <math.h>
#include <string.h>

#include "tests/numbers.h"
#include "tests/test.h"

static const struct perf TRUE_K = {
    .k0 = 1.5, .kw = 9, .k1 = 0.11, .k2 = 0.0003, .k3 = 0.04, .k4 = 0.0007};

#define ROOM 600

struct grid {
    struct perf_sample s[ROOM];
    int n;
};

static void grid_add(struct grid *g, const struct perf *k, double p, double n, double x, double m)
{
    g->s[g->n++] = (struct perf_sample){p, n, x, m, perf_step_ms(k, p, n, x, m)};
}

/* Prompt passes, decode steps and mixed ones. */
static struct grid *grid_of(const struct perf *k)
{
    static struct grid g;

    g.n = 0;
    for (int p = 1; p <= 1024; p *= 2)
        for (int before = 0; before <= 1024; before += 512)
            grid_add(&g, k, p, 0, p * (before + 0.5 * (p + 1)), 0);
    for (int n = 1; n <= 128; n *= 2)
        for (int context = 64; context <= 2048; context *= 4)
            grid_add(&g, k, 0, n, 0, (double)n * context);
    for (int p = 16; p <= 1024; p *= 4)
        for (int n = 1; n <= 64; n *= 4)
            grid_add(&g, k, p, n, p * 0.5 * (p + 1), n * 300.0);
    return &g;
}

static const double *constants(const struct perf *k)
{
    _Static_assert(sizeof *k == 6 * sizeof(double), "six constants");
    return &k->k0;
}

static void are_close(const struct perf *a, const struct perf *b, double relative)
{
    for (int i = 0; i < 6; i++)
        ck_assert_msg(fabs(constants(a)[i] - constants(b)[i]) <= relative * constants(b)[i],
                      "constant %d: %.9g, not %.9g", i, constants(a)[i], constants(b)[i]);
}

static struct perf fitted(const struct perf_sample *s, int n)
{
    struct perf k = {0};
    struct errmsg e;

    ck_assert_msg(perf_fit(&k, PERF_ALL, s, n, &e) == ERR_OK, "%s", e.text);
    return k;
}

START_TEST(f2_samples_of_the_formula_give_its_constants_back)
{
    struct grid *g = grid_of(&TRUE_K);
    struct perf k = fitted(g->s, g->n);

    are_close(&k, &TRUE_K, 1e-5);
    ck_assert(perf_mape(&k, g->s, g->n) < 1e-4);
}
END_TEST

START_TEST(f2_a_knee_is_found_wherever_it_lies)
{
    for (double knee = 3; knee < 900; knee *= 1.37) {
        struct perf k0 = TRUE_K, k;

        k0.kw = k0.k1 * knee;
        k = fitted(grid_of(&k0)->s, grid_of(&k0)->n);
        are_close(&k, &k0, 1e-4);
    }
}
END_TEST

START_TEST(f2_a_device_without_a_knee_has_none)
{
    struct perf k0 = TRUE_K, k;
    struct grid *g;

    k0.kw = 0;
    g = grid_of(&k0);
    k = fitted(g->s, g->n);
    are_close(&k, &k0, 1e-5);
}
END_TEST

START_TEST(noise_moves_the_constants_little)
{
    struct grid *g = grid_of(&TRUE_K);
    struct perf_sample exact[ROOM];
    uint64_t seed = 5;
    struct perf k;

    memcpy(exact, g->s, sizeof exact);
    for (int i = 0; i < g->n; i++)
        g->s[i].ms *= 1 + 0.05 * (double)numbers_draw(&seed);
    k = fitted(g->s, g->n);
    ck_assert(perf_mape(&k, exact, g->n) < 1.5); /* noise of 2.5 % on the mean, over 70 samples */
    ck_assert(perf_mape(&k, g->s, g->n) < 3);
}
END_TEST

/* The weighted squares, which a fit makes least. */
static double squares(const struct perf *k, const struct perf_sample *s, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        double r = perf_step_ms(k, s[i].p, s[i].n, s[i].x, s[i].m) / s[i].ms - 1;

        sum += r * r;
    }
    return sum;
}

/* Down the squares along one constant at a time, from here. */
static double descend(struct perf k, const struct perf_sample *s, int n)
{
    double least = squares(&k, s, n), step = 0.5;

    while (step > 1e-5) {
        bool is_better = false;

        for (int i = 0; i < 6; i++)
            for (int up = 0; up < 2; up++) {
                struct perf tried = k;
                double *c = &(&tried.k0)[i], v;

                *c = up ? *c * (1 + step) + 1e-9 * step : *c / (1 + step);
                v = squares(&tried, s, n);
                if (v < least) {
                    least = v;
                    k = tried;
                    is_better = true;
                }
            }
        if (!is_better) step /= 2;
    }
    return least;
}

START_TEST(f1_no_constants_of_at_least_0_fit_better)
{
    uint64_t seed = 11;

    for (int round = 0; round < 6; round++) {
        struct perf_sample s[24];
        struct perf k;

        for (int i = 0; i < 24; i++) /* no formula behind it: some columns want to be negative */
            s[i] = (struct perf_sample){floor(100 * fabs((double)numbers_draw(&seed))),
                                        floor(20 * fabs((double)numbers_draw(&seed))),
                                        floor(900 * fabs((double)numbers_draw(&seed))),
                                        floor(900 * fabs((double)numbers_draw(&seed))),
                                        1 + 9 * fabs((double)numbers_draw(&seed))};
        k = fitted(s, 24);
        for (int i = 0; i < 6; i++)
            ck_assert(constants(&k)[i] >= 0 && isfinite(constants(&k)[i]));
        ck_assert(descend(k, s, 24) > squares(&k, s, 24) * (1 - 1e-6));
        for (int start = 0; start < 6; start++) {
            struct perf from;

            for (int i = 0; i < 6; i++)
                (&from.k0)[i] = fabs((double)numbers_draw(&seed)) * (i < 2 ? 5 : 0.1);
            ck_assert(descend(from, s, 24) > squares(&k, s, 24) * (1 - 1e-6));
        }
    }
}
END_TEST

START_TEST(f3_what_is_not_asked_for_stays)
{
    static const unsigned TERMS[] = {PERF_K0 | PERF_KW | PERF_K1, PERF_K1 | PERF_K4, PERF_K4,
                                     PERF_KW | PERF_K1 | PERF_K2, PERF_K3,           PERF_K1};
    struct grid *g = grid_of(&TRUE_K);

    for (size_t i = 0; i < sizeof TERMS / sizeof TERMS[0]; i++) {
        struct perf k = TRUE_K, start = TRUE_K;

        for (int c = 0; c < 6; c++)
            if (TERMS[i] >> c & 1) (&start.k0)[c] = 77;
        k = start;
        ck_assert_int_eq(perf_fit(&k, TERMS[i], g->s, g->n, NULL), ERR_OK);
        for (int c = 0; c < 6; c++)
            if (!(TERMS[i] >> c & 1)) ck_assert(constants(&k)[c] == constants(&TRUE_K)[c]);
        are_close(&k, &TRUE_K, 1e-4);
    }
}
END_TEST

START_TEST(decode_steps_alone_leave_a_prompts_constant_at_nothing)
{
    struct grid g = {.n = 0};
    struct perf k;

    for (int n = 1; n <= 64; n++)
        grid_add(&g, &TRUE_K, 0, n, 0, n * 100.0);
    k = fitted(g.s, g.n);
    ck_assert(k.k2 == 0);
    ck_assert(perf_mape(&k, g.s, g.n) < 1e-4);
}
END_TEST

START_TEST(the_least_mape_looks_past_steps_that_are_far_off)
{
    struct grid *g = grid_of(&TRUE_K);
    struct perf_sample exact[ROOM];
    struct perf least_squares, least_mape = {0};

    memcpy(exact, g->s, sizeof exact);
    for (int i = 3; i < g->n; i += 9)
        g->s[i].ms *= i % 2 ? 0.5 : 3; /* a clock that jumped, a machine that did something else */
    least_squares = fitted(g->s, g->n);
    ck_assert_int_eq(perf_fit_mape(&least_mape, PERF_ALL, g->s, g->n, NULL), ERR_OK);
    ck_assert(perf_mape(&least_squares, exact, g->n) > 5);
    ck_assert(perf_mape(&least_mape, exact, g->n) < 0.5);
}
END_TEST

START_TEST(f2_the_least_mape_of_exact_samples_is_0)
{
    struct grid *g = grid_of(&TRUE_K);
    struct perf k = TRUE_K;

    k.k0 = k.k1 = k.kw = 99;
    ck_assert_int_eq(perf_fit_mape(&k, PERF_K0 | PERF_KW | PERF_K1, g->s, g->n, NULL), ERR_OK);
    are_close(&k, &TRUE_K, 1e-5);
    ck_assert(k.k4 == TRUE_K.k4); /* F3 */
    ck_assert_int_eq(perf_fit_mape(&k, PERF_ALL, g->s, 5, NULL), ERR_ARG);
}
END_TEST

START_TEST(the_least_mape_is_not_above_that_of_the_least_squares)
{
    uint64_t seed = 8;

    for (int round = 0; round < 60; round++) {
        struct grid *g = grid_of(&TRUE_K);
        struct perf a, b = {0};

        g->n = 9; /* so few that the rounds jump from one model to another */
        for (int i = 0; i < g->n; i++) {
            g->s[i] = g->s[(int)(30 * fabs((double)numbers_draw(&seed)))];
            g->s[i].ms = 1 + 9 * fabs((double)numbers_draw(&seed));
        }
        a = fitted(g->s, g->n);
        ck_assert_int_eq(perf_fit_mape(&b, PERF_ALL, g->s, g->n, NULL), ERR_OK);
        ck_assert(perf_mape(&b, g->s, g->n) <= perf_mape(&a, g->s, g->n));
        for (int i = 0; i < 6; i++)
            ck_assert(constants(&b)[i] >= 0 && isfinite(constants(&b)[i])); /* F1 */
    }
}
END_TEST

START_TEST(bad_samples_are_named)
{
    struct grid *g = grid_of(&TRUE_K);
    struct perf k = {0};
    struct errmsg e;

    ck_assert_int_eq(perf_fit(&k, PERF_ALL, g->s, 5, &e), ERR_ARG);
    ck_assert_str_eq(e.text, "5 samples of steps for 6 constants");
    ck_assert_int_eq(perf_fit(&k, 0, g->s, 0, &e), ERR_ARG);
    ck_assert_int_eq(perf_fit(&k, PERF_KW, g->s, 9, &e), ERR_ARG);
    g->s[3].ms = 0;
    ck_assert_int_eq(perf_fit(&k, PERF_ALL, g->s, g->n, &e), ERR_ARG);
    ck_assert(strstr(e.text, "sample 4 of") && strstr(e.text, "0 ms"));
    g->s[3].ms = NAN;
    ck_assert_int_eq(perf_fit(&k, PERF_ALL, g->s, g->n, &e), ERR_ARG);
    g->s[3].ms = 1;
    g->s[6].x = -2;
    ck_assert_int_eq(perf_fit(&k, PERF_ALL, g->s, g->n, &e), ERR_ARG);
    ck_assert(strstr(e.text, "sample 7 of") && strstr(e.text, "x is -2"));
    g->s[6].x = HUGE_VAL;
    ck_assert_int_eq(perf_fit(&k, PERF_ALL, g->s, g->n, &e), ERR_ARG);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("perf_fit");
    TCase *t = tcase_create("fit");

    suite_add_tcase(s, t);
    tcase_add_test(t, f2_samples_of_the_formula_give_its_constants_back);
    tcase_add_test(t, f2_a_knee_is_found_wherever_it_lies);
    tcase_add_test(t, f2_a_device_without_a_knee_has_none);
    tcase_add_test(t, noise_moves_the_constants_little);
    tcase_add_test(t, f1_no_constants_of_at_least_0_fit_better);
    tcase_add_test(t, f3_what_is_not_asked_for_stays);
    tcase_add_test(t, decode_steps_alone_leave_a_prompts_constant_at_nothing);
    tcase_add_test(t, the_least_mape_looks_past_steps_that_are_far_off);
    tcase_add_test(t, f2_the_least_mape_of_exact_samples_is_0);
    tcase_add_test(t, the_least_mape_is_not_above_that_of_the_least_squares);
    tcase_add_test(t, bad_samples_are_named);
    return s;
}

TEST_MAIN(suite)
