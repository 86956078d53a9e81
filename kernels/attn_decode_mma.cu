/* attn_decode_mma.cu - decoding attention with matrix instructions.
 *
 * A KV block is 16 positions, the rows of m16n8k16; eight of the heads that share a KV head are its
 * columns: scores = K q, o = V^T p, with o's 16 rows numbers of a head.  Each warp takes every
 * WARPS-th KV block of the piece, with a softmax of its own, so that no warp waits for another
 * until the piece is done; then their results are added up in the order of the warps.
 *
 * A warp's K and V come through a ring of `stages` places (attn_ring.cuh).  When a piece is done,
 * a warp's results lie in the place whose KV block it used last.
 *
 * 8-bit K and V become f16 in registers, exactly.  ldmatrix gives a lane four bytes that stand
 * together: of K four numbers of a position, which are k = 2t, 2t+1, 2t+8, 2t+9 of the product if
 * q is laid so too; of V two numbers of two positions, of which the even one is row g of o, the odd
 * one row g + 8.  q of bf16 is scaled by a power of two to fit f16.  The scale of K goes to the
 * score; that of V to p, after division by the largest so far, `v_top`.
 */
#include "kernels/attn_ring.cuh"

#define MIN_RING 2
#define MAX_RING 4

/* E of q and o, KV, what is multiplied, the head width, eights of heads, and what follows. */
template <class E_, class KV_, class M_, int HD_, int EIGHTS_> struct form {
    typedef E_ E;
    typedef KV_ KV;
    typedef M_ M;
    static constexpr int HD = HD_, EIGHTS = EIGHTS_, HEADS = 8 * EIGHTS;
    static constexpr bool SCALED = sizeof(KV) == 1;
    static constexpr int WARPS = HD > 128 ? 2 : 4;
    static constexpr int ROW = HD * (int)sizeof(KV); /* bytes */
    static constexpr int CHUNKS = ROW / 16;          /* copies of a row */
    static constexpr int STEP = ROW + ROW_PAD;
    static constexpr int V_AT = KV_BLOCK_TOKENS * STEP;
    static constexpr int SCALES_AT = 2 * V_AT;
    static constexpr int PLACE = SCALES_AT + (SCALED ? 2 * KV_BLOCK_TOKENS * 4 : 0);
    static constexpr int RESULT = HD + 4; /* floats */
    static_assert(HEADS * RESULT * 4 <= SCALES_AT, "results lie where K and V lay");
};

/* A warp's share of a piece, in lane 4g + t: scores and o of heads 2t, 2t+1 of each eight. */
template <class F> struct heads {
    unsigned q[F::EIGHTS][F::HD / 16][2]; /* of head g */
    float q_scale[F::EIGHTS][2];
    float max[F::EIGHTS][2], sum[F::EIGHTS][2]; /* sum: of this lane's positions */
    float o[F::EIGHTS][F::HD / 16][4];
    float v_top; /* of fp8: o is in units of it */
};

/* A power of two that brings numbers up to `most` under 2. */
static __device__ __forceinline__ float power_of(float most)
{
    const unsigned exponent = __float_as_uint(most) >> 23 & 255u;

    return __uint_as_float(min(max(exponent, 1u), 253u) << 23);
}

/* q of eight heads as f16, and what it was divided by. */
template <class F> static __device__ __forceinline__ void q_narrow(struct heads<F> *r, int e)
{
    const int t = (int)threadIdx.x % 4;
    float most = 0, by;

#pragma unroll
    for (int i = 0; i < F::HD / 8; i++) {
        const float2 x = unpack2<typename F::E>(r->q[e][i / 2][i % 2]);

        most = fmaxf(most, fmaxf(fabsf(x.x), fabsf(x.y)));
    }
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
    most = power_of(fmaxf(most, __shfl_xor_sync(~0u, most, 2)));
    for (int j = 0; j < 2; j++)
        r->q_scale[e][j] = __shfl_sync(~0u, most, 4 * (2 * t + j));
    by = 1.0f / most;
#pragma unroll
    for (int i = 0; i < F::HD / 8; i++) {
        const float2 x = unpack2<typename F::E>(r->q[e][i / 2][i % 2]);

        r->q[e][i / 2][i % 2] = pack2<f16>(x.x * by, x.y * by);
    }
}

