/* mask.h - the one place where a row's logits are forbidden or shifted before a token is chosen.
 *
 * A forbidden token's logit becomes -inf, so that nothing chooses it.  Whoever has a say about the
 * next token says it here: the caller's list of allowed ids, min_tokens (no end before them), the
 * caller's biases.  A grammar is one more set of allowed ids.
 *
 * Source  logit_bias of OpenAI's API: added to the logits.
 */
#ifndef WORKER_MASK_H
#define WORKER_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sampling;
struct model_config;

struct bias {
    int32_t id;
    float value; /* added to its logit */
};

/* A set of token ids: bit id % 64 of word id / 64. */
size_t mask_words(int V); /* words that a set over V ids has */
void mask_put(uint64_t *set, int32_t id);
bool mask_has(const uint64_t *set, int32_t id);

/* Would mask_row change any logit of a sequence with n_out sampled tokens? */
bool mask_is_needed(const struct sampling *p, const struct model_config *c, int n_out);
void mask_row(float *logits, const struct sampling *p, const struct model_config *c, int n_out);

#endif
