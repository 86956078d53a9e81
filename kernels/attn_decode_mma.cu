/* attn_decode_mma.cu - decoding attention with matrix instructions.
 *
 * The heads that share a KV head are the 16 rows of m16n8k16 (the rows that are too many are 0), a
 * KV block of 16 positions is one product with K and one with V.  Each warp takes every WARPS-th KV
 * block of the piece, with a softmax of its own, so that no warp waits for another until the piece
 * is done; then their results are added up in the order of the warps.
 *
 * A warp's K and V come through a ring of `stages` places in shared memory, filled by asynchronous
 * copies that run ahead of the work, over the end of a piece too: there is always something on its
 * way.  A place holds one KV block's K and V, rows of HD numbers and 16 bytes more, so that eight
 * rows lie in different banks; of fp8 also their scales.  When a piece is done, a warp's results
 * lie in the place whose KV block it used last.
 *
 * 8-bit K and V become f16 in registers, exactly.  ldmatrix gives a lane four bytes that stand
 * together: of K four numbers of a position, which are k = 2t, 2t+1, 2t+8, 2t+9 of the product if
 * q is laid so too; of V two numbers of two positions, of which the even ones make one product and
 * the odd ones another.  q of bf16 is scaled by a power of two to fit f16.  The scale of K goes to
 * the score; that of V to p, after division by the largest so far, `v_top`.
 */
#include "kernels/attn_decode.cuh"

#include "kernels/ptx.cuh"

#define ROWS     16 /* of mma: heads */
#define PAD      16 /* bytes behind a row */
#define MIN_RING 2
#define MAX_RING 4

/* E of q and o, KV, the head width, and what follows from them. */
template <class E_, class KV_, class M_, int HD_> struct form {
    typedef E_ E;
    typedef KV_ KV;
    typedef M_ M; /* what is multiplied */
    static constexpr int HD = HD_;
    static constexpr bool SCALED = sizeof(KV) == 1;
    static constexpr int WARPS = HD > 128 ? 2 : 4;
    static constexpr int ROW = HD * (int)sizeof(KV); /* bytes */
    static constexpr int CHUNKS = ROW / 16;          /* copies of a row */
    static constexpr int STEP = ROW + PAD;
    static constexpr int V_AT = KV_BLOCK_TOKENS * STEP;
    static constexpr int SCALES_AT = 2 * V_AT;
    static constexpr int PLACE = SCALES_AT + (SCALED ? 2 * KV_BLOCK_TOKENS * 4 : 0);
    static constexpr int HEADS = SCALED ? 8 : ROWS; /* whose results fit into a place */
    static_assert(HEADS * HD * 4 <= SCALES_AT, "results lie where K and V lay");
};

/* The KV blocks that a warp goes through, piece after piece. */
struct walk {
    int i;        /* the piece */
    int b, end;   /* KV block of the sequence, and where the piece ends */
    int number;   /* of the KV block, of all */
    int from, to; /* positions */
    int hk;
    const int32_t *table;
};

static __device__ __forceinline__ bool walk_is_done(const struct walk *w, int n)
{
    return w->i >= n;
}

