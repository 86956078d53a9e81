/* rope_kv_cpu.c - turns q and k by their positions, stores k and v, a token to a thread. */
#include "kernels/rope_kv.h"
#include "kernels/simd.h"

#include <math.h>

#include "base/err.h"
#include "kernels/narrow.h"
#include "kernels/pool.h"
#include "kernels/rmsnorm.h"
#include "kernels/slot.h"

#define TOKENS 4 /* in a piece of work */

struct job {
    float *q, *k;
    const float *v;
    const struct kv_layer *kv;
    const struct ragged *r;
    const struct rope_shape *a;
};

static void angles(float *cosine, float *sine, int32_t pos, const struct rope_shape *a)
{
    const double turn = 6.283185307179586476925;

    for (int i = 0; i < a->n_rot / 2; i++) {
        const double angle = (double)pos * (double)a->inv_freq[i];

        sincosf((float)(angle - turn * nearbyint(angle / turn)), &sine[i], &cosine[i]);
        sine[i] *= a->scale;
        cosine[i] *= a->scale;
    }
}

SIMD_INLINE void turn_halves(float *head, int half, const float *cosine, const float *sine)
{
    for (int i = 0; i < half; i += SIMD_LANES) {
        const int n = half - i < SIMD_LANES ? half - i : SIMD_LANES;
        vec lo, hi, c, s, out;

        vec_load(&c, cosine + i); /* the tables are padded to whole vecs */
        vec_load(&s, sine + i);
        if (n == SIMD_LANES) {
            vec_load(&lo, head + i);
            vec_load(&hi, head + half + i);
        } else {
            vec_load_part(&lo, head + i, n);
            vec_load_part(&hi, head + half + i, n);
        }
        out = lo * c - hi * s;
        hi = hi * c + lo * s;
        vec_store_part(head + i, &out, n);
        vec_store_part(head + half + i, &hi, n);
    }
}

SIMD_INLINE void turn_neighbours(float *head, int half, const float *cosine, const float *sine)
{
    for (int i = 0; i < half; i++) {
        const float x = head[2 * i], y = head[2 * i + 1];

        head[2 * i] = x * cosine[i] - y * sine[i];
        head[2 * i + 1] = y * cosine[i] + x * sine[i];
    }
}

SIMD_INLINE void turn(float *head, const struct rope_shape *a, const float *cosine,
                      const float *sine)
{
    if (a->adjacent)
        turn_neighbours(head, a->n_rot / 2, cosine, sine);
    else
        turn_halves(head, a->n_rot / 2, cosine, sine);
}

/* One head's k and v of the token at pos into their block, from number `at` on. */
SIMD_INLINE void store(const struct kv_layer *kv, size_t at, int32_t pos, const float *k,
                       const float *v, int HD)
{
    const size_t to_k = at + slot_k(pos, 0), to_v = at + slot_v(pos, 0, HD);
    uint16_t half[ROPE_MAX_HD];

    if (kv->dtype == DTYPE_F32) {
        for (int d = 0; d < HD; d++)
            ((float *)kv->k)[to_k + (size_t)d * KV_BLOCK_TOKENS] = k[d];
        memcpy((float *)kv->v + to_v, v, (size_t)HD * sizeof *v);
        return;
    }
    narrow(half, k, HD, kv->dtype);
    for (int d = 0; d < HD; d++)
        ((uint16_t *)kv->k)[to_k + (size_t)d * KV_BLOCK_TOKENS] = half[d];
    narrow((uint16_t *)kv->v + to_v, v, HD, kv->dtype);
}

SIMD_INLINE void rope_token(const struct job *j, int t)
{
    const struct rope_shape *a = j->a;
    const size_t HD = (size_t)a->HD;
    const int32_t pos = j->r->pos[t], block = slot_of(j->r, j->r->seq[t], pos);
    float cosine[ROPE_MAX_HD / 2 + SIMD_LANES] = {0}, sine[ROPE_MAX_HD / 2 + SIMD_LANES] = {0};

    angles(cosine, sine, pos, a);
    for (int h = 0; h < a->H; h++)
        turn(j->q + ((size_t)t * (size_t)a->H + (size_t)h) * HD, a, cosine, sine);
    for (int h = 0; h < a->HK; h++) {
        const size_t from = ((size_t)t * (size_t)a->HK + (size_t)h) * HD;

        turn(j->k + from, a, cosine, sine);
        store(j->kv, slot_block(block, h, a->HK, a->HD), pos, j->k + from, j->v + from, a->HD);
    }
}

SIMD_INLINE void rope_tokens_body(const struct job *j, int i)
{
    const int end = j->r->T - i * TOKENS < TOKENS ? j->r->T : (i + 1) * TOKENS;

    for (int t = i * TOKENS; t < end; t++)
        rope_token(j, t);
}

SIMD_CLONES(rope_tokens, (void *arg, int i), (arg, i))

int rope_kv_cpu(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                const struct rope_shape *a, struct stream *s)
{
    struct job j = {q, k, v, kv, r, a};
    int rc = rope_kv_check(kv, a);

    if (!rc && kv->dtype == DTYPE_FP8) rc = ERR_UNSUPPORTED;
    if (!rc &&
        ((a->q_step && a->q_step != a->H * a->HD) || (a->kv_step && a->kv_step != a->HK * a->HD)))
        rc = ERR_UNSUPPORTED;
    if (!rc && a->q_norm) rc = rmsnorm_cpu(q, q, a->q_norm, r->T * a->H, a->HD, a->eps, s);
    if (!rc && a->k_norm) rc = rmsnorm_cpu(k, k, a->k_norm, r->T * a->HK, a->HD, a->eps, s);
    if (rc) return rc;
    pool_run(s, (r->T + TOKENS - 1) / TOKENS, SIMD_PICK(rope_tokens), &j);
    return ERR_OK;
}
