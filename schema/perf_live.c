/* perf_live.c - the instance model as steps go by. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/perf_fit.h"
#include "schema/perf_sums.h"

#define LOG_MAX     14 /* of the largest knee, base 2 */
#define N_KNEES     (2 * LOG_MAX + 3)
#define N_PARTS     (N_KNEES + 1)
#define WEIGHT_MAX  1e100
#define PRIOR_STEPS (PERF_LIVE_HALF / 4)

struct perf_live {
    struct perf start, prior; /* prior: start, times the change that was last seen */
    double knees[N_KNEES];    /* ascending, the first 0 */
    /* Part i has the steps of at most knees[i] tokens, and more than the one before. */
    struct perf_sums of_prior[N_PARTS], of_steps[N_PARTS];
    double weight; /* of the next step in of_steps */
    struct perf_sample recent[PERF_LIVE_RECENT];
    int n_recent, at, unchecked, to_settle;
    bool is_drifted;
};

static int part_of(const struct perf_live *l, double tokens)
{
    int lo = 0, hi = N_KNEES;

    while (lo < hi) {
        int mid = (lo + hi) / 2;

        if (tokens <= l->knees[mid])
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void set_knees(struct perf_live *l)
{
    const struct perf *k = &l->start;

    l->knees[0] = 0;
    l->knees[1] = k->k1 > 0 ? fmin(k->kw / k->k1, exp2(LOG_MAX)) : 0;
    for (int i = 2; i < N_KNEES; i++)
        l->knees[i] = exp2(0.5 * (i - 2));
    qsort(l->knees, N_KNEES, sizeof *l->knees, by_value);
}

/* The grid that stands for a profile: prompt passes with and without a context before them, with
 * and without sequences that decode beside them. */
static int grid(struct perf_sample *s, const struct perf *k)
{
    static const double P[] = {0, 16, 64, 256, 1024}, N[] = {0, 1, 4, 16, 64};
    static const double CONTEXT[] = {0, 256, 1024};
    int n = 0;

    for (size_t p = 0; p < sizeof P / sizeof *P; p++)
        for (size_t d = 0; d < sizeof N / sizeof *N; d++)
            for (size_t c = 0; c < sizeof CONTEXT / sizeof *CONTEXT; c++) {
                s[n] = (struct perf_sample){P[p], N[d], P[p] * (CONTEXT[c] + (P[p] + 1) / 2),
                                            N[d] * CONTEXT[c], 0};
                s[n].ms = perf_step_ms(k, s[n].p, s[n].n, s[n].x, s[n].m);
                n += P[p] + N[d] > 0 && s[n].ms > 0;
            }
    return n;
}
#define GRID_MAX 75

static void set_prior(struct perf_live *l, double slower)
{
    const struct perf *k = &l->start;
    struct perf_sample s[GRID_MAX + 1];
    int n;

    l->prior = perf_scaled(k, slower);
    memset(l->of_prior, 0, sizeof l->of_prior);
    n = grid(s, &l->prior);
    for (int i = 0; i < n; i++)
        perf_sums_add(&l->of_prior[part_of(l, s[i].p + s[i].n)], &s[i], (double)PRIOR_STEPS / n);
}

int perf_live_open(struct perf_live **out, const struct perf *start)
{
    struct perf_live *l = calloc(1, sizeof *l);

    *out = l;
    if (!l) return ERR_NOMEM;
    l->start = *start;
    l->weight = 1;
    set_knees(l);
    set_prior(l, 1);
    return ERR_OK;
}

void perf_live_close(struct perf_live **l)
{
    free(*l);
    *l = NULL;
}

static void sums_scale(struct perf_sums *of, double by)
{
    for (int i = 0; i < N_PARTS; i++) {
        struct perf_sums was = of[i];

        memset(&of[i], 0, sizeof of[i]);
        perf_sums_join(&of[i], &was, by);
    }
}

static void count(struct perf_live *l, const struct perf_sample *s)
{
    perf_sums_add(&l->of_steps[part_of(l, s->p + s->n)], s, l->weight);
    l->weight *= exp2(1.0 / PERF_LIVE_HALF);
    if (l->weight < WEIGHT_MAX) return;
    sums_scale(l->of_steps, 1 / l->weight);
    l->weight = 1;
}

static struct perf model(const struct perf_live *l)
{
    struct perf_best best = {.is_found = false};
    struct perf_sums low = {0}, part[N_PARTS], high[N_PARTS];

    memcpy(part, l->of_prior, sizeof part);
    memset(&high[N_PARTS - 1], 0, sizeof *high);
    for (int i = N_PARTS - 1; i >= 0; i--) {
        perf_sums_join(&part[i], &l->of_steps[i], 1 / l->weight);
        if (i == 0) break;
        high[i - 1] = high[i];
        perf_sums_join(&high[i - 1], &part[i], 1);
    }
    for (int i = 0; i < N_KNEES; i++) {
        perf_sums_join(&low, &part[i], 1);
        perf_best_try(&best, &low, &high[i], l->knees[i], l->knees[i], PERF_ALL, &l->prior);
    }
    return best.k;
}

static double error_of(const struct perf_live *l, const struct perf *k)
{
    return l->n_recent < PERF_LIVE_LEAST ? -1 : perf_mape(k, l->recent, l->n_recent);
}

/* As many times slower than the start's model as the recent steps are, by least relative squares.
 */
static double slower(const struct perf_live *l)
{
    double sum = 0, squares = 0;

    for (int i = 0; i < l->n_recent; i++) {
        const struct perf_sample *s = &l->recent[i];
        double share = perf_step_ms(&l->start, s->p, s->n, s->x, s->m) / s->ms;

        sum += share;
        squares += share * share;
    }
    return squares > 0 ? sum / squares : 1;
}

/* The error of the model that fits the recent steps best. */
static double error_at_best(const struct perf_live *l)
{
    struct perf k = l->start;

    return perf_fit(&k, PERF_ALL, l->recent, l->n_recent, NULL) ? HUGE_VAL : error_of(l, &k);
}

/* Only the recent steps count from now on. */
static void start_over(struct perf_live *l)
{
    set_prior(l, slower(l));
    memset(l->of_steps, 0, sizeof l->of_steps);
    l->weight = 1;
    for (int i = 0; i < l->n_recent; i++)
        count(l, &l->recent[(l->at + i) % l->n_recent]);
}

/* Some of the recent steps may be older than the change: once more when all are new. */
static void change(struct perf_live *l)
{
    start_over(l);
    l->to_settle = PERF_LIVE_RECENT;
}

static void look_for_drift(struct perf_live *l)
{
    double error = error_of(l, &l->start), refit, best;
    struct perf now;

    if (error <= PERF_LIVE_DRIFT && !l->is_drifted) return;
    if (error < PERF_LIVE_DRIFT / 2) {
        l->is_drifted = false;
        change(l);
        return;
    }
    now = model(l);
    refit = error_of(l, &now);
    best = error_at_best(l);
    if (error > PERF_LIVE_DRIFT && best <= error / 2) l->is_drifted = true;
    if (refit > PERF_LIVE_DRIFT / 2 && best <= refit / 2) change(l);
}

void perf_live_add(struct perf_live *l, const struct perf_sample *s)
{
    if (!isfinite(s->p + s->n + s->x + s->m + s->ms) || !(s->ms > 0)) return;
    l->recent[l->at] = *s;
    l->at = (l->at + 1) % PERF_LIVE_RECENT;
    if (l->n_recent < PERF_LIVE_RECENT) l->n_recent++;
    count(l, s);
    if (l->to_settle > 0 && --l->to_settle == 0) start_over(l);
    if (++l->unchecked < PERF_LIVE_CHECK) return;
    l->unchecked = 0;
    look_for_drift(l);
}

void perf_live_get(const struct perf_live *l, struct perf *out, double *mape, double *refit_mape)
{
    *out = model(l);
    *mape = error_of(l, &l->start);
    *refit_mape = error_of(l, out);
}

bool perf_live_drifted(const struct perf_live *l)
{
    return l->is_drifted;
}
