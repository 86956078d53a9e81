/* test_measured.c - the models of broker/measured.c are what the published tables give, and near to
 * the rows that were held out. */
#include <math.h>
#include <string.h>

#include "bench/fit.h"
#include "tests/test.h"

#define TARGET 10.0 /* percent */

static const struct measured *row_of(const struct fit_case *c)
{
    const struct measured *m;

    for (size_t i = 0; (m = measured_at(i)); i++)
        if (m->tp == c->tp && !strcmp(m->table, c->table) && !strcmp(m->card, c->card->name) &&
            !strcmp(m->model, c->model))
            return m;
    ck_abort_msg("%s, %s, %s, tp %d: no row", c->table, c->card->name, c->model, c->tp);
}

/* On the table's own rows; constants are printed with five digits. */
static void says_the_same(const struct perf *a, const struct perf *b, const struct fit_case *c)
{
    for (int i = 0; i < c->n; i++) {
        const struct perf_sample *s = &c->rows[i].s;
        double x = perf_step_ms(a, s->p, s->n, s->x, s->m);
        double y = perf_step_ms(b, s->p, s->n, s->x, s->m);

        ck_assert_msg(fabs(x - y) <= 2e-3 * y, "%s, %s, tp %d: %g, not %g ms", c->card->name,
                      c->model, c->tp, x, y);
    }
}

/* Fits a whole table again. */
static void check_table(void (*read)(struct fit_set *), int n_least)
{
    struct fit_set s = {0};
    const struct measured *m;
    int n_rows = 0;

    read(&s);
    ck_assert_int_ge(s.n, n_least);
    for (int i = 0; i < s.n; i++) {
        struct fit_result r = fit_case_result(&s.of[i]);

        m = row_of(&s.of[i]);
        ck_assert_msg(r.mape <= TARGET, "%s, %s, tp %d: %.1f %%", m->card, m->model, m->tp, r.mape);
        ck_assert_msg(fabs(r.mape - m->mape) < 0.02, "%s, %s, tp %d: %g, not %g", m->card, m->model,
                      m->tp, m->mape, r.mape);
        ck_assert_int_eq(r.source, m->source);
        says_the_same(&m->perf, &r.perf, &s.of[i]);
    }
    for (size_t i = 0; (m = measured_at(i)); i++)
        n_rows += !strcmp(m->table, s.of[0].table);
    ck_assert_int_eq(n_rows, s.n);
    fit_set_close(&s);
}

START_TEST(splitwise_gives_these_models)
{
    check_table(fit_splitwise, 8);
}
END_TEST

START_TEST(helix_gives_these_models)
{
    check_table(fit_helix, 14);
}
END_TEST

START_TEST(vidur_gives_these_models)
{
    check_table(fit_vidur, 56);
}
END_TEST

START_TEST(every_row_names_a_card_and_a_shape_and_its_error)
{
    const struct measured *m;

    for (size_t i = 0; (m = measured_at(i)); i++) {
        const struct perf *k = &m->perf;

        ck_assert_msg(card_find(m->card) && !strcmp(card_find(m->card)->name, m->card), "%s",
                      m->card);
        ck_assert_msg(measured_shape(m->model), "%s", m->model);
        ck_assert(m->tp >= 1 && m->mape > 0 && m->mape < 1.1 * TARGET);
        ck_assert(m->source == SOURCE_MEASURED || m->source == SOURCE_MIXED);
        ck_assert(k->k0 >= 0 && k->kw >= 0 && k->k1 > 0 && k->k2 >= 0 && k->k3 >= 0 && k->k4 >= 0);
    }
}
END_TEST

