/* swiglu.h - the gated unit of the feed-forward layer.
 *
 *   y[t][f] = silu(gate[t][f]) * up[t][f],   silu(g) = g / (1 + exp(-g))
 *
 *   y, gate, up  [T][F] float; y may be gate
 *
 * swiglu_ref takes exp from the C library in double.  swiglu_cpu has its own (vec_exp).  They may
 * differ by SWIGLU_RTOL of the largest |y| in the row: 3e-7 of vec_exp and three roundings.
 *
 * Bound   memory: 12*T*F bytes.
 * Errors  ERR_ARG if T < 0 or F <= 0.
 * Source  Shazeer 2020, arXiv 2002.05202.
 */
#ifndef KERNELS_SWIGLU_H
#define KERNELS_SWIGLU_H

#include "kernels/ops.h"

#define SWIGLU_RTOL 1e-6

int swiglu_ref(void *y, const void *gate, const void *up, int T, int F, struct stream *s);
int swiglu_cpu(void *y, const void *gate, const void *up, int T, int F, struct stream *s);

#endif
