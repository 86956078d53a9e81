/* penalty.h - makes tokens that were there before less likely.
 *
 *   repetition  l > 0 ? l / r : l * r  for each token of prompt and answer, once
 *   frequency   l - f * (times the token stands in the answer)
 *   presence    l - p  for each token of the answer, once
 *
 * in this order.  Only logits of tokens that were seen are touched; nothing is remembered from step
 * to step.
 *
 * Source  Keskar et al. 2019, arXiv 1909.05858 (repetition); OpenAI's API (frequency, presence).
 */
#ifndef WORKER_PENALTY_H
#define WORKER_PENALTY_H

#include <stdbool.h>
#include <stdint.h>

struct seq;
struct sampling;

bool penalty_repeats(const struct sampling *p); /* the first of them is asked for */
bool penalty_counts(const struct sampling *p);  /* one of the other two */
bool penalty_is_needed(const struct seq *s);

/* seen: a set of mask.h over the vocabulary, empty before and after. */
void penalty_row(float *logits, const struct seq *s, uint64_t *seen);

#endif
