/* linear_ref.c - a matrix product with a weight as it lies in its file: the meaning. */
#include "kernels/linear.h"

#include "kernels/element.h"

static int one_product(const struct product *p, const float *x, int T)
{
    const size_t N = (size_t)p->w->N, K = (size_t)p->w->K;
    float *y = p->y;

    if (T < 0 || p->w->N <= 0 || p->w->K <= 0) return ERR_ARG;
    if (!dtype_is_float(p->w->dtype)) return ERR_UNSUPPORTED;
    for (size_t t = 0; t < (size_t)T; t++)
        for (size_t n = 0; n < N; n++) {
            const void *row = weight_row(p->w, (int)n);
            double sum = p->bias ? (double)p->bias[n] : 0;

            for (size_t k = 0; k < K; k++)
                sum += (double)x[t * K + k] * (double)element(row, p->w->dtype, k);
            y[t * N + n] = (float)sum;
        }
    return ERR_OK;
}

int linear_ref(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    int rc = n < 1 ? ERR_ARG : ERR_OK;

    (void)s;
    for (int i = 0; i < n && !rc; i++)
        rc = p[i].w->K == p[0].w->K ? one_product(&p[i], x, T) : ERR_ARG;
    return rc;
}
