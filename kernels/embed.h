/* embed.h - a row of the embedding for each token.
 *
 *   x[t] = scale * w[ids[t]]
 *
 *   x  [T][D] of act    w  [V][D] any dtype    r->ids  [T]
 *
 * embed_ref serves both tables of the host: there is nothing to add up, only to unpack and to
 * scale.  embed_cuda unpacks in floats, too; a product and a difference that are joined (Q4_K) make
 * EMBED_RTOL of the largest |x| of the row, and rounding to act half a unit: 2^-11 for f16, 2^-8
 * for bf16.
 *
 * Bound   memory: T*D elements read, e*T*D bytes written, e those of a number of act.
 * Errors  ERR_ARG for an id outside 0..V-1, or rows that are no whole blocks; nothing is written
 *         then.  embed_cuda cannot see ids at the call: one outside becomes the nearest inside.
 */
#ifndef KERNELS_EMBED_H
#define KERNELS_EMBED_H

#include "kernels/ops.h"

#define EMBED_RTOL 1e-6

int embed_ref(void *x, const struct weight *w, float scale, const struct ragged *r,
              struct stream *s);
int embed_cuda(void *x, const struct weight *w, float scale, const struct ragged *r,
               struct stream *s);

#endif
