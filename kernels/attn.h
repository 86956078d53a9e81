/* attn.h - each token looks back at its sequence, through the block table.
 *
 *   for token t and head h, with hk = h / (H/HK) and c over the positions that t sees: 0..pos[t],
 *   or the last `window` of them
 *   s[c] = scale * sum_d q[t][h][d] * K[c][hk][d];  with a softcap: softcap * tanh(s[c] / softcap)
 *   p[c] = exp(s[c] - max_c s) / sum_c exp(s[c] - max_c s)
 *   o[t][h][d] = sum_c p[c] * V[c][hk][d]
 *
 *   q, o       [T][H][HD] float, rows of q q_step numbers apart; o is not q
 *   KV blocks  K [NB][HK][HD][BS], V [NB][HK][BS][HD], f32, f16, bf16, or fp8 with scales; this
 *              step's k and v are in them already (rope_kv)
 *
 * attn_ref is the meaning: maximum, then sums, in double.  attn_cpu passes once over the positions,
 * ATTN_CHUNK at a time, and scales what it has when the maximum grows.  They may differ by
 * ATTN_RTOL of the largest |V| that the head reads: the scores are off by the roundings of HD
 * products (2e-6 for scores of size 10), which the exponential turns into relative errors, and the
 * sum over c averages.
 *
 * O1 holds because a score is one sum in order of d, o one sum in order of c, and chunks begin at
 * multiples of ATTN_CHUNK whatever the step.  A chunk that a token does not see leaves its bits as
 * they are, so it may be computed for the sake of others or skipped.  (V that is not finite spoils
 * tokens just before it too: they weigh it with 0.)  What lies behind the step's last position of a
 * sequence is never used, whatever it holds.
 *
 * attn_cuda goes by pieces of the step (attn_plan.h).  Its plain kernels compute as attn_cpu does,
 * in chunks of 32; its matrix instructions take weights, and fp8's V times its scale, rounded to
 * act, and every result is: half a unit each of the largest |V|, so ATTN_RTOL and 2^-12 (f16) or
 * 2^-9 (bf16) for each of the three.  O1 holds with batch_invariant: without it a token that comes
 * alone goes another way than one of many.
 *
 * Bound   flops: 4*HD for each (t, h, c); memory for decode: 2*e*HD*HK for each (sequence, c), e
 *         the bytes of a KV number.
 * Errors  ERR_ARG if HD is over ATTN_MAX_HD, H is no multiple of HK, or softcap or window is below
 *         0; ERR_UNSUPPORTED for a KV dtype that is no float, but for fp8 on ref and cuda, and from
 *         attn_cpu for rows of q with gaps: its table is not wide.
 * Source  Milakov and Gimelshein 2018, arXiv 1805.02867 (softmax in one pass); Dao et al. 2022,
 *         arXiv 2205.14135 (in tiles); Kwon et al. 2023, arXiv 2309.06180 (block tables).
 */
#ifndef KERNELS_ATTN_H
#define KERNELS_ATTN_H

#include "kernels/ops.h"

#define ATTN_RTOL   1e-5
#define ATTN_MAX_HD 512
#define ATTN_CHUNK  64 /* positions */

int attn_ref(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s);
int attn_cpu(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
             const struct attn_shape *a, struct stream *s);
int attn_cuda(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
              const struct attn_shape *a, struct stream *s);

/* The shape and dtype errors above, for both. */
int attn_check(const struct kv_layer *kv, const struct attn_shape *a);

#endif
