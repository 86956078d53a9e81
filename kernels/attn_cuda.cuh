/* attn_cuda.cuh - what the kernels of attention share: their pieces, and the words for a score.
 *
 * attn_cuda (attn.cu) runs two launches, each for its pieces of the step's plan (attn_plan.h) and
 * nothing when it has none: attn_decode_launch the splits, attn_prefill_launch the tiles.  Blocks
 * find their piece in the plan on the device (r->plan); its counts are known to the host too
 * (step_plan), so that a grid of tiles is exact.  In a graph T == S, and the number of tiles is
 * that of the recording whatever is replayed (AP4); the number of splits is not, so decode is a
 * grid of the blocks that fit on the stream's processors, each of which goes through the list.
 *
 * K and V lie [NB][HK][BS][HD]; their scales [NB][HK][BS].  A score is in base 2: s * log2(e), so
 * that p = 2^(s - max).  Slots of positions that a token does not see count with p = 0 and V = 0,
 * whatever they hold.
 */
#ifndef KERNELS_ATTN_CUDA_CUH
#define KERNELS_ATTN_CUDA_CUH

#include "kernels/cuda_stream.cuh"

extern "C" {
#include "kernels/attn.h"
#include "kernels/attn_plan.h"
}

#define ATTN_LOG2E 1.44269504088896341f

/* Splits: o of the tokens that decode.  plan: the host's copy of what r->plan points to. */
int attn_decode_launch(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                       const struct attn_shape *a, const struct attn_plan *plan, struct stream *s);
/* Tiles: o of all tokens in the plan's tiles. */
int attn_prefill_launch(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                        const struct attn_shape *a, const struct attn_plan *plan, struct stream *s);
/* The same for what the matrix instructions do not take. */
int attn_plain_launch(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                      const struct attn_shape *a, const struct attn_plan *plan, struct stream *s);

/* begin.cu: the plan of the step, as the host sees it: the same bytes as r->plan on the device. */
const struct attn_plan *step_plan(const struct stream *s);
/* begin.cu: device memory for results of splits, of this step's limits (attn_decode.cu). */
float *step_parts(const struct stream *s, size_t *n_floats);

/* Whether the kernels with matrix instructions take it: K and V of the 16 bits that x has, or fp8,
 * and a head width that they are made for.  Else the plain ones: floats, sums by fused
 * multiply-adds. */
static inline bool attn_has_mma(enum dtype act, const struct kv_layer *kv,
                                const struct attn_shape *a, int arch)
{
    const int HD = a->HD;

    if (arch < 80 || act == DTYPE_F32 || (kv->dtype != act && kv->dtype != DTYPE_FP8)) return false;
    return HD == 64 || HD == 80 || HD == 96 || HD == 128 || HD == 256;
}

static __device__ __forceinline__ const struct attn_split *plan_splits(const struct attn_plan *p)
{
    return (const struct attn_split *)((const char *)p + p->splits_at);
}

static __device__ __forceinline__ const struct attn_merge *plan_merges(const struct attn_plan *p)
{
    return (const struct attn_merge *)((const char *)p + p->merges_at);
}

/* list: of tiles of ATTN_TILE << list tokens. */
static __device__ __forceinline__ const struct attn_tile *plan_tiles(const struct attn_plan *p,
                                                                     int list)
{
    return (const struct attn_tile *)((const char *)p + p->tiles_at[list]);
}

/* The first position that a token at pos sees. */
static __device__ __forceinline__ int attn_first(int pos, int window)
{
    return window && pos >= window ? pos - window + 1 : 0;
}

/* Number of the first slot of KV block b for KV head hk; times HD, its first number. */
static __device__ __forceinline__ size_t attn_slot(int b, int hk, int HK)
{
    return ((size_t)b * (size_t)HK + (size_t)hk) * KV_BLOCK_TOKENS;
}

/* What makes a score of q.k: by = scale * log2(e), or with a cap scale / cap, and cap * log2(e). */
struct attn_curve {
    float by, cap;
};

static inline struct attn_curve attn_curve_of(const struct attn_shape *a)
{
    struct attn_curve c = {a->scale * ATTN_LOG2E, 0};

    if (a->softcap > 0) c = {a->scale / a->softcap, a->softcap * ATTN_LOG2E};
    return c;
}

/* What every block of a kernel of tiles is told. */
struct attn_tiles {
    void *o;
    const void *q, *k, *v;
    const float *k_scales, *v_scales;
    const int32_t *blocks;
    const struct attn_plan *plan; /* on the device */
    struct attn_curve curve;
    int max_blocks, H, HK, HD, G, q_step, window;
    int list;    /* of the plan */
    int n_parts; /* a plan's tile is so many runs of rows */
};

/* list and n_parts are the launch's to set. */
static inline struct attn_tiles attn_tiles_of(void *o, const void *q, const struct kv_layer *kv,
                                              const struct ragged *r, const struct attn_shape *a)
{
    struct attn_tiles j = {.o = o,
                           .q = q,
                           .k = kv->k,
                           .v = kv->v,
                           .k_scales = kv->k_scales,
                           .v_scales = kv->v_scales,
                           .blocks = r->blocks,
                           .plan = (const struct attn_plan *)r->plan,
                           .curve = attn_curve_of(a),
                           .max_blocks = r->max_blocks,
                           .H = a->H,
                           .HK = a->HK,
                           .HD = a->HD,
                           .G = a->H / a->HK,
                           .q_step = a->q_step ? a->q_step : a->H * a->HD,
                           .window = a->window,
                           .list = 0,
                           .n_parts = 0};

    return j;
}

static __device__ __forceinline__ float attn_score(float dot, struct attn_curve c)
{
    const float x = dot * c.by;

    return c.cap > 0 ? c.cap * tanhf(x) : x;
}

#endif
