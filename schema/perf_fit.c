/* perf_fit.c - the instance model from samples: every knee that can be the best is tried. */
#include "schema/perf_fit.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/perf_sums.h"

#define ROUNDS      12
#define ERROR_LEAST 0.002 /* smaller errors weigh no more */

static double tokens(const struct perf_sample *s)
{
    return s->p + s->n;
}

static int check(unsigned terms, const struct perf_sample *s, int n, struct errmsg *e)
{
    int asked = __builtin_popcount(terms & PERF_ALL);

    if (terms & PERF_KW && !(terms & PERF_K1))
        return err_set(e, ERR_ARG, "a fit of the knee kw without k1");
    if (n < asked || n == 0)
        return err_set(e, ERR_ARG, "%d samples of steps for %d constants", n, asked);
    for (int i = 0; i < n; i++) {
        const double v[] = {s[i].p, s[i].n, s[i].x, s[i].m};

        for (int j = 0; j < 4; j++)
            if (!isfinite(v[j]) || v[j] < 0)
                return err_set(e, ERR_ARG, "sample %d of %d: %c is %g, not a number of at least 0",
                               i + 1, n, "pnxm"[j], v[j]);
        if (!isfinite(s[i].ms) || s[i].ms <= 0)
            return err_set(e, ERR_ARG, "sample %d of %d: %g ms is not a time over 0", i + 1, n,
                           s[i].ms);
    }
    return ERR_OK;
}

struct weighted {
    struct perf_sample s;
    double weight;
};

static int by_tokens(const void *a, const void *b)
{
    double x = tokens(&((const struct weighted *)a)->s);
    double y = tokens(&((const struct weighted *)b)->s);

    return (x > y) - (x < y);
}

/* s in order of tokens; room for the sums of s[i..n) at high[i]. */
static struct perf best_of(const struct perf *k, unsigned terms, const struct weighted *s,
                           struct perf_sums *high, int n)
{
    struct perf_best best = {.is_found = false};
    struct perf_sums low = {0};

    memset(&high[n], 0, sizeof high[n]);
    for (int i = n - 1; i >= 0; i--) {
        high[i] = high[i + 1];
        perf_sums_add(&high[i], &s[i].s, s[i].weight);
    }
    perf_best_try(&best, &low, &high[0], 0, tokens(&s[0].s), terms, k);
    for (int i = 0; i < n; i++) {
        perf_sums_add(&low, &s[i].s, s[i].weight);
        if (i + 1 < n && tokens(&s[i + 1].s) == tokens(&s[i].s)) continue;
        perf_best_try(&best, &low, &high[i + 1], tokens(&s[i].s),
                      i + 1 < n ? tokens(&s[i + 1].s) : HUGE_VAL, terms, k);
    }
    assert(best.is_found); /* with no column at all, at the least */
    return best.k;
}

static double error_of(const struct perf *k, const struct perf_sample *s)
{
    return fabs(perf_step_ms(k, s->p, s->n, s->x, s->m) - s->ms) / s->ms;
}

/* Squares that weigh 1/error are errors: each round comes nearer to their least sum. */
static void lessen(struct perf *k, const struct perf *given, unsigned terms, struct weighted *s,
                   struct perf_sums *high, int n)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < n; i++)
            s[i].weight = 1 / fmax(error_of(k, &s[i].s), ERROR_LEAST);
        *k = best_of(given, terms, s, high, n);
    }
}

static int fit(struct perf *k, unsigned terms, const struct perf_sample *s, int n, bool is_mape,
               struct errmsg *e)
{
    struct weighted *sorted = NULL;
    struct perf_sums *high = NULL;
    struct perf given = *k;
    int rc = check(terms, s, n, e);

    if (rc) goto out;
    sorted = calloc((size_t)n, sizeof *sorted);
    high = calloc((size_t)n + 1, sizeof *high);
    if (!sorted || !high) {
        rc = err_set(e, ERR_NOMEM, "no memory to fit %d samples", n);
        goto out;
    }
    for (int i = 0; i < n; i++)
        sorted[i] = (struct weighted){s[i], 1};
    qsort(sorted, (size_t)n, sizeof *sorted, by_tokens);
    *k = best_of(&given, terms, sorted, high, n);
    if (is_mape) lessen(k, &given, terms, sorted, high, n);
out:
    free(sorted);
    free(high);
    return rc;
}

int perf_fit(struct perf *k, unsigned terms, const struct perf_sample *s, int n, struct errmsg *e)
{
    return fit(k, terms, s, n, false, e);
}

int perf_fit_mape(struct perf *k, unsigned terms, const struct perf_sample *s, int n,
                  struct errmsg *e)
{
    return fit(k, terms, s, n, true, e);
}

double perf_mape(const struct perf *k, const struct perf_sample *s, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += error_of(k, &s[i]);
    return n > 0 ? 100 * sum / n : 0;
}
