/* ops.h - the table of ops that the engine is written over, once for all devices.
 *
 * Shapes (the letters are explained in kernels/README.md): T tokens in this step, S sequences, D
 * model width, H query heads, HK KV heads, HD head width, F feed-forward width, V vocabulary, BS
 * tokens in a KV block.
 *
 * Activations are `void *` of the table's `act` dtype: float on ref and cpu.  Weights carry their
 * own dtype.  Pointers are of the table's device (device.h).  Each op has its own header with
 * formula, aliasing, tolerance and bound.  On a device whose work is done later than the call, an
 * op returns when the work is in the stream's order, and a failure of the work itself comes from
 * the next wait.
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
#include "kernels/choose.h"
#include "kernels/stream.h"

#define KV_BLOCK_TOKENS 16 /* BS */

/* A weight matrix [N][K], K contiguous. */
struct weight {
    const void *data;
    enum dtype dtype;
    int N, K;
    size_t row_bytes;    /* from a row to the next: more than the row where it is a part of a wider
                            one (a TP rank's columns); 0: the rows stand one behind the other */
    const float *scales; /* [N] of fp8 and int8: a number is worth scales[n] * what is stored */
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
    int y_step;        /* numbers from a row of y to the next; 0: N */
    bool logits;       /* y is float, whatever act is */
};

static inline int product_y_step(const struct product *p)
{
    return p->y_step ? p->y_step : p->w->N;
}

/* A step's ragged batch: what begin is given lies on the host, what the other ops are given on
 * their device. */
struct ragged {
    int T, S, n_rows;
    const int32_t *ids; /* [T] token ids */
    const int32_t *pos; /* [T] position of each token in its sequence */
    const int32_t
        *seq; /* [T] index of its sequence, 0..S-1; tokens of a sequence stand together, in order */
    const int32_t *start; /* [S+1] first token of each sequence in this step */
    const int32_t
        *blocks; /* [S][max_blocks] block tables: KV block number of each run of BS positions */
    int max_blocks;
    const int32_t *rows; /* [n_rows] tokens whose logits are wanted */
    const void *plan;    /* the device's: what begin worked out for the step; NULL on the host */
};

/* One layer's K and V, on the op's device: HK*BS*HD numbers each for every block, in an order that
 * is the table's own.  On ref and cpu K [NB][HK][HD][BS], V [NB][HK][BS][HD]: the positions of a
 * block stand together in K, so that a block's scores are sums over HD of one vec each.  On cuda
 * both are [NB][HK][BS][HD]. */
struct kv_layer {
    void *k, *v;
    enum dtype dtype;           /* f32, f16, bf16, fp8 */
    float *k_scales, *v_scales; /* [NB][HK][BS] of fp8: made when a token is written, from its own
                                   numbers, so that they do not depend on the step; else NULL */
};

/* q, k and v of a token are parts of one row where the table is `wide` (see struct ops). */
struct attn_shape {
    int H, HK, HD;
    int q_step;    /* numbers from a token's q to the next one's; 0: H*HD.  o has no gaps */
    float scale;   /* of q.k */
    float softcap; /* scores become softcap * tanh(score / softcap); 0: they stay */
    int window;    /* a token sees its last `window` positions, itself included; 0: all */
};

struct rope_shape {
    int H, HK, HD;
    int q_step, kv_step;          /* numbers from a token to the next; 0: H*HD and HK*HD */
    const float *q_norm, *k_norm; /* [HD] of each head's rmsnorm before it turns, on the op's
                                     device; NULL: none */
    float eps;                    /* of it */
    const float *inv_freq;        /* [n_rot/2], on the op's device */
    int n_rot;     /* numbers of a head that turn, the first ones; even, at most HD */
    float scale;   /* of sine and cosine: 1, or what yarn and longrope ask for */
    bool adjacent; /* pairs are (2i, 2i+1), as GGUF stores some families; else (i, i + n_rot/2) */
};

