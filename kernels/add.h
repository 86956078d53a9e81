/* add.h - the residual sum.
 *
 *   x[t][d] += y[t][d]
 *
 *   x, y  [T][D] float
 *
 * One float sum for each element is exact enough to have no second meaning: add_ref and add_cpu
 * give the same bits.
 *
 * Bound   memory: 12*T*D bytes.
 * Errors  ERR_ARG if T < 0 or D <= 0.
 */
#ifndef KERNELS_ADD_H
#define KERNELS_ADD_H

#include "kernels/ops.h"

int add_ref(void *x, const void *y, int T, int D, struct stream *s);
int add_cpu(void *x, const void *y, int T, int D, struct stream *s);

#endif
