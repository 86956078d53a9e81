/* rope_kv.h - turns q and k by their positions, and puts k and v into the KV blocks.
 *
 *   a = pos[t] * inv_freq[i],  for i in 0..HD/2-1
 *   (q[i], q[i+HD/2]) <- (q[i] cos a - q[i+HD/2] sin a,  q[i+HD/2] cos a + q[i] sin a)
 *
 *   q  [T][H][HD] float, in place    k, v  [T][HK][HD] float, k is turned in place too
 *   KV blocks  [NB][HK][BS][HD]; token t goes to slot pos[t] % BS of its table's block pos[t] / BS
 *
 * The pairs stand half a head apart, as in Hugging Face's files; a file with neighbouring pairs is
 * permuted before it comes here.
 *
 * rope_kv_ref takes the angle, sine and cosine in double.  rope_kv_cpu reduces the angle in double
 * and goes on in floats; one table of sines serves all heads of a token.  They may differ by
 * ROPE_RTOL of the largest |value| in the head: sine and cosine each off by 1e-7, two products.
 *
 * Bound   memory: 8*T*H*HD + 20*T*HK*HD bytes.
 * Errors  ERR_ARG if HD is odd, over ROPE_MAX_HD, or H, HK <= 0; ERR_UNSUPPORTED for a KV dtype
 *         other than f32.
 * Source  Su et al. 2021, arXiv 2104.09864.
 */
#ifndef KERNELS_ROPE_KV_H
#define KERNELS_ROPE_KV_H

#include "kernels/ops.h"

#define ROPE_RTOL   1e-6
#define ROPE_MAX_HD 512

int rope_kv_ref(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                const struct rope_shape *a, struct stream *s);
int rope_kv_cpu(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                const struct rope_shape *a, struct stream *s);

/* The shape and dtype errors above, for both. */
int rope_kv_check(const struct kv_layer *kv, const struct rope_shape *a);

#endif
