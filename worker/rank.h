/* rank.h - one TP rank: its share of the layers, run over a ragged step.
 *
 * Every rank holds the whole residual; it computes its heads, its columns of the feed-forward and
 * its rows of the head, and the group adds up or puts together what they give.  One rank alone is
 * the whole model.
 *
 * Threads    one at a time; ranks of a group call the same functions, each on a thread of its own.
 * Ownership  rank_open takes the memory for every activation, from the stream, and brings the
 *            rank's weights to the device (upload.h); the whole layers, the stream and the group
 *            are borrowed.
 * Errors     what an op returns.  A rank that fails still goes to the next collective, so that the
 *            group leaves the step together; rank_error is what it met itself.
 */
#ifndef WORKER_RANK_H
#define WORKER_RANK_H

#include "kernels/coll.h"
#include "kernels/device.h"
#include "worker/kv.h"
#include "worker/layers.h"

struct rank;

/* Frequencies and scale of positions, of layers without and with a window. */
struct rotary {
    float inv_freq[2][CONFIG_MAX_HD / 2];
    float scale[2];
};

struct rank_opts {
    const struct model_config *config;
    const struct device *device;
    const struct ops *ops;
    struct stream *stream;
    const struct layers *layers; /* the whole model's */
    const struct rotary *rotary;
    const struct coll_ops *coll_ops; /* NULL: alone */
    struct coll *coll;
    int index, n; /* this rank, and how many there are */
    int on;       /* which of the devices it works on */
    int max_tokens, max_rows, max_logits, max_blocks;
    enum dtype matrix; /* what the layers' float matrices become on a device that gets them */
};

int rank_open(struct rank **out, const struct rank_opts *o, struct errmsg *e) MUSTCHECK;
void rank_close(struct rank **k);
size_t rank_weight_bytes(const struct rank *k); /* on its device; 0: the host's are used */
size_t rank_work_bytes(const struct rank *k);
int64_t rank_graph_bytes(const struct rank *k); /* as its device tells */
int rank_kv_heads(const struct rank *k);

/* Layers computed since open; from any thread. */
int64_t rank_beats(const struct rank *k);
/* What this rank itself failed with in the last call, and in which layer; 0: nothing. */
int rank_error(const struct rank *k, int *layer);

/* r is on the host. */
int rank_forward(struct rank *k, const struct ragged *r, const struct kv *kv) MUSTCHECK;
/* The same, of a step that comes again in this shape (graphs.h): r->T sequences of a token each. */
int rank_again(struct rank *k, const struct ragged *r, const struct kv *kv) MUSTCHECK;

/* Logits of the rows first..first+n-1 of the last rank_forward, on rank 0. */
int rank_logits(struct rank *k, int first, int n) MUSTCHECK;
float *rank_logits_at(struct rank *k); /* [max_logits][V], rank 0's, on its device */

#endif
