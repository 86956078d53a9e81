/* linear_ref.c - a matrix product with a weight as it lies in its file: the meaning. */
#include "kernels/linear.h"

#include "kernels/element.h"
#include "kernels/quant.h"
#include "kernels/scaled.h"

int linear_check(const struct product *p, int n, int T)
{
    if (n < 1 || T < 0) return ERR_ARG;
    for (int i = 0; i < n; i++) {
        const struct weight *w = p[i].w;

        if (w->N <= 0 || w->K <= 0 || w->K != p[0].w->K) return ERR_ARG;
        if (w->K % dtype_block(w->dtype)) return ERR_ARG;
        if (p[i].y_step && p[i].y_step < w->N) return ERR_ARG;
    }
    return ERR_OK;
}

/* A number of x, rounded as the weight's dtype asks for. */
static double rounded(float x, enum dtype d)
{
    return (double)(d == DTYPE_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x);
}

static void one_product(const struct product *p, const float *x, int T)
{
    const size_t N = (size_t)p->w->N, K = (size_t)p->w->K, step = (size_t)product_y_step(p);
    float *y = p->y;

    for (size_t t = 0; t < (size_t)T; t++)
        for (size_t n = 0; n < N; n++) {
            const void *row = weight_row(p->w, (int)n);
            double sum = p->bias ? (double)p->bias[n] : 0;

            for (size_t k = 0; k < K; k++)
                sum += rounded(x[t * K + k], p->w->dtype) * (double)element(row, p->w->dtype, k);
            y[t * step + n] = (float)sum;
        }
}

/* The same with x in blocks of int8. */
static void quant_product(const struct product *p, const float *x, int T)
{
    const enum dtype d = p->w->dtype;
    const size_t N = (size_t)p->w->N, K = (size_t)p->w->K, block = (size_t)dtype_block(d);
    const size_t step = (size_t)product_y_step(p);
    float *y = p->y, w[256];
    struct quant_x q[256 / QUANT_X];

    for (size_t t = 0; t < (size_t)T; t++)
        for (size_t n = 0; n < N; n++) {
            const char *row = weight_row(p->w, (int)n);
            double sum = p->bias ? (double)p->bias[n] : 0;

            for (size_t k = 0; k < K; k += block) {
                quant_unpack(w, row + dtype_row_bytes(d, k), d, block);
                quant_x(q, x + t * K + k, block);
                for (size_t i = 0; i < block; i++)
                    sum +=
                        (double)q[i / QUANT_X].scale * q[i / QUANT_X].q[i % QUANT_X] * (double)w[i];
            }
            y[t * step + n] = (float)sum;
        }
}

/* The same with x[t] in the dtype of w, which has a scale for each row as x has. */
static void scaled_product(const struct product *p, const float *x, int T)
{
    const enum dtype d = p->w->dtype;
    const size_t N = (size_t)p->w->N, K = (size_t)p->w->K, step = (size_t)product_y_step(p);
    float *y = p->y;

    for (size_t t = 0; t < (size_t)T; t++) {
        const float scale = scaled_by(x + t * K, K, d);

        for (size_t n = 0; n < N; n++) {
            const uint8_t *row = weight_row(p->w, (int)n);
            double sum = 0;

            for (size_t k = 0; k < K; k++)
                sum += (double)scaled_number(scaled_put(x[t * K + k], scale, d), d) *
                       (double)scaled_number(row[k], d);
            sum *= (double)scale * (double)p->w->scales[n];
            y[t * step + n] = (float)(sum + (p->bias ? (double)p->bias[n] : 0));
        }
    }
}

int linear_ref(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    const int rc = linear_check(p, n, T);

    (void)s;
    for (int i = 0; i < n && !rc; i++)
        (dtype_is_float(p[i].w->dtype)    ? one_product
         : dtype_is_scaled(p[i].w->dtype) ? scaled_product
                                          : quant_product)(&p[i], x, T);
    return rc;
}
