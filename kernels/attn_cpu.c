/* attn_cpu.c - each token looks back at its sequence, a KV block (16 positions) at a time.
 *
 * A piece of work is one token and one KV head: the query heads that share it read each KV block
 * while it is in the first-level cache.
 */
#include "kernels/attn.h"
#include "kernels/simd.h"

#include <math.h>

#include "base/err.h"
#include "kernels/pool.h"
#include "kernels/slot.h"

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

/* s[i] = q . k[i] * scale for the block's 16 positions; what lies behind the last one is never
 * used. */
SIMD_INLINE void block_scores(vec *s, const float *q, const float *k, int n, int HD, float scale)
{
    const int rest = HD % SIMD_LANES, whole = HD - rest;
    vec acc[SIMD_LANES] = {0}, qv, kv;

    for (int d = 0; d < whole; d += SIMD_LANES) {
        vec_load(&qv, q + d);
#pragma GCC unroll 16
        for (int i = 0; i < SIMD_LANES; i++) {
            vec_load(&kv, k + (size_t)i * (size_t)HD + d);
            acc[i] += qv * kv;
        }
    }
    if (rest) {
        vec_load_part(&qv, q + whole, rest);
        for (int i = 0; i < n; i++) {
            vec_load_part(&kv, k + (size_t)i * (size_t)HD + whole, rest);
            acc[i] += qv * kv;
        }
    }
    vec_sum16(acc);
    *s = acc[0] * scale;
}

/* o = o * keep + sum_i p[i] * v[i] over the block's first n positions, in that order. */
SIMD_INLINE void block_values(float *o, const float *p, const float *v, int n, int HD, float keep)
{
    const int rest = HD % SIMD_LANES, whole = HD - rest;
    vec sum, row;

    for (int d = 0; d < whole; d += SIMD_LANES) {
        vec_load(&sum, o + d);
        sum *= keep;
        for (int i = 0; i < n; i++) {
            vec_load(&row, v + (size_t)i * (size_t)HD + d);
            sum += row * p[i];
        }
        vec_store(o + d, &sum);
    }
    if (rest) {
        vec_load_part(&sum, o + whole, rest);
        sum *= keep;
        for (int i = 0; i < n; i++) {
            vec_load_part(&row, v + (size_t)i * (size_t)HD + whole, rest);
            sum += row * p[i];
        }
        vec_store_part(o + whole, &sum, rest);
    }
}

SIMD_INLINE void head_block(struct head *h, const float *k, const float *v, int n,
                            const struct attn_shape *a)
{
    float f[SIMD_LANES], keep = 1.0f, max = h->max;
    vec s, p;

    block_scores(&s, h->q, k, n, a->HD, a->scale);
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
    block_values(h->o, f, v, n, a->HD, keep);
}

SIMD_INLINE void look_back(const struct job *j, int t, int hk, int h0, int n_heads)
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
                       in_block, a);
    }
    for (int i = 0; i < n_heads; i++)
        for (int d = 0; d < a->HD; d++)
            head[i].o[d] /= head[i].total;
}

SIMD_INLINE void token_head_body(const struct job *j, int i)
{
    const int t = i / j->a->HK, hk = i % j->a->HK, group = j->a->H / j->a->HK;

    for (int g = 0; g < group; g += GROUP)
        look_back(j, t, hk, hk * group + g, group - g < GROUP ? group - g : GROUP);
}

SIMD_CLONES(token_head, (void *arg, int i), (arg, i))

int attn_cpu(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s)
{
    struct job j = {o, q, kv, r, a};
    int rc = attn_check(kv, a);

    if (rc) return rc;
    pool_run(s, r->T * a->HK, SIMD_PICK(token_head), &j);
    return ERR_OK;
}
