/* sample.h - chooses a token from its logits.
 *
 * A temperature under SAMPLE_GREEDY takes the largest logit.  Else the logits are divided by the
 * temperature, and what remains after min_p (of the largest probability), top_k and top_p (of what
 * min_p and top_k left), in this order, is drawn from by its probabilities.  Wherever two logits
 * are equal the lower id stands first.  A token of less than e^-87 of the largest probability
 * counts as none.
 *
 * SA1  the choice is a function of the logits, the parameters, the seed and the position alone: no
 *      generator has a state, so neither the batch nor an interruption changes it.
 *
 * Errors  sample_check: ERR_ARG, naming the parameter, its value and its limits.
 * Source  Holtzman et al. 2020, arXiv 1904.09751 (top-p); Nguyen et al. 2024, arXiv 2407.01082
 *         (min-p).
 */
#ifndef WORKER_SAMPLE_H
#define WORKER_SAMPLE_H

#include <stdint.h>

#include "base/err.h"

#define SAMPLE_GREEDY 1e-5f
#define SAMPLE_NONE   (-1) /* no token: the largest logit is no finite number */

struct sampling;

struct candidate {
    float logit;
    float weight; /* exp((logit - largest) / temperature) */
    int32_t id;
};

int sample_check(const struct sampling *p, struct errmsg *e) MUSTCHECK;

/* The token's id, or SAMPLE_NONE.  scratch: [V], not used when it is greedy. */
int32_t sample_token(const float *logits, int V, const struct sampling *p, int64_t position,
                     struct candidate *scratch);

/* The k tokens with the largest logits, at most V of them, sorted, to the front of scratch [V];
 * their number: less than k where logits are -inf or no numbers. */
int sample_top(const float *logits, int V, int k, struct candidate *scratch);

/* Even in [0, 1): the draw for this seed and position. */
double sample_draw(uint64_t seed, int64_t position);

#endif
