/* picker.h - the rows of a step to their next tokens, on the host or on the device.
 *
 * On the host the rows of logits go to choosers (chooser.h), several at a time.  On an asynchronous
 * device whose table can choose, only ids and log-probabilities come back; rows without a wish
 * (wishes.h) are fetched and go to the choosers.
 *
 * Threads    the engine's thread; the choosers' are of the pool.
 * Ownership  picker_open takes all memory; forward, config and pool are borrowed.  It may be freed
 *            only when the device is at rest: after forward_wait, or forward_close.
 * Errors     what forward.h says.
 */
#ifndef WORKER_PICKER_H
#define WORKER_PICKER_H

#include "base/err.h"
#include "worker/batch.h"
#include "worker/forward.h"

struct picker;
struct model_config;

int picker_open(struct picker **out, struct forward *f, const struct model_config *c,
                struct stream *pool, int max_rows, struct errmsg *e) MUSTCHECK;
void picker_close(struct picker **p);
size_t picker_bytes(const struct picker *p);

/* The rows of the step that model_forward was last called with: on an asynchronous device in the
 * stream's order. */
int picker_start(struct picker *p, const struct batch *b, struct errmsg *e) MUSTCHECK;

/* After the wait: the token of a row, or SAMPLE_NONE; its log-probabilities go to their place in
 * its sequence. */
int32_t picker_token(struct picker *p, const struct batch *b, int row);

#endif
