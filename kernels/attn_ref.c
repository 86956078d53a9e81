/* attn_ref.c - each token looks back at its sequence, through the block table: the meaning. */
#include "kernels/attn.h"

#include <math.h>

#include "base/err.h"
#include "kernels/slot.h"

int attn_check(const struct kv_layer *kv, const struct attn_shape *a)
{
    if (a->H <= 0 || a->HK <= 0 || a->H % a->HK || a->HD <= 0 || a->HD > ATTN_MAX_HD)
        return ERR_ARG;
    if (a->window || a->softcap > 0) return ERR_UNSUPPORTED;
    return kv->dtype == DTYPE_F32 ? ERR_OK : ERR_UNSUPPORTED;
}

static size_t row_at(const struct ragged *r, const struct attn_shape *a, int t, int hk, int c)
{
    return slot_block(slot_of(r, r->seq[t], c), hk, a->HK, a->HD) +
           (size_t)(c % KV_BLOCK_TOKENS) * (size_t)a->HD;
}

static double score(const float *q, const float *k, const struct attn_shape *a)
{
    double dot = 0;

    for (int d = 0; d < a->HD; d++)
        dot += (double)q[d] * (double)k[d];
    return dot * (double)a->scale;
}

static void look_back(float *o, const float *q, const struct kv_layer *kv, const struct ragged *r,
                      const struct attn_shape *a, int t, int hk)
{
    const float *K = kv->k, *V = kv->v;
    double max = -HUGE_VAL, total = 0, sum[ATTN_MAX_HD] = {0};

    for (int c = 0; c <= r->pos[t]; c++)
        max = fmax(max, score(q, K + row_at(r, a, t, hk, c), a));
    for (int c = 0; c <= r->pos[t]; c++) {
        const size_t row = row_at(r, a, t, hk, c);
        const double p = exp(score(q, K + row, a) - max);

        total += p;
        for (int d = 0; d < a->HD; d++)
            sum[d] += p * (double)V[row + (size_t)d];
    }
    for (int d = 0; d < a->HD; d++)
        o[d] = (float)(sum[d] / total);
}

int attn_ref(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s)
{
    int rc = attn_check(kv, a);

    (void)s;
    if (rc) return rc;
    for (int t = 0; t < r->T; t++)
        for (int h = 0; h < a->H; h++) {
            const size_t at = ((size_t)t * (size_t)a->H + (size_t)h) * (size_t)a->HD;

            look_back((float *)o + at, (const float *)q + at, kv, r, a, t, h / (a->H / a->HK));
        }
    return ERR_OK;
}
