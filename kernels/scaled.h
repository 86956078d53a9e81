/* scaled.h - fp8 and int8: a byte for each number, and a scale for the row.
 *
 *   scale     = max_k |x[k]| / largest          largest: FP8_MAX of fp8, 127 of int8
 *   stored[k] = nearest(x[k] / scale), ties to even; 0 where scale is 0
 *   x[k]      ~ scale * number(stored[k])
 *
 * For the references: plain.
 */
#ifndef KERNELS_SCALED_H
#define KERNELS_SCALED_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/fp8.h"

static inline float scaled_largest(enum dtype d)
{
    return d == DTYPE_FP8 ? FP8_MAX : 127.0f;
}

/* The scale of a row of n numbers. */
static inline float scaled_by(const float *x, size_t n, enum dtype d)
{
    float most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most / scaled_largest(d);
}

static inline uint8_t scaled_put(float x, float scale, enum dtype d)
{
    const float v = scale > 0 ? x / scale : 0;

    return d == DTYPE_FP8 ? f32_to_fp8(v) : (uint8_t)(int8_t)lrintf(v);
}

static inline float scaled_number(uint8_t stored, enum dtype d)
{
    return d == DTYPE_FP8 ? fp8_to_f32(stored) : (float)(int8_t)stored;
}

#endif
