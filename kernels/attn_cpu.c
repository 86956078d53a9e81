/* attn_cpu.c - each token looks back at its sequence, a KV block (16 positions) at a time.
 *
 * A piece of work is one token and one KV head: the query heads that share it read each KV block
 * while it is in the first-level cache.
 */
#include "kernels/attn.h"
#include "kernels/simd.h"

#include <math.h>

#include "base/err.h"
#include "kernels/lanes.h"
#include "kernels/pool.h"
#include "kernels/slot.h"

#define WIDE  4 /* vecs of o that are summed at once */
#define GROUP 8 /* query heads at a time: what is kept for each is on the stack */

_Static_assert(KV_BLOCK_TOKENS == SIMD_LANES, "a KV block's scores are one vec");

struct job {
    float *o;
    const float *q;
    const struct kv_layer *kv;
    const struct ragged *r;
    const struct attn_shape *a;
};

/* What one query head knows after some KV blocks; o holds the weighted sum so far. */
struct head {
    const float *q;
    float *o;
    float max, total;
};

/* s[i] = q . k[i] for AT positions of a block, as many as there are registers for. */
SIMD_INLINE void scores_at(float *s, const float *q, const float *k, int HD, const int AT,
                           const int level)
{
    const int rest = HD % SIMD_LANES, whole = HD - rest;
    struct lanes acc[SIMD_LANES], qv, kv;

#pragma GCC unroll 16
    for (int i = 0; i < AT; i++)
        lanes_set(&acc[i], 0, level);
    for (int d = 0; d < whole; d += SIMD_LANES) {
        lanes_load_as(&qv, q, (size_t)d, DTYPE_F32, level);
#pragma GCC unroll 16
        for (int i = 0; i < AT; i++) {
            lanes_load_as(&kv, k + (size_t)i * (size_t)HD, (size_t)d, DTYPE_F32, level);
            lanes_fma(&acc[i], &qv, &kv, level);
        }
    }
    if (rest) {
        lanes_load_part(&qv, q, (size_t)whole, rest, DTYPE_F32, level);
#pragma GCC unroll 16
        for (int i = 0; i < AT; i++) {
            lanes_load_part(&kv, k + (size_t)i * (size_t)HD, (size_t)whole, rest, DTYPE_F32, level);
            lanes_fma(&acc[i], &qv, &kv, level);
        }
    }
    lanes_sums(s, acc, AT, level);
}

/* o = o * keep + sum_i p[i] * v[i], over n positions in their order, for n_vecs vecs of o at once:
 * independent sums, where one alone would wait for itself. */
SIMD_INLINE void values_at(float *o, const float *p, const float *v, int n, int HD, float keep,
                           const int n_vecs, const int level)
{
    struct lanes sum[WIDE], row, weight;

#pragma GCC unroll 4
    for (int d = 0; d < n_vecs; d++) {
        lanes_load_as(&sum[d], o, (size_t)d * SIMD_LANES, DTYPE_F32, level);
        lanes_scale(&sum[d], keep, level);
    }
    for (int i = 0; i < n; i++) {
        lanes_set(&weight, p[i], level);
#pragma GCC unroll 4
        for (int d = 0; d < n_vecs; d++) {
            lanes_load_as(&row, v + (size_t)i * (size_t)HD, (size_t)d * SIMD_LANES, DTYPE_F32,
                          level);
            lanes_fma(&sum[d], &row, &weight, level);
        }
    }
#pragma GCC unroll 4
    for (int d = 0; d < n_vecs; d++)
        lanes_store(o + d * SIMD_LANES, &sum[d], level);
}

SIMD_INLINE void block_values(float *o, const float *p, const float *v, int n, int HD, float keep,
                              const int level)
{
    const int rest = HD % SIMD_LANES, whole = HD - rest;
    int d = 0;

    for (; d + WIDE * SIMD_LANES <= whole; d += WIDE * SIMD_LANES)
        values_at(o + d, p, v + d, n, HD, keep, WIDE, level);
    for (; d < whole; d += SIMD_LANES)
        values_at(o + d, p, v + d, n, HD, keep, 1, level);
    for (; d < HD; d++) {
        float sum = o[d] * keep;

        for (int i = 0; i < n; i++)
            sum += v[(size_t)i * (size_t)HD + (size_t)d] * p[i];
        o[d] = sum;
    }
}

SIMD_INLINE void head_block(struct head *h, const float *k, const float *v, int n,
                            const struct attn_shape *a, const int level)
{
    const int AT = level == SIMD_V4 ? SIMD_LANES : 4;
    float f[SIMD_LANES], keep = 1.0f, max = h->max;
    vec s, p;

    for (int i = 0; i < SIMD_LANES; i += AT)
        scores_at(f + i, h->q, k + (size_t)i * (size_t)a->HD, a->HD, AT, level);
    vec_load(&s, f);
    s = s * a->scale;
    vec_store(f, &s);
    for (int i = 0; i < n; i++)
        max = f[i] > max ? f[i] : max;
    if (max > h->max) {
        keep = expf(h->max - max); /* 0 at the first block */
        h->max = max;
    }
    s = s - max;
    vec_exp(&p, &s);
    vec_store(f, &p);
    for (int i = n; i < SIMD_LANES; i++)
        f[i] = 0;
    vec_load(&p, f);
    h->total = h->total * keep + vec_sum(&p);
    block_values(h->o, f, v, n, a->HD, keep, level);
}

SIMD_INLINE void look_back(const struct job *j, int t, int hk, int h0, int n_heads, const int level)
{
    const struct attn_shape *a = j->a;
    const int32_t seq = j->r->seq[t], n = j->r->pos[t] + 1;
    struct head head[GROUP];

    for (int i = 0; i < n_heads; i++) {
        const size_t at = ((size_t)t * (size_t)a->H + (size_t)(h0 + i)) * (size_t)a->HD;

        head[i] = (struct head){j->q + at, j->o + at, -HUGE_VALF, 0};
        memset(j->o + at, 0, (size_t)a->HD * sizeof *j->o);
    }
    for (int32_t c = 0; c < n; c += KV_BLOCK_TOKENS) {
        const size_t at = slot_block(slot_of(j->r, seq, c), hk, a->HK, a->HD);
        const int in_block = n - c < KV_BLOCK_TOKENS ? n - c : KV_BLOCK_TOKENS;

        for (int i = 0; i < n_heads; i++)
            head_block(&head[i], (const float *)j->kv->k + at, (const float *)j->kv->v + at,
                       in_block, a, level);
    }
    for (int i = 0; i < n_heads; i++)
        for (int d = 0; d < a->HD; d++)
            head[i].o[d] /= head[i].total;
}

SIMD_INLINE void token_head_body(const struct job *j, int i, const int level)
{
    const int t = i / j->a->HK, hk = i % j->a->HK, group = j->a->H / j->a->HK;

    for (int g = 0; g < group; g += GROUP)
        look_back(j, t, hk, hk * group + g, group - g < GROUP ? group - g : GROUP, level);
}

SIMD_CLONES(token_head, (void *arg, int i), (arg, i, LEVEL))

int attn_cpu(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s)
{
    struct job j = {o, q, kv, r, a};
    int rc = attn_check(kv, a);

    if (rc) return rc;
    pool_run(s, r->T * a->HK, SIMD_PICK(token_head), &j);
    return ERR_OK;
}
