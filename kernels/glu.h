/* glu.h - the gated unit of the feed-forward layer.
 *
 *   y[t][f] = g(gate[t][f]) * up[t][f],   g one of enum glu (ops.h has the formulas)
 *
 *   y         [T][F] of act
 *   gate, up  [T][F] of act, rows `step` numbers apart; y may be gate where step is F
 *
 * glu_ref takes exp, tanh and erf from the C library in double.  glu_cpu has its own exponential
 * (vec_exp) and, over it, 1/2 * (1 + tanh(u)) = 1 / (1 + exp(-2u)) and erfc (curves.h).  They may
 * differ by GLU_RTOL of the largest |y| in the row: 3e-7 of vec_exp, the roundings of its argument,
 * which is under 10 where y is not small, and 2e-7 of erfc.  glu_cuda takes expf and erfcf of its
 * library, two and four units off; where act has 16 bits, rounding y to it adds half a unit: 2^-11
 * of |y| for f16, 2^-8 for bf16.
 *
 * Bound   memory: 3*e*T*F bytes, e those of a number of act.
 * Errors  ERR_ARG if T < 0, F <= 0 or step < F; ERR_UNSUPPORTED from glu_cpu if step is not F: its
 *         table is not wide.
 * Source  Shazeer 2020, arXiv 2002.05202; Hendrycks and Gimpel 2016, arXiv 1606.08415 (GELU).
 */
#ifndef KERNELS_GLU_H
#define KERNELS_GLU_H

#include "kernels/ops.h"

#define GLU_RTOL 2e-6

int glu_ref(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
            struct stream *s);
int glu_cpu(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
            struct stream *s);
int glu_cuda(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
             struct stream *s);

#endif
