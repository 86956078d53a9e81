/* add.h - the residual sum.
 *
 *   x[t][d] += y[t][d]
 *
 *   x, y  [T][D] of act
 *
 * One float sum for each element is exact enough to have no second meaning: all give the same bits,
 * add_cuda those of the float sum rounded to act.
 *
 * Bound   memory: 3*e*T*D bytes, e those of a number of act.
 * Errors  ERR_ARG if T < 0 or D <= 0.
 */
#ifndef KERNELS_ADD_H
#define KERNELS_ADD_H

#include "kernels/ops.h"

int add_ref(void *x, const void *y, int T, int D, struct stream *s);
int add_cpu(void *x, const void *y, int T, int D, struct stream *s);
int add_cuda(void *x, const void *y, int T, int D, struct stream *s);

#endif
