/* quant.h - quantised numbers: blocks of a weight as floats, and x as blocks of int8.
 *
 * A quantised weight is multiplied in its blocks.  For that x becomes int8, too, 32 numbers at a
 * time with one scale:
 *
 *   scale = max|x| / 127,  q = x * (127 / max|x|) to the nearest whole number, ties to even
 *
 * in float arithmetic, so that all levels agree on q to the bit.  A block whose largest number is
 * under QUANT_LEAST is all zeros; one with an infinity or a NaN has the scale NaN, and so has all
 * that is computed with it.
 *
 * Extents  n is whole blocks; outputs do not overlap inputs.
 * Errors   none; quant_unpack takes quantised dtypes only.
 * Source   the GGUF format's block types (base/dtype.h).
 */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

#define QUANT_X     32 /* numbers in a block of x */
#define QUANT_LEAST 0x1p-100f

struct quant_x {
    int8_t q[QUANT_X];
    float scale;
    float sum;         /* scale * the sum of q */
    int32_t halves[2]; /* sums of q[0..15] and q[16..31] */
};

void quant_x(struct quant_x *out, const float *x, size_t n);
void quant_x_cpu(struct quant_x *out, const float *x, size_t n); /* the same, fast */

/* Numbers of a row of blocks, as floats. */
void quant_unpack(float *out, const void *blocks, enum dtype d, size_t n);

/* The 6-bit scale and minimum of 32 numbers, j = 0..7, of a Q4_K block's twelve bytes. */
void quant_scale_min(const uint8_t s[12], int j, int *scale, int *min);

/* Floats as blocks of Q8_0: scale max|x| / 127 as f16. */
void quant_q8_0(void *out, const float *x, size_t n);

#endif
