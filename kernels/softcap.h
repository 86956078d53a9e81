/* softcap.h - bounds numbers smoothly.
 *
 *   x[t][d] = cap * tanh(x[t][d] / cap)
 *
 *   x  [T][D] float, in place
 *
 * softcap_ref serves both tables until a profile shows it.
 *
 * Bound   memory: 8*T*D bytes.
 * Errors  ERR_ARG if T < 0, D <= 0 or cap <= 0.
 * Source  Gemma Team 2024, arXiv 2408.00118.
 */
#ifndef KERNELS_SOFTCAP_H
#define KERNELS_SOFTCAP_H

#include "kernels/ops.h"

int softcap_ref(void *x, int T, int D, float cap, struct stream *s);

#endif
