/* test_perf_live.c - the instance model as steps go by: devices that change, and devices that only
 * scatter. */
#include <math.h>

#include "schema/perf_fit.h"
#include "tests/numbers.h"
#include "tests/test.h"

static const struct perf START = {
    .k0 = 1.5, .kw = 9, .k1 = 0.11, .k2 = 0.0003, .k3 = 0.04, .k4 = 0.0007};

struct device {
    struct perf_live *l;
    struct perf is; /* what it really does */
    double noise;   /* times up to 1 + noise, and 1 - noise, of the formula */
    bool decodes_only;
    uint64_t seed;
    int steps, drifted_at; /* 0: never */
};

static void device_open(struct device *d)
{
    *d = (struct device){.is = START, .noise = 0.1, .seed = 3};
    ck_assert_int_eq(perf_live_open(&d->l, &START), ERR_OK);
}

static struct perf slower(const struct perf *k, double by)
{
    return (struct perf){k->k0 * by, k->kw * by, k->k1 * by, k->k2 * by, k->k3 * by, k->k4 * by};
}

static double even(struct device *d, double most)
{
    return floor(most * fabs((double)numbers_draw(&d->seed)));
}

/* A step of a batch under way: now and then a part of a prompt comes along. */
static struct perf_sample step(struct device *d)
{
    struct perf_sample s = {.n = 1 + even(d, 96)};

    if (!d->decodes_only && even(d, 4) == 0) {
        s.p = 1 + even(d, 512);
        s.x = s.p * (even(d, 500) + (s.p + 1) / 2);
    }
    s.m = s.n * (50 + even(d, 1000));
    s.ms =
        perf_step_ms(&d->is, s.p, s.n, s.x, s.m) * (1 + d->noise * (double)numbers_draw(&d->seed));
    return s;
}

static void steps(struct device *d, int n)
{
    for (int i = 0; i < n; i++) {
        struct perf_sample s = step(d);

        perf_live_add(d->l, &s);
        d->steps++;
        if (perf_live_drifted(d->l) && !d->drifted_at) d->drifted_at = d->steps;
    }
}

/* Of the model as of now against what the device really does, without noise. */
static double error_now(struct device *d)
{
    struct perf k;
    double a, b, noise = d->noise;
    struct perf_sample s[500];

    perf_live_get(d->l, &k, &a, &b);
    d->noise = 0;
    for (int i = 0; i < 500; i++)
        s[i] = step(d);
    d->noise = noise;
    return perf_mape(&k, s, 500);
}

START_TEST(a_device_that_does_as_it_was_measured_never_drifts)
{
    struct device d;

    device_open(&d);
    steps(&d, 20000);
    ck_assert_int_eq(d.drifted_at, 0);
    ck_assert_msg(error_now(&d) < 2, "%g", error_now(&d));
    perf_live_close(&d.l);
}
END_TEST

START_TEST(a_device_that_only_scatters_never_drifts)
{
    struct device d;
    struct perf k;
    double mape, refit;

    device_open(&d);
    d.noise = 0.7;
    steps(&d, 20000);
    perf_live_get(d.l, &k, &mape, &refit);
    ck_assert(mape > PERF_LIVE_DRIFT);
    ck_assert_int_eq(d.drifted_at, 0);
    perf_live_close(&d.l);
}
END_TEST

START_TEST(a_device_that_slows_by_40_percent_drifts_and_is_refitted_within_600_steps)
{
    struct device d;

    device_open(&d);
    steps(&d, 10000);
    ck_assert_int_eq(d.drifted_at, 0);
    d.is = slower(&START, 1 / 0.6);
    steps(&d, 600);
    ck_assert_msg(d.drifted_at > 10000 && d.drifted_at <= 10300, "drifted at %d", d.drifted_at);
    ck_assert_msg(error_now(&d) < 2, "%g", error_now(&d));
    perf_live_close(&d.l);
}
END_TEST

START_TEST(times_that_grow_by_40_percent_are_a_drift_too)
{
    struct device d;

    device_open(&d);
    steps(&d, 10000);
    d.is = slower(&START, 1.4);
    steps(&d, 1000);
    ck_assert_msg(d.drifted_at > 10000, "drifted at %d", d.drifted_at);
    ck_assert_msg(error_now(&d) < 1.25, "%g", error_now(&d));
    perf_live_close(&d.l);
}
END_TEST

