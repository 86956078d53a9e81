/* add.h - the residual sum.
 *
 *   x[t][d] += y[t][d]
 *
 *   x, y  [T][D] float
 *
 * add_ref serves both tables: one float sum for each element is exact enough to have no second
 * meaning, and the compiler makes vectors of it.
 *
 * Bound   memory: 12*T*D bytes.
 * Errors  ERR_ARG if T < 0 or D <= 0.
 */
#ifndef KERNELS_ADD_H
#define KERNELS_ADD_H

#include "kernels/ops.h"

int add_ref(void *x, const void *y, int T, int D, struct stream *s);

#endif
