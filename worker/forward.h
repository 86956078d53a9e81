/* forward.h - the model's layers, run over a ragged step.
 *
 * Written once over struct ops, for every device.  Known: LlamaForCausalLM (RMSNorm, rotary
 * positions, grouped heads, gated feed-forward; the head may be the embedding).  Weights are used
 * where they lie, in the dtype of the file.
 *
 * Threads    the engine's thread only, but for forward_beats.
 * Ownership  forward_open takes the memory for every activation; the model is borrowed.
 * Errors     forward_open: ERR_FORMAT for a tensor that is missing or has another shape, naming it,
 *            what was found and what was expected; ERR_UNSUPPORTED for a tensor that this
 *            architecture does not have, since leaving it out would change the answer.
 *            model_forward: what an op returns, with its layer.
 */
#ifndef WORKER_FORWARD_H
#define WORKER_FORWARD_H

#include "base/err.h"
#include "kernels/ops.h"
#include "model/model.h"
#include "worker/kv.h"

#define FORWARD_LOGITS 32 /* rows of logits at a time: a large vocabulary makes them long */

struct forward;

/* max_tokens in a step, of which max_rows are wanted. */
int forward_open(struct forward **out, const struct model *m, const struct ops *ops, int max_tokens,
                 int max_rows, struct errmsg *e) MUSTCHECK;
void forward_close(struct forward **f);
size_t forward_weight_bytes(const struct forward *f);
size_t forward_work_bytes(const struct forward *f);
/* Layers computed since open; from any thread: a long step shows that it goes on. */
int64_t forward_beats(const struct forward *f);

/* The layers, and the K and V of all tokens of r; keeps what the head needs of tokens rows[0..n).
 */
int model_forward(struct forward *f, const struct ragged *r, const int32_t *rows, int n,
                  const struct kv *kv, struct stream *s, struct errmsg *e) MUSTCHECK;

/* Logits [n][V] of the rows first..first+n-1 of the last model_forward; n is at most
 * FORWARD_LOGITS.  *logits is valid until the next call, and the caller may write into it. */
int forward_logits(struct forward *f, int first, int n, float **logits, struct stream *s,
                   struct errmsg *e) MUSTCHECK;

#endif
