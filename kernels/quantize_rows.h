/* quantize_rows.h - x in the dtype of a weight, before their product.
 *
 *   fp8, int8   to[t][k] = nearest(x[t][k] / scales[t]), scales[t] = max_k |x[t][k]| / largest
 *               (kernels/scaled.h, whose bits these are)
 *   f32, bf16   to[t][k] = nearest(x[t][k]); scales is not looked at
 *
 *   x  [T][K] of act    to  [T][K], rows to_step numbers apart, the gap not written
 *   scales  [T] float
 *
 * A row that holds a NaN gets the scale NaN, so that all that is computed with it is none.
 *
 * O1 holds: a row's bits are a function of the row.
 *
 * Bound   memory: T*K numbers of act read, the second time from the caches, and T*K written.
 * Errors  ERR_UNSUPPORTED for another dtype.
 */
#ifndef KERNELS_QUANTIZE_ROWS_H
#define KERNELS_QUANTIZE_ROWS_H

#include "base/dtype.h"
#include "kernels/stream.h"

int quantize_rows(void *to, int to_step, float *scales, enum dtype d, const void *x, int T, int K,
                  struct stream *s);

#endif
