/* chooser.h - a row's logits to its next token: mask, penalties, choice, log-probabilities.
 *
 * Log-probabilities are those of the model: of the logits as they come, before anything shifts
 * them and without temperature.
 *
 * Threads    one thread at a time; rows may be spread over several choosers.
 * Ownership  chooser_open takes all memory.
 */
#ifndef WORKER_CHOOSER_H
#define WORKER_CHOOSER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct chooser;
struct seq;
struct model_config;

int chooser_open(struct chooser **out, int V, struct errmsg *e) MUSTCHECK;
void chooser_close(struct chooser **c);
size_t chooser_bytes(int V);

/* The next token of s, or SAMPLE_NONE; its log-probabilities go to their place in s.  The logits
 * are changed. */
int32_t chooser_pick(struct chooser *c, struct seq *s, float *logits, const struct model_config *m);

#endif
