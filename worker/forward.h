/* forward.h - the model's layers, run over a ragged step on every TP rank.
 *
 * Written once over struct ops, for every device and family: what families differ in stands in the
 * configuration as numbers and flags.  The host uses weights where they lie, in the dtype of the
 * file; other devices get them (upload.h).  Each rank has its own share of the layers (layers.h),
 * its own memory for K and V under one numbering of blocks, its own stream, and while a step runs a
 * thread of its own.
 *
 * On an asynchronous device model_forward, forward_logits and forward_choose return when the work
 * is in the streams' order; forward_wait returns when it is done.
 *
 * Threads    the engine's thread only, but for forward_beats; it is rank 0's.
 * Ownership  forward_open opens the streams and takes the memory for every activation; the model is
 *            borrowed.  KV memory is of the streams: kv_close before forward_close.
 * Errors     forward_open: what layers.h says.  The others: what an op returns, with its layer and
 *            its rank, or what the device says; all ranks have left the step then.
 */
#ifndef WORKER_FORWARD_H
#define WORKER_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/coll.h"
#include "kernels/device.h"
#include "model/model.h"
#include "worker/kv.h"

/* Rows of logits at a time: a large vocabulary makes them long.  On an asynchronous device they
 * stay there, and more rows read the head's weights less often. */
#define FORWARD_LOGITS       32
#define FORWARD_ASYNC_LOGITS 256

struct forward;

struct forward_opts {
    const struct model *model;
    const struct device *device;
    const struct ops *ops; /* the device's, in the dtype that it computes in */
    enum dtype matrix;     /* what float matrices of the layers become on a device that gets them */
    const struct device_opts *parts; /* [n_parts] what rank i opens: parts[i % n_parts] */
    int n_parts;
    const struct coll_ops *coll; /* NULL: threads of this process */
    int max_tokens;              /* in a step */
    int max_rows;                /* of which so many are wanted, and so many sequences */
    int max_model_len;           /* chooses longrope's set for all sequences */
    int tp;                      /* ranks; 0: one */
};

int forward_open(struct forward **out, const struct forward_opts *o, struct errmsg *e) MUSTCHECK;
void forward_close(struct forward **f);
bool forward_is_async(const struct forward *f);
bool forward_can_choose(const struct forward *f); /* its device does, later than the call */
int forward_ranks(const struct forward *f);
struct stream *const *forward_streams(const struct forward *f); /* [forward_ranks] */
size_t forward_weight_bytes(const struct forward *f);
size_t forward_work_bytes(const struct forward *f);
int64_t forward_graph_bytes(const struct forward *f); /* of rank 0 */
/* What kv_open needs: the layers of all ranks one behind the other, with a rank's KV heads. */
struct kv_shape forward_kv_shape(const struct forward *f, enum dtype dtype);
/* Layers computed since open; from any thread: a long step shows that it goes on. */
int64_t forward_beats(const struct forward *f);

/* The layers, and the K and V of all tokens of r, which is on the host; keeps what the head needs
 * of its rows. */
int model_forward(struct forward *f, const struct ragged *r, const struct kv *kv,
                  struct errmsg *e) MUSTCHECK;

/* The same, of a step that comes again in this shape: sequences of a token each, graphs_bucket of
 * them. */
int forward_again(struct forward *f, const struct ragged *r, const struct kv *kv,
                  struct errmsg *e) MUSTCHECK;

/* Logits [n][V] of the rows first..first+n-1 of the last model_forward; n is at most
 * forward_max_logits.  *logits is on the device of rank 0, valid until the next call, and the
 * caller may write into it. */
int forward_max_logits(const struct forward *f);
int forward_logits(struct forward *f, int first, int n, float **logits, struct errmsg *e) MUSTCHECK;
/* n numbers of logits to the host, when they are there. */
int forward_fetch(struct forward *f, float *to, const float *logits, size_t n,
                  struct errmsg *e) MUSTCHECK;
/* Tokens for n rows of logits, there after forward_wait; wishes and their edits stay till then. */
int forward_choose(struct forward *f, struct choice *out, float *logits, const struct wish *wishes,
                   int n, struct errmsg *e) MUSTCHECK;
int forward_wait(struct forward *f, struct errmsg *e) MUSTCHECK;

#endif
