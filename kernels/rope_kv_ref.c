/* rope_kv_ref.c - turns q and k by their positions, stores k and v: the meaning. */
#include "kernels/rope_kv.h"

#include <math.h>

#include "base/err.h"
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

static void store(void *to, enum dtype d, size_t i, float f)
{
    if (d == DTYPE_F32)
        ((float *)to)[i] = f;
    else
        ((uint16_t *)to)[i] = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
}

int rope_kv_check(const struct kv_layer *kv, const struct rope_shape *a)
{
    if (a->H <= 0 || a->HK <= 0 || a->HD <= 0 || a->HD % 2 || a->HD > ROPE_MAX_HD) return ERR_ARG;
    if (a->n_rot < 0 || a->n_rot % 2 || a->n_rot > a->HD) return ERR_ARG;
    return dtype_is_float(kv->dtype) ? ERR_OK : ERR_UNSUPPORTED;
}

int rope_kv_ref(void *qp, void *kp, const void *vp, const struct kv_layer *kv,
                const struct ragged *r, const struct rope_shape *a, struct stream *s)
{
    const size_t HD = (size_t)a->HD;
    int rc = rope_kv_check(kv, a);

    (void)s;
    if (rc) return rc;
    for (int t = 0; t < r->T; t++) {
        float *q = (float *)qp + (size_t)t * (size_t)a->H * HD;
        float *k = (float *)kp + (size_t)t * (size_t)a->HK * HD;
        const float *v = (const float *)vp + (size_t)t * (size_t)a->HK * HD;
        const int32_t pos = r->pos[t], block = slot_of(r, r->seq[t], pos);

        for (int h = 0; h < a->H; h++)
            turn(q + (size_t)h * HD, pos, a);
        for (int h = 0; h < a->HK; h++) {
            const size_t to = slot_block(block, h, a->HK, a->HD);

            turn(k + (size_t)h * HD, pos, a);
            for (int d = 0; d < a->HD; d++) {
                store(kv->k, kv->dtype, to + slot_k(pos, d), k[(size_t)h * HD + (size_t)d]);
                store(kv->v, kv->dtype, to + slot_v(pos, d, a->HD), v[(size_t)h * HD + (size_t)d]);
            }
        }
    }
    return ERR_OK;
}