START_TEST(a_drift_holds_until_the_error_is_small_again)
{
    struct device d;

    device_open(&d);
    d.is = slower(&START, 2);
    steps(&d, 1000);
    ck_assert(perf_live_drifted(d.l));
    d.is = slower(&START, 1.2); /* 17 %: under the bound, over half of it */
    steps(&d, 1000);
    ck_assert(perf_live_drifted(d.l));
    ck_assert_msg(error_now(&d) < 1, "%g", error_now(&d));
    d.is = START;
    steps(&d, 1000);
    ck_assert(!perf_live_drifted(d.l));
    ck_assert_msg(error_now(&d) < 1, "%g", error_now(&d));
    d.is = slower(&START, 1.2); /* the same from below is none */
    steps(&d, 3000);
    ck_assert(!perf_live_drifted(d.l));
    perf_live_close(&d.l);
}
END_TEST

START_TEST(a_small_change_is_followed_without_a_drift)
{
    struct device d;

    device_open(&d);
    steps(&d, 10 * PERF_LIVE_HALF);
    d.is = slower(&START, 1.2);
    steps(&d, 3 * PERF_LIVE_HALF);
    ck_assert_int_eq(d.drifted_at, 0);
    ck_assert_msg(error_now(&d) < 6, "%g", error_now(&d));
    perf_live_close(&d.l);
}
END_TEST

START_TEST(what_live_steps_do_not_show_stays_as_it_was_measured)
{
    const struct perf_sample prompt = {.p = 512, .x = 512 * 513 / 2.0};
    struct device d;
    struct perf k;
    double mape, refit, was = perf_step_ms(&START, prompt.p, 0, prompt.x, 0), now;

    device_open(&d);
    d.decodes_only = true;
    steps(&d, 20000);
    perf_live_get(d.l, &k, &mape, &refit);
    now = perf_step_ms(&k, prompt.p, 0, prompt.x, 0);
    ck_assert_msg(fabs(now / was - 1) < 0.05, "%g, not %g", now, was);
    d.is = slower(&START, 2); /* and slows with the rest */
    steps(&d, 1000);
    perf_live_get(d.l, &k, &mape, &refit);
    now = perf_step_ms(&k, prompt.p, 0, prompt.x, 0);
    ck_assert_msg(fabs(now / was - 2) < 0.05, "%g, not %g", now, 2 * was);
    perf_live_close(&d.l);
}
END_TEST

START_TEST(errors_are_told_after_the_least_steps)
{
    struct device d;
    struct perf k;
    double mape, refit;

    device_open(&d);
    d.is = slower(&START, 1.25);
    d.noise = 0;
    steps(&d, PERF_LIVE_LEAST - 1);
    perf_live_get(d.l, &k, &mape, &refit);
    ck_assert(mape < 0 && refit < 0);
    steps(&d, 1);
    perf_live_get(d.l, &k, &mape, &refit);
    ck_assert(fabs(mape - 20) < 1e-9);
    ck_assert(refit >= 0 && refit < mape);
    perf_live_close(&d.l);
}
END_TEST

START_TEST(a_start_that_nobody_measured_is_learned)
{
    const struct perf_sample bad[] = {{1, 1, 1, 1, 0}, {1, 1, 1, 1, NAN}, {1, HUGE_VAL, 1, 1, 1}};
    struct perf none = {0}, k;
    struct device d;
    double mape, refit;

    device_open(&d);
    perf_live_close(&d.l);
    ck_assert_ptr_null(d.l);
    ck_assert_int_eq(perf_live_open(&d.l, &none), ERR_OK);
    for (int i = 0; i < 3; i++)
        perf_live_add(d.l, &bad[i]);
    perf_live_get(d.l, &k, &mape, &refit);
    ck_assert(perf_step_ms(&k, 5, 5, 5, 5) == 0);
    steps(&d, 2000);
    ck_assert_msg(error_now(&d) < 4, "%g", error_now(&d));
    perf_live_close(&d.l);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("perf_live");
    TCase *t = tcase_create("live");

    suite_add_tcase(s, t);
    tcase_add_test(t, a_device_that_does_as_it_was_measured_never_drifts);
    tcase_add_test(t, a_device_that_only_scatters_never_drifts);
    tcase_add_test(t, a_device_that_slows_by_40_percent_drifts_and_is_refitted_within_600_steps);
    tcase_add_test(t, times_that_grow_by_40_percent_are_a_drift_too);
    tcase_add_test(t, a_drift_holds_until_the_error_is_small_again);
    tcase_add_test(t, a_small_change_is_followed_without_a_drift);
    tcase_add_test(t, what_live_steps_do_not_show_stays_as_it_was_measured);
    tcase_add_test(t, errors_are_told_after_the_least_steps);
    tcase_add_test(t, a_start_that_nobody_measured_is_learned);
    return s;
}

TEST_MAIN(suite)
