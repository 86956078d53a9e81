/* attn.h - each token looks back at its sequence, through the block table.
 *
 *   for token t and head h, with hk = h / (H/HK) and c over positions 0..pos[t]:
 *   s[c] = scale * sum_d q[t][h][d] * K[c][hk][d]
 *   p[c] = exp(s[c] - max_c s) / sum_c exp(s[c] - max_c s)
 *   o[t][h][d] = sum_c p[c] * V[c][hk][d]
 *
 *   q, o       [T][H][HD] float; o is not q
 *   KV blocks  [NB][HK][BS][HD]; this step's k and v are in them already (rope_kv)
 *
 * attn_ref is the meaning: maximum, then sums, in double.  attn_cpu passes once over the KV blocks,
 * a block of scores at a time, and scales what it has when the maximum grows; where a block ends
 * depends on the position alone, so O1 holds.  They may differ by ATTN_RTOL of the largest |V| that
 * the head reads: the scores are off by the roundings of HD products (2e-6 for scores of size 10),
 * which the exponential turns into relative errors, and the sum over c averages.
 *
 * Bound   flops: 4*HD for each (t, h, c); memory for decode: 8*HD*HK for each (sequence, c).
 * Errors  ERR_ARG if HD is over ATTN_MAX_HD or H is no multiple of HK; ERR_UNSUPPORTED for a KV
 *         dtype other than f32.
 * Source  Milakov and Gimelshein 2018, arXiv 1805.02867 (softmax in one pass); Kwon et al. 2023,
 *         arXiv 2309.06180 (block tables).
 */
#ifndef KERNELS_ATTN_H
#define KERNELS_ATTN_H

#include "kernels/ops.h"

#define ATTN_RTOL   1e-5
#define ATTN_MAX_HD 512

int attn_ref(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s);
int attn_cpu(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s);

/* The shape and dtype errors above, for both. */
int attn_check(const struct kv_layer *kv, const struct attn_shape *a);

#endif
