/* add_ref.c - the residual sum: the meaning. */
#include "kernels/add.h"

#include "base/err.h"

int add_ref(void *xp, const void *yp, int T, int D, struct stream *s)
{
    const size_t n = T < 0 || D <= 0 ? 0 : (size_t)T * (size_t)D;
    const float *y = yp;
    float *x = xp;

    (void)s;
    if (T < 0 || D <= 0) return ERR_ARG;
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
    return ERR_OK;
}
