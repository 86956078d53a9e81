/* ideal_rest.c - the least time for what is left of a job. */
#include <math.h>
#include <stdlib.h>

#include "bench/ideal_part.h"

#define CLOSE    1e-5
#define HALVINGS 24

/* One instance's rows that have begun, from step to step. */
struct drain {
    double left, context, leaves_s; /* steps; KV tokens that the next one reads */
};

/* What every instance has to do whatever is decided, and how soon each row can end there. */
struct rest {
    const struct ideal_kind *k;
    const struct ideal_row *r;
    int n_kinds;
    size_t n_rows;
    double *soonest;     /* [rows][kinds]; INFINITY: it does not fit */
    struct drain *drain; /* [rows] */
    double *at_s;        /* [n_steps + 1] the end of each step of the instance at hand, at least */
    size_t n_steps;
};

static double *soonest_at(const struct rest *t, size_t row, int kind)
{
    return t->soonest + row * (size_t)t->n_kinds + (size_t)kind;
}

/* With the instance for itself. */
static void fill_alone(struct rest *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        for (int k = 0; k < t->n_kinds; k++) {
            const double s = ideal_alone(&t->k[k], &t->r[i], t->r[i].where == k);
            const struct ideal_cost c = ideal_cost(&t->k[k], &t->r[i], t->r[i].where == k);

            *soonest_at(t, i, k) = s < 0 ? INFINITY : s;
            if (c.steps > (double)t->n_steps) t->n_steps = (size_t)c.steps;
        }
}

/* The rows that have begun on instance k, each until it ends there, or could have elsewhere.  Of
 * one whose prompt is not complete only the steps count. */
static size_t find_begun(const struct rest *t, int k)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n_rows; i++) {
        const struct ideal_row *r = &t->r[i];
        const struct ideal_cost c = ideal_cost(&t->k[k], r, true);
        double elsewhere_s = INFINITY;

        if (r->where != k || c.n < c.steps) continue;
        for (int other = 0; other < t->n_kinds; other++)
            if (other != k) elsewhere_s = fmin(elsewhere_s, *soonest_at(t, i, other));
        t->drain[n++] = (struct drain){c.n, (double)r->prompt + r->made, elsewhere_s};
    }
    return n;
}

/* No step on k ends sooner than this: those that have begun are in each of them. */
static void run_steps(const struct rest *t, int k)
{
    size_t n = find_begun(t, k);

    t->at_s[0] = 0;
    for (size_t j = 0; j < t->n_steps; j++) {
        double tokens = 0;
        size_t kept = 0;

        for (size_t i = 0; i < n; i++)
            if (t->drain[i].left > 0 && t->drain[i].leaves_s > t->at_s[j])
                t->drain[kept++] = t->drain[i];
        n = kept;
        for (size_t i = 0; i < n; i++) {
            tokens += t->drain[i].context++;
            t->drain[i].left--;
        }
        t->at_s[j + 1] = t->at_s[j] + 1e-3 * perf_step_ms(&t->k[k].perf, 0, (double)n, 0, tokens);
    }
}

/* Beside those that have begun: as many steps as it has, and what it adds to them. */
static void fill_beside(struct rest *t, int k)
{
    const struct perf *f = &t->k[k].perf;

    run_steps(t, k);
    for (size_t i = 0; i < t->n_rows; i++) {
        const bool is_there = t->r[i].where == k;
        const struct ideal_cost c = ideal_cost(&t->k[k], &t->r[i], is_there);
        double *s = soonest_at(t, i, k), at_s = t->at_s[(size_t)c.steps];

        if (!is_there || c.n < c.steps) at_s += 1e-3 * (f->k2 * c.x + f->k3 * c.n + f->k4 * c.m);
        if (isfinite(*s)) *s = fmax(*s, at_s);
    }
}

/* The time before which some row cannot end anywhere, and that by which all could anywhere. */
static int range(const struct rest *t, double *lo, double *hi)
{
    *lo = *hi = 0;
    for (size_t i = 0; i < t->n_rows; i++) {
        double least = INFINITY;

        for (int k = 0; k < t->n_kinds; k++) {
            const double s = *soonest_at(t, i, k);

            least = fmin(least, s);
            if (isfinite(s)) *hi = fmax(*hi, s);
        }
        if (isinf(least)) return ERR_ARG;
        *lo = fmax(*lo, least);
    }
    return ERR_OK;
}

static int open_rest(struct rest *t)
{
    t->soonest = malloc(t->n_rows * (size_t)t->n_kinds * sizeof *t->soonest + 1);
    t->drain = malloc(t->n_rows * sizeof *t->drain + 1);
    if (!t->soonest || !t->drain) return ERR_NOMEM;
    fill_alone(t);
    t->at_s = malloc((t->n_steps + 1) * sizeof *t->at_s);
    if (!t->at_s) return ERR_NOMEM;
    for (int k = 0; k < t->n_kinds; k++)
        fill_beside(t, k);
    return ERR_OK;
}

/* T grows, the places that it allows grow with it, and the bound that they give shrinks: the least
 * T that is no less than its own bound is where the two meet. */
static int meet(struct ideal_problem *p, double lo, double hi, double *seconds)
{
    double v, top;
    int rc;

    *seconds = p->within = lo;
    if ((rc = ideal_problem_solve(p, &v, &top)) || v <= lo) return rc;
    for (int i = 0; i < HALVINGS && hi > lo * (1 + CLOSE); i++) {
        p->within = (lo + hi) / 2;
        if ((rc = ideal_problem_solve(p, &v, &top))) return rc;
        if (v <= p->within)
            hi = p->within;
        else
            lo = p->within;
    }
    p->within = hi;
    rc = ideal_problem_solve(p, &v, &top);
    *seconds = fmax(lo, v);
    return rc;
}

int ideal_rest(double *seconds, const struct ideal_kind *k, int n_kinds, const struct ideal_row *r,
               size_t n_rows)
{
    struct rest t = {.k = k, .r = r, .n_kinds = n_kinds, .n_rows = n_rows};
    struct ideal_problem p;
    double lo = 0, hi = 0;
    int rc = ideal_problem_open(&p, k, n_kinds, r, n_rows);

    *seconds = 0;
    if (!rc) rc = open_rest(&t);
    if (!rc) rc = range(&t, &lo, &hi);
    p.soonest = t.soonest;
    if (!rc) rc = meet(&p, lo, hi, seconds);
    free(t.soonest);
    free(t.drain);
    free(t.at_s);
    ideal_problem_close(&p);
    return rc;
}