/* What a gated feed-forward applies to its gate. */
enum glu {
    GLU_SILU,      /* g / (1 + exp(-g)) */
    GLU_GELU_TANH, /* g/2 * (1 + tanh(sqrt(2/pi) * (g + 0.044715 g^3))) */
    GLU_GELU,      /* g/2 * (1 + erf(g / sqrt(2))) */
};

/* What a step may hold. */
struct step_limits {
    int max_tokens, max_seqs, max_blocks;
    int max_width;  /* inputs of a product */
    int attn_width; /* numbers of a token's q: H*HD; 0: no more than max_width */
};

struct ops {
    const char *name; /* "ref", "cpu", "cuda" */
    enum dtype act;
    bool wide; /* products of one x write into one row, side by side: q, k, v in [T][(H+2*HK)*HD],
                  gate and up in [T][2*F], so that one product can make them all */

    /* Scratch of the stream for such steps; called once, before anything else. */
    int (*prepare)(struct stream *s, const struct step_limits *l);
    /* Chooses how linear computes these products of one x, by measuring, for every T up to the
     * limit; called when a model is loaded.  NULL: there is nothing to choose. */
    int (*tune)(const struct product *p, int n, struct stream *s);
    /* to = from, rows of the same shape: between float dtypes, or from one to fp8 or int8, whose
     * scales are made here: the largest |number| of the row becomes the largest that is stored.
     * Also a plain copy.  to->scales is written.  NULL: weights are used as they are. */
    int (*convert)(const struct weight *to, const struct weight *from, struct stream *s);

    /* A step begins: r is brought to the device, and what all layers share is worked out. *on is
     * what the other ops get, until the next begin. */
    int (*begin)(struct ragged *on, const struct ragged *r, struct stream *s);
    /* x[t] = scale * row ids[t] of w[V][D] */
    int (*embed)(void *x, const struct weight *w, float scale, const struct ragged *r,
                 struct stream *s);
    /* y[t][d] = x[t][d] * w[d] / sqrt(mean_d(x[t][d]^2) + eps); w [D] float; y may be x */
    int (*rmsnorm)(void *y, const void *x, const float *w, int T, int D, float eps,
                   struct stream *s);
    /* x[t] += a[t]; y[t] = rmsnorm of x[t] by w; y may be a, not x */
    int (*add_rmsnorm)(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                       struct stream *s);
    /* n products of the same x [T][K]; all w have the same K */
    int (*linear)(const struct product *p, int n, const void *x, int T, struct stream *s);
    /* norms where asked for, then rotates q [T][H][HD] in place and k, by pos; writes k and v
     * [T][HK][HD] into the KV blocks; what k holds afterwards is not said */
    int (*rope_kv)(void *q, void *k, const void *v, const struct kv_layer *kv,
                   const struct ragged *r, const struct rope_shape *a, struct stream *s);
    /* o [T][H][HD]: each token attends to positions 0..pos of its sequence, read from the KV blocks
     */
    int (*attn)(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                const struct attn_shape *a, struct stream *s);
    /* y[t][f] = g(gate[t][f]) * up[t][f]; rows of gate and up are `step` numbers apart, those of y
     * F; y may be gate where step is F */
    int (*glu)(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
               struct stream *s);
    /* x[i] += y[i] */
    int (*add)(void *x, const void *y, int T, int D, struct stream *s);
    /* x[i] = cap * tanh(x[i] / cap), of logits: float */
    int (*softcap)(float *x, int T, int D, float cap, struct stream *s);
    /* y[i] = x[r->rows[i]]: picks the n_rows tokens whose logits are wanted */
    int (*gather)(void *y, const void *x, const struct ragged *r, int D, struct stream *s);
    /* Chooses a token for each of n rows of logits (choose.h).  NULL: the caller does it. */
    int (*choose)(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
                  struct stream *s);
};

const struct ops *ops_ref(void);
const struct ops *ops_cpu(void);

#endif
