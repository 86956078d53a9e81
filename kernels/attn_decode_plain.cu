/* attn_decode_plain.cu - decoding attention in floats: any head width and dtype, any card.
 *
 * A warp is a head, a block four heads that share a KV head.  KV block after KV block, K comes to
 * shared memory as floats, each lane adds up half a score; then V takes K's place, and each lane
 * adds to its numbers of o.  Maximum and sum go along (softmax in one pass).
 */
#include "kernels/attn_decode.cuh"

#define WARPS     4
#define LANE_NUMS (ATTN_MAX_HD / 32) /* numbers of o that a lane holds */

/* K or V of a KV block as floats, rows of HD + 1; what the piece does not see is 0. */
template <class KV>
static __device__ void tile_load(float *tile, const KV *from, const float *scales,
                                 const struct decode_piece *p, int block,
                                 const struct decode_args *a)
{
    const size_t slot = attn_slot(
        a->blocks[(size_t)p->split.seq * (size_t)a->max_blocks + (size_t)block], p->hk, a->HK);

    for (int c = (int)threadIdx.x / 32; c < KV_BLOCK_TOKENS; c += WARPS) {
        const int pos = block * KV_BLOCK_TOKENS + c;
        const bool seen = pos >= p->split.from && pos < p->split.to;
        const KV *row = from + (slot + (size_t)c) * (size_t)a->HD;
        const float scale = scales && seen ? scales[slot + (size_t)c] : 1.0f;

        for (int d = (int)threadIdx.x % 32; d < a->HD; d += 32)
            tile[c * (a->HD + 1) + d] = seen ? scale * to_float(row[d]) : 0.0f;
    }
}

/* The sum over half the numbers of q, and the other half from the other lane. */
static __device__ float tile_dot(const float *tile, const float *q, int HD)
{
    const int lane = (int)threadIdx.x % 32;
    const float *row = tile + lane % KV_BLOCK_TOKENS * (HD + 1);
    float dot = 0;

    for (int d = lane / KV_BLOCK_TOKENS; d < HD; d += 2)
        dot += q[d] * row[d];
    return dot + __shfl_xor_sync(~0u, dot, KV_BLOCK_TOKENS);
}

static __device__ float max_of_tile(float x)
{
    for (int i = KV_BLOCK_TOKENS / 2; i; i /= 2)
        x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
    return x;
}

static __device__ float sum_of_tile(float x)
{
    for (int i = KV_BLOCK_TOKENS / 2; i; i /= 2)
        x += __shfl_xor_sync(~0u, x, i);
    return x;
}

/* A warp's head so far. */
struct softmax {
    float max, sum, o[LANE_NUMS];
};

static __device__ void softmax_clear(struct softmax *m)
{
    m->max = -INFINITY;
    m->sum = 0;
#pragma unroll
    for (int i = 0; i < LANE_NUMS; i++)
        m->o[i] = 0;
}

/* p of this lane's position; what there is so far is scaled to the new maximum. */
static __device__ float softmax_scores(struct softmax *m, float score)
{
    const float top = fmaxf(m->max, max_of_tile(score)), by = exp2f(m->max - top);
    const float p = exp2f(score - top);

    m->max = top;
    m->sum = m->sum * by + sum_of_tile(p);
#pragma unroll
    for (int i = 0; i < LANE_NUMS; i++)
        m->o[i] *= by;
    return p;
}

static __device__ void softmax_values(struct softmax *m, const float *tile, float p, int HD)
{
    const int lane = (int)threadIdx.x % 32;

    for (int c = 0; c < KV_BLOCK_TOKENS; c++) {
        const float pc = __shfl_sync(~0u, p, c);
        const float *row = tile + c * (HD + 1);

#pragma unroll
        for (int i = 0; i < LANE_NUMS; i++)
            if (i * 32 + lane < HD) m->o[i] += pc * row[i * 32 + lane];
    }
}

