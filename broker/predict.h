/* predict.h - how long an answer will be, from the answers that came before.
 *
 * Lengths are counted by batch and by the quarter octave of the prompt's length, in cells of a
 * quarter octave; old ones count less and less.  Where there are few, the batch's other prompts are
 * asked, then all batches, then a guess: n answers weigh against PREDICT_DOUBT of the wider group.
 * An answer is never expected beyond max_tokens: it would have been cut there.
 *
 * Units      tokens.
 * Threads    one owner.
 * Memory     40 KB a batch: of more than PREDICT_BATCHES those that were not seen for longest go.
 *
 * PR1  1 <= mean and high, and neither is beyond max_tokens.
 * PR2  the same answers in the same order give the same prediction.
 * PR3  an answer that was predicted well enough by its group alone is predicted so once there are
 *      many more than PREDICT_DOUBT of them.
 */
#ifndef BROKER_PREDICT_H
#define BROKER_PREDICT_H

#include <stdint.h>

#include "base/err.h"

#define PREDICT_DOUBT   8
#define PREDICT_BATCHES 256
#define PREDICT_UNKNOWN 256 /* tokens, before anything was seen */

struct predict;

struct predict_length {
    double mean;
    double high; /* nine of ten answers are not longer */
};

int predict_open(struct predict **out) MUSTCHECK; /* 0 or ERR_NOMEM */
void predict_close(struct predict **p);

/* An answer of a batch (0: none in particular) was so long.  Without memory for the batch it counts
 * for all batches only. */
void predict_add(struct predict *p, int64_t batch, int32_t prompt_tokens, int32_t output_tokens);

/* max_tokens 0: not limited. */
struct predict_length predict_ask(struct predict *p, int64_t batch, int32_t prompt_tokens,
                                  int32_t max_tokens);

/* How long in all an answer is expected to be that has so many tokens already: at least those, but
 * for max_tokens. */
double predict_beyond(const struct predict *p, int64_t batch, int32_t prompt_tokens,
                      int32_t max_tokens, double tokens);

#endif
