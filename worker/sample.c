/* sample.c - chooses a token from its logits. */
#include "worker/sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mix.h"
#include "worker/engine.h"

#define TOP_P_FIRST 64 /* candidates that top_p sorts at first; most nuclei are smaller */

int sample_check(const struct sampling *p, struct errmsg *e)
{
    if (!(p->temperature >= 0) || !isfinite(p->temperature))
        return err_set(e, ERR_ARG, "temperature is %g, must be at least 0", (double)p->temperature);
    if (!(p->top_p > 0 && p->top_p <= 1))
        return err_set(e, ERR_ARG, "top_p is %g, must be above 0 and at most 1", (double)p->top_p);
    if (!(p->min_p >= 0 && p->min_p <= 1))
        return err_set(e, ERR_ARG, "min_p is %g, must be between 0 and 1", (double)p->min_p);
    if (p->top_k < 0) return err_set(e, ERR_ARG, "top_k is %d, must be at least 0", p->top_k);
    if (p->max_tokens < 0)
        return err_set(e, ERR_ARG, "max_tokens is %d, must be at least 0", p->max_tokens);
    if (p->min_tokens < 0 || (p->max_tokens && p->min_tokens > p->max_tokens))
        return err_set(e, ERR_ARG, "min_tokens is %d, must be between 0 and max_tokens (%d)",
                       p->min_tokens, p->max_tokens);
    if (p->n_stops < 0 || p->n_stops > SAMPLING_MAX_STOPS)
        return err_set(e, ERR_ARG, "%d stop strings, must be at most %d", p->n_stops,
                       SAMPLING_MAX_STOPS);
    for (int i = 0; i < p->n_stops; i++)
        if (!p->stops[i].text || !p->stops[i].len)
            return err_set(e, ERR_ARG, "stop string %d is empty", i + 1);
    return ERR_OK;
}

double sample_draw(uint64_t seed, int64_t position)
{
    const uint64_t golden = 0x9E3779B97F4A7C15u;

    return (double)(mix64(mix64(seed + golden) + ((uint64_t)position + 1) * golden) >> 11) *
           0x1p-53;
}

static int32_t largest(const float *logits, int V)
{
    int32_t best = 0;

    for (int32_t i = 1; i < V; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static int by_rank(const void *ap, const void *bp)
{
    const struct candidate *a = ap, *b = bp;

    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Moves the k first by rank of c[0..n) to its front, sorted.  Hoare's selection; the pivot is the
 * middle one, so logits in order of id cost no more than others. */
static void select_top(struct candidate *c, int n, int k)
{
    int lo = 0, hi = n - 1;

    while (lo < hi) {
        const struct candidate pivot = c[lo + (hi - lo) / 2];
        int i = lo, j = hi;

        while (i <= j) {
            while (by_rank(&c[i], &pivot) < 0)
                i++;
            while (by_rank(&c[j], &pivot) > 0)
                j--;
            if (i <= j) {
                const struct candidate swap = c[i];

                c[i++] = c[j];
                c[j--] = swap;
            }
        }
        if (k - 1 <= j)
            hi = j;
        else if (k - 1 >= i)
            lo = i;
        else
            break;
    }
    qsort(c, (size_t)k, sizeof *c, by_rank);
}

static double total(const struct candidate *c, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)c[i].weight;
    return sum;
}

/* How many candidates, from the first, make up top_p of the weight: at least one. */
static int nucleus(struct candidate *c, int n, float top_p)
{
    const double want = (double)top_p * total(c, n);
    double sum = 0;
    int sorted = 0;

    for (int i = 0; i < n; i++) {
        if (i == sorted) {
            sorted = n - i <= TOP_P_FIRST || n / 4 < i ? n : i ? 4 * i : TOP_P_FIRST;
            select_top(c + i, n - i, sorted - i);
        }
        sum += (double)c[i].weight;
        if (sum >= want) return i + 1;
    }
    return n;
}

static int32_t draw(const struct candidate *c, int n, double u)
{
    double left = u * total(c, n);

    for (int i = 0; i < n; i++) {
        left -= (double)c[i].weight;
        if (left < 0) return c[i].id;
    }
    for (int i = n - 1; i > 0; i--) /* rounding: the last one that has any weight */
        if (c[i].weight > 0) return c[i].id;
    return c[0].id;
}

int32_t sample_token(const float *logits, int V, const struct sampling *p, int64_t position,
                     struct candidate *scratch)
{
    const int32_t best = largest(logits, V);
    const float top = logits[best];
    int n = 0;

    if (p->temperature == 0) return best;
    for (int32_t i = 0; i < V; i++) {
        const float weight = expf((logits[i] - top) / p->temperature);

        /* The largest stays even where its own weight is no number; NaN falls out here. */
        if (i == best || (weight > 0 && weight >= p->min_p))
            scratch[n++] = (struct candidate){logits[i], i == best ? 1.0f : weight, i};
    }
    if (p->top_k && p->top_k < n) {
        select_top(scratch, n, p->top_k);
        n = p->top_k;
    }
    if (p->top_p < 1) n = nucleus(scratch, n, p->top_p);
    return draw(scratch, n, sample_draw(p->seed, position));
}
