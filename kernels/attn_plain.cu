/* attn_plain.cu - attention of many tokens of a sequence, without matrix instructions: any head
 * width, f32, and K and V of another dtype than x.
 *
 * A warp does R query rows of one KV head, and passes once over the positions, 32 at a time from a
 * multiple of 32 on: for scores a lane has a position, for sums every 32nd number of the head.
 * Scores are sums by fused multiply-adds in order of d, sums go in order of the positions (O1).
 *
 * Launch  grid: a block for 4 * R rows of each of the plan's shortest tiles and KV head; 128
 *         threads.
 */
#include "kernels/attn_cuda.cuh"
#include "kernels/block.cuh"

#define WARPS   4
#define THREADS (32 * WARPS)
#define PLACES  16 /* numbers of a row's sums that a lane keeps, times R */

/* A warp's rows: `n` of them, from number `row` of the tile on. */
struct strip {
    struct attn_tile tile;
    int hk, row, n;
};

/* Four numbers that stand together. */
static __device__ __forceinline__ float4 four(const float *p)
{
    return *aligned<float4>(p);
}

template <class E> static __device__ __forceinline__ float4 four(const E *p)
{
    const uint2 u = *aligned<uint2>(p);
    const float2 a = unpack2<E>(u.x), b = unpack2<E>(u.y);

    return make_float4(a.x, a.y, b.x, b.y);
}

static __device__ __forceinline__ float4 four(const fp8 *p)
{
    return unpack4_fp8(*aligned<unsigned>(p));
}

static __device__ __forceinline__ size_t slot_at(const struct attn_tiles *j, const struct strip *w,
                                                 int pos)
{
    const int32_t *blocks = j->blocks + (size_t)w->tile.seq * j->max_blocks;

    return attn_slot(blocks[pos / KV_BLOCK_TOKENS], w->hk, j->HK) + pos % KV_BLOCK_TOKENS;
}

static __device__ __forceinline__ int pos_of(const struct attn_tiles *j, const struct strip *w,
                                             int r)
{
    return w->tile.pos + (w->row + min(r, w->n - 1)) / j->G;
}

/* Row r of q or o: its number when rows are H heads of HD. */
static __device__ __forceinline__ size_t row_of(const struct attn_tiles *j, const struct strip *w,
                                                int r, int step)
{
    const int at = w->row + r, head = w->hk * j->G + at % j->G;

    return (size_t)(w->tile.token + at / j->G) * step + (size_t)head * j->HD;
}

/* dot[r] = sum_d q[r][d] * k[d]; rows of q are 32 * N apart. */
template <class KV, int R, int N>
static __device__ __forceinline__ void multiply(float dot[R], const float *q, const KV *k, int HD)
{
    int d = 0;

    for (int r = 0; r < R; r++)
        dot[r] = 0;
    for (; HD % 4 == 0 && d < HD; d += 4) {
        const float4 x = four(k + d);

#pragma unroll
        for (int r = 0; r < R; r++) {
            const float4 y = *aligned<float4>(q + r * 32 * N + d);

            dot[r] = fmaf(y.w, x.w, fmaf(y.z, x.z, fmaf(y.y, x.y, fmaf(y.x, x.x, dot[r]))));
        }
    }
    for (; d < HD; d++) {
        const float x = to_float(k[d]);

#pragma unroll
        for (int r = 0; r < R; r++)
            dot[r] = fmaf(q[r * 32 * N + d], x, dot[r]);
    }
}

template <int R, int N> struct attn_tiles_sums {
    float o[R][N], max[R], total[R]; /* of this lane's positions */
};

/* Scores of the positions from start on become weights: w[r][32], 0 where a row sees nothing. */
template <class KV, int R, int N>
static __device__ __forceinline__ void weigh(float *weights, struct attn_tiles_sums<R, N> *p,
                                             const float *q, const struct attn_tiles *j,
                                             const struct strip *w, int start, int lane)
{
    const int pos = start + lane, end = pos_of(j, w, R - 1) + 1;
    const bool there = pos >= attn_first(pos_of(j, w, 0), j->window) && pos < end;
    const size_t slot = there ? slot_at(j, w, pos) : 0;
    const float k_scale = sizeof(KV) == 1 && there ? j->k_scales[slot] : 1.0f;
    const float v_scale = sizeof(KV) == 1 && there ? j->v_scales[slot] : 1.0f;
    float dot[R];

    if (there) multiply<KV, R, N>(dot, q, (const KV *)j->k + slot * j->HD, j->HD);
#pragma unroll
    for (int r = 0; r < R; r++) {
        const int at = pos_of(j, w, r);
        const bool seen = there && pos <= at && pos >= attn_first(at, j->window);
        const float score = seen ? attn_score(dot[r] * k_scale, j->curve) : -INFINITY;
        const float top = fmaxf(p->max[r], warp_max(score));
        const float base = top == -INFINITY ? 0.0f : top; /* nothing is seen yet */
        const float keep = exp2f(p->max[r] - base), weight = exp2f(score - base);

        p->max[r] = top;
        p->total[r] = p->total[r] * keep + weight;
        weights[r * 32 + lane] = weight * v_scale;
#pragma unroll
        for (int n = 0; n < N; n++)
            p->o[r][n] *= keep;
    }
}

