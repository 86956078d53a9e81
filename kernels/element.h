/* element.h - one number of a row of a float dtype, as a float.  For the references: plain.
 */
#ifndef KERNELS_ELEMENT_H
#define KERNELS_ELEMENT_H

#include <stddef.h>

#include "base/dtype.h"
#include "base/err.h"
#include "kernels/ops.h"

static inline float element(const void *data, enum dtype d, size_t i)
{
    if (d == DTYPE_F32) return ((const float *)data)[i];
    if (d == DTYPE_BF16) return bf16_to_f32(((const uint16_t *)data)[i]);
    return f16_to_f32(((const uint16_t *)data)[i]);
}

static inline const void *weight_row(const struct weight *w, int n)
{
    return (const char *)w->data + (size_t)n * weight_row_bytes(w);
}

#endif
