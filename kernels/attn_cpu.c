/* attn_cpu.c - each token looks back at its sequence, ATTN_CHUNK positions at a time.
 *
 * A piece of work is a run of tokens of one sequence and the query heads that share a KV head: all
 * of them read a chunk of K and V while it is in the first-level cache.  K and V of 16 bits, and V
 * of a head that is no whole number of vecs, are first widened to floats on the stack.
 */
#include "kernels/attn.h"
#include "kernels/simd.h"

#include <stdbool.h>

#include "base/err.h"
#include "kernels/attn_tile.h"
#include "kernels/curves.h"
#include "kernels/pool.h"
#include "kernels/slot.h"
#include "kernels/widen.h"

#define TOKENS 16     /* most in a piece of work */
#define ROWS   64     /* query rows of a piece: tokens times heads */
#define SUMS   8192   /* floats of q, and of o, that a piece keeps on the stack */
#define UNSEEN -1e30f /* the score of a position that a row does not see */
#define SMALL  65536  /* multiply-adds below which a second thread is not worth waking */

struct job {
    float *o;
    const float *q;
    const struct kv_layer *kv;
    const struct ragged *r;
    const struct attn_shape *a;
    int n_tokens;         /* of a piece */
    int n_cuts, n_heads;  /* the heads of a KV head in n_cuts pieces of up to n_heads */
    int width, most_rows; /* HD in whole vecs; rows whose sums fit */
};

/* What the rows know after some chunks; a row is a token's head, in order of token. */
struct piece {
    const struct job *j;
    int hk, n_rows;
    int32_t seq;
    bool widen_k, widen_v;
    int32_t first[ROWS], end[ROWS]; /* the positions that it sees */
    vec total[ROWS];                /* of the weights, by lane */
    vec max[ROWS / TILE_ROWS];      /* of the scores: KEEP_STEP lanes for each row of a tile */
    _Alignas(64) float q[SUMS];     /* [n_rows][HD], times scale */
    _Alignas(64) float sum[SUMS];   /* [n_rows][width] of weight * V */
};

/* A chunk's KV blocks, as floats. */
struct chunk {
    int32_t start;
    int n_blocks;
    const float *k[TILE_BLOCKS], *v[TILE_BLOCKS];
    size_t step; /* from a position's V to the next */
    struct ahead ahead;
};

struct scratch {
    _Alignas(64) float k[ATTN_CHUNK * ATTN_MAX_HD];
    _Alignas(64) float v[ATTN_CHUNK * ATTN_MAX_HD];
};

_Static_assert(TILE_BLOCKS *KV_BLOCK_TOKENS == ATTN_CHUNK, "a chunk is a tile wide");
_Static_assert(SUMS / ATTN_MAX_HD >= TILE_ROWS, "at least a tile of rows");

/* The blocks of the chunk from start on; where that is at the end, any that are there. */
SIMD_INLINE void look_ahead(struct ahead *to, const struct piece *p, int32_t start, int32_t end)
{
    const struct attn_shape *a = p->j->a;
    const struct kv_layer *kv = p->j->kv;
    const size_t width = dtype_bytes(kv->dtype);

    to->step = SIMD_LANES * width;
    for (int b = 0; b < TILE_BLOCKS; b++) {
        const int32_t pos = start + b * KV_BLOCK_TOKENS < end ? start + b * KV_BLOCK_TOKENS : 0;
        const size_t at = slot_block(slot_of(p->j->r, p->seq, pos), p->hk, a->HK, a->HD);

        to->k[b] = (const char *)kv->k + at * width;
        to->v[b] = (const char *)kv->v + at * width;
    }
}

