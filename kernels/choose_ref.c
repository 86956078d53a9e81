/* choose_ref.c - a row of logits becomes a token: the meaning. */
#include "kernels/choose.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* A token that is not out yet; l as it comes for log-probabilities, edited for the choice. */
struct candidate {
    double p;
    float l;
    int32_t id;
};

static int by_rank(const void *ap, const void *bp)
{
    const struct candidate *a = ap, *b = bp;

    if (a->l != b->l) return a->l > b->l ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int by_id(const void *ap, const void *bp)
{
    const struct candidate *a = ap, *b = bp;

    return a->id < b->id ? -1 : a->id > b->id;
}

/* All tokens but those of -inf, by rank; their number. */
static int ranked(struct candidate *c, const float *l, int V)
{
    int n = 0;

    for (int v = 0; v < V; v++)
        if (l[v] > -INFINITY) c[n++] = (struct candidate){0, l[v], v};
    qsort(c, (size_t)n, sizeof *c, by_rank);
    return n;
}

/* The first by rank that are left over: those with p >= min_p, of them top_k, of them top_p. */
static int left_over(struct candidate *c, int n, const struct wish *w)
{
    double all = 0, sum = 0;
    int kept = 0, left = 0;

    for (; kept < n && (!w->top_k || kept < w->top_k); kept++) {
        const double x = ((double)c[kept].l - (double)c[0].l) / (double)w->temperature;

        c[kept].p = x < -87 ? 0 : exp(x);
        if (c[kept].p < (double)w->min_p) break;
        all += c[kept].p;
    }
    if (w->top_p >= 1) return kept;
    while (left < kept && (left == 0 || sum < (double)w->top_p * all))
        sum += c[left++].p;
    return left;
}

/* The first in order of id at which the running sum passes draw * total. */
static int32_t drawn(struct candidate *c, int n, double draw)
{
    double total = 0, sum = 0;
    int32_t last = c[0].id;

    qsort(c, (size_t)n, sizeof *c, by_id);
    for (int i = 0; i < n; i++)
        total += c[i].p;
    for (int i = 0; i < n; i++) {
        sum += c[i].p;
        if (c[i].p > 0) last = c[i].id;
        if (sum > draw * total) return last;
    }
    return last;
}

/* The log of the sum of exp(l). */
static double log_sum(const struct candidate *c, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += exp((double)c[i].l - (double)c[0].l);
    return (double)c[0].l + log(sum);
}

static void note_top(struct choice *out, const struct candidate *c, int n, int n_top, double all)
{
    out->n_top = n < n_top ? n : n_top;
    for (int i = 0; i < out->n_top; i++) {
        out->top_ids[i] = c[i].id;
        out->top_logprobs[i] = (float)((double)c[i].l - all);
    }
}

static void edit(float *l, const struct wish *w)
{
    for (int i = 0; i < w->n_edits; i++)
        l[w->edits[i].id] = choose_edited(l[w->edits[i].id], &w->edits[i], w);
}

static float logit_of(const struct candidate *c, int n, int32_t id)
{
    for (int i = 0; i < n; i++)
        if (c[i].id == id) return c[i].l;
    return -INFINITY;
}

/* raw, c: [V] each. */
static void choose_row(struct choice *out, float *l, const struct wish *w, int V,
                       struct candidate *raw, struct candidate *c)
{
    const int n_raw = w->n_top >= 0 ? ranked(raw, l, V) : 0;
    int n;

    *out = (struct choice){.id = CHOOSE_NONE};
    edit(l, w);
    n = ranked(c, l, V);
    if (!n || !isfinite(c[0].l)) return;
    out->id = w->temperature < CHOOSE_GREEDY ? c[0].id : drawn(c, left_over(c, n, w), w->draw);
    if (!n_raw) return;
    out->logprob = (float)((double)logit_of(raw, n_raw, out->id) - log_sum(raw, n_raw));
    note_top(out, raw, n_raw, w->n_top, log_sum(raw, n_raw));
}

int choose_ref(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
               struct stream *s)
{
    struct candidate *c;
    int rc = choose_check(wishes, n, V);

    (void)s;
    if (rc) return rc;
    c = malloc(2 * (size_t)V * sizeof *c);
    if (!c) return ERR_NOMEM;
    for (int i = 0; i < n; i++)
        choose_row(&out[i], logits + (size_t)i * (size_t)V, &wishes[i], V, c, c + V);
    free(c);
    return ERR_OK;
}
