/* quality.h - how far one engine's next tokens are from another's, on what the first one says.
 *
 * The first engine answers each prompt (temperature 1, the row's number is the seed).  At every
 * place of an answer both engines give their logits for the same tokens before it:
 *
 *   agreement  share of the places where the likeliest token is the same
 *   kl         mean of sum_v p[v] * log(p[v] / q[v]), in nats; p the first engine's, q the other's
 *
 * Errors  end the benchmark (report_fail).
 */
#ifndef BENCH_QUALITY_H
#define BENCH_QUALITY_H

#include <stdint.h>

#include "model/tokenizer.h"

struct engine;

struct quality {
    int places;
    double agreement, kl; /* agreement: 0 to 1 */
};

/* Appends the prompt and what the engine says to it; the place of its first token. */
int quality_answer(struct engine *en, struct ids *ids, int max_tokens, int seed);
/* Adds the places from..ids->n of a row. */
void quality_add(struct quality *q, struct engine *first, struct engine *other,
                 const struct ids *ids, int from, int vocab);

#endif
