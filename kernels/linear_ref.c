/* linear_ref.c - a matrix product with a weight as it lies in its file: the meaning. */
#include "kernels/linear.h"

#include "kernels/element.h"

int linear_ref(void *yp, const void *xp, const struct weight *w, int T, struct stream *s)
{
    const size_t N = (size_t)w->N, K = (size_t)w->K;
    const float *x = xp;
    float *y = yp;

    (void)s;
    if (T < 0 || w->N <= 0 || w->K <= 0) return ERR_ARG;
    for (size_t t = 0; t < (size_t)T; t++)
        for (size_t n = 0; n < N; n++) {
            double sum = 0;

            for (size_t k = 0; k < K; k++)
                sum += (double)x[t * K + k] * (double)element(w->data, w->dtype, n * K + k);
            y[t * N + n] = (float)sum;
        }
    return ERR_OK;
}
