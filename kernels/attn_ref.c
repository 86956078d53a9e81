/* attn_ref.c - each token looks back at its sequence, through the block table: the meaning. */
#include "kernels/attn.h"

#include <math.h>

#include "base/err.h"
#include "base/fp8.h"
#include "kernels/element.h"
#include "kernels/slot.h"

/* What a head of token t looks at. */
struct view {
    const struct kv_layer *kv;
    const struct ragged *r;
    const struct attn_shape *a;
    int t, hk;
};

static size_t block_at(const struct view *w, int c)
{
    return slot_block(slot_of(w->r, w->r->seq[w->t], c), w->hk, w->a->HK, w->a->HD);
}

/* Number i of K or V, of the row with this scale. */
static double number(const void *data, const float *scales, enum dtype d, size_t i, size_t row)
{
    return d == DTYPE_FP8 ? (double)scales[row] * (double)fp8_to_f32(((const uint8_t *)data)[i])
                          : (double)element(data, d, i);
}

/* The scale of position c, of the block whose first number is `block`. */
static size_t row_of(const struct view *w, size_t block, int c)
{
    return block / (size_t)w->a->HD + (size_t)c % KV_BLOCK_TOKENS;
}

static double score(const struct view *w, const float *q, int c)
{
    const size_t block = block_at(w, c);
    const double cap = (double)w->a->softcap;
    double dot = 0;

    for (int d = 0; d < w->a->HD; d++)
        dot += (double)q[d] * number(w->kv->k, w->kv->k_scales, w->kv->dtype, block + slot_k(c, d),
                                     row_of(w, block, c));
    dot *= (double)w->a->scale;
    return cap > 0 ? cap * tanh(dot / cap) : dot;
}

static void look_back(float *o, const float *q, const struct view *w)
{
    const int HD = w->a->HD, pos = w->r->pos[w->t], window = w->a->window;
    const int first = window && pos >= window ? pos - window + 1 : 0;
    double max = -HUGE_VAL, total = 0, sum[ATTN_MAX_HD] = {0};

    for (int c = first; c <= pos; c++)
        max = fmax(max, score(w, q, c));
    for (int c = first; c <= pos; c++) {
        const size_t block = block_at(w, c);
        const double p = exp(score(w, q, c) - max);

        total += p;
        for (int d = 0; d < HD; d++)
            sum[d] += p * number(w->kv->v, w->kv->v_scales, w->kv->dtype, block + slot_v(c, d, HD),
                                 row_of(w, block, c));
    }
    for (int d = 0; d < HD; d++)
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
            const size_t HD = (size_t)a->HD, H = (size_t)a->H, in_row = (size_t)h * HD;
            const size_t step = a->q_step ? (size_t)a->q_step : H * HD;
            const struct view w = {kv, r, a, t, h / (a->H / a->HK)};

            look_back((float *)o + (size_t)t * H * HD + in_row,
                      (const float *)q + (size_t)t * step + in_row, &w);
        }
    return ERR_OK;
}
