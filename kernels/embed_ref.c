/* embed_ref.c - a row of the embedding for each token. */
#include "kernels/embed.h"

#include "kernels/element.h"
#include "kernels/quant.h"
#include "kernels/scaled.h"

static void one_row(float *x, const struct weight *w, float scale, int id)
{
    const size_t D = (size_t)w->K, block = (size_t)dtype_block(w->dtype);
    const char *row = weight_row(w, id);

    for (size_t d = 0; d < D; d += block)
        if (dtype_is_float(w->dtype))
            x[d] = element(row, w->dtype, d);
        else if (dtype_is_scaled(w->dtype))
            x[d] = w->scales[id] * scaled_number((uint8_t)row[d], w->dtype);
        else
            quant_unpack(x + d, row + dtype_row_bytes(w->dtype, d), w->dtype, block);
    for (size_t d = 0; d < D; d++)
        x[d] *= scale;
}

int embed_ref(void *x, const struct weight *w, float scale, const struct ragged *r,
              struct stream *s)
{
    (void)s;
    if (w->K % dtype_block(w->dtype)) return ERR_ARG;
    for (int t = 0; t < r->T; t++)
        if (r->ids[t] < 0 || r->ids[t] >= w->N) return ERR_ARG;
    for (int t = 0; t < r->T; t++)
        one_row((float *)x + (size_t)t * (size_t)w->K, w, scale, r->ids[t]);
    return ERR_OK;
}
