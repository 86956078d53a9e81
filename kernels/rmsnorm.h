/* rmsnorm.h - scales each row by the inverse of its root mean square.
 *
 *   y[t][d] = x[t][d] * w[d] / sqrt(mean_d(x[t][d]^2) + eps)
 *
 *   x, y  [T][D] of act, D contiguous; y may be x
 *   w     [D]    float
 *
 * add_rmsnorm first adds a to x, in place; y may be a, not x.
 *
 * rmsnorm_ref is the meaning of the op: plain loops, double sum; s is ignored.  rmsnorm_cpu adds
 * up in floats.  They may differ by RMSNORM_RTOL of the largest |y| in the row: a sum of D positive
 * floats in 16 lanes is off by at most D/16 + 4 roundings of 6e-8, half of which the root takes
 * away, and in practice by the root of that number.  rmsnorm_cuda adds up in 256 lanes and a tree;
 * where act has 16 bits, rounding y to it adds half a unit: 2^-11 of |y| for f16, 2^-8 for bf16,
 * and add_rmsnorm rounds x before it is normed, as add and rmsnorm one after the other do.
 *
 * Bound   memory: 2*e*T*D + 4*D bytes, e those of a number of act; add_rmsnorm 4*e*T*D + 4*D.
 * Errors  ERR_ARG if T < 0 or D <= 0.
 * Source  Zhang and Sennrich 2019, arXiv 1910.07467.
 */
#ifndef KERNELS_RMSNORM_H
#define KERNELS_RMSNORM_H

#include "kernels/ops.h"

#define RMSNORM_RTOL 2e-6

int rmsnorm_ref(void *y, const void *x, const float *w, int T, int D, float eps, struct stream *s);
int rmsnorm_cpu(void *y, const void *x, const float *w, int T, int D, float eps, struct stream *s);
int add_rmsnorm_ref(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                    struct stream *s);
int add_rmsnorm_cpu(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                    struct stream *s);
int rmsnorm_cuda(void *y, const void *x, const float *w, int T, int D, float eps, struct stream *s);
int add_rmsnorm_cuda(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                     struct stream *s);

#endif
