/* rope.h - how positions become angles: a frequency for each pair of a head, and a scale.
 *
 *   f[i] = theta^(-2i / n_rot), for i in 0..n_rot/2-1: what a pair turns by from a position to the
 *   next.  original: the positions that the model was first trained for.
 *
 *   default   f[i]
 *   linear    f[i] / factor
 *   llama3    with turns = original * f[i] / (2 pi):  f[i] where turns > high_freq_factor,
 *             f[i] / factor where turns < low_freq_factor, and between them
 *             mix(f[i] / factor, f[i], (turns - low) / (high - low))
 *   yarn      pair(n) = n_rot * ln(original / (2 pi n)) / (2 ln theta): which pair makes n turns
 *             lo = max(floor(pair(beta_fast)), 0), hi = min(ceil(pair(beta_slow)), n_rot - 1)
 *             mix(f[i], f[i] / factor, (i - lo) / (hi - lo) held to 0..1)
 *   longrope  f[i] / set[i]: the long set where max_model_len > original, else the short one
 *
 *   mix(a, b, s) = (1 - s) * a + s * b
 *
 * The scale multiplies sine and cosine.  It is 1, or attention_factor where that is given, or
 *   yarn      1 + 0.1 * ln(factor), 1 where factor <= 1
 *   longrope  sqrt(1 + ln(factor) / ln(original)), 1 where factor <= 1
 * Where factor is 0 yarn and longrope take max_positions / original.
 *
 * Which set longrope takes is fixed for an instance: a set that changed with the length of a
 * sequence would not fit the keys that are cached already.
 *
 * Errors  ERR_FORMAT with the name and the number where a factor is not above 0 and finite, the
 *         factors are out of order, or a set is not n_rot/2 long.
 * Source  Su et al. 2021, arXiv 2104.09864; Chen et al. 2023, arXiv 2306.15595 (linear); Peng et
 *         al. 2023, arXiv 2309.00071 (yarn); Ding et al. 2024, arXiv 2402.13753 (longrope); llama3
 *         and the defaults: modeling_rope_utils.py of transformers.
 */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "model/config.h"

/* inv_freq [n_rot/2]; n_rot even, 2..CONFIG_MAX_HD. */
int rope_table(float *inv_freq, float *scale, const struct rope_config *r, int n_rot,
               int max_model_len, int max_positions, struct errmsg *e) MUSTCHECK;

#endif
