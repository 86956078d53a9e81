/* attn_decode.cu - attention of sequences with one token in the step: the launches, and the merge.
 *
 * The kernel with matrix instructions takes what it is made for, the plain one the rest.  Then, for
 * tokens of several splits, a warp for each head adds up their parts in order:
 *
 *   M = max_i max[i]    o = sum_i 2^(max[i] - M) * o[i]  /  sum_i 2^(max[i] - M) * sum[i]
 */
#include "kernels/attn_decode.cuh"

#define MERGE_WARPS 4

static __device__ float max_of_warp(float x)
{
    for (int i = 16; i; i /= 2)
        x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
    return x;
}

static __device__ float sum_of_warp(float x)
{
    for (int i = 16; i; i /= 2)
        x += __shfl_xor_sync(~0u, x, i);
    return x;
}

/* Lane i stands for split i: a warp has ATTN_MAX_SPLITS lanes. */
static_assert(ATTN_MAX_SPLITS == 32, "a lane for each split");

template <class E>
static __global__ void __launch_bounds__(MERGE_WARPS * 32) attn_merge_kernel(struct decode_args a)
{
    const int at = (int)(blockIdx.x * MERGE_WARPS + threadIdx.x / 32), lane = (int)threadIdx.x % 32;

    if (at >= a.plan->n_merges * a.H) return;
    const struct attn_merge m = plan_merges(a.plan)[at / a.H];
    const int h = at % a.H, first = attn_first(m.pos, a.window) / m.size;
    const bool seen = lane >= first && lane < m.n;
    const float *stats = part_stats(&a, m.part + (seen ? lane : first), h);
    const float top = max_of_warp(stats[0]);
    const float weight = seen ? exp2f(stats[0] - top) : 0.0f;
    const float share = 1.0f / sum_of_warp(seen ? weight * stats[1] : 0.0f);
    E *o = (E *)a.o + ((size_t)m.token * (size_t)a.H + (size_t)h) * (size_t)a.HD;

    for (int d = lane; d - lane < a.HD; d += 32) {
        float sum = 0;

        for (int i = first; i < m.n; i++) {
            const float w = __shfl_sync(~0u, weight, i);

            if (d < a.HD) sum += w * part_row(&a, m.part + i, h)[d];
        }
        if (d < a.HD) o[d] = from_float<E>(sum * share);
    }
}

/* Without anything to merge the kernel is only loaded: a graph may be recorded next, and its
 * recording loads nothing. */
template <class E> static int merge(const struct decode_args *a, int S, bool any, struct stream *s)
{
    const int grid = (int)(((size_t)S * (size_t)a->H + MERGE_WARPS - 1) / MERGE_WARPS);

    if (!any) return decode_grid(attn_merge_kernel<E>, MERGE_WARPS * 32, 0, 1, s) ? ERR_OK : s->rc;
    LAUNCH(attn_merge_kernel<E>, grid, MERGE_WARPS * 32, 0, s->at, *a);
    return stream_launched(s, "attn", "merge, S=%d H=%d HD=%d", S, a->H, a->HD);
}

static int merge_launch(const struct decode_args *a, int S, bool any, struct stream *s)
{
    switch (s->act) {
    case DTYPE_F32: return merge<float>(a, S, any, s);
    case DTYPE_F16: return merge<f16>(a, S, any, s);
    case DTYPE_BF16: return merge<bf16>(a, S, any, s);
    default: return ERR_UNSUPPORTED;
    }
}

static struct decode_args args_of(void *o, const void *q, const struct kv_layer *kv,
                                  const struct ragged *r, const struct attn_shape *a)
{
    struct decode_args d = {};

    d.o = o;
    d.q = q;
    d.k = kv->k;
    d.v = kv->v;
    d.k_scales = kv->dtype == DTYPE_FP8 ? kv->k_scales : NULL;
    d.v_scales = kv->dtype == DTYPE_FP8 ? kv->v_scales : NULL;
    d.blocks = r->blocks;
    d.plan = (const struct attn_plan *)r->plan;
    d.max_blocks = r->max_blocks;
    d.H = a->H;
    d.HK = a->HK;
    d.HD = a->HD;
    d.q_step = a->q_step ? a->q_step : a->H * a->HD;
    d.window = a->window;
    d.heads = a->H / a->HK;
    d.curve = attn_curve_of(a);
    d.part_step = ((size_t)a->H * (size_t)(a->HD + 2) + 3) / 4 * 4;
    return d;
}

int attn_decode_launch(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                       const struct attn_shape *a, const struct attn_plan *plan, struct stream *s)
{
    /* A graph is recorded for steps in which every sequence decodes, however far it is. */
    const bool any = s->recording && r->T == r->S && !s->batch_invariant;
    struct decode_args d = args_of(o, q, kv, r, a);
    size_t n_floats, n_parts;
    int rc;

    if (!plan->n_splits && !any) return ERR_OK;
    n_parts = any ? attn_plan_parts(r->S, s->limits.max_blocks) : (size_t)plan->n_parts;
    d.most = any ? r->S * ATTN_MAX_SPLITS : plan->n_splits;
    d.parts = step_parts(s, &n_floats);
    if (n_parts * d.part_step > n_floats) return ERR_ARG; /* H*HD is more than prepare was told */
    rc = ERR_FULL;
    if (attn_has_mma(s->act, kv, a, s->arch)) rc = attn_decode_mma(&d, kv->dtype, s);
    if (rc == ERR_FULL) rc = attn_decode_plain(&d, kv->dtype, s);
    if (!rc) rc = merge_launch(&d, r->S, plan->n_merges || any, s);
    return rc;
}
