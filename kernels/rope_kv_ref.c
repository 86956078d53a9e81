/* rope_kv_ref.c - turns q and k by their positions, stores k and v: the meaning. */
#include "kernels/rope_kv.h"

#include <math.h>

#include "base/err.h"
#include "kernels/rmsnorm.h"
#include "kernels/scaled.h"
#include "kernels/slot.h"

static void turn(float *head, int32_t pos, const struct rope_shape *a)
{
    const int next = a->adjacent ? 1 : a->n_rot / 2, step = a->adjacent ? 2 : 1;

    for (int i = 0; i < a->n_rot / 2; i++) {
        const double angle = (double)pos * (double)a->inv_freq[i];
        const double c = (double)a->scale * cos(angle), s = (double)a->scale * sin(angle);
        float *x = head + step * i, *y = x + next;
        const double x0 = (double)*x, y0 = (double)*y;

        *x = (float)(x0 * c - y0 * s);
        *y = (float)(y0 * c + x0 * s);
    }
}

/* The scale of a head's numbers where the KV dtype has one, kept in *to; else 1. */
static float scale_of(float *to, const float *x, const struct kv_layer *kv, int HD)
{
    return kv->dtype == DTYPE_FP8 ? (*to = scaled_by(x, (size_t)HD, DTYPE_FP8)) : 1;
}

static void store(void *to, enum dtype d, size_t i, float f, float scale)
{
    if (d == DTYPE_F32)
        ((float *)to)[i] = f;
    else if (d == DTYPE_FP8)
        ((uint8_t *)to)[i] = scaled_put(f, scale, d);
    else
        ((uint16_t *)to)[i] = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
}

/* One head of a token at pos into its block, whose first number is `block`. */
static void store_head(const struct kv_layer *kv, size_t block, int32_t pos, const float *k,
                       const float *v, int HD)
{
    const size_t row = block / (size_t)HD + (size_t)pos % KV_BLOCK_TOKENS;
    const float ks = scale_of(kv->k_scales + row, k, kv, HD);
    const float vs = scale_of(kv->v_scales + row, v, kv, HD);

    for (int d = 0; d < HD; d++) {
        store(kv->k, kv->dtype, block + slot_k(pos, d), k[d], ks);
        store(kv->v, kv->dtype, block + slot_v(pos, d, HD), v[d], vs);
    }
}

int rope_kv_ref(void *qp, void *kp, const void *vp, const struct kv_layer *kv,
                const struct ragged *r, const struct rope_shape *a, struct stream *s)
{
    const size_t HD = (size_t)a->HD;
    const size_t kv_step = a->kv_step ? (size_t)a->kv_step : (size_t)a->HK * HD;
    int rc = rope_kv_check(kv, a);

    if (rc) return rc;
    for (int t = 0; t < r->T; t++) {
        float *q = (float *)qp + (size_t)t * (a->q_step ? (size_t)a->q_step : (size_t)a->H * HD);
        float *k = (float *)kp + (size_t)t * kv_step;
        const float *v = (const float *)vp + (size_t)t * kv_step;
        const int32_t pos = r->pos[t], block = slot_of(r, r->seq[t], pos);

        if (a->q_norm) rc = rmsnorm_ref(q, q, a->q_norm, a->H, a->HD, a->eps, s);
        if (a->k_norm && !rc) rc = rmsnorm_ref(k, k, a->k_norm, a->HK, a->HD, a->eps, s);
        if (rc) return rc;
        for (int h = 0; h < a->H; h++)
            turn(q + (size_t)h * HD, pos, a);
        for (int h = 0; h < a->HK; h++) {
            turn(k + (size_t)h * HD, pos, a);
            store_head(kv, slot_block(block, h, a->HK, a->HD), pos, k + (size_t)h * HD,
                       v + (size_t)h * HD, a->HD);
        }
    }
    return ERR_OK;
}
