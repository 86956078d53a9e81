/* async_choose.c - kernels/choose.h by sorting everything. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/async_stream.h"

struct token {
    double p;
    float logit;
    int32_t id;
};

static int by_logit(const void *ap, const void *bp)
{
    const struct token *a = ap, *b = bp;

    if (a->logit > b->logit || a->logit < b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int by_id(const void *ap, const void *bp)
{
    const struct token *a = ap, *b = bp;

    return a->id < b->id ? -1 : 1;
}

static void edit_row(float *l, const struct wish *w)
{
    for (int i = 0; i < w->n_edits; i++) {
        const struct edit *e = &w->edits[i];
        float *at = &l[e->id];

        *at += e->bias;
        if (e->seen) *at = *at > 0 ? *at / w->repetition : *at * w->repetition;
        *at -= w->frequency * (float)e->in_answer;
        if (e->in_answer) *at -= w->presence;
    }
}

static void sort_row(struct token *t, const float *l, int V)
{
    for (int v = 0; v < V; v++)
        t[v] = (struct token){0, l[v], v};
    qsort(t, (size_t)V, sizeof *t, by_logit);
}

/* Of tokens sorted by their logits. */
static int32_t draw(struct token *t, const struct wish *w, int V)
{
    double sum = 0, kept = 0, run = 0;
    int n = 0, keep = 0;

    for (; n < V && (!w->top_k || n < w->top_k); n++) {
        t[n].p = exp(((double)t[n].logit - (double)t[0].logit) / (double)w->temperature);
        if (t[n].p < (double)w->min_p || t[n].p < 1.6e-38) break;
        sum += t[n].p;
    }
    while (keep < n && (!keep || kept < (double)w->top_p * sum))
        kept += t[keep++].p;
    qsort(t, (size_t)keep, sizeof *t, by_id);
    for (int i = 0; i < keep; i++) {
        run += t[i].p;
        if (run > w->draw * kept) return t[i].id;
    }
    return t[keep - 1].id;
}

static void tell(struct choice *c, struct token *t, const float *raw, const struct wish *w, int V)
{
    double sum = 0, all;

    sort_row(t, raw, V);
    for (int v = 0; v < V; v++)
        sum += exp((double)raw[v] - (double)t[0].logit);
    all = (double)t[0].logit + log(sum);
    c->logprob = (float)((double)raw[c->id] - all);
    for (c->n_top = 0; c->n_top < w->n_top && c->n_top < V; c->n_top++) {
        c->top_ids[c->n_top] = t[c->n_top].id;
        c->top_logprobs[c->n_top] = (float)((double)t[c->n_top].logit - all);
    }
}

void choose_by_sorting(struct choice *out, float *logits, const struct wish *w, int V)
{
    struct token *t = malloc((size_t)V * sizeof *t);
    float *raw = malloc((size_t)V * sizeof *raw);

    memcpy(raw, logits, (size_t)V * sizeof *raw);
    edit_row(logits, w);
    sort_row(t, logits, V);
    *out = (struct choice){.id = isfinite(t[0].logit) ? t[0].id : CHOOSE_NONE};
    if (out->id != CHOOSE_NONE && w->temperature >= CHOOSE_GREEDY) out->id = draw(t, w, V);
    if (out->id != CHOOSE_NONE && w->n_top >= 0) tell(out, t, raw, w, V);
    free(raw);
    free(t);
}
