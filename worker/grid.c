/* grid.c - the steps that a profile measures. */
#include "worker/grid.h"

#include "worker/kv.h"

#define LEAST_P     16
#define VALUES      24 /* of a series: doublings of 32 bits are fewer */
#define HELD_EVERY  3
#define DEEP_ENOUGH 4 /* times GRID_SHORT: less is no second depth */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* from, twice that, .. and most itself; 0 of none. */
static int series(int out[VALUES], int from, int most)
{
    int n = 0;

    for (int v = from; v < most && n < VALUES - 1; v *= 2)
        out[n++] = v;
    if (most >= from || (most > 0 && n == 0)) out[n++] = most;
    return n;
}

/* KV tokens that the point takes, in whole blocks. */
static long tokens_of(const struct grid_point *g)
{
    const long each = kv_table_blocks(g->context + 1 + GRID_ANSWER);
    const long chunk = g->p ? kv_table_blocks(g->behind + g->p + 1) : 0;

    return (g->n * each + chunk) * KV_BLOCK_TOKENS;
}

static bool fits(const struct grid_point *g, const struct grid_limits *l)
{
    return g->n + g->p <= l->max_tokens && g->n + (g->p > 0) <= l->max_seqs &&
           g->context + 1 + GRID_ANSWER <= l->max_len && g->behind + g->p < l->max_len &&
           tokens_of(g) <= l->kv_tokens;
}

static void add(struct grid_point *out, int *n, const struct grid_limits *l, struct grid_point g)
{
    if (*n < GRID_MAX && fits(&g, l)) out[(*n)++] = g;
}

/* The deepest context that n sequences are measured at; 0: no deeper than the short one. */
static int deep_context(const struct grid_limits *l, int n, int p)
{
    const int room =
        least(l->kv_tokens, l->deep_tokens) / (n + (p > 0)) - (GRID_ANSWER + KV_BLOCK_TOKENS + p);
    const int deep =
        least(least(GRID_DEEP, room), l->max_len - p - GRID_ANSWER - 1 - KV_BLOCK_TOKENS);

    return deep >= DEEP_ENOUGH * GRID_SHORT ? deep : 0;
}

static void add_decode(struct grid_point *out, int *n, const struct grid_limits *l, int seqs,
                       bool held)
{
    const int deep = deep_context(l, seqs, 0);
    const int shallow = least(GRID_SHORT, l->max_len - 2 - GRID_ANSWER);

    if (shallow < 1) return;
    add(out, n, l, (struct grid_point){.n = seqs, .context = shallow, .held_out = held});
    if (deep) add(out, n, l, (struct grid_point){.n = seqs, .context = deep, .held_out = held});
}

static void add_prefill(struct grid_point *out, int *n, const struct grid_limits *l, int p,
                        bool held)
{
    const int deep = deep_context(l, 1, p);

    add(out, n, l, (struct grid_point){.p = p, .held_out = held});
    if (deep) add(out, n, l, (struct grid_point){.p = p, .behind = deep, .held_out = held});
}

static void add_mixed(struct grid_point *out, int *n, const struct grid_limits *l)
{
    const int seqs[] = {l->max_seqs / 8, l->max_seqs / 2}, chunks[] = {8, 2};
    int k = 0;

    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++, k++) {
            const int p = l->max_tokens / chunks[j];
            const int half = seqs[i] ? deep_context(l, seqs[i], p) / 2 : 0;
            const struct grid_point g = {.n = seqs[i],
                                         .context = half ? half : GRID_SHORT,
                                         .p = p,
                                         .behind = half,
                                         .held_out = k % HELD_EVERY == HELD_EVERY - 1};

            if (g.n && g.p) add(out, n, l, g);
        }
}

int grid_fill(struct grid_point *out, const struct grid_limits *l)
{
    int seqs[VALUES], chunks[VALUES];
    const int n_seqs = series(seqs, 1, least(l->max_seqs, l->max_tokens));
    const int n_chunks = series(chunks, LEAST_P, least(l->max_tokens, l->max_len - 1));
    int n = 0;

    for (int i = 0; i < n_seqs || i < n_chunks; i++) {
        const bool held = i % HELD_EVERY == HELD_EVERY - 1;

        if (i < n_seqs) add_decode(out, &n, l, seqs[i], held);
        if (i < n_chunks) add_prefill(out, &n, l, chunks[i], held);
    }
    add_mixed(out, &n, l);
    return n;
}
