/* rope_kv_ref.c - turns q and k by their positions, stores k and v: the meaning. */
#include "kernels/rope_kv.h"

#include <math.h>

#include "base/err.h"
#include "kernels/slot.h"

static void turn(float *head, int HD, int32_t pos, const float *inv_freq)
{
    const int half = HD / 2;

    for (int i = 0; i < half; i++) {
        const double a = (double)pos * (double)inv_freq[i], c = cos(a), s = sin(a);
        const double lo = (double)head[i], hi = (double)head[i + half];

        head[i] = (float)(lo * c - hi * s);
        head[i + half] = (float)(hi * c + lo * s);
    }
}

int rope_kv_check(const struct kv_layer *kv, const struct rope_shape *a)
{
    if (a->H <= 0 || a->HK <= 0 || a->HD <= 0 || a->HD % 2 || a->HD > ROPE_MAX_HD) return ERR_ARG;
    if (a->n_rot != a->HD || a->adjacent || a->scale < 1 || a->scale > 1) return ERR_UNSUPPORTED;
    return kv->dtype == DTYPE_F32 ? ERR_OK : ERR_UNSUPPORTED;
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
            turn(q + (size_t)h * HD, a->HD, pos, a->inv_freq);
        for (int h = 0; h < a->HK; h++) {
            const size_t to =
                slot_block(block, h, a->HK, a->HD) + (size_t)(pos % KV_BLOCK_TOKENS) * HD;

            turn(k + (size_t)h * HD, a->HD, pos, a->inv_freq);
            for (size_t d = 0; d < HD; d++) {
                ((float *)kv->k)[to + d] = k[(size_t)h * HD + d];
                ((float *)kv->v)[to + d] = v[(size_t)h * HD + d];
            }
        }
    }
    return ERR_OK;
}