/* To the first KV block at or after b, in this piece or a later one, that is the warp's. */
template <int WARPS>
static __device__ void walk_find(struct walk *w, const struct decode_args *a, int n)
{
    while (w->b >= w->end) {
        w->i += (int)gridDim.x;
        if (w->i >= n) return;
        const struct piece p = piece_at(a, w->i);
        const int warp = (int)threadIdx.x / 32, first = p.split.from / KV_BLOCK_TOKENS;

        w->from = p.split.from;
        w->to = p.split.to;
        w->hk = p.hk;
        w->table = a->blocks + (size_t)p.split.seq * (size_t)a->max_blocks;
        w->b = first + (warp + WARPS - first % WARPS) % WARPS;
        w->end = (p.split.to + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
        if (p.split.from >= p.split.to) w->end = 0;
    }
    w->number = w->table[w->b];
}

template <int WARPS>
static __device__ void walk_start(struct walk *w, const struct decode_args *a, int n)
{
    w->i = (int)blockIdx.x - (int)gridDim.x;
    w->b = w->end = 0;
    walk_find<WARPS>(w, a, n);
}

template <int WARPS>
static __device__ void walk_next(struct walk *w, const struct decode_args *a, int n)
{
    w->b += WARPS;
    walk_find<WARPS>(w, a, n);
}

/* Begins the copies of the walk's KV block to a place, zeros for what the piece does not see. */
template <class F>
static __device__ __forceinline__ void place_fill(unsigned char *place, const struct walk *w,
                                                  const struct decode_args *a)
{
    const unsigned lane = threadIdx.x % 32;
    const int pos = w->b * KV_BLOCK_TOKENS;
    const size_t slot = attn_slot(w->number, w->hk, a->HK);
    const char *k = (const char *)a->k + slot * F::ROW, *v = (const char *)a->v + slot * F::ROW;

#pragma unroll
    for (unsigned i = lane; i < KV_BLOCK_TOKENS * F::CHUNKS; i += 32) {
        const unsigned c = i / F::CHUNKS, at = c * F::STEP + i % F::CHUNKS * 16;
        const bool seen = pos + (int)c >= w->from && pos + (int)c < w->to;

        cp_async16(place + at, k + i * 16, seen);
        cp_async16(place + F::V_AT + at, v + i * 16, seen);
    }
    if (F::SCALED && lane < 8) {
        const float *from = lane < 4 ? a->k_scales : a->v_scales;

        cp_async16(place + F::SCALES_AT + lane * 16, from + slot + lane % 4 * 4, true);
    }
}

/* All but the `ahead` latest groups of copies have landed. */
static __device__ __forceinline__ void ring_wait(int ahead)
{
    switch (ahead) {
    case 0: cp_async_wait<0>(); break;
    case 1: cp_async_wait<1>(); break;
    case 2: cp_async_wait<2>(); break;
    default: cp_async_wait<3>(); break;
    }
    __syncwarp();
}

/* A warp's share of a piece: rows g and g + 8 of lane 4g + t. */
template <class F> struct rows {
    unsigned q[F::HD / 16][4];
    float q_scale[2];
    float max[2], sum[2]; /* sum: of this lane's positions */
    float o[F::HD / 8][4];
    float v_top; /* of fp8: o is in units of it */
};

/* Numbers d, d+1 of a row of q; 0 where there is no such row. */
template <class F>
static __device__ __forceinline__ unsigned q_pair(const typename F::E *row, int d)
{
    return row ? *aligned<unsigned>((const void *)(row + d)) : 0;
}

/* A power of two that brings numbers up to `most` under 2. */
static __device__ __forceinline__ float power_of(float most)
{
    const unsigned exponent = __float_as_uint(most) >> 23 & 255u;

    return __uint_as_float(min(max(exponent, 1u), 253u) << 23);
}

/* A row's numbers as f16, and what they were divided by.  j: 0 or 1, for rows g and g + 8. */
template <class F> static __device__ void q_narrow(struct rows<F> *r, int j)
{
    float most = 0, by;

#pragma unroll
    for (int i = 0; i < F::HD / 16; i++)
#pragma unroll
        for (int h = j; h < 4; h += 2) {
            const float2 x = unpack2<typename F::E>(r->q[i][h]);

            most = fmaxf(most, fmaxf(fabsf(x.x), fabsf(x.y)));
        }
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
    r->q_scale[j] = power_of(most);
    by = 1.0f / r->q_scale[j];
#pragma unroll
    for (int i = 0; i < F::HD / 16; i++)
#pragma unroll
        for (int h = j; h < 4; h += 2) {
            const float2 x = unpack2<typename F::E>(r->q[i][h]);

            r->q[i][h] = pack2<f16>(x.x * by, x.y * by);
        }
}

template <class F>
static __device__ void rows_start(struct rows<F> *r, const struct piece *p,
                                  const struct decode_args *a)
{
    typedef typename F::E E;
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const E *q =
        (const E *)a->q + (size_t)p->split.token * (size_t)a->q_step + (size_t)p->head * F::HD;
    const E *row[2] = {g < p->heads ? q + g * F::HD : NULL,
                       g + 8 < p->heads ? q + (g + 8) * F::HD : NULL};
    const int second = F::SCALED ? 2 : 8, lane_at = F::SCALED ? 4 * t : 2 * t;

#pragma unroll
    for (int i = 0; i < F::HD / 16; i++)
#pragma unroll
        for (int h = 0; h < 4; h++)
            r->q[i][h] = q_pair<F>(row[h % 2], i * 16 + lane_at + h / 2 * second);
#pragma unroll
    for (int j = 0; j < 2; j++) {
        if (F::SCALED) q_narrow<F>(r, j);
        r->max[j] = -INFINITY;
        r->sum[j] = 0;
    }
    r->v_top = 0;
#pragma unroll
    for (int i = 0; i < F::HD / 8; i++)
#pragma unroll
        for (int h = 0; h < 4; h++)
            r->o[i][h] = 0;
}

/* s[j] += q K of positions 8j .. 8j+7 */
template <class F>
static __device__ __forceinline__ void rows_scores(float s[2][4], const struct rows<F> *r,
                                                   const unsigned char *place)
{
    const int lane = (int)threadIdx.x % 32;

#pragma unroll
    for (int i = 0; i < F::HD / 16; i++) {
        unsigned k[4];

        if (F::SCALED) {
            unsigned bytes[2];

            ldmatrix_x2(bytes, place + lane % 16 * F::STEP + i * 16);
            for (int j = 0; j < 2; j++) {
                k[2 * j] = e4m3x2_to_f16x2(bytes[j] & 0xFFFFu);
                k[2 * j + 1] = e4m3x2_to_f16x2(bytes[j] >> 16);
            }
        } else {
            ldmatrix_x4(k,
                        place + (lane / 16 * 8 + lane % 8) * F::STEP + i * 32 + lane / 8 % 2 * 16);
        }
        mma_m16n8k16<typename F::M>(s[0], r->q[i], k);
        mma_m16n8k16<typename F::M>(s[1], r->q[i], k + 2);
    }
}

/* o += p V */
template <class F>
static __device__ __forceinline__ void rows_values(struct rows<F> *r, const unsigned p[4],
                                                   const unsigned char *place)
{
    const int lane = (int)threadIdx.x % 32;
    const unsigned char *values = place + F::V_AT + lane % 16 * F::STEP;

#pragma unroll
    for (int i = 0; i < F::HD / 16; i++) {
        unsigned v[4];

        if (F::SCALED) {
            unsigned bytes[2];

            ldmatrix_x2_trans(bytes, values + i * 16);
            for (int j = 0; j < 2; j++) {
                const unsigned sorted = __byte_perm(bytes[j], 0, 0x3120);

                v[j] = e4m3x2_to_f16x2(sorted & 0xFFFFu);
                v[j + 2] = e4m3x2_to_f16x2(sorted >> 16);
            }
        } else {
            ldmatrix_x4_trans(v, values + i * 32 + lane / 16 * 16);
        }
        mma_m16n8k16<typename F::M>(r->o[2 * i], p, v);
        mma_m16n8k16<typename F::M>(r->o[2 * i + 1], p, v + 2);
    }
}

static __device__ __forceinline__ float max_of_quad(float x)
{
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

/* What p of this lane's positions is multiplied by: their V scales over the largest so far; and
 * what o is, for that to be so. */
template <class F>
static __device__ __forceinline__ float
rows_v_scales(struct rows<F> *r, float by[4], const unsigned char *place, const bool seen[4])
{
    const int t = (int)threadIdx.x % 4;
    const float *scales = (const float *)(place + F::SCALES_AT) + KV_BLOCK_TOKENS;
    float top = 0, shrink;

    for (int i = 0; i < 4; i++) {
        by[i] = seen[i] ? scales[i / 2 * 8 + 2 * t + i % 2] : 0.0f;
        top = fmaxf(top, by[i]);
    }
    top = fmaxf(r->v_top, max_of_quad(top));
    shrink = top > 0 ? r->v_top / top : 0.0f;
    for (int i = 0; i < 4; i++)
        by[i] = top > 0 ? by[i] / top : 0.0f;
    r->v_top = top;
    return shrink;
}

/* One KV block. */
template <class F>
static __device__ __forceinline__ void rows_block(struct rows<F> *r, const unsigned char *place,
                                                  const struct walk *w, const struct decode_args *a)
{
    const int t = (int)threadIdx.x % 4;
    const float *k_scales = (const float *)(place + F::SCALES_AT);
    float s[2][4] = {}, by[4] = {1, 1, 1, 1}, shrink = 1;
    unsigned p[4];
    bool seen[4];

    rows_scores<F>(s, r, place);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int c = i / 2 * 8 + 2 * t + i % 2, pos = w->b * KV_BLOCK_TOKENS + c;

        seen[i] = pos >= w->from && pos < w->to;
    }
    if (F::SCALED) shrink = rows_v_scales<F>(r, by, place, seen);
#pragma unroll
    for (int j = 0; j < 2; j++) { /* rows g and g + 8 */
        float x[4], top, old;

#pragma unroll
        for (int i = 0; i < 4; i++) {
            float dot = s[i / 2][2 * j + i % 2];

            if (F::SCALED) dot *= r->q_scale[j] * k_scales[i / 2 * 8 + 2 * t + i % 2];
            x[i] = seen[i] ? attn_score(dot, a->curve) : -INFINITY;
        }
        top = max_of_quad(fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3])));
        top = fmaxf(top, r->max[j]);
        old = exp2_fast(r->max[j] - top);
        r->max[j] = top;
        r->sum[j] *= old;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            x[i] = exp2_fast(x[i] - top);
            r->sum[j] += x[i];
            if (F::SCALED) x[i] *= by[i];
        }
        p[j] = pack2<typename F::M>(x[0], x[1]);
        p[j + 2] = pack2<typename F::M>(x[2], x[3]);
        if (F::SCALED) old *= shrink;
