/* linear_quant_tiles.cu - a quantised w by many tokens: tiles of bytes for the matrix units.
 *
 * A block of four warps makes TILE tokens by TILE rows of w, each warp a quarter.  K goes by in
 * runs of TILE_K: x comes by asynchronous copies, w is unpacked to bytes on its way to shared
 * memory, both into the room that the run before last has left.  Whole numbers inside 32 numbers
 * (16 of Q6_K, whose scales are finer), then floats, run after run: the same for a token whatever T
 * is and wherever it stands in a tile.
 */
#include "kernels/act.cuh"
#include "kernels/linear_quant.cuh"
#include "kernels/ptx.cuh"
#include "kernels/quant_words.cuh"

#define THREADS 128
#define TILE    64
#define TILE_K  64
#define PITCH   (TILE_K + 16) /* bytes from a row to the next: no two of 8 rows share a bank */
#define BLOCKS  (TILE_K / 32)
#define HALVES  (TILE_K / 16)

struct alignas(16) quant_room {
    int8_t x[TILE][PITCH], w[TILE][PITCH];
    float x_scales[TILE][BLOCKS], x_sums[TILE][BLOCKS];
    float d[TILE][HALVES]; /* two of 32 are equal but for Q6_K */
    float m[TILE][BLOCKS];
};

/* Tokens t0.. and numbers k.. of x. */
static __device__ __forceinline__ void x_in(struct quant_room *to, const struct quant_args *a,
                                            int t0, int k)
{
    for (int i = (int)threadIdx.x; i < TILE * TILE_K / 16; i += THREADS) {
        const int t = i / (TILE_K / 16), at = i % (TILE_K / 16) * 16;
        const bool there = t0 + t < a->T && k + at < a->K;

        cp_async16(&to->x[t][at],
                   there ? a->q + (size_t)(t0 + t) * (size_t)a->K + (size_t)(k + at) : a->q, there);
    }
    for (int i = (int)threadIdx.x; i < TILE * BLOCKS; i += THREADS) {
        const int t = i / BLOCKS, b = i % BLOCKS;
        const bool there = t0 + t < a->T && k + b * 32 < a->K;
        const size_t at = there ? (size_t)(t0 + t) * (size_t)(a->K / 32) + (size_t)(k / 32 + b) : 0;

        to->x_scales[t][b] = there ? a->scales[at] : 0.0f;
        to->x_sums[t][b] = there ? a->sums[at] : 0.0f;
    }
}

/* Rows n0.. and numbers k.. of w. */
template <enum dtype Q>
static __device__ __forceinline__ void w_in(struct quant_room *to, const struct quant_args *a,
                                            int n0, int k)
{
#pragma unroll
    for (int i = (int)threadIdx.x; i < TILE * TILE_K / 8; i += THREADS) {
        const int n = i / (TILE_K / 8), at = i % (TILE_K / 8) * 8;
        int w[2] = {0, 0};
        float d = 0, m = 0;

        if (n0 + n < a->N && k + at < a->K)
            quant_words<Q>(w, &d, &m, a->w + (size_t)(n0 + n) * a->row_bytes, k + at);
        *aligned<int2>(&to->w[n][at]) = make_int2(w[0], w[1]);
        if (at % 16 == 0) to->d[n][at / 16] = d;
        if (at % 32 == 0) to->m[n][at / 32] = m;
    }
}

/* What a lane has of its warp's quarter: 2 x 16 tokens by 4 x 8 rows. */
struct quant_sums {
    float of[2][4][4];
};

/* d[0..3] += dot * scales of its tokens and rows. */
static __device__ __forceinline__ void scaled_add(float sum[4], const int dot[4], const float x[2],
                                                  const float d[2])
{
#pragma unroll
    for (int c = 0; c < 4; c++)
        sum[c] = __fmaf_rn(x[c / 2] * d[c % 2], (float)dot[c], sum[c]);
}

/* 32 numbers, block b of the run. */
template <enum dtype Q>
static __device__ __forceinline__ void multiply(struct quant_sums *sums, const struct quant_room *r,
                                                int b, int m0, int n0)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    unsigned a[2][4];

