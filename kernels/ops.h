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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kernels/stream.h"

#define KV_BLOCK_TOKENS 16 /* BS */

/* A weight matrix [N][K], K contiguous. */
struct weight {
    const void *data;
    enum dtype dtype;
    int N, K;
    size_t row_bytes; /* from a row to the next: more than the row where it is a part of a wider one
                         (a TP rank's columns); 0: the rows stand one behind the other */
};

static inline size_t weight_row_bytes(const struct weight *w)
{
    return w->row_bytes ? w->row_bytes : dtype_row_bytes(w->dtype, (size_t)w->K);
}

/* One matrix product of a call: y[t][n] = sum_k x[t][k] * w[n][k] + bias[n] */
struct product {
    void *y; /* [T][N] */
    const struct weight *w;
    const float *bias; /* [N], on the op's device, or NULL */
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

/* One layer's K and V, on the op's device: K [NB][HK][HD][BS], V [NB][HK][BS][HD].  The positions
 * of a block stand together in K, so that a block's scores are sums over HD of one vec each. */
struct kv_layer {
    void *k, *v;
    enum dtype dtype; /* f32, f16, bf16 */
};

struct attn_shape {
    int H, HK, HD;
    float scale;   /* of q.k */
    float softcap; /* scores become softcap * tanh(score / softcap); 0: they stay */
    int window;    /* a token sees its last `window` positions, itself included; 0: all */
};

struct rope_shape {
    int H, HK, HD;
    const float *inv_freq; /* [n_rot/2], on the op's device */
    int n_rot;             /* numbers of a head that turn, the first ones; even, at most HD */
    float scale;           /* of sine and cosine: 1, or what yarn and longrope ask for */
    bool adjacent; /* pairs are (2i, 2i+1), as GGUF stores some families; else (i, i + n_rot/2) */
};

/* What a gated feed-forward applies to its gate. */
enum glu {
    GLU_SILU,      /* g / (1 + exp(-g)) */
    GLU_GELU_TANH, /* g/2 * (1 + tanh(sqrt(2/pi) * (g + 0.044715 g^3))) */
    GLU_GELU,      /* g/2 * (1 + erf(g / sqrt(2))) */
};

struct ops {
    const char *name; /* "ref", "cpu", later "cuda" */
    enum dtype act;

    /* Scratch of the stream for steps of up to max_tokens tokens and products of up to max_width
     * inputs; called once, before any step. */
    int (*prepare)(struct stream *s, int max_tokens, int max_width);
    /* x[t] = scale * row ids[t] of w[V][D] */
    int (*embed)(void *x, const struct weight *w, float scale, const struct ragged *r,
                 struct stream *s);
    /* y[t][d] = x[t][d] * w[d] / sqrt(mean_d(x[t][d]^2) + eps); w [D] float */
    int (*rmsnorm)(void *y, const void *x, const float *w, int T, int D, float eps,
                   struct stream *s);
    /* n products of the same x [T][K]; all w have the same K */
    int (*linear)(const struct product *p, int n, const void *x, int T, struct stream *s);
    /* rotates q [T][H][HD] in place and k, by pos; writes rotated k and v [T][HK][HD] into the KV
     * blocks */
    int (*rope_kv)(void *q, void *k, const void *v, const struct kv_layer *kv,
                   const struct ragged *r, const struct rope_shape *a, struct stream *s);
    /* o [T][H][HD]: each token attends to positions 0..pos of its sequence, read from the KV blocks
     */
    int (*attn)(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                const struct attn_shape *a, struct stream *s);
    /* y[t][f] = g(gate[t][f]) * up[t][f]; y may be gate */
    int (*glu)(void *y, const void *gate, const void *up, int T, int F, enum glu g,
               struct stream *s);
    /* x[i] += y[i] */
    int (*add)(void *x, const void *y, int T, int D, struct stream *s);
    /* x[i] = cap * tanh(x[i] / cap) */
    int (*softcap)(void *x, int T, int D, float cap, struct stream *s);
    /* y[i] = x[rows[i]]: picks the n tokens whose logits are wanted */
    int (*gather)(void *y, const void *x, const int32_t *rows, int n, int D, struct stream *s);
};

const struct ops *ops_ref(void);
const struct ops *ops_cpu(void);

#endif
