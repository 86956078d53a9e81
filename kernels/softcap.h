/* softcap.h - bounds numbers smoothly.
 *
 *   x[t][d] = cap * tanh(x[t][d] / cap)
 *
 *   x  [T][D] float, in place
 *
 * softcap_ref takes tanh from the C library in double, softcap_cpu from curves.h.  They may differ
 * by SOFTCAP_RTOL of each |x|: 5e-7 of vec_tanh, and the roundings of a quotient and a product.
 * softcap_cuda's tanhf is off by two units at most.  x is float there too, whatever act is.
 *
 * Bound   memory: 8*T*D bytes.
 * Errors  ERR_ARG if T < 0, D <= 0 or cap <= 0.
 * Source  Gemma Team 2024, arXiv 2408.00118.
 */
#ifndef KERNELS_SOFTCAP_H
#define KERNELS_SOFTCAP_H

#include "kernels/ops.h"

#define SOFTCAP_RTOL 1e-6

int softcap_ref(float *x, int T, int D, float cap, struct stream *s);
int softcap_cpu(float *x, int T, int D, float cap, struct stream *s);
int softcap_cuda(float *x, int T, int D, float cap, struct stream *s);

#endif
