/* sample.c - chooses a token from its logits. */
#include "worker/sample.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mix.h"
#include "kernels/scores.h"
#include "worker/engine.h"

int sample_check(const struct sampling *p, struct errmsg *e)
{
    if (!(p->temperature >= 0) || !isfinite(p->temperature))
        return err_set(e, ERR_ARG, "temperature is %g, must be at least 0", (double)p->temperature);
    if (!(p->top_p > 0 && p->top_p <= 1))
        return err_set(e, ERR_ARG, "top_p is %g, must be above 0 and at most 1", (double)p->top_p);
    if (!(p->min_p >= 0 && p->min_p <= 1))
        return err_set(e, ERR_ARG, "min_p is %g, must be between 0 and 1", (double)p->min_p);
    if (p->top_k < 0) return err_set(e, ERR_ARG, "top_k is %d, must be at least 0", p->top_k);
    if (!(fabsf(p->presence_penalty) <= 1e6f && fabsf(p->frequency_penalty) <= 1e6f))
        return err_set(e, ERR_ARG,
                       "presence_penalty %g or frequency_penalty %g is no finite number",
                       (double)p->presence_penalty, (double)p->frequency_penalty);
    if (!(p->repetition_penalty >= 0) || !isfinite(p->repetition_penalty))
        return err_set(e, ERR_ARG, "repetition_penalty is %g, must be above 0",
                       (double)p->repetition_penalty);
    if (p->n < 0 || p->n > SAMPLING_MAX_N)
        return err_set(e, ERR_ARG, "n is %d, must be between 1 and %d", p->n, SAMPLING_MAX_N);
    if (p->top_logprobs < 0 || p->top_logprobs > SAMPLING_MAX_LOGPROBS)
        return err_set(e, ERR_ARG, "top_logprobs is %d, must be between 0 and %d", p->top_logprobs,
                       SAMPLING_MAX_LOGPROBS);
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

static int by_rank(const void *ap, const void *bp)
{
    const struct candidate *a = ap, *b = bp;

    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Parts c[lo..hi] by Hoare's scheme: those from lo to *left come before those from *right on;
 * between them stands at most one.  The pivot is the middle one, so logits in order of id cost no
 * more than others. */
static void part(struct candidate *c, int lo, int hi, int *left, int *right)
{
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
    *left = j;
    *right = i;
}

/* Moves the k first by rank of c[0..n) to its front. */
static void select_top(struct candidate *c, int n, int k)
{
    int lo = 0, hi = n - 1, left, right;

    while (lo < hi) {
        part(c, lo, hi, &left, &right);
        if (k - 1 <= left)
            hi = left;
        else if (k - 1 >= right)
            lo = right;
        else
            return;
    }
}

static double total(const struct candidate *c, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)c[i].weight;
    return sum;
}

/* Moves the first by rank that together have the weight that is wanted to the front, at least one;
 * their number.  Selection by weight: nothing is sorted. */
static int nucleus(struct candidate *c, int n, double want)
{
    int lo = 0, hi = n - 1, left, right;
    double before = 0; /* the weight of c[0..lo), less than is wanted */

    while (lo < hi) {
        double sum = 0;

        part(c, lo, hi, &left, &right);
        for (int i = lo; i <= left; i++)
            sum += (double)c[i].weight;
        if (before + sum >= want) {
            hi = left;
            continue;
        }
        for (int i = left + 1; i < right; i++) {
            sum += (double)c[i].weight;
            if (before + sum >= want) return i + 1;
        }
        if (right > hi) return hi + 1;
        before += sum;
        lo = right;
    }
    return lo + 1;
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

/* Every token with a logit of at least `floor`, in order of id; their number. */
static int gather(const float *logits, int V, float floor, struct candidate *c)
{
    int32_t ids[SCORES_RUN];
    int n = 0;

    for (int at = 0; at < V; at += SCORES_RUN) {
        const int run = V - at < SCORES_RUN ? V - at : SCORES_RUN;
        const int found = scores_above(ids, logits + at, run, at, floor);

        for (int i = 0; i < found; i++)
            c[n++] = (struct candidate){logits[ids[i]], 0, ids[i]};
    }
    return n;
}

static void weigh(struct candidate *c, int n, float top, float scale)
{
    float x[SCORES_RUN];

    for (int at = 0; at < n; at += SCORES_RUN) {
        const int run = n - at < SCORES_RUN ? n - at : SCORES_RUN;

        for (int i = 0; i < run; i++)
            x[i] = c[at + i].logit;
        scores_weights(x, x, run, top, scale);
        for (int i = 0; i < run; i++)
            c[at + i].weight = x[i];
    }
}

/* Draws from all tokens, a run at a time: nothing is left out, so nothing need be gathered. */
static int32_t draw_all(const float *logits, int V, float top, float scale, double u)
{
    double left = u * scores_sum(logits, V, top, scale);
    float w[SCORES_RUN];
    int32_t last = 0;

    for (int at = 0; at < V; at += SCORES_RUN) {
        const int run = V - at < SCORES_RUN ? V - at : SCORES_RUN;
        const double sum = scores_sum(logits + at, run, top, scale);

        if (sum > 0) last = at;
        if (left >= sum) {
            left -= sum;
            continue;
        }
        last = at;
        break;
    }
    scores_weights(w, logits + last, V - last < SCORES_RUN ? V - last : SCORES_RUN, top, scale);
    for (int i = 0, id = last, any = -1;; i++, id++) {
        if (i == SCORES_RUN || id == V) return any; /* rounding: the last that has any weight */
        if (!(w[i] > 0)) continue;
        any = id;
        left -= (double)w[i];
        if (left < 0) return id;
    }
}

/* All that min_p, top_k and top_p could leave, weighed.  The floor is lowered until what is above
 * it is enough: most of a large vocabulary is never looked at twice. */
static int gather_enough(const float *logits, int V, const struct sampling *p, float top,
                         struct candidate *c, double *all)
{
    const float scale = 1 / p->temperature;
    const double lowest_log = p->min_p > 0 ? log((double)p->min_p) : -87.0;
    const float lowest = (float)((double)top + lowest_log * (double)p->temperature);
    const bool by_mass = !p->top_k && p->min_p <= 0;
    bool enough;
    int n;

    *all = by_mass ? scores_sum(logits, V, top, scale) : 0;
    for (double width = 4;; width *= 2) {
        double floor = (double)top - width * (double)p->temperature;

        if (!(floor > (double)lowest) || (!by_mass && !p->top_k)) floor = (double)lowest;
        n = gather(logits, V, (float)floor, c);
        weigh(c, n, top, scale);
        enough = by_mass ? total(c, n) >= (double)p->top_p * *all : n >= p->top_k;
        if (enough || floor <= (double)lowest) return n;
    }
}

int32_t sample_token(const float *logits, int V, const struct sampling *p, int64_t position,
                     struct candidate *scratch)
{
    const int32_t best = scores_best(logits, V);
    const float top = logits[best];
    const double u = sample_draw(p->seed, position);
    double all;
    int n;

    if (!isfinite(top)) return SAMPLE_NONE;
    if (p->temperature < SAMPLE_GREEDY) return best;
    if (!p->top_k && p->top_p >= 1 && p->min_p <= 0)
        return draw_all(logits, V, top, 1 / p->temperature, u);
    n = gather_enough(logits, V, p, top, scratch, &all);
    if (p->top_k && p->top_k < n) {
        select_top(scratch, n, p->top_k);
        n = p->top_k;
    }
    if (p->top_p < 1)
        n = nucleus(scratch, n, (double)p->top_p * (all > 0 ? all : total(scratch, n)));
    return draw(scratch, n, u);
}

int sample_top(const float *logits, int V, int k, struct candidate *scratch)
{
    const float top = logits[scores_best(logits, V)];
    int n;

    if (!isfinite(top)) return 0;
    for (float width = 4;; width *= 2) {
        const float floor = top - width > -FLT_MAX ? top - width : -FLT_MAX;

        n = gather(logits, V, floor, scratch);
        if (n >= k || n == V || floor <= -FLT_MAX) break;
    }
    if (k > n) k = n;
    select_top(scratch, n, k);
    qsort(scratch, (size_t)k, sizeof *scratch, by_rank);
    return k;
}