template <class F>
static __device__ __forceinline__ void heads_start(struct heads<F> *r, const struct decode_piece *p,
                                                   const struct decode_args *a)
{
    typedef typename F::E E;
    const int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
    const int at = F::SCALED ? 4 * t : 2 * t, second = F::SCALED ? 2 : 8;
    const E *q =
        (const E *)a->q + (size_t)p->split.token * (size_t)a->q_step + (size_t)p->head * F::HD;

    r->v_top = 0;
#pragma unroll
    for (int e = 0; e < F::EIGHTS; e++) {
        const E *row = q + (e * 8 + g) * F::HD + at;
        const bool is = e * 8 + g < p->heads;

#pragma unroll
        for (int i = 0; i < F::HD / 16; i++) {
            for (int j = 0; j < 2; j++)
                r->q[e][i][j] =
                    is ? *aligned<unsigned>((const void *)(row + i * 16 + j * second)) : 0;
            for (int j = 0; j < 4; j++)
                r->o[e][i][j] = 0;
        }
        if (F::SCALED) q_narrow<F>(r, e);
        for (int j = 0; j < 2; j++) {
            r->max[e][j] = -INFINITY;
            r->sum[e][j] = 0;
        }
    }
}

/* s = K q: of positions g (numbers 0, 1) and g + 8 (2, 3). */
template <class F>
static __device__ __forceinline__ void heads_scores(float s[F::EIGHTS][4], const struct heads<F> *r,
                                                    const unsigned char *place)
{
    const int lane = (int)threadIdx.x % 32;
    const unsigned char *row = place + lane % 16 * F::STEP;

#pragma unroll
    for (int i = 0; i < F::HD / 16; i++) {
        unsigned k[4];

        if (F::SCALED) {
            unsigned bytes[2];

            ldmatrix_x2(bytes, row + i * 16);
            for (int j = 0; j < 2; j++) {
                k[j] = e4m3x2_to_f16x2(bytes[j] & 0xFFFFu);
                k[j + 2] = e4m3x2_to_f16x2(bytes[j] >> 16);
            }
        } else {
            ldmatrix_x4(k, row + i * 32 + lane / 16 * 16);
        }
#pragma unroll
        for (int e = 0; e < F::EIGHTS; e++)
            mma_m16n8k16<typename F::M>(s[e], k, r->q[e][i]);
    }
}

/* o += V p */
template <class F>
static __device__ __forceinline__ void
heads_values(struct heads<F> *r, const unsigned p[F::EIGHTS][2], const unsigned char *place)
{
    const int lane = (int)threadIdx.x % 32;
    const unsigned char *values = place + F::V_AT;

#pragma unroll
    for (int i = 0; i < F::HD / 16; i++) {
        unsigned v[4];

        if (F::SCALED) {
            unsigned bytes[2];

            ldmatrix_x2_trans(bytes, values + lane % 16 * F::STEP + i * 16);
            for (int j = 0; j < 2; j++) {
                const unsigned sorted = __byte_perm(bytes[j], 0, 0x3120);

                v[2 * j] = e4m3x2_to_f16x2(sorted & 0xFFFFu);
                v[2 * j + 1] = e4m3x2_to_f16x2(sorted >> 16);
            }
        } else {
            ldmatrix_x4_trans(v, values + (lane / 16 * 8 + lane % 8) * F::STEP + i * 32 +
                                     lane / 8 % 2 * 16);
        }
#pragma unroll
        for (int e = 0; e < F::EIGHTS; e++)
            mma_m16n8k16<typename F::M>(r->o[e][i], v, p[e]);
    }
}

