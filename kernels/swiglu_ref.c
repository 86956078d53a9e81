/* swiglu_ref.c - the gated unit of the feed-forward layer: the meaning. */
#include "kernels/swiglu.h"

#include <math.h>

#include "base/err.h"

int swiglu_ref(void *yp, const void *gatep, const void *upp, int T, int F, struct stream *s)
{
    const float *gate = gatep, *up = upp;
    float *y = yp;

    (void)s;
    if (T < 0 || F <= 0) return ERR_ARG;
    for (size_t i = 0; i < (size_t)T * (size_t)F; i++) {
        const double g = (double)gate[i];

        y[i] = (float)(g / (1.0 + exp(-g)) * (double)up[i]);
    }
    return ERR_OK;
}
