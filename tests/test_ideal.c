/* test_ideal.c - the bounds that scheduling is measured against, by cases worked out by hand. */
#include <math.h>
#include <stdlib.h>

#include "bench/ideal.h"
#include "bench/lp.h"
#include "tests/test.h"

#define NEAR(a, b) ck_assert_double_eq_tol((a), (b), 1e-4 * fabs(b) + 1e-12)

static double time_of(const struct ideal_kind *k, int nk, const struct ideal_row *r, size_t nr)
{
    double s, gap;

    ck_assert_int_eq(ideal_time(&s, &gap, k, nk, r, nr), ERR_OK);
    ck_assert_double_le(gap, 1e-3);
    return s;
}

static double rest_of(const struct ideal_kind *k, int nk, const struct ideal_row *r, size_t nr)
{
    double s;

    ck_assert_int_eq(ideal_rest(&s, k, nk, r, nr), ERR_OK);
    return s;
}

static struct ideal_row row(double n, int prompt, int output)
{
    return (struct ideal_row){.n = n, .prompt = prompt, .output = output, .where = IDEAL_NOWHERE};
}

START_TEST(a_program_of_two_by_two_has_its_corner)
{
    /* 3x + 5y over x <= 4, 2y <= 12, 3x + 2y <= 18 is 36 at (2, 6). */
    const double a[] = {1, 0, 0, 2, 3, 2}, b[] = {4, 12, 18}, c[] = {3, 5}, free_x[] = {-1, 1};
    double x[2], v;

    ck_assert_int_eq(lp_maximise(3, 2, a, b, c, x, &v), ERR_OK);
    ck_assert_double_eq_tol(v, 36, 1e-6);
    ck_assert_double_eq_tol(x[0], 2, 1e-6);
    ck_assert_double_eq_tol(x[1], 6, 1e-6);
    ck_assert_int_eq(lp_maximise(1, 2, free_x, b, c, x, &v), ERR_ARG); /* x grows for ever */
}
END_TEST

START_TEST(two_speeds_share_by_their_speed)
{
    /* Only tokens cost: 1 ms and 3.45 ms; a row is 10 + 9 of them.  1000 rows. */
    const struct ideal_kind k[] = {{.perf = {.k1 = 1}, .seconds = 1},
                                   {.perf = {.k1 = 3.45}, .seconds = 1}};
    const struct ideal_row r = row(1000, 10, 10);
    const double alone = 1000 * 19 * 1e-3;
    double even;

    NEAR(time_of(k, 2, &r, 1), alone / (1 + 1 / 3.45));
    ck_assert_int_eq(ideal_even(&even, k, 2, &r, 1), ERR_OK);
    NEAR(even, 3.45 * alone / 2);
    /* The ratio that the first paper tells: 122.5 % more. */
    NEAR(even / time_of(k, 2, &r, 1), 2.225);
}
END_TEST

START_TEST(kv_memory_decides_how_many_run_at_once)
{
    /* k0 = 10 ms a step.  A row holds 100 tokens in the step of its prompt, 101 and 102 in its two
     * others: 303; 400 tokens fit; so 303 / 400 steps a row at least. */
    struct ideal_kind k = {.perf = {.k0 = 10}, .kv_tokens = 400, .seconds = 1};
    const struct ideal_row r = row(200, 100, 3);

    NEAR(time_of(&k, 1, &r, 1), 200 * 303.0 / 400 * 10e-3);
    k.max_num_seqs = 2; /* three steps of two: 1.5 steps a row */
    NEAR(time_of(&k, 1, &r, 1), 200 * 1.5 * 10e-3);
    k.max_batched_tokens = 50; /* the prompt takes two steps, 50 and 100 tokens held: 4 steps */
    NEAR(time_of(&k, 1, &r, 1), 200 * fmax(2.0, 102.0 / 50) * 10e-3);
    k.seconds = 4;
    NEAR(time_of(&k, 1, &r, 1), 50 * fmax(2.0, 102.0 / 50) * 10e-3);
}
END_TEST

START_TEST(every_term_of_a_step_counts)
{
    /* One row alone, prompt 4, answer 3, all steps its own: a prompt's step, two of one token.
     * x = 1+2+3+4, n = 2, m = 5 + 6. */
    const struct perf f = {.k0 = 1, .kw = 5, .k1 = 2, .k2 = 0.1, .k3 = 0.2, .k4 = 0.3};
    const struct ideal_kind k = {.perf = f, .max_num_seqs = 1, .seconds = 1};
    const struct ideal_row r = row(1, 4, 3);
    const double ms =
        perf_step_ms(&f, 4, 0, 10, 0) + perf_step_ms(&f, 0, 1, 0, 5) + perf_step_ms(&f, 0, 1, 0, 6);

    NEAR(ideal_alone(&k, &r, false), ms * 1e-3);
    /* The bound knows the sums only: max(kw*3, k1*6) for the three maxima. */
    NEAR(time_of(&k, 1, &r, 1), (3 + 15 + 0.1 * 10 + 0.2 * 2 + 0.3 * 11) * 1e-3);
}
END_TEST