template <class KV, int R, int N>
static __device__ __forceinline__ void add_values(struct attn_tiles_sums<R, N> *p,
                                                  const float *weights, const struct attn_tiles *j,
                                                  const struct strip *w, int start, int lane)
{
    const int from = max(start, attn_first(pos_of(j, w, 0), j->window));
    const int end = min(start + 32, pos_of(j, w, R - 1) + 1);

    for (int pos = from; pos < end; pos++) {
        const KV *v = (const KV *)j->v + slot_at(j, w, pos) * j->HD;

#pragma unroll
        for (int n = 0; n < N; n++) {
            const int d = n * 32 + lane;

            if (d >= j->HD) break;
#pragma unroll
            for (int r = 0; r < R; r++)
                p->o[r][n] = fmaf(weights[r * 32 + pos - start], to_float(v[d]), p->o[r][n]);
        }
    }
}

template <class E, int R, int N>
static __device__ __forceinline__ void write_rows(const struct attn_tiles_sums<R, N> *p,
                                                  const struct attn_tiles *j, const struct strip *w,
                                                  int lane)
{
#pragma unroll
    for (int r = 0; r < R; r++) {
        const float part = 1.0f / warp_sum(p->total[r]);

        if (r >= w->n) break;
        E *o = (E *)j->o + row_of(j, w, r, j->H * j->HD);
#pragma unroll
        for (int n = 0; n < N; n++)
            if (n * 32 + lane < j->HD)
                o[n * 32 + lane] = from_float<E>(p->o[r][n] * part + 0.0f); /* no -0 */
    }
}

template <class E, class KV, int R>
static __global__ void __launch_bounds__(THREADS) attn_plain_kernel(const struct attn_tiles j)
{
    constexpr int N = PLACES / R;
    __shared__ float4 shared_q[WARPS][R * 8 * N];
    __shared__ float shared_weights[WARPS][R * 32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int part = blockIdx.x % j.n_parts, of = blockIdx.x / j.n_parts;
    const struct attn_tile tile = plan_tiles(j.plan, 0)[of / j.HK];
    const int row = (part * WARPS + warp) * R;
    const struct strip w = {tile, of % j.HK, row, min(R, tile.n * j.G - row)};
    float *q = &shared_q[warp][0].x, *weights = shared_weights[warp];
    struct attn_tiles_sums<R, N> p;

    if (w.n <= 0) return;
#pragma unroll
    for (int r = 0; r < R; r++) {
        const E *from = (const E *)j.q + row_of(&j, &w, min(r, w.n - 1), j.q_step);

        for (int d = lane; d < j.HD; d += 32)
            q[r * 32 * N + d] = to_float(from[d]);
        p.max[r] = -INFINITY, p.total[r] = 0;
#pragma unroll
        for (int n = 0; n < N; n++)
            p.o[r][n] = 0;
    }
    for (int start = attn_first(pos_of(&j, &w, 0), j.window) / 32 * 32;
         start <= pos_of(&j, &w, R - 1); start += 32) {
        __syncwarp(); /* q is there; the last weights have been read */
        weigh<KV, R, N>(weights, &p, q, &j, &w, start, lane);
        __syncwarp();
        add_values<KV, R, N>(&p, weights, &j, &w, start, lane);
    }
    write_rows<E, R, N>(&p, &j, &w, lane);
}

/* --- launch ----------------------------------------------------------------------------------- */

template <class E, class KV, int R>
static int launch(struct attn_tiles *j, int n_tiles, struct stream *s)
{
    const int rows = WARPS * R;
    int64_t grid;

    j->n_parts = (ATTN_TILE * j->G + rows - 1) / rows;
    grid = (int64_t)n_tiles * j->HK * j->n_parts;
    if (grid == 0) return ERR_OK;
    if (grid > INT32_MAX) return ERR_ARG;
    LAUNCH((attn_plain_kernel<E, KV, R>), (unsigned)grid, THREADS, 0, s->at, *j);
    return stream_launched(s, "attn", "tiles=%d H=%d HK=%d HD=%d, plain", n_tiles, j->H, j->HK,
                           j->HD);
}

template <class E, class KV>
static int launch_width(struct attn_tiles *j, int n_tiles, struct stream *s)
{
    if (j->HD <= 32 * PLACES / 4) return launch<E, KV, 4>(j, n_tiles, s);
    if (j->HD <= 32 * PLACES / 2) return launch<E, KV, 2>(j, n_tiles, s);
    return launch<E, KV, 1>(j, n_tiles, s);
}

template <class E>
static int launch_kv(struct attn_tiles *j, int n_tiles, enum dtype d, struct stream *s)
{
    switch (d) {
    case DTYPE_F32: return launch_width<E, float>(j, n_tiles, s);
    case DTYPE_F16: return launch_width<E, f16>(j, n_tiles, s);
    case DTYPE_BF16: return launch_width<E, bf16>(j, n_tiles, s);
    default: return launch_width<E, fp8>(j, n_tiles, s);
    }
}

int attn_plain_launch(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                      const struct attn_shape *a, const struct attn_plan *plan, struct stream *s)
{
    struct attn_tiles j = attn_tiles_of(o, q, kv, r, a);
    const int n_tiles = plan->n_tiles[0];

    if (s->act == DTYPE_F32) return launch_kv<float>(&j, n_tiles, kv->dtype, s);
    if (s->act == DTYPE_BF16) return launch_kv<bf16>(&j, n_tiles, kv->dtype, s);
    return launch_kv<f16>(&j, n_tiles, kv->dtype, s);
}
