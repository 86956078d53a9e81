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
#define SUMS   8192   /* floats of o that a piece keeps on the stack */
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

/* What a row knows after some chunks. */
struct row {
    const float *q;
    float *sum; /* [width] of p * V */
    float max;
    int32_t first, end; /* the positions that it sees */
};

struct piece {
    const struct job *j;
    int hk, n_rows;
    int32_t seq;
    bool widen_k, widen_v;
    struct row row[ROWS];
    vec total[ROWS]; /* of p, by lane */
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

/* Lanes of a row's positions from pos on that it does not see become UNSEEN. */
SIMD_INLINE void hide(vec *s, const struct row *w, int32_t pos)
{
    const vec_int lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vec_bits seen = (vec_bits)(lane >= w->first - pos) & (vec_bits)(lane < w->end - pos);
    vec unseen;

    vec_set(&unseen, UNSEEN);
    vec_pick(s, &seen, s, &unseen);
}

/* Products become scores; the largest of them and of w->max. */
SIMD_INLINE float finish_scores(float *s, const struct row *w, const struct chunk *c, int n_blocks,
                                const struct attn_shape *a)
{
    const bool all = w->first <= c->start && w->end >= c->start + n_blocks * KV_BLOCK_TOKENS;
    vec v, top;

    vec_set(&top, w->max);
    for (int b = 0; b < n_blocks; b++) {
        vec_load(&v, s + b * SIMD_LANES);
        v = v * a->scale;
        if (a->softcap > 0) {
            v = v / a->softcap;
            vec_tanh(&v, &v);
            v = v * a->softcap;
        }
        if (!all) hide(&v, w, c->start + b * KV_BLOCK_TOKENS);
        vec_store(s + b * SIMD_LANES, &v);
        vec_max(&top, &v, &top);
    }
    return vec_top(&top);
}

/* Scores become weights, 0 where nothing is seen; their sum by lane. */
SIMD_INLINE void weigh(float *s, vec *total, float max, float keep, int n_blocks)
{
    vec v, p, sum = {0};

    for (int b = 0; b < n_blocks; b++) {
        vec_bits seen;

        vec_load(&v, s + b * SIMD_LANES);
        seen = (vec_bits)(v > UNSEEN / 2);
        v = v - max;
        vec_exp(&p, &v);
        p = (vec)((vec_bits)p & seen);
        vec_store(s + b * SIMD_LANES, &p);
        sum = sum + p;
    }
    *total = *total * keep;
    *total = *total + sum;
}

/* M rows, at most TILE_ROWS, look at one chunk. */
SIMD_INLINE void look_at(struct piece *p, int r0, const int M, const struct chunk *c,
                         const struct ahead *ahead, const int level)
{
    const struct attn_shape *a = p->j->a;
    struct row *w = p->row + r0;
    _Alignas(64) float scores[TILE_ROWS][ATTN_CHUNK], keep[SIMD_LANES] = {0};
    const float *q[TILE_ROWS], *weights[TILE_ROWS];
    float *s[TILE_ROWS], *sum[TILE_ROWS], max[TILE_ROWS];
    const int n = w[M - 1].end - c->start < ATTN_CHUNK ? w[M - 1].end - c->start : ATTN_CHUNK;
    const int n_blocks = (n + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    vec grown;

    for (int m = 0; m < M; m++) {
        q[m] = w[m].q, sum[m] = w[m].sum;
        weights[m] = s[m] = scores[m];
    }
    rows_scores(s, q, c->k, a->HD, ahead, M, n_blocks, level);
    for (int m = 0; m < M; m++) {
        max[m] = finish_scores(s[m], &w[m], c, n_blocks, a);
        keep[m] = w[m].max - max[m];
        w[m].max = max[m];
    }
    vec_load(&grown, keep);
    vec_exp(&grown, &grown);
    vec_store(keep, &grown);
    for (int m = 0; m < M; m++)
        weigh(s[m], &p->total[r0 + m], max[m], keep[m], n_blocks);
    rows_values(sum, keep, weights, c->v, c->step, n, ahead, M, p->j->width / SIMD_LANES, level);
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
            if (p->row[r + m - 1].end <= c.start || p->row[r].first >= c.start + ATTN_CHUNK)
                continue;
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

/* Tokens [t0, t1) of one sequence and the query heads [h0, h1). */
SIMD_INLINE void run_of(const struct job *j, int hk, int t0, int t1, int h0, int h1,
                        const int level)
{
    const struct attn_shape *a = j->a;
    const bool narrow = j->kv->dtype != DTYPE_F32;
    _Alignas(64) float sums[SUMS];
    struct scratch wide;
    struct piece p;

    p.j = j, p.hk = hk, p.n_rows = 0, p.seq = j->r->seq[t0];
    p.widen_k = narrow, p.widen_v = narrow || j->width != a->HD;
    for (int t = t0; t < t1; t++)
        for (int h = h0; h < h1; h++, p.n_rows++) {
            float *sum = sums + p.n_rows * j->width;

            memset(sum, 0, (size_t)j->width * sizeof *sum);
            p.total[p.n_rows] = (vec){0};
            p.row[p.n_rows] =
                (struct row){j->q + ((size_t)t * (size_t)a->H + (size_t)h) * (size_t)a->HD, sum,
                             UNSEEN, first_seen(j, t), j->r->pos[t] + 1};
        }
    look_back(&p, first_seen(j, t0), j->r->pos[t1 - 1] + 1, &wide, level);
    for (int r = 0; r < p.n_rows; r++)
        finish_row(j->o + (p.row[r].q - j->q), p.row[r].sum, vec_sum(&p.total[r]), a->HD);
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
