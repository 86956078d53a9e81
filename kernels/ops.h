/* ops.h - the table of ops that the engine is written over, once for all devices.
 *
 * Shapes (the letters are explained in kernels/README.md): T tokens in this step, S sequences, D
 * model width, H query heads, HK KV heads, HD head width, F feed-forward width, V vocabulary, BS
 * tokens in a KV block.
 *
 * Activations are `void *` of the table's `act` dtype: float on ref and cpu.  Weights carry their
 * own dtype.  Pointers are of the table's device.  Each op has its own header with formula,
 * aliasing, tolerance and bound.
 *
 * Errors   ERR_ARG for an extent out of range; ERR_UNSUPPORTED for a dtype the device does not
 *          compute.
 * Threads  the engine's thread only.
 *
 * O1  a token's result does not depend on which other tokens are in the step (same device, same
 *     dtype).
 * O2  no op allocates memory.
 */
#ifndef KERNELS_OPS_H
#define KERNELS_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kernels/stream.h"

#define KV_BLOCK_TOKENS 16 /* BS */

/* A weight matrix [N][K], K contiguous, or a vector [N] with K = 1. */
struct weight {
    const void *data;
    enum dtype dtype;
    int N, K;
};

/* A step's ragged batch, on the op's device. */
struct ragged {
    int T, S;
    const int32_t *ids; /* [T] token ids */
    const int32_t *pos; /* [T] position of each token in its sequence */
    const int32_t
        *seq; /* [T] index of its sequence, 0..S-1; tokens of a sequence stand together, in order */
    const int32_t *start; /* [S+1] first token of each sequence in this step */
    const int32_t
        *blocks; /* [S][max_blocks] block tables: KV block number of each run of BS positions */
    int max_blocks;
};

/* One layer's K or V cache: [NB][HK][BS][HD] of dtype, on the op's device. */
struct kv_layer {
    void *k, *v;
    enum dtype dtype;
};

struct attn_shape {
    int H, HK, HD;
    float scale; /* of q.k; 1/sqrt(HD) */
};

struct rope_shape {
    int H, HK, HD;
    const float *inv_freq; /* [HD/2], on the op's device */
};

struct ops {
    const char *name; /* "ref", "cpu", later "cuda" */
    enum dtype act;

    /* x[t] = row ids[t] of w[V][D] */
    int (*embed)(void *x, const struct weight *w, const struct ragged *r, struct stream *s);
    /* y[t][d] = x[t][d] * w[d] / sqrt(mean_d(x[t][d]^2) + eps) */
    int (*rmsnorm)(void *y, const void *x, const struct weight *w, int T, int D, float eps,
                   struct stream *s);
    /* y[t][n] = sum_k x[t][k] * w[n][k] */
    int (*linear)(void *y, const void *x, const struct weight *w, int T, struct stream *s);
    /* rotates q [T][H][HD] in place and k, by pos; writes rotated k and v [T][HK][HD] into the KV
     * blocks */
    int (*rope_kv)(void *q, void *k, const void *v, const struct kv_layer *kv,
                   const struct ragged *r, const struct rope_shape *a, struct stream *s);
    /* o [T][H][HD]: each token attends to positions 0..pos of its sequence, read from the KV blocks
     */
    int (*attn)(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                const struct attn_shape *a, struct stream *s);
    /* y[t][f] = silu(gate[t][f]) * up[t][f]; y may be gate */
    int (*swiglu)(void *y, const void *gate, const void *up, int T, int F, struct stream *s);
    /* x[i] += y[i] */
    int (*add)(void *x, const void *y, int T, int D, struct stream *s);
    /* y[i] = x[rows[i]]: picks the n tokens whose logits are wanted */
    int (*gather)(void *y, const void *x, const int32_t *rows, int n, int D, struct stream *s);
};

const struct ops *ops_ref(void);
const struct ops *ops_cpu(void);

#endif
