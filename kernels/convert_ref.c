/* convert_ref.c - a weight in another dtype: the meaning. */
#include "kernels/convert.h"

#include <string.h>

#include "kernels/element.h"
#include "kernels/scaled.h"

static void put(void *row, enum dtype d, size_t i, float f)
{
    if (d == DTYPE_F32)
        ((float *)row)[i] = f;
    else
        ((uint16_t *)row)[i] = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
}

/* A row of floats into fp8 or int8; its scale. */
static float scaled_row(uint8_t *to, enum dtype d, const void *from, enum dtype fd, size_t K)
{
    float most = 0, scale;

    for (size_t k = 0; k < K; k++)
        most = fmaxf(most, fabsf(element(from, fd, k)));
    scale = most / scaled_largest(d);
    for (size_t k = 0; k < K; k++)
        to[k] = scaled_put(element(from, fd, k), scale, d);
    return scale;
}

int convert_ref(const struct weight *to, const struct weight *from, struct stream *s)
{
    const size_t K = (size_t)from->K;
    float *scales = (float *)to->scales;
    int rc = convert_check(to, from);

    (void)s;
    for (int n = 0; n < to->N && !rc; n++) {
        const void *x = weight_row(from, n);
        void *y = (void *)weight_row(to, n);

        if (to->dtype == from->dtype)
            memmove(y, x, dtype_row_bytes(to->dtype, K));
        else if (dtype_is_scaled(to->dtype))
            scales[n] = scaled_row(y, to->dtype, x, from->dtype, K);
        else
            for (size_t k = 0; k < K; k++)
                put(y, to->dtype, k, element(x, from->dtype, k));
        if (to->dtype == from->dtype && dtype_is_scaled(to->dtype)) scales[n] = from->scales[n];
    }
    return rc;
}
