/* fit.c - cases, what is held out of them, and their models. */
#include "bench/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

#define UTILISATION 0.9 /* of the memory, as engines take by default */

void fit_set_close(struct fit_set *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->of[i].rows);
    free(s->of);
    *s = (struct fit_set){0};
}

static void *grown(void *of, int n, int *room, size_t size)
{
    if (n < *room) return of;
    *room = *room ? 2 * *room : 64;
    of = realloc(of, (size_t)*room * size);
    if (!of) report_fail("no memory for %d rows", *room);
    return of;
}

struct fit_case *fit_set_case(struct fit_set *s, const char *table, const char *card,
                              const char *model, int tp)
{
    struct device_speed speed;
    struct fit_case *c;

    for (int i = s->n - 1; i >= 0; i--) {
        c = &s->of[i];
        if (c->tp == tp && !strcmp(c->table, table) && !strcmp(c->card->name, card) &&
            !strcmp(c->model, model))
            return c;
    }
    s->of = grown(s->of, s->n, &s->room, sizeof *s->of);
    c = &s->of[s->n++];
    *c = (struct fit_case){.table = table, .tp = tp, .terms = PERF_ALL};
    snprintf(c->model, sizeof c->model, "%s", model);
    c->card = card_find(card);
    c->shape = measured_shape(model);
    if (!c->card) report_fail("%s: no card %s", table, card);
    if (!c->shape) report_fail("%s: no shape of %s", table, model);
    speed = card_speed(c->card, N_DTYPES);
    roofline(&c->roofline, c->shape, &speed, tp);
    return c;
}

void fit_case_add(struct fit_case *c, int phase, struct perf_sample s, const double *at)
{
    struct fit_row *r;

    c->rows = grown(c->rows, c->n, &c->room, sizeof *c->rows);
    r = &c->rows[c->n++];
    *r = (struct fit_row){.s = s, .phase = phase};
    for (int a = 0; a < FIT_AXES; a++)
        r->at[a] = at[a];
}

double fit_case_kv_tokens(const struct fit_case *c)
{
    struct perf_rank ranks[64];

    for (int i = 0; i < c->tp; i++)
        ranks[i] =
            (struct perf_rank){c->card->bytes, model_shape_weight_bytes(c->shape) / c->tp, 0};
    return (double)perf_kv_tokens(ranks, c->tp, UTILISATION, model_shape_kv_bytes(c->shape),
                                  c->shape->kv_heads);
}

void fit_case_plus_head(struct fit_case *c)
{
    struct device_speed speed = card_speed(c->card, N_DTYPES);
    struct model_shape headless = *c->shape;
    struct perf k;

    headless.vocab = 0;
    roofline(&k, &headless, &speed, c->tp);
    c->plus.k0 += c->roofline.kw - k.kw;
}

void fit_case_plus_ranks(struct fit_case *c)
{
    struct device_speed speed = card_speed(c->card, N_DTYPES);
    struct perf k;

    speed.link_s = 0;
    speed.link_bytes_per_s = 0; /* not counted */
    roofline(&k, c->shape, &speed, c->tp);
    c->plus.k0 += c->roofline.k0 - k.k0;
    c->plus.k1 += c->roofline.k1 - k.k1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Holds out every third value of this axis, and the largest. */
static void hold_axis(struct fit_case *c, int phase, int axis, double *values)
{
    int n = 0, n_unique = 0;

    for (int i = 0; i < c->n; i++)
        if (c->rows[i].phase == phase && !isnan(c->rows[i].at[axis]))
            values[n++] = c->rows[i].at[axis];
    qsort(values, (size_t)n, sizeof *values, by_value);
    for (int i = 0; i < n; i++)
        if (i == 0 || values[i] != values[i - 1]) values[n_unique++] = values[i];
    for (int i = 0; i < c->n && n_unique > 0; i++) {
        struct fit_row *r = &c->rows[i];
        const double *at;

        if (r->phase != phase || isnan(r->at[axis])) continue;
        at = bsearch(&r->at[axis], values, (size_t)n_unique, sizeof *values, by_value);
        if ((at - values) % 3 == 2 || at - values == n_unique - 1) r->is_held = true;
    }
}

static void hold(struct fit_case *c)
{
    double *values = calloc((size_t)c->n + 1, sizeof *values);

    if (!values) report_fail("no memory for %d values", c->n);
    for (int i = 0; i < c->n; i++)
        c->rows[i].is_held = false;
    for (int phase = 0; phase < FIT_PHASES; phase++)
        for (int axis = 0; axis < FIT_AXES; axis++)
            hold_axis(c, phase, axis, values);
    free(values);
}

/* The rows that are held, or those that are not, to the front of s. */
static int choose(const struct fit_case *c, bool is_held, struct perf_sample *s)
{
    int n = 0;

    for (int i = 0; i < c->n; i++)
        if (c->rows[i].is_held == is_held) s[n++] = c->rows[i].s;
    return n;
}

static bool is_whole(const struct fit_case *c)
{
    return c->terms == PERF_ALL && c->plus.k0 == 0 && c->plus.k1 == 0;
}

struct fit_result fit_case_result(struct fit_case *c)
{
    struct perf_sample *s = calloc((size_t)c->n + 1, sizeof *s);
    struct fit_result r = {.perf = c->roofline};
    struct errmsg e;

    if (!s) report_fail("no memory for %d rows", c->n);
    hold(c);
    r.n_fitted = choose(c, false, s);
    if (perf_fit_mape(&r.perf, c->terms, s, r.n_fitted, &e))
        report_fail("%s, %s, %s: %s", c->table, c->card->name, c->model, e.text);
    r.n_held = choose(c, true, s);
    if (r.n_held == 0)
        report_fail("%s, %s, %s: nothing is held out", c->table, c->card->name, c->model);
    r.mape = perf_mape(&r.perf, s, r.n_held);
    r.perf.k0 += c->plus.k0;
    r.perf.k1 += c->plus.k1;
    r.source = is_whole(c) ? SOURCE_MEASURED : SOURCE_MIXED;
    free(s);
    return r;
}
