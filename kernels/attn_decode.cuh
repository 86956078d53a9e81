/* attn_decode.cuh - what the two kernels of decoding attention share, and how they are launched.
 *
 * A piece of work is a split of the plan, a KV head, and a group of at most `group` of the query
 * heads that share it.  Blocks are as many as fit on the stream's processors at once (or fewer, by
 * what the limits allow); each takes pieces blockIdx.x, + gridDim.x, ...
 *
 * A split that is not the whole of its token's positions leaves a part, which attn_merge_kernel
 * adds up in the order of the splits:
 *
 *   part   [H][HD] o, not yet divided by sum;  [H] of (max, sum)     floats, part_step apart
 */
#ifndef KERNELS_ATTN_DECODE_CUH
#define KERNELS_ATTN_DECODE_CUH

#include "kernels/attn_cuda.cuh"

struct decode_args {
    void *o;
    const void *q, *k, *v;
    const float *k_scales, *v_scales;
    const int32_t *blocks;
    const struct attn_plan *plan;
    float *parts;
    size_t part_step;
    int max_blocks, H, HK, HD, q_step, window;
    int heads;         /* that share a KV head: H / HK */
    int group, groups; /* heads of a piece of work, pieces for a KV head */
    int most;          /* pieces that there can be */
    struct attn_curve curve;
};

/* One piece of work. */
struct decode_piece {
    struct attn_split split; /* from and to: what the layer's window leaves of it */
    int hk, head, heads;     /* KV head; the first query head, and how many */
};

static __device__ __forceinline__ int piece_count(const struct decode_args *a)
{
    return a->plan->n_splits * a->HK * a->groups;
}

/* Pieces of one split stand together: their K and V lie so in a KV block. */
static __device__ __forceinline__ struct decode_piece piece_at(const struct decode_args *a, int i)
{
    const int per_split = a->HK * a->groups, of_split = i % per_split;
    struct decode_piece p;
    int first;

    p.split = plan_splits(a->plan)[i / per_split];
    first = attn_first(p.split.pos, a->window);
    if (p.split.from < first) p.split.from = first;
    p.hk = of_split / a->groups;
    p.head = p.hk * a->heads + of_split % a->groups * a->group;
    p.heads = min(a->group, (p.hk + 1) * a->heads - p.head);
    return p;
}

static __device__ __forceinline__ float *part_stats(const struct decode_args *a, int part, int h)
{
    return a->parts + (size_t)part * a->part_step + (size_t)a->H * (size_t)a->HD + 2 * (size_t)h;
}

static __device__ __forceinline__ float *part_row(const struct decode_args *a, int part, int h)
{
    return a->parts + (size_t)part * a->part_step + (size_t)h * (size_t)a->HD;
}

/* begin.cu: blocks of the kernel, with so much shared memory, that fit on the stream's processors
 * at once; 0: not known. */
int step_fit(const struct stream *s, const void *kernel, size_t bytes);
void step_fit_keep(struct stream *s, const void *kernel, size_t bytes, int blocks);

/* The grid of a kernel whose blocks stay: what fits, and no more than there can be work for. */
template <class F>
static int decode_grid(F *kernel, int threads, size_t bytes, int most, struct stream *s)
{
    int blocks = step_fit(s, (const void *)kernel, bytes), per_sm = 0;

    if (!blocks) {
        cudaError_t rc =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);

        if (!rc)
            rc = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, kernel, threads, bytes);
        if (stream_called(s, rc, "attn", "decode, %d threads, %zu bytes", threads, bytes)) return 0;
        blocks = max(per_sm, 1) * s->sm_count;
        step_fit_keep(s, (const void *)kernel, bytes, blocks);
    }
    return min(blocks, most);
}

/* attn_decode_mma.cu, attn_decode_plain.cu: all pieces.  mma: ERR_FULL where a block has too little
 * shared memory. */
int attn_decode_mma(const struct decode_args *a, enum dtype kv, struct stream *s);
int attn_decode_plain(const struct decode_args *a, enum dtype kv, struct stream *s);

#endif