START_TEST(each_instance_takes_what_it_is_best_at)
{
    /* The first is good at prompts, the second at answers: 100 rows of each kind, 1 s where they
     * suit, 4 s where they do not.  (k2*x of one prompt of 2000: x = 2001000.) */
    const double x = 2001000, n = 999;
    const struct ideal_kind k[] = {{.perf = {.k2 = 10 / x, .k3 = 40 / n}, .seconds = 1},
                                   {.perf = {.k2 = 40 / x, .k3 = 10 / n}, .seconds = 1}};
    const struct ideal_row r[] = {row(100, 2000, 1), row(100, 1, 1000)};

    NEAR(time_of(k, 2, r, 2), 1.0);
}
END_TEST

START_TEST(a_row_runs_only_where_it_fits)
{
    const struct ideal_kind k[] = {{.perf = {.k1 = 1}, .kv_tokens = 100, .seconds = 1},
                                   {.perf = {.k1 = 10}, .kv_tokens = 1000, .seconds = 1}};
    const struct ideal_row big = row(1, 500, 1), huge = row(1, 5000, 1);
    double s;

    NEAR(time_of(k, 2, &big, 1), 5.0);
    ck_assert_int_eq(ideal_time(&s, NULL, k, 2, &huge, 1), ERR_ARG);
    ck_assert_double_lt(ideal_alone(&k[0], &big, false), 0);
}
END_TEST

START_TEST(spans_of_time_give_the_share_that_can_be_done)
{
    /* 1000 rows of 1 s; 300 s of instances: three tenths of them. */
    const struct ideal_kind k[] = {{.perf = {.k1 = 100}, .seconds = 200},
                                   {.perf = {.k1 = 100}, .seconds = 100}};
    const struct ideal_row r = row(1000, 10, 1);

    NEAR(1 / time_of(k, 2, &r, 1), 0.3);
}
END_TEST

START_TEST(what_is_cached_is_not_computed)
{
    const struct ideal_kind k = {.perf = {.k1 = 1}, .seconds = 1};
    struct ideal_row r = row(10, 100, 1);

    r.cached = 60;
    NEAR(time_of(&k, 1, &r, 1), 0.4);
    r.cached = 100; /* one token at least: its logits are wanted */
    NEAR(time_of(&k, 1, &r, 1), 0.01);
}
END_TEST

START_TEST(the_rest_of_a_row_goes_on_where_it_is)
{
    /* 10 ms a step on the one that holds it, 4 on the other: 20 steps are left of 100. */
    const struct ideal_kind k[] = {{.perf = {.k0 = 10}, .max_num_seqs = 8, .seconds = 1},
                                   {.perf = {.k0 = 4}, .max_num_seqs = 8, .seconds = 1}};
    struct ideal_row r = row(1, 10, 100);

    r.where = 0;
    r.made = 80;
    r.has = 89;
    NEAR(rest_of(k, 2, &r, 1), 0.2);
    r.made = 30;
    r.has = 39; /* 70 steps here, or all 100 over there: a copy ends sooner */
    NEAR(rest_of(k, 2, &r, 1), 0.4);
}
END_TEST

START_TEST(what_has_begun_is_in_the_way_of_what_begins)
{
    /* Ten steps are left of a row with 1000 tokens in KV, which takes 1 ms a token to read; the
     * other one's hundred steps begin with these.  m: 1000 + ... + 1009, and 2 + ... + 100. */
    const struct ideal_kind k = {
        .perf = {.k0 = 1, .k4 = 1}, .max_num_seqs = 8, .kv_tokens = 1e6, .seconds = 1};
    struct ideal_row r[] = {row(1, 900, 110), row(1, 1, 100)};

    r[0].where = 0;
    r[0].made = 100;
    r[0].has = 999;
    NEAR(rest_of(&k, 1, r, 2), (100 + 10045 + 5049) * 1e-3);
    r[0].made = 108; /* two steps: what is read after them is its own */
    r[0].has = 1007;
    NEAR(rest_of(&k, 1, r, 2), (100 + 1008 + 1009 + 5049) * 1e-3);
}
END_TEST

START_TEST(the_last_row_is_bound_by_its_own_length)
{
    /* One row of 1000 steps at 1 ms, and 100 of 10: fluid, it would be 0.25 s on two. */
    const struct ideal_kind k[] = {{.perf = {.k0 = 1}, .max_num_seqs = 4, .seconds = 1},
                                   {.perf = {.k0 = 2}, .max_num_seqs = 4, .seconds = 1}};
    const struct ideal_row r[] = {row(1, 1, 1000), row(100, 1, 10)};

    NEAR(rest_of(k, 2, r, 2), 1.0);
}
END_TEST

