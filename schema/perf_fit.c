/* perf_fit.c - the instance model from samples: every knee that can be the best is tried. */
#include "schema/perf_fit.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "schema/perf_sums.h"

static double tokens(const struct perf_sample *s)
{
    return s->p + s->n;
}

static int by_tokens(const void *a, const void *b)
{
    double x = tokens(a), y = tokens(b);

    return (x > y) - (x < y);
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

/* s in order of tokens, high[i] the sums of s[i..n). */
static struct perf_best best_of(const struct perf *k, unsigned terms, const struct perf_sample *s,
                                const struct perf_sums *high, int n)
{
    struct perf_best best = {.is_found = false};
    struct perf_sums low = {0};

    perf_best_try(&best, &low, &high[0], 0, tokens(&s[0]), terms, k);
    for (int i = 0; i < n; i++) {
        perf_sums_add(&low, &s[i], 1);
        if (i + 1 < n && tokens(&s[i + 1]) == tokens(&s[i])) continue;
        perf_best_try(&best, &low, &high[i + 1], tokens(&s[i]),
                      i + 1 < n ? tokens(&s[i + 1]) : HUGE_VAL, terms, k);
    }
    return best;
}

int perf_fit(struct perf *k, unsigned terms, const struct perf_sample *s, int n, struct errmsg *e)
{
    struct perf_sample *sorted = NULL;
    struct perf_sums *high = NULL;
    struct perf_best best;
    int rc = check(terms, s, n, e);

    if (rc) goto out;
    sorted = calloc((size_t)n, sizeof *sorted);
    high = calloc((size_t)n + 1, sizeof *high);
    if (!sorted || !high) {
        rc = err_set(e, ERR_NOMEM, "no memory to fit %d samples", n);
        goto out;
    }
    for (int i = 0; i < n; i++)
        sorted[i] = s[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_tokens);
    for (int i = n - 1; i >= 0; i--) {
        high[i] = high[i + 1];
        perf_sums_add(&high[i], &sorted[i], 1);
    }
    best = best_of(k, terms, sorted, high, n);
    assert(best.is_found); /* with no column at all, at the least */
    *k = best.k;
out:
    free(sorted);
    free(high);
    return rc;
}

double perf_mape(const struct perf *k, const struct perf_sample *s, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += fabs(perf_step_ms(k, s[i].p, s[i].n, s[i].x, s[i].m) - s[i].ms) / s[i].ms;
    return n > 0 ? 100 * sum / n : 0;
}