/* Over the lanes with the same t: all positions of a KV block. */
static __device__ __forceinline__ float max_of_positions(float x)
{
    for (int i = 4; i < 32; i *= 2)
        x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
    return x;
}

/* What p of positions g and g + 8 is multiplied by: their V scales over the largest so far; and
 * what o is, for that to be so. */
template <class F>
static __device__ __forceinline__ float heads_v_scales(struct heads<F> *r, float by[2],
                                                       const float *scales, const bool seen[2])
{
    const int g = (int)threadIdx.x % 32 / 4;
    float top, shrink;

    for (int i = 0; i < 2; i++)
        by[i] = seen[i] ? scales[KV_BLOCK_TOKENS + g + 8 * i] : 0.0f;
    top = fmaxf(r->v_top, max_of_positions(fmaxf(by[0], by[1])));
    shrink = top > 0 ? r->v_top / top : 0.0f;
    for (int i = 0; i < 2; i++)
        by[i] = top > 0 ? by[i] / top : 0.0f;
    r->v_top = top;
    return shrink;
}

/* x: a head's scores at positions g and g + 8; becomes p.  Returns what shrinks what there is. */
template <class F>
static __device__ __forceinline__ float heads_softmax(struct heads<F> *r, int e, int j, float x[2])
{
    const float top = fmaxf(r->max[e][j], max_of_positions(fmaxf(x[0], x[1])));
    const float old = exp2_fast(r->max[e][j] - top);

    for (int i = 0; i < 2; i++)
        x[i] = exp2_fast(x[i] - top);
    r->max[e][j] = top;
    r->sum[e][j] = r->sum[e][j] * old + x[0] + x[1];
    return old;
}

/* One KV block, b of the piece's sequence. */
template <class F>
static __device__ __forceinline__ void heads_block(struct heads<F> *r, const unsigned char *place,
                                                   int b, const struct attn_split *split,
                                                   struct attn_curve curve)
{
    const int g = (int)threadIdx.x % 32 / 4, pos = b * KV_BLOCK_TOKENS + g;
    const bool seen[2] = {pos >= split->from && pos < split->to,
                          pos + 8 >= split->from && pos + 8 < split->to};
    const float *scales = (const float *)(place + F::SCALES_AT);
    float s[F::EIGHTS][4] = {}, by[2] = {1, 1}, shrink = 1;
    unsigned p[F::EIGHTS][2];

    heads_scores<F>(s, r, place);
    if (F::SCALED) shrink = heads_v_scales<F>(r, by, scales, seen);
#pragma unroll
    for (int e = 0; e < F::EIGHTS; e++) {
        float weights[2][2], old[2]; /* of head 2t + j: [position][j] */

#pragma unroll
        for (int j = 0; j < 2; j++) {
            float x[2];

#pragma unroll
            for (int i = 0; i < 2; i++) {
                float dot = s[e][2 * i + j];

                if (F::SCALED) dot *= r->q_scale[e][j] * scales[g + 8 * i];
                x[i] = seen[i] ? attn_score(dot, curve) : -INFINITY;
            }
            old[j] = heads_softmax<F>(r, e, j, x) * shrink;
            weights[0][j] = F::SCALED ? x[0] * by[0] : x[0];
            weights[1][j] = F::SCALED ? x[1] * by[1] : x[1];
        }
        for (int i = 0; i < 2; i++)
            p[e][i] = movmatrix_trans(pack2<typename F::M>(weights[i][0], weights[i][1]));
        /* Mostly no maximum grows. */
        if (__any_sync(~0u, old[0] != 1.0f || old[1] != 1.0f))
#pragma unroll
            for (int i = 0; i < F::HD / 16; i++)
#pragma unroll
                for (int h = 0; h < 4; h++)
                    r->o[e][i][h] *= old[h % 2];
    }
    heads_values<F>(r, p, place);
}

