/* rmsnorm_ref.c - scales each row by the inverse of its root mean square: the meaning. */
#include "kernels/rmsnorm.h"

#include <math.h>

#include "base/err.h"
#include "kernels/add.h"

int rmsnorm_ref(void *yp, const void *xp, const float *w, int T, int D, float eps, struct stream *s)
{
    (void)s;
    if (T < 0 || D <= 0) return ERR_ARG;
    for (int t = 0; t < T; t++) {
        const float *x = (const float *)xp + (size_t)t * (size_t)D;
        float *y = (float *)yp + (size_t)t * (size_t)D;
        double ss = 0, scale;

        for (int d = 0; d < D; d++)
            ss += (double)x[d] * (double)x[d];
        scale = 1.0 / sqrt(ss / D + (double)eps);
        for (int d = 0; d < D; d++)
            y[d] = (float)((double)x[d] * scale * (double)w[d]);
    }
    return ERR_OK;
}

int add_rmsnorm_ref(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                    struct stream *s)
{
    const int rc = add_ref(x, a, T, D, s);

    return rc ? rc : rmsnorm_ref(y, x, w, T, D, eps, s);
}
