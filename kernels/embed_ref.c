/* embed_ref.c - a row of the embedding for each token. */
#include "kernels/embed.h"

#include "kernels/element.h"

int embed_ref(void *xp, const struct weight *w, float scale, const struct ragged *r,
              struct stream *s)
{
    const size_t D = (size_t)w->K;
    float *x = xp;

    (void)s;
    for (int t = 0; t < r->T; t++)
        if (r->ids[t] < 0 || r->ids[t] >= w->N) return ERR_ARG;
    for (int t = 0; t < r->T; t++)
        for (size_t d = 0; d < D; d++)
            x[(size_t)t * D + d] = scale * element(weight_row(w, r->ids[t]), w->dtype, d);
    return ERR_OK;
}