/* What the warps tell each other at the end of a piece. */
template <class F> struct tally {
    float max[F::WARPS][F::HEADS], sum[F::WARPS][F::HEADS];
    int at[F::WARPS]; /* its place with results, rows of RESULT; -1: it had no KV block */
};

/* A warp's results, to the place that it has just used. */
template <class F>
static __device__ void heads_put(const struct heads<F> *r, float *results, struct tally<F> *all)
{
    const int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4, warp = (int)threadIdx.x / 32;
    const float unit = F::SCALED ? r->v_top : 1.0f;

#pragma unroll
    for (int e = 0; e < F::EIGHTS; e++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int head = e * 8 + 2 * t + j;
            float *to = results + head * F::RESULT;
            float sum = r->sum[e][j];

            for (int i = 4; i < 32; i *= 2)
                sum += __shfl_xor_sync(~0u, sum, i);
            if (g == 0) {
                all->max[warp][head] = r->max[e][j];
                all->sum[warp][head] = sum;
            }
#pragma unroll
            for (int i = 0; i < F::HD / 16; i++) {
                const float lo = r->o[e][i][j] * unit, hi = r->o[e][i][j + 2] * unit;

                if (F::SCALED) {
                    *aligned<float2>(to + i * 16 + 2 * g) = make_float2(lo, hi);
                } else {
                    to[i * 16 + g] = lo;
                    to[i * 16 + 8 + g] = hi;
                }
            }
        }
}

/* Four numbers of a head, from all warps. */
template <class F>
static __device__ void piece_put(const struct tally<F> *all, const unsigned char *shared, int head,
                                 int d, const struct decode_piece *p, const struct decode_args *a)
{
    typedef typename F::E E;
    const int h = p->head + head, part = p->split.part;
    float top = -INFINITY, sum = 0;
    float4 o = make_float4(0, 0, 0, 0);

#pragma unroll
    for (int w = 0; w < F::WARPS; w++)
        if (all->at[w] >= 0) top = fmaxf(top, all->max[w][head]);
#pragma unroll
    for (int w = 0; w < F::WARPS; w++) {
        if (all->at[w] < 0) continue;
        const float by = exp2_fast(all->max[w][head] - top);
        const float4 x =
            *aligned<float4>((const float *)(shared + all->at[w]) + head * F::RESULT + d);

        sum += by * all->sum[w][head];
        o.x += by * x.x;
        o.y += by * x.y;
        o.z += by * x.z;
        o.w += by * x.w;
    }
    if (part >= 0) {
        float *stats = part_stats(a, part, h);

        *aligned<float4>(part_row(a, part, h) + d) = o;
        if (d == 0) {
            stats[0] = top;
            stats[1] = sum;
        }
    } else {
        E *to = (E *)a->o + ((size_t)p->split.token * (size_t)a->H + (size_t)h) * F::HD + d;
        const float by = 1.0f / sum;

        *aligned<uint2>((void *)to) =
            make_uint2(pack2<E>(o.x * by, o.y * by), pack2<E>(o.z * by, o.w * by));
    }
}