#pragma unroll
        for (int i = 0; i < F::HD / 8; i++) {
            r->o[i][2 * j] *= old;
            r->o[i][2 * j + 1] *= old;
        }
    }
    rows_values<F>(r, p, place);
}

/* What the warps tell each other at the end of a piece. */
template <class F> struct tally {
    float max[F::WARPS][ROWS], sum[F::WARPS][ROWS];
    int at[F::WARPS]; /* its place with results [HEADS][HD]; -1: it had no KV block */
};

/* A warp's results, to the place that it has just used. */
template <class F>
static __device__ void rows_put(const struct rows<F> *r, float *results, struct tally<F> *all,
                                int heads, bool any, int at)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, g = lane / 4,
              t = lane % 4;
    const float unit = F::SCALED ? r->v_top : 1.0f;

    if (lane == 0) all->at[warp] = any ? at : -1;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int row = g + 8 * j;
        float sum = r->sum[j];

        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        if (t == 0) {
            all->max[warp][row] = any ? r->max[j] : -INFINITY;
            all->sum[warp][row] = sum;
        }
        if (!any || row >= heads) continue;
#pragma unroll
        for (int i = 0; i < F::HD / 16; i++) {
            const float *lo = r->o[2 * i] + 2 * j, *hi = r->o[2 * i + 1] + 2 * j;
            float *to = results + row * F::HD + i * 16;

            if (F::SCALED) {
                *aligned<float4>(to + 4 * t) =
                    make_float4(lo[0] * unit, hi[0] * unit, lo[1] * unit, hi[1] * unit);
            } else {
                *aligned<float2>(to + 2 * t) = make_float2(lo[0], lo[1]);
                *aligned<float2>(to + 8 + 2 * t) = make_float2(hi[0], hi[1]);
            }
        }
    }
}