START_TEST(all_kinds_of_cards_are_there)
{
    static const char *const CARDS[] = {
        "A100-SXM-80GB", "A100-SXM-40GB", "H100-SXM-80GB",  "H200-SXM-141GB", "L40S-48GB",
        "L4-24GB",       "T4-16GB",       "V100-SXM2-32GB", "A40-48GB",       "RTX-A6000-48GB",
        "RTX-3090-24GB", "RTX-4090-24GB", "B200-SXM-180GB"};

    for (size_t i = 0; i < sizeof CARDS / sizeof CARDS[0]; i++) {
        const struct measured *m;
        bool is_there = false;

        for (size_t j = 0; (m = measured_at(j)); j++)
            is_there |= !strcmp(m->card, CARDS[i]);
        ck_assert_msg(is_there, "%s", CARDS[i]);
    }
}
END_TEST

START_TEST(every_third_value_and_the_largest_are_held_out)
{
    const struct perf k = {.k0 = 1, .kw = 4, .k1 = 0.5, .k2 = 0.01, .k3 = 0.1, .k4 = 0.001};
    struct fit_set s = {0};
    struct fit_case *c = fit_set_case(&s, "perf/none", "H200", "Llama-3.1-8B", 1);
    struct fit_result r;

    for (int p = 1; p <= 10; p++)
        for (int n = 0; n < 5; n++) { /* the second axis: only where n is even */
            const double at[FIT_AXES] = {p * 7, n % 2 ? (double)NAN : n, NAN, NAN};
            struct perf_sample step = {p * 7, n, p * p, n * p * p * 9.0, 0};

            step.ms = perf_step_ms(&k, step.p, step.n, step.x, step.m);
            fit_case_add(c, 0, step, at);
        }
    r = fit_case_result(c);
    for (int i = 0; i < c->n; i++) {
        const struct fit_row *row = &c->rows[i];
        int p = (int)row->s.p / 7, n = (int)row->s.n;

        ck_assert_int_eq(row->is_held, p == 3 || p == 6 || p == 9 || p == 10 || n == 4);
    }
    ck_assert_int_eq(r.n_held, 4 * 5 + 6);
    ck_assert_int_eq(r.n_fitted, 50 - r.n_held);
    ck_assert(r.mape < 0.01); /* of exact rows */
    ck_assert_int_eq(r.source, SOURCE_MEASURED);
    c->terms &= ~(unsigned)PERF_K4;
    ck_assert_int_eq(fit_case_result(c).source, SOURCE_MIXED);
    ck_assert_double_eq(fit_case_result(c).perf.k4, c->roofline.k4);
    fit_set_close(&s);
}
END_TEST

START_TEST(an_error_is_that_of_the_held_rows_alone)
{
    struct fit_set s = {0};
    struct fit_case *c = fit_set_case(&s, "perf/none", "H200", "Llama-3.1-8B", 1);

    c->terms = PERF_K0 | PERF_K1;
    c->roofline = (struct perf){0};
    for (int p = 1; p <= 8; p++) { /* 3, 6 and 8 take twice as long as the others say */
        const double at[FIT_AXES] = {p, NAN, NAN, NAN};
        double ms = (1 + p) * (p % 3 == 0 || p == 8 ? 2 : 1);

        fit_case_add(c, 0, (struct perf_sample){.p = p, .ms = ms}, at);
    }
    ck_assert(fabs(fit_case_result(c).mape - 50) < 1e-6);
    fit_set_close(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("measured");
    TCase *t = tcase_create("measured");

    suite_add_tcase(s, t);
    if (test_has_data()) {
        tcase_add_test(t, splitwise_gives_these_models);
        tcase_add_test(t, helix_gives_these_models);
        tcase_add_test(t, vidur_gives_these_models);
    }
    tcase_add_test(t, every_row_names_a_card_and_a_shape_and_its_error);
    tcase_add_test(t, all_kinds_of_cards_are_there);
    tcase_add_test(t, every_third_value_and_the_largest_are_held_out);
    tcase_add_test(t, an_error_is_that_of_the_held_rows_alone);
    return s;
}

TEST_MAIN(suite)