START_TEST(work_that_only_one_can_end_in_time_crowds_it)
{
    /* Ten rows of 100 steps, one at a time: 1 s on the first, 10 s on the second for each.  To be
     * done in under 10 s all must be on the first: 10 s. */
    const struct ideal_kind k[] = {{.perf = {.k0 = 10}, .max_num_seqs = 1, .seconds = 1},
                                   {.perf = {.k0 = 100}, .max_num_seqs = 1, .seconds = 1}};
    const struct ideal_row r = row(10, 1, 100);

    NEAR(time_of(k, 2, &r, 1), 10 / 1.1);
    NEAR(rest_of(k, 2, &r, 1), 10.0);
}
END_TEST

/* Any way of giving out whole rows, one at a time, ends no sooner (I1). */
START_TEST(no_assignment_by_brute_force_is_faster)
{
    unsigned seed = 1;

    for (int round = 0; round < 200; round++) {
        struct ideal_kind k[2];
        struct ideal_row r[6];
        double least = INFINITY;

        for (int i = 0; i < 2; i++) {
            k[i] = (struct ideal_kind){.max_num_seqs = 1, .kv_tokens = 500, .seconds = 1};
            k[i].perf = (struct perf){.k0 = 1 + rand_r(&seed) % 9,
                                      .kw = rand_r(&seed) % 20,
                                      .k1 = 0.1 * (rand_r(&seed) % 10),
                                      .k2 = 0.001 * (rand_r(&seed) % 10),
                                      .k3 = 0.1 * (rand_r(&seed) % 10),
                                      .k4 = 0.01 * (rand_r(&seed) % 10)};
        }
        for (int i = 0; i < 6; i++)
            r[i] = row(1, 1 + rand_r(&seed) % 100, 1 + rand_r(&seed) % 50);
        for (int set = 0; set < 64; set++) {
            double s[2] = {0, 0};

            for (int i = 0; i < 6; i++)
                s[set >> i & 1] += ideal_alone(&k[set >> i & 1], &r[i], false);
            least = fmin(least, fmax(s[0], s[1]));
        }
        ck_assert_double_le(time_of(k, 2, r, 6), least * (1 + 1e-9));
        ck_assert_double_le(rest_of(k, 2, r, 6), least * (1 + 1e-4));
        ck_assert_double_ge(time_of(k, 2, r, 6), 0.4 * least); /* and it is no empty one */
    }
}
END_TEST

START_TEST(more_work_is_never_sooner_done) /* I2 */
{
    struct ideal_kind k[] = {{.perf = {.k0 = 20, .k1 = 0.1, .k4 = 1e-4},
                              .kv_tokens = 20000,
                              .max_num_seqs = 64,
                              .max_batched_tokens = 2048,
                              .seconds = 3},
                             {.perf = {.k0 = 50, .k1 = 0.02, .k4 = 2e-4},
                              .kv_tokens = 9000,
                              .max_num_seqs = 32,
                              .max_batched_tokens = 2048,
                              .seconds = 1}};
    struct ideal_row r[40];
    double before;

    for (int i = 0; i < 40; i++)
        r[i] = row(100, 50 + 100 * (i % 8), 10 + 50 * (i / 8));
    before = time_of(k, 2, r, 39);
    ck_assert_double_gt(time_of(k, 2, r, 40), before);
    k[1].perf.k0 = 60;
    ck_assert_double_ge(time_of(k, 2, r, 39), before * (1 - 1e-5));
    k[0].seconds = 2;
    ck_assert_double_gt(time_of(k, 2, r, 39), before);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ideal");
    TCase *t = tcase_create("ideal");

    tcase_add_test(t, a_program_of_two_by_two_has_its_corner);
    tcase_add_test(t, two_speeds_share_by_their_speed);
    tcase_add_test(t, kv_memory_decides_how_many_run_at_once);
    tcase_add_test(t, every_term_of_a_step_counts);
    tcase_add_test(t, each_instance_takes_what_it_is_best_at);
    tcase_add_test(t, a_row_runs_only_where_it_fits);
    tcase_add_test(t, spans_of_time_give_the_share_that_can_be_done);
    tcase_add_test(t, what_is_cached_is_not_computed);
    tcase_add_test(t, the_rest_of_a_row_goes_on_where_it_is);
    tcase_add_test(t, what_has_begun_is_in_the_way_of_what_begins);
    tcase_add_test(t, the_last_row_is_bound_by_its_own_length);
    tcase_add_test(t, work_that_only_one_can_end_in_time_crowds_it);
    tcase_add_test(t, no_assignment_by_brute_force_is_faster);
    tcase_add_test(t, more_work_is_never_sooner_done);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