#pragma unroll
    for (int i = 0; i < 2; i++)
        ldmatrix_x4(a[i], &r->x[m0 + i * 16 + lane % 16][b * 32 + lane / 16 * 16]);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int n = n0 + j * 8 + 2 * t;
        unsigned w[2];

        ldmatrix_x2(w, &r->w[n0 + j * 8 + lane % 8][b * 32 + lane / 8 % 2 * 16]);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int m = m0 + i * 16 + g;
            const float x[2] = {r->x_scales[m][b], r->x_scales[m + 8][b]};

#pragma unroll
            for (int half = 0; half < (Q == DTYPE_Q6_K ? 2 : 1); half++) {
                const float d[2] = {r->d[n][2 * b + half], r->d[n + 1][2 * b + half]};
                const unsigned part[4] = {half ? 0 : a[i][0], half ? 0 : a[i][1],
                                          half || Q != DTYPE_Q6_K ? a[i][2] : 0,
                                          half || Q != DTYPE_Q6_K ? a[i][3] : 0};
                int dot[4] = {0, 0, 0, 0};

                mma_m16n8k32_s8(dot, part, w);
                scaled_add(sums->of[i][j], dot, x, d);
            }
#pragma unroll
            for (int c = 0; c < (Q == DTYPE_Q4_K ? 4 : 0); c++)
                sums->of[i][j][c] =
                    __fmaf_rn(-r->m[n + c % 2][b], r->x_sums[m + c / 2 * 8][b], sums->of[i][j][c]);
        }
    }
}

template <class Out>
static __device__ __forceinline__ void y_out(const struct quant_sums *sums,
                                             const struct quant_args *a, int t0, int n0)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;

#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int c = 0; c < 4; c++) {
                const int m = t0 + i * 16 + g + c / 2 * 8, n = n0 + j * 8 + 2 * t + c % 2;

                if (m < a->T && n < a->N)
                    ((Out *)a->y)[(size_t)m * (size_t)a->y_step + (size_t)n] =
                        from_float<Out>(sums->of[i][j][c] + (a->bias ? a->bias[n] : 0.0f));
            }
}

/* Grid: tiles of tokens, fastest, so that those that read the same w run together; times tiles of
 * rows. */
template <enum dtype Q, class Out>
static __global__ void __launch_bounds__(THREADS)
    quant_tiles_kernel(struct quant_args a, int across)
{
    __shared__ struct quant_room rooms[2];
    const int t0 = (int)(blockIdx.x % (unsigned)across) * TILE;
    const int n0 = (int)(blockIdx.x / (unsigned)across) * TILE;
    const int warp = (int)threadIdx.x / 32, m = warp / 2 * 32, n = warp % 2 * 32;
    struct quant_sums sums = {};

    x_in(&rooms[0], &a, t0, 0);
    cp_async_commit();
    w_in<Q>(&rooms[0], &a, n0, 0);
    for (int k = 0, now = 0; k < a.K; k += TILE_K, now ^= 1) {
        cp_async_wait<0>();
        __syncthreads();
        if (k + TILE_K < a.K) {
            x_in(&rooms[now ^ 1], &a, t0, k + TILE_K);
            cp_async_commit();
            w_in<Q>(&rooms[now ^ 1], &a, n0, k + TILE_K);
        }
#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
            multiply<Q>(&sums, &rooms[now], b, m, n);
    }
    y_out<Out>(&sums, &a, t0 + m, n0 + n);
}

template <enum dtype Q, class Out> static void launch(const struct quant_args *a, struct stream *s)
{
    const unsigned across = (unsigned)((a->T + TILE - 1) / TILE);
    const unsigned down = (unsigned)((a->N + TILE - 1) / TILE);

    LAUNCH((quant_tiles_kernel<Q, Out>), across * down, THREADS, 0, s->at, *a, (int)across);
}

int quant_by_tiles(const struct quant_args *a, enum dtype d, bool logits, struct stream *s)
{
    BY_ACT(logits ? DTYPE_F32 : s->act, Out, BY_QUANT(d, Q, (launch<Q, Out>(a, s))));
    return stream_launched(s, "linear", "T=%d N=%d K=%d %s by tiles", a->T, a->N, a->K,
                           dtype_name(d));
}
