/* layers.h - a model's tensors, each in its place, and the share of them that a TP rank has.
 *
 * Matrices stay where they lie, in the dtype of the file; vectors are small and read often, so
 * they are widened to floats, and a norm that the file stores less 1 gets its 1.  Tensors that the
 * file keeps in one (q, k and v; gate and up) become views of its rows.
 *
 * A share takes rows of q, k, v, gate, up and of the head, columns of o and down, and all of the
 * rest.  A KV head is copied to several ranks where there are more ranks than KV heads.  Only rank
 * 0 has the biases of o and down: the ranks' products are added up.
 *
 * Threads    immutable after open.
 * Ownership  the model is borrowed, and must outlive the layers; a share borrows from the whole.
 * Errors     ERR_FORMAT for a tensor that is missing or has another shape, naming it, what was
 *            found and what was expected; ERR_UNSUPPORTED for a tensor that has no place in this
 *            architecture, since leaving it out would change the answer; layers_share: ERR_ARG,
 *            with the numbers, where the ranks do not divide the heads or the feed-forward.
 */
#ifndef WORKER_LAYERS_H
#define WORKER_LAYERS_H

#include "base/arena.h"
#include "base/err.h"
#include "kernels/ops.h"
#include "model/model.h"

/* A bias, a post-norm, q_norm and k_norm are NULL where the family has none. */
struct layer {
    struct weight q, k, v, o, gate, up, down;
    const float *q_bias, *k_bias, *v_bias, *o_bias, *gate_bias, *up_bias, *down_bias;
    const float *norm1, *norm2;   /* [D] of what attention and feed-forward read */
    const float *post1, *post2;   /* [D] of what they give */
    const float *q_norm, *k_norm; /* [HD] */
};

struct layers {
    int n;                  /* layers */
    int D, H, HK, HD, F, V; /* of this share */
    struct weight embed;    /* of all tokens, on every rank */
    struct weight head;
    const float *norm; /* [D] */
    struct layer *at;  /* [n] */
    size_t bytes;      /* of the tensors in the file; 0 in a share */
    struct arena vectors;
};

int layers_open(struct layers *out, const struct model *m, struct errmsg *e) MUSTCHECK;
/* What rank `rank` of `tp` has of the whole. */
int layers_share(struct layers *out, const struct layers *whole, int rank, int tp,
                 struct errmsg *e) MUSTCHECK;
void layers_fini(struct layers *l);

#endif
