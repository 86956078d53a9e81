/* step.h - a ragged step on the host, made up for the suites of kernels/.
 *
 * Sequence s brings n_tokens[s] tokens, the last of them at position last[s].  KV blocks are dealt
 * out of order from a pool of S * max_blocks.
 */
#ifndef TESTS_STEP_H
#define TESTS_STEP_H

#include "kernels/ops.h"

struct step {
    int32_t *ids, *pos, *seq, *start, *blocks, *rows;
    int n_blocks; /* in the pool */
    struct ragged r;
};

/* max_blocks 0: as many as the longest sequence needs.  ids are below V, drawn from seed; rows is
 * the last token of each sequence. */
void step_init(struct step *p, int S, const int *n_tokens, const int *last, int max_blocks, int V,
               uint64_t seed);
void step_fini(struct step *p);

#endif
