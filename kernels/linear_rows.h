/* linear_rows.h - a matrix product by a kernel of our own, one row of w at a time.
 *
 * The same as gemm.h's, for any extents, steps and addresses: what the library refuses (fp8 with an
 * N or K that is no multiple of 16) is computed here, and it is a candidate where T is small and
 * the time is that of reading w.
 *
 * A warp makes one y[n] of ROWS_TOKENS tokens.  Lane l takes the 16 bytes of w at l, l + 32, ...,
 * sums in order of k, and a tree adds up the lanes: a y has the same order of sums whatever T, N
 * and the addresses are, so O1 holds.
 *
 * Bound   memory for small T: N*K numbers of w; the more tokens the slower than the library.
 * Errors  ERR_UNSUPPORTED for dtypes that gemm.h does not name.
 */
#ifndef KERNELS_LINEAR_ROWS_H
#define KERNELS_LINEAR_ROWS_H

#include "kernels/gemm.h"

#define ROWS_MOST 8 /* tokens up to which it is a candidate beside the library */

int linear_rows(const struct gemm_shape *shape, int T, const struct gemm_operands *a,
                struct stream *s);

#endif
