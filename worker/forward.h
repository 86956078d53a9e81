/* forward.h - the model's layers, run over a ragged step on every TP rank.
 *
 * Written once over struct ops, for every device and family: what families differ in stands in the
 * configuration as numbers and flags.  Weights are used where they lie, in the dtype of the file.
 * Each rank has its own share of the layers (layers.h), its own memory for K and V under one
 * numbering of blocks, its own stream, and while a step runs a thread of its own.
 *
 * Threads    the engine's thread only, but for forward_beats; it is rank 0's.
 * Ownership  forward_open takes the memory for every activation; the model and the stream are
 *            borrowed.
 * Errors     forward_open: what layers.h says.  model_forward: what an op returns, with its layer
 *            and its rank; all ranks have left the step then.
 */
#ifndef WORKER_FORWARD_H
#define WORKER_FORWARD_H

#include "base/err.h"
#include "kernels/ops.h"
#include "model/model.h"
#include "worker/kv.h"

#define FORWARD_LOGITS 32 /* rows of logits at a time: a large vocabulary makes them long */

struct forward;

struct forward_opts {
    const struct model *model;
    const struct ops *ops;
    struct stream *stream; /* rank 0's */
    int threads;           /* of each other rank */
    int max_tokens;        /* in a step */
    int max_rows;          /* of which so many are wanted */
    int max_model_len;     /* chooses longrope's set for all sequences */
    int tp;                /* ranks; 0: one */
};

int forward_open(struct forward **out, const struct forward_opts *o, struct errmsg *e) MUSTCHECK;
void forward_close(struct forward **f);
size_t forward_weight_bytes(const struct forward *f);
size_t forward_work_bytes(const struct forward *f);
/* What kv_open needs: the layers of all ranks one behind the other, with a rank's KV heads. */
struct kv_shape forward_kv_shape(const struct forward *f, enum dtype dtype);
/* Layers computed since open; from any thread: a long step shows that it goes on. */
int64_t forward_beats(const struct forward *f);

/* The layers, and the K and V of all tokens of r, which is on the host; keeps what the head needs
 * of its rows. */
int model_forward(struct forward *f, const struct ragged *r, const struct kv *kv, struct stream *s,
                  struct errmsg *e) MUSTCHECK;

/* Logits [n][V] of the rows first..first+n-1 of the last model_forward; n is at most
 * FORWARD_LOGITS.  *logits is valid until the next call, and the caller may write into it. */
int forward_logits(struct forward *f, int first, int n, float **logits, struct stream *s,
                   struct errmsg *e) MUSTCHECK;

#endif