template <class E>
static __device__ void softmax_put(const struct softmax *m, const struct decode_piece *p, int head,
                                   const struct decode_args *a)
{
    const int lane = (int)threadIdx.x % 32, part = p->split.part;
    E *o = (E *)a->o + ((size_t)p->split.token * (size_t)a->H + (size_t)head) * (size_t)a->HD;

    if (part >= 0 && lane == 0) {
        float *stats = part_stats(a, part, head);

        stats[0] = m->max;
        stats[1] = m->sum;
    }
#pragma unroll
    for (int i = 0; i < LANE_NUMS; i++) {
        const int d = i * 32 + lane;

        if (d >= a->HD) continue;
        if (part < 0)
            o[d] = from_float<E>(m->o[i] / m->sum);
        else
            part_row(a, part, head)[d] = m->o[i];
    }
}

template <class E, class KV>
static __device__ void piece_run(const struct decode_args *a, const struct decode_piece *p,
                                 float *tile, float *q)
{
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, head = p->head + warp;
    const bool mine = warp < p->heads;
    const E *from =
        (const E *)a->q + (size_t)p->split.token * (size_t)a->q_step + (size_t)head * (size_t)a->HD;
    struct softmax m;

    softmax_clear(&m);
    for (int d = lane; d < a->HD; d += 32)
        q[d] = mine ? to_float(from[d]) : 0.0f;
    for (int b = p->split.from / KV_BLOCK_TOKENS; b * KV_BLOCK_TOKENS < p->split.to; b++) {
        const int pos = b * KV_BLOCK_TOKENS + lane % KV_BLOCK_TOKENS;
        float score, weight;

        __syncthreads(); /* V of the block before has been used */
        tile_load(tile, (const KV *)a->k, a->k_scales, p, b, a);
        __syncthreads();
        score = attn_score(tile_dot(tile, q, a->HD), a->curve);
        weight = softmax_scores(&m, pos >= p->split.from && pos < p->split.to ? score : -INFINITY);
        __syncthreads(); /* K has been used */
        tile_load(tile, (const KV *)a->v, a->v_scales, p, b, a);
        __syncthreads();
        softmax_values(&m, tile, weight, a->HD);
    }
    if (mine) softmax_put<E>(&m, p, head, a);
}

template <class E, class KV>
static __global__ void __launch_bounds__(WARPS * 32) attn_decode_plain_kernel(struct decode_args a)
{
    SHARED_DYNAMIC(float, shared);
    float *q = shared + (size_t)KV_BLOCK_TOKENS * (size_t)(a.HD + 1) +
               (size_t)(threadIdx.x / 32) * (size_t)a.HD;

    for (int i = (int)blockIdx.x; i < piece_count(&a); i += (int)gridDim.x) {
        const struct decode_piece p = piece_at(&a, i);

        if (p.split.from < p.split.to) piece_run<E, KV>(&a, &p, shared, q);
    }
}

template <class E, class KV> static int launch(const struct decode_args *a, struct stream *s)
{
    struct decode_args own = *a;
    const size_t rows = KV_BLOCK_TOKENS * (size_t)(a->HD + 1) + WARPS * (size_t)a->HD;
    const size_t bytes = rows * sizeof(float);
    int grid;

    own.group = a->heads < WARPS ? a->heads : WARPS;
    own.groups = (a->heads + own.group - 1) / own.group;
    own.most = a->most * a->HK * own.groups;
    grid = decode_grid(attn_decode_plain_kernel<E, KV>, WARPS * 32, bytes, own.most, s);
    if (!grid) return s->rc;
    LAUNCH((attn_decode_plain_kernel<E, KV>), grid, WARPS * 32, bytes, s->at, own);
    return stream_launched(s, "attn", "decode, H=%d HK=%d HD=%d", a->H, a->HK, a->HD);
}

template <class E>
static int launch_kv(const struct decode_args *a, enum dtype kv, struct stream *s)
{
    switch (kv) {
    case DTYPE_F32: return launch<E, float>(a, s);
    case DTYPE_F16: return launch<E, f16>(a, s);
    case DTYPE_BF16: return launch<E, bf16>(a, s);
    case DTYPE_FP8: return launch<E, fp8>(a, s);
    default: return ERR_UNSUPPORTED;
    }
}

int attn_decode_plain(const struct decode_args *a, enum dtype kv, struct stream *s)
{
    switch (s->act) {
    case DTYPE_F32: return launch_kv<float>(a, kv, s);
    case DTYPE_F16: return launch_kv<f16>(a, kv, s);
    case DTYPE_BF16: return launch_kv<bf16>(a, kv, s);
    default: return ERR_UNSUPPORTED;
    }
}
