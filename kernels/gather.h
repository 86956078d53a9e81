/* gather.h - picks the tokens whose logits are wanted.
 *
 *   y[i] = x[r->rows[i]]
 *
 *   x  [T][D] of act    r->rows  [n], each 0..T-1, n = r->n_rows     y  [n][D], not x
 *
 * gather_ref serves both tables of the host, gather_cuda the device: it is a copy.
 *
 * Bound   memory: 2*e*n*D bytes, e those of a number of act.
 * Errors  ERR_ARG if n < 0 or D <= 0.
 */
#ifndef KERNELS_GATHER_H
#define KERNELS_GATHER_H

#include "kernels/ops.h"

int gather_ref(void *y, const void *x, const struct ragged *r, int D, struct stream *s);
int gather_cuda(void *y, const void *x, const struct ragged *r, int D, struct stream *s);

#endif