/* The blocks from c->start up to end. */
SIMD_INLINE void open_chunk(struct chunk *c, const struct piece *p, int32_t end, struct scratch *to,
                            const int level)
{
    const struct attn_shape *a = p->j->a;
    const struct kv_layer *kv = p->j->kv;
    const int n = end - c->start < ATTN_CHUNK ? end - c->start : ATTN_CHUNK;

    c->n_blocks = (n + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    c->step = (size_t)(p->widen_v ? p->j->width : a->HD);
    look_ahead(&c->ahead, p, c->start + ATTN_CHUNK, end);
    for (int b = 0; b < c->n_blocks; b++) {
        const int32_t pos = c->start + b * KV_BLOCK_TOKENS;
        const int n_here = end - pos < KV_BLOCK_TOKENS ? end - pos : KV_BLOCK_TOKENS;
        const size_t at = slot_block(slot_of(p->j->r, p->seq, pos), p->hk, a->HK, a->HD);
        float *k = to->k + b * KV_BLOCK_TOKENS * a->HD;
        float *v = to->v + b * KV_BLOCK_TOKENS * p->j->width;

        c->k[b] = p->widen_k ? k : (const float *)kv->k + at;
        c->v[b] = p->widen_v ? v : (const float *)kv->v + at;
        if (p->widen_k) widen(k, kv->k, at, (size_t)(KV_BLOCK_TOKENS * a->HD), kv->dtype, level);
        if (p->widen_v && p->j->width == a->HD)
            widen(v, kv->v, at, (size_t)(n_here * a->HD), kv->dtype, level);
        else if (p->widen_v)
            for (int i = 0; i < n_here; i++)
                widen_row(v + i * p->j->width, kv->v, at + slot_v(i, 0, a->HD), (size_t)a->HD,
                          kv->dtype, level);
    }
}

/* Lanes of row r's positions from pos on that it does not see become UNSEEN. */
SIMD_INLINE void hide(vec *s, const struct piece *p, int r, int32_t pos)
{
    const vec_int lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vec_bits seen =
        (vec_bits)(lane >= p->first[r] - pos) & (vec_bits)(lane < p->end[r] - pos);
    vec unseen;

    vec_set(&unseen, UNSEEN);
    vec_pick(s, &seen, s, &unseen);
}

/* Row r's products become scores; top: the largest of each lane. */
SIMD_INLINE void finish_scores(vec *top, float *s, const struct piece *p, int r,
                               const struct chunk *c, int n_blocks)
{
    const float cap = p->j->a->softcap;
    const bool all = p->first[r] <= c->start && p->end[r] >= c->start + n_blocks * KV_BLOCK_TOKENS;
    vec v;

    vec_set(top, UNSEEN);
    for (int b = 0; b < n_blocks; b++) {
        vec_load(&v, s + b * SIMD_LANES);
        if (cap > 0) {
            v = v / cap;
            vec_tanh(&v, &v);
            v = v * cap;
        }
        if (!all) hide(&v, p, r, c->start + b * KV_BLOCK_TOKENS);
        if (!all || cap > 0) vec_store(s + b * SIMD_LANES, &v);
        vec_max(top, &v, top);
    }
}

/* Scores become weights, 0 where nothing is seen. */
SIMD_INLINE void weigh(float *s, vec *total, const float *max, const float *keep, int n_blocks)
{
    vec v, w, m, k, sum = {0};

    vec_spread(&m, max);
    vec_spread(&k, keep);
    for (int b = 0; b < n_blocks; b++) {
        vec_load(&v, s + b * SIMD_LANES);
        v = v - m;
        vec_exp_down(&w, &v);
        vec_store(s + b * SIMD_LANES, &w);
        sum = sum + w;
    }
    *total = *total * k + sum;
}

/* M rows from r on, at most TILE_ROWS, look at one chunk. */
SIMD_INLINE void look_at(struct piece *p, int r, const int M, const struct chunk *c,
                         const struct ahead *ahead, const int level)
{
    _Alignas(64) float s[TILE_ROWS * ATTN_CHUNK], max[SIMD_LANES], keep[SIMD_LANES];
    const int HD = p->j->a->HD, end = p->end[r + M - 1] - c->start;
    const int n = end < ATTN_CHUNK ? end : ATTN_CHUNK;
    const int n_blocks = (n + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    vec top[TILE_ROWS], *old = &p->max[r / TILE_ROWS], now, shrink;

    rows_scores(s, p->q + r * HD, c->k, HD, ahead, M, n_blocks, level);
    for (int m = 0; m < TILE_ROWS; m++)
        if (m < M)
            finish_scores(&top[m], s + m * ATTN_CHUNK, p, r + m, c, n_blocks);
        else
            vec_set(&top[m], UNSEEN);
    vec_top4(&now, top);
    vec_max(&now, &now, old);
    shrink = *old - now;
    vec_exp_down(&shrink, &shrink);
    *old = now;
    vec_store(max, &now);
    vec_store(keep, &shrink);
    for (int m = 0; m < M; m++)
        weigh(s + m * ATTN_CHUNK, &p->total[r + m], max + KEEP_STEP * m, keep + KEEP_STEP * m,
              n_blocks);
    rows_values(p->sum + r * p->j->width, (size_t)p->j->width, keep, s, c->v, c->step, n, ahead, M,
                level);
}

/* Rows in order of their position: the first sees from the earliest on, the last up to the end. */
SIMD_INLINE void look_back(struct piece *p, int32_t first, int32_t end, struct scratch *wide,
                           const int level)
{
    struct chunk c = {.start = first / ATTN_CHUNK * ATTN_CHUNK};

    for (; c.start < end; c.start += ATTN_CHUNK) {
        open_chunk(&c, p, end, wide, level);
        for (int r = 0, m; r < p->n_rows; r += m) {
            m = p->n_rows - r < TILE_ROWS ? p->n_rows - r : TILE_ROWS;
            if (p->end[r + m - 1] <= c.start || p->first[r] >= c.start + ATTN_CHUNK) continue;
            look_at(p, r, m, &c, r == 0 ? &c.ahead : NULL, level);
        }
    }
}

/* o = sum / total; + 0: no zero has a sign, whatever was skipped. */
SIMD_INLINE void finish_row(float *o, const float *sum, float total, int HD)
{
    const int rest = HD % SIMD_LANES, whole = HD - rest;
    const float part = 1.0f / total;
    vec v;

    for (int d = 0; d < whole; d += SIMD_LANES) {
        vec_load(&v, sum + d);
        v = v * part + 0.0f;
        vec_store(o + d, &v);
    }
    if (!rest) return;
    vec_load(&v, sum + whole);
    v = v * part + 0.0f;
    vec_store_part(o + whole, &v, rest);
}

static int32_t first_seen(const struct job *j, int t)
{
    const int32_t pos = j->r->pos[t], window = j->a->window;

    return window && pos >= window ? pos - window + 1 : 0;
}

/* A row of token t and head h. */
SIMD_INLINE void add_row(struct piece *p, int t, int h)
{
    const struct job *j = p->j;
    const int HD = j->a->HD, r = p->n_rows++;
    const float *q = j->q + ((size_t)t * (size_t)j->a->H + (size_t)h) * (size_t)HD;
    int d = 0;
    vec v;

    for (; d + SIMD_LANES <= HD; d += SIMD_LANES) {
        vec_load(&v, q + d);
        v = v * j->a->scale;
        vec_store(p->q + r * HD + d, &v);
    }
    for (; d < HD; d++)
        p->q[r * HD + d] = q[d] * j->a->scale;
    memset(p->sum + r * j->width, 0, (size_t)j->width * sizeof *p->sum);
    p->total[r] = (vec){0};
    vec_set(&p->max[r / TILE_ROWS], UNSEEN / 2); /* above what is unseen: that weighs nothing */
    p->first[r] = first_seen(j, t);
    p->end[r] = j->r->pos[t] + 1;
}

/* Tokens [t0, t1) of one sequence and the query heads [h0, h1). */
SIMD_INLINE void run_of(const struct job *j, int hk, int t0, int t1, int h0, int h1,
                        const int level)
{
    const bool narrow = j->kv->dtype != DTYPE_F32;
    const size_t H = (size_t)j->a->H, HD = (size_t)j->a->HD;
    struct scratch wide;
    struct piece p;

    p.j = j, p.hk = hk, p.n_rows = 0, p.seq = j->r->seq[t0];
    p.widen_k = narrow, p.widen_v = narrow || j->width != j->a->HD;
    for (int t = t0; t < t1; t++) /* a token's rows are far from the next one's */
        for (size_t d = 0; d < (size_t)(h1 - h0) * HD; d += SIMD_LANES)
            __builtin_prefetch(j->q + ((size_t)t * H + (size_t)h0) * HD + d);
    for (int t = t0; t < t1; t++)
        for (int h = h0; h < h1; h++)
            add_row(&p, t, h);
    look_back(&p, first_seen(j, t0), j->r->pos[t1 - 1] + 1, &wide, level);
    for (int r = 0; r < p.n_rows; r++) {
        const size_t t = (size_t)(t0 + r / (h1 - h0)), h = (size_t)(h0 + r % (h1 - h0));

        finish_row(j->o + (t * H + h) * HD, p.sum + r * j->width, vec_sum(&p.total[r]), j->a->HD);
    }
}

SIMD_INLINE void look_body(const struct job *j, int i, const int level)
{
    const struct attn_shape *a = j->a;
    const int group = a->H / a->HK, per_tile = a->HK * j->n_cuts;
    const int n_tiles = (j->r->T + j->n_tokens - 1) / j->n_tokens;
    const int hk = i % per_tile / j->n_cuts, h0 = hk * group + i % j->n_cuts * j->n_heads;
    const int h1 = (hk + 1) * group < h0 + j->n_heads ? (hk + 1) * group : h0 + j->n_heads;
    /* The last tokens of a prompt have most to look at: first. */
    const int start = (n_tiles - 1 - i / per_tile) * j->n_tokens;
    const int end = j->r->T < start + j->n_tokens ? j->r->T : start + j->n_tokens;

    for (int t = start, next; t < end; t = next) {
        for (next = t + 1; next < end && j->r->seq[next] == j->r->seq[t] &&
                           (next - t + 1) * (h1 - h0) <= j->most_rows;)
            next++;
        run_of(j, hk, t, next, h0, h1, level);
    }
}

SIMD_CLONES(look, (void *arg, int i), (arg, i, LEVEL))

static int limited(int n, int least, int most)
{
    return n < least ? least : n > most ? most : n;
}

int attn_cpu(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s)
{
    struct job j = {.o = o, .q = q, .kv = kv, .r = r, .a = a};
    int rc = attn_check(kv, a), group;
    int64_t seen = 0;

    if (!rc && (kv->dtype == DTYPE_FP8 || (a->q_step && a->q_step != a->H * a->HD)))
        rc = ERR_UNSUPPORTED;
    if (rc) return rc;
    for (int t = 0; t < r->T; t++)
        seen += r->pos[t] + 1;
    if (seen * a->H * a->HD * 2 < SMALL) s = NULL;
    group = a->H / a->HK;
    j.width = (a->HD + SIMD_LANES - 1) / SIMD_LANES * SIMD_LANES;
    j.most_rows = limited(SUMS / j.width, 1, ROWS);
    j.n_cuts = (group + j.most_rows - 1) / j.most_rows;
    j.n_heads = (group + j.n_cuts - 1) / j.n_cuts;
    /* Enough pieces for all threads to end together. */
    j.n_tokens = limited(r->T * a->HK / (8 * pool_threads(s)), 1, TOKENS);
    pool_run(s, (r->T + j.n_tokens - 1) / j.n_tokens * a->HK * j.n_cuts, SIMD_PICK(look), &j);
    return ERR_OK;
}
