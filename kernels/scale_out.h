/* scale_out.h - sums become y: scaled, with a bias, rounded once.
 *
 *   y[t][n] = sums[t][n] * x_scales[t] * w_scales[n] + bias[n]
 *
 *   sums  [T][N] int32 (whole), float, or of out; rows `step` numbers apart; may be y where a
 *         number of both has as many bytes and y_step is step
 *   y     [T][N] of out: f32, f16, bf16; rows y_step apart
 *   bias  [N] or NULL; x_scales [T] and w_scales [N] both or neither
 *
 * In float: three roundings and that to out.  O1 holds.
 *
 * Bound   memory: T*N sums read, T*N numbers of out written.
 * Errors  ERR_UNSUPPORTED for another dtype.
 */
#ifndef KERNELS_SCALE_OUT_H
#define KERNELS_SCALE_OUT_H

#include <stdbool.h>

#include "base/dtype.h"
#include "kernels/stream.h"

struct scale_out {
    void *y;
    const void *sums;
    const float *x_scales, *w_scales, *bias;
    enum dtype out, in; /* in: of the sums, where they are not whole: f32, or out */
    bool whole;
    int N, step, y_step;
};

int scale_out(const struct scale_out *a, int T, struct stream *s);

#endif