/* Four numbers of a head, from all warps. */
template <class F>
static __device__ void piece_put(const struct tally<F> *all, const unsigned char *shared, int row,
                                 int d, const struct piece *p, const struct decode_args *a)
{
    typedef typename F::E E;
    const int head = p->head + row, part = p->split.part;
    float top = -INFINITY, sum = 0;
    float4 o = make_float4(0, 0, 0, 0);

    for (int w = 0; w < F::WARPS; w++)
        top = fmaxf(top, all->max[w][row]);
    for (int w = 0; w < F::WARPS; w++) {
        if (all->at[w] < 0) continue;
        const float by = exp2_fast(all->max[w][row] - top);
        const float4 x = *aligned<float4>((const float *)(shared + all->at[w]) + row * F::HD + d);

        sum += by * all->sum[w][row];
        o.x += by * x.x;
        o.y += by * x.y;
        o.z += by * x.z;
        o.w += by * x.w;
    }
    if (part >= 0) {
        float *stats = part_stats(a, part, head);

        *aligned<float4>(part_row(a, part, head) + d) = o;
        if (d == 0) {
            stats[0] = top;
            stats[1] = sum;
        }
    } else {
        E *to = (E *)a->o + ((size_t)p->split.token * (size_t)a->H + (size_t)head) * F::HD + d;
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
    struct walk load, use;
    int turn = 0; /* of the ring: what is used next, and filled after that */

    walk_start<F::WARPS>(&load, &a, n);
    use = load;
    for (int i = 0; i < stages - 1; i++) {
        if (!walk_is_done(&load, n)) {
            place_fill<F>(ring + i * F::PLACE, &load, &a);
            walk_next<F::WARPS>(&load, &a, n);
        }
        cp_async_commit();
    }
    for (int i = (int)blockIdx.x; i < n; i += (int)gridDim.x) {
        const struct piece p = piece_at(&a, i);
        struct rows<F> r;
        bool any = false;
        int last = 0;

        if (p.split.from >= p.split.to) continue; /* not seen through the layer's window */
        rows_start<F>(&r, &p, &a);
        while (use.i == i) {
            /* The place before is filled again once all lanes have used it. */
            __syncwarp();
            if (!walk_is_done(&load, n)) {
                place_fill<F>(ring + (turn + stages - 1) % stages * F::PLACE, &load, &a);
                walk_next<F::WARPS>(&load, &a, n);
            }
            cp_async_commit();
            ring_wait(stages - 1);
            last = turn;
            rows_block<F>(&r, ring + turn * F::PLACE, &use, &a);
            turn = (turn + 1) % stages;
            walk_next<F::WARPS>(&use, &a, n);
            any = true;
        }
        __syncwarp();
        rows_put<F>(&r, (float *)(ring + last * F::PLACE), &all, p.heads, any,
                    (warp * stages + last) * F::PLACE);
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

template <class E, class KV, class M>
static int launch_width(const struct decode_args *a, struct stream *s)
{
    switch (a->HD) {
    case 64: return launch<form<E, KV, M, 64>>(a, s);
    case 80: return launch<form<E, KV, M, 80>>(a, s);
    case 96: return launch<form<E, KV, M, 96>>(a, s);
    case 128: return launch<form<E, KV, M, 128>>(a, s);
    case 256: return launch<form<E, KV, M, 256>>(a, s);
    default: return ERR_UNSUPPORTED;
    }
}

int attn_decode_mma(const struct decode_args *a, enum dtype kv, struct stream *s)
{
    if (s->act == DTYPE_F16)
        return kv == DTYPE_FP8 ? launch_width<f16, fp8, f16>(a, s)
                               : launch_width<f16, f16, f16>(a, s);
    return kv == DTYPE_FP8 ? launch_width<bf16, fp8, f16>(a, s)
                           : launch_width<bf16, bf16, bf16>(a, s);
}
