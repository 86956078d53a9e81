/* rope_kv.h - turns q and k by their positions, and puts k and v into the KV blocks.
 *
 *   for pair i in 0..n_rot/2-1, with a = pos[t] * inv_freq[i], c = scale cos a, s = scale sin a:
 *   (x, y) <- (x c - y s, y c + x s)
 *   x, y = numbers i and i + n_rot/2 of the head; 2i and 2i + 1 where the pairs are adjacent
 *   the numbers from n_rot on stay
 *
 *   q  [T][H][HD] of act, in place    k, v  [T][HK][HD] of act, k may be turned in place too
 *   rows of q are q_step numbers apart, those of k and v kv_step
 *   with q_norm and k_norm each head is first normed (rmsnorm.h)
 *   KV blocks  K [NB][HK][HD][BS], V [NB][HK][BS][HD], on cuda both [NB][HK][BS][HD]
 *              f32, f16 or bf16: the nearest, ties to even
 *              fp8 (scaled.h) with the scale of the token's head beside it, from v and the turned k
 *   token t goes to slot pos[t] % BS of its table's block pos[t] / BS
 *
 * rope_kv_ref takes the angle, sine and cosine in double.  rope_kv_cpu reduces the angle in double
 * and goes on in floats; one table of sines serves all heads of a token.  They may differ by
 * ROPE_RTOL of the largest |value| in the head: sine and cosine each off by 1e-7, two products.
 * What a KV block holds is the rounding of the op's own k and v.  rope_kv_cuda reduces the angle in
 * double, too, and stays in floats up to the KV block; q rounded to act is off by half a unit more:
 * 2^-11 of the value for f16, 2^-8 for bf16.
 *
 * Bound   memory: 2*e*T*H*HD + (2*e + 2*c)*T*HK*HD bytes, e those of a number of act, c of a KV
 *         number.
 * Errors  ERR_ARG if HD or n_rot is odd, HD over ROPE_MAX_HD, n_rot over HD, or H, HK <= 0;
 *         ERR_UNSUPPORTED for a KV dtype that is no float, but for fp8
 *         on ref and cuda, and from rope_kv_cpu for rows with gaps: its table is not wide.
 * Source  Su et al. 2021, arXiv 2104.09864.
 */
#ifndef KERNELS_ROPE_KV_H
#define KERNELS_ROPE_KV_H

#include "base/err.h"
#include "kernels/ops.h"

#define ROPE_RTOL   1e-6
#define ROPE_MAX_HD 512

int rope_kv_ref(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                const struct rope_shape *a, struct stream *s);
int rope_kv_cpu(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                const struct rope_shape *a, struct stream *s);

int rope_kv_cuda(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                 const struct rope_shape *a, struct stream *s);

/* The shape and dtype errors above, for all. */
static inline int rope_kv_check(const struct kv_layer *kv, const struct rope_shape *a)
{
    if (a->H <= 0 || a->HK <= 0 || a->HD <= 0 || a->HD % 2 || a->HD > ROPE_MAX_HD) return ERR_ARG;
    if (a->n_rot < 0 || a->n_rot % 2 || a->n_rot > a->HD) return ERR_ARG;
    if ((a->q_step && a->q_step < a->H * a->HD) || (a->kv_step && a->kv_step < a->HK * a->HD))
        return ERR_ARG;
    return dtype_is_float(kv->dtype) || kv->dtype == DTYPE_FP8 ? ERR_OK : ERR_UNSUPPORTED;
}

#endif
