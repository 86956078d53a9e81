/* embed.h - a row of the embedding for each token.
 *
 *   x[t] = scale * w[ids[t]]
 *
 *   x  [T][D] float    w  [V][D] any dtype    r->ids  [T]
 *
 * embed_ref serves both tables: there is nothing to add up, only to unpack and to scale.
 *
 * Bound   memory: T*D elements read, 4*T*D bytes written.
 * Errors  ERR_ARG for an id outside 0..V-1, or rows that are no whole blocks; nothing is written
 *         then.
 */
#ifndef KERNELS_EMBED_H
#define KERNELS_EMBED_H

#include "kernels/ops.h"

int embed_ref(void *x, const struct weight *w, float scale, const struct ragged *r,
              struct stream *s);

#endif
