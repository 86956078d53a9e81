/* scores.h - passes over the logits of one row: a vocabulary is long, what sampling wants is short.
 *
 *   best    i with the largest x[i], the lowest of equals
 *   sum     sum_i w(x[i]),  w(v) = exp((v - top) * scale), 0 where the exponent is under -87
 *   weights w(x[i])
 *   above   every i with x[i] >= floor, in order
 *
 *   x  [V] float; top is the largest of them and finite, scale > 0
 *
 * A NaN counts as less than everything: best takes it only when there is nothing else, its weight
 * is 0.  Host memory; not in the table of ops.  scores_*_ref are the meaning, the others are fast
 * and differ from them by SCORES_RTOL of the result: an exponent of up to 87 is rounded twice, 2 *
 * 87 * 2^-24 = 1.1e-5; vec_exp's error and float sums of SCORES_RUN terms in 16 lanes are small
 * beside that.  Runs are added up in double.
 *
 * Bound  memory: 4*V bytes a pass.
 */
#ifndef KERNELS_SCORES_H
#define KERNELS_SCORES_H

#include <stdint.h>

#define SCORES_RTOL 1.2e-5f
#define SCORES_RUN  1024

int32_t scores_best(const float *x, int V);
double scores_sum(const float *x, int V, float top, float scale);
void scores_weights(float *w, const float *x, int n, float top, float scale);
/* Of x[0..n): ids holds `from` + i; the result is how many there are. */
int scores_above(int32_t *ids, const float *x, int n, int32_t from, float floor);

int32_t scores_best_ref(const float *x, int V);
double scores_sum_ref(const float *x, int V, float top, float scale);
void scores_weights_ref(float *w, const float *x, int n, float top, float scale);
int scores_above_ref(int32_t *ids, const float *x, int n, int32_t from, float floor);

#endif