template <class F>
static __global__ void __launch_bounds__(F::WARPS * 32)
    attn_decode_mma_kernel(struct decode_args a, int stages)
{
    SHARED_DYNAMIC(unsigned char, shared);
    __shared__ struct tally<F> all;
    const int n = piece_count(&a), warp = (int)threadIdx.x / 32;
    unsigned char *ring = shared + warp * stages * F::PLACE;
    int turn = 0; /* of the ring: what is used next, and filled after that */
    struct walk load;

    walk_start<F::WARPS>(&load, &a, n);
    for (int i = 0; i < stages - 1; i++)
        ring_fill<F>(ring + i * F::PLACE, &load, &a, n);
    for (int i = (int)blockIdx.x; i < n; i += (int)gridDim.x) {
        const struct decode_piece p = piece_at(&a, i);
        int at = -1;
        struct heads<F> r;

        if (p.split.from >= p.split.to) continue; /* not seen through the layer's window */
        heads_start<F>(&r, &p, &a);
        for (int b = first_block<F::WARPS>(&p.split); b * KV_BLOCK_TOKENS < p.split.to;
             b += F::WARPS) {
            /* The place before is filled again once all lanes have used it. */
            __syncwarp();
            ring_fill<F>(ring + (turn ? turn - 1 : stages - 1) * F::PLACE, &load, &a, n);
            ring_wait(stages - 1);
            heads_block<F>(&r, ring + turn * F::PLACE, b, &p.split, a.curve);
            at = (warp * stages + turn) * F::PLACE;
            if (++turn == stages) turn = 0;
        }
        __syncwarp();
        if (threadIdx.x % 32 == 0) all.at[warp] = at;
        if (at >= 0) heads_put<F>(&r, (float *)(shared + at), &all);
        __syncthreads();
        for (int j = (int)threadIdx.x; j < p.heads * F::HD / 4; j += F::WARPS * 32)
            piece_put<F>(&all, shared, j / (F::HD / 4), j % (F::HD / 4) * 4, &p, &a);
        __syncthreads();
    }
}

/* As many stages as leave room for two blocks on a processor. */
static int stages_of(size_t place, struct stream *s)
{
    int block = 0, processor = 0;

    cudaDeviceGetAttribute(&block, cudaDevAttrMaxSharedMemoryPerBlockOptin, s->index);
    cudaDeviceGetAttribute(&processor, cudaDevAttrMaxSharedMemoryPerMultiprocessor, s->index);
    for (int n = MAX_RING; n > MIN_RING; n--)
        if (2 * (n * place + 2048) <= (size_t)processor) return n;
    return MIN_RING * place + 2048 <= (size_t)block ? MIN_RING : 0;
}

template <class F> static int launch(const struct decode_args *a, struct stream *s)
{
    const size_t place = (size_t)F::PLACE * F::WARPS;
    const int stages = stages_of(place, s);
    struct decode_args own = *a;
    int grid;

    if (!stages) return ERR_FULL;
    own.group = a->heads < F::HEADS ? a->heads : F::HEADS;
    own.groups = (a->heads + own.group - 1) / own.group;
    own.most = a->most * a->HK * own.groups;
    grid = decode_grid(attn_decode_mma_kernel<F>, F::WARPS * 32, stages * place, own.most, s);
    if (!grid) return s->rc;
    LAUNCH(attn_decode_mma_kernel<F>, grid, F::WARPS * 32, stages * place, s->at, own, stages);
    return stream_launched(s, "attn", "decode, H=%d HK=%d HD=%d", a->H, a->HK, a->HD);
}

template <class E, class KV, class M, int EIGHTS>
static int launch_width(const struct decode_args *a, struct stream *s)
{
    switch (a->HD) {
    case 64: return launch<form<E, KV, M, 64, EIGHTS>>(a, s);
    case 80: return launch<form<E, KV, M, 80, EIGHTS>>(a, s);
    case 96: return launch<form<E, KV, M, 96, EIGHTS>>(a, s);
    case 128: return launch<form<E, KV, M, 128, EIGHTS>>(a, s);
    case 256: return launch<form<E, KV, M, 256, 1>>(a, s); /* 16 heads would not fit registers */
    default: return ERR_UNSUPPORTED;
    }
}

template <class E>
static int launch_kv(const struct decode_args *a, enum dtype kv, struct stream *s)
{
    if (kv == DTYPE_FP8) return launch_width<E, fp8, f16, 1>(a, s);
    return a->heads > 8 ? launch_width<E, E, E, 2>(a, s) : launch_width<E, E, E, 1>(a, s);
}

int attn_decode_mma(const struct decode_args *a, enum dtype kv, struct stream *s)
{
    return s->act == DTYPE_F16 ? launch_kv<f16>(a, kv, s) : launch_kv<bf16>(a, kv, s);
}
