/* linear.h - matrix products of one input with weights as they lie in their file.
 *
 *   for each product p:  y[t][n] = sum_k x[t][k] * w[n][k] + bias[n]
 *
 *   x  [T][K] float    w  [N][K]    y  [T][N] float, rows y_step apart, not x    bias  [N] float or
 *   NULL
 *
 * How x is rounded belongs to the meaning, so that all levels mean the same:
 *   w f32, f16    x as it is
 *   w bf16        x to the nearest bf16, ties to even
 *   w quantised   x in blocks of 32 int8 with a scale (quant.h)
 *   w fp8, int8   x[t] in the same dtype with a scale for the row: its largest |number| becomes the
 *                 largest that is stored; a row of zeros has scale 0.  ref and cuda only
 *
 * linear_ref is the meaning: plain loops, double sum.  linear_cpu adds up in 16 float lanes, each
 * in order of k, then the lanes in the tree of vec_sum16: the same for every element, whatever T,
 * N, the tile or the thread.  They may differ by LINEAR_RTOL of the element's
 * sum_k |x[t][k] * w[n][k]| + |bias[n]|: a lane adds K/16 products, each sum rounded by 6e-8, which
 * for K = 16384 and rounding errors of either sign is near 32 * 6e-8.  The instruction for bf16
 * takes numbers under 2^-126 as 0.
 *
 * Quantised weights: whole numbers inside a block of 32, which is exact, then floats block after
 * block.  That is K/32 sums, half of a lane's; a minimum of Q4_K is multiplied
 * by itself and counts by itself in the sum of magnitudes.
 *
 * linear_cpu keeps x in its rounded form in the pool's scratch (linear_cpu_prepare).  Without it,
 * it goes on with some tokens at a time, slower; a row of more than 64 KiB is refused then.
 *
 * linear_cuda (x and y of act) gives products to cuBLASLt (gemm.h) by an algorithm that was
 * measured when the model was loaded (linear_cuda_tune), and what the library refuses to a kernel
 * of its own (linear_rows.h).  Products whose weights stand one behind the other in memory and
 * whose y stand side by side in rows of one y_step are one product.  Sums are floats in the
 * library's order:
 *
 *   f32         LINEAR_RTOL: no narrower products
 *   f16, bf16   LINEAR_CUDA_RTOL: matrix units cut off what is below 2^-22 of a sum, at worst K/16
 *               times the same way, which is 6e-5 for K = 4096
 *   fp8         LINEAR_FP8_RTOL: those of sm_89 and sm_90 keep about 14 bits of a sum
 *   int8        exact; LINEAR_RTOL for the scales
 *
 * and y is rounded to act, by half a unit.  A bias is added in float by a kernel behind the
 * product: where the product was rounded to act, the sum is rounded once more.  What a row of x
 * holds may be too large for f16, so f16 weights need act f16; bf16 weights need sm_80, fp8 sm_89:
 * else ERR_UNSUPPORTED.  T is at most the limit.  O1 holds with batch_invariant: one algorithm for
 * all T (GE2 of gemm.h).
 *
 * linear_cuda_tune measures each group that linear would compute at once, for at most some seconds
 * in all, and keeps what it found with the stream's tuning; the products are as linear will get
 * them (y may be any place of the same alignment, nothing is written there).  Quantised weights
 * have nothing to choose.
 *
 * Bound   flops: 2*T*N*K; memory for small T: N*K elements of w.
 * Errors  linear_check: ERR_ARG if T < 0 or N, K <= 0, or K is not whole blocks, or the products
 *         differ in K, or y_step is less than N; ERR_UNSUPPORTED from linear_cpu where y_step is
 * not N (its table is not wide) or w is fp8 or int8.
 */
#ifndef KERNELS_LINEAR_H
#define KERNELS_LINEAR_H

#include "kernels/ops.h"

#define LINEAR_RTOL      2e-6
#define LINEAR_CUDA_RTOL 6e-5
#define LINEAR_FP8_RTOL  1e-3

int linear_check(const struct product *p, int n, int T);

int linear_ref(const struct product *p, int n, const void *x, int T, struct stream *s);
int linear_cpu(const struct product *p, int n, const void *x, int T, struct stream *s);
int linear_cuda(const struct product *p, int n, const void *x, int T, struct stream *s);
/* Of quantised weights, all of one dtype. */
int linear_quant_cuda(const struct product *p, int n, const void *x, int T, struct stream *s);
int linear_cuda_tune(const struct product *p, int n, struct stream *s);
int linear_cpu_prepare(struct stream *s, const struct step_limits *l);

#endif
