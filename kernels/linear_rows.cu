/* linear_rows.cu - a matrix product, one row of w at a time: a warp for each y[n] of some tokens.
 *
 * Grid: tokens in groups, times rows in groups of ROWS; the rows of one token group stand together,
 * so that x stays in the caches while w streams by.
 */
extern "C" {
#include "kernels/linear_rows.h"
}

#include "kernels/block.cuh"
#include "kernels/cuda_stream.cuh"

#define ROWS        8 /* warps of a block */
#define ROWS_TOKENS 4

struct linear_rows {
    struct gemm_shape shape;
    struct gemm_operands at;
    int T, groups; /* groups: of rows */
};

/* 16 bytes of numbers, n of them; the rest zeros. */
template <class E, bool WIDE> static __device__ __forceinline__ uint4 pack_in(const E *from, int n)
{
    constexpr int PACK = 16 / (int)sizeof(E);
    union {
        uint4 wide;
        E one[PACK];
    } to;

    if (WIDE && n == PACK) return *aligned<uint4>(from);
    to.wide = make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        if (i < n) to.one[i] = from[i];
    return to.wide;
}

/* Products of the numbers in 4 bytes, in order. */
static __device__ __forceinline__ void add_word(float *sum, unsigned w, unsigned x, float)
{
    *sum = __fmaf_rn(__uint_as_float(w), __uint_as_float(x), *sum);
}

static __device__ __forceinline__ void add_word(int *sum, unsigned w, unsigned x, int8_t)
{
    *sum = __dp4a((int)w, (int)x, *sum);
}

static __device__ __forceinline__ void add_word(float *sum, unsigned w, unsigned x, fp8)
{
    const float4 a = unpack4_fp8(w), b = unpack4_fp8(x);

    *sum = __fmaf_rn(a.x, b.x, *sum);
    *sum = __fmaf_rn(a.y, b.y, *sum);
    *sum = __fmaf_rn(a.z, b.z, *sum);
    *sum = __fmaf_rn(a.w, b.w, *sum);
}

template <class E>
static __device__ __forceinline__ void add_word(float *sum, unsigned w, unsigned x, E)
{
    const float2 a = unpack2<E>(w), b = unpack2<E>(x);

    *sum = __fmaf_rn(a.x, b.x, *sum);
    *sum = __fmaf_rn(a.y, b.y, *sum);
}

template <class E, class Sum>
static __device__ __forceinline__ void add_pack(Sum *sum, uint4 w, uint4 x)
{
    add_word(sum, w.x, x.x, E());
    add_word(sum, w.y, x.y, E());
    add_word(sum, w.z, x.z, E());
    add_word(sum, w.w, x.w, E());
}

static __device__ __forceinline__ void store(int *y, int sum, float)
{
    *y = sum;
}

template <class Out> static __device__ __forceinline__ void store(Out *y, float sum, float scale)
{
    *y = from_float<Out>(sum * scale);
}

template <class In, class Sum, class Out, bool WIDE>
static __global__ void __launch_bounds__(ROWS * 32) rows_kernel(struct linear_rows a)
{
    constexpr int PACK = 16 / (int)sizeof(In);
    const int lane = (int)threadIdx.x % 32, K = a.shape.K;
    const int n = (int)(blockIdx.x % (unsigned)a.groups) * ROWS + (int)threadIdx.x / 32;
    const int t0 = (int)(blockIdx.x / (unsigned)a.groups) * ROWS_TOKENS;
    const int tokens = min(a.T - t0, ROWS_TOKENS);
    const In *w = (const In *)a.at.w + (size_t)n * (size_t)a.shape.w_step;
    const In *x = (const In *)a.at.x + (size_t)t0 * (size_t)a.shape.x_step;
    Sum sums[ROWS_TOKENS] = {};

    if (n >= a.shape.N) return; /* a whole warp */
#pragma unroll 2
    for (int k = lane * PACK; k < K; k += 32 * PACK) {
        const int left = min(K - k, PACK);
        const uint4 wk = pack_in<In, WIDE>(w + k, left);

#pragma unroll
        for (int t = 0; t < ROWS_TOKENS; t++) {
            if (t >= tokens) break;
            add_pack<In>(&sums[t], wk,
                         pack_in<In, WIDE>(x + (size_t)t * (size_t)a.shape.x_step + k, left));
        }
    }
#pragma unroll
    for (int t = 0; t < ROWS_TOKENS; t++) {
        const Sum sum = warp_sum(sums[t]);
        const size_t at = (size_t)(t0 + t) * (size_t)a.shape.y_step + (size_t)n;

        if (lane != 0 || t >= tokens) continue;
        store((Out *)a.at.y + at, sum,
              a.shape.scaled ? a.at.x_scales[t0 + t] * a.at.w_scales[n] : 1.0f);
    }
}

template <class In, class Sum, class Out>
static void launch(const struct linear_rows *a, unsigned blocks, struct stream *s)
{
    if (a->shape.align == 16)
        LAUNCH((rows_kernel<In, Sum, Out, true>), blocks, ROWS * 32, 0, s->at, *a);
    else
        LAUNCH((rows_kernel<In, Sum, Out, false>), blocks, ROWS * 32, 0, s->at, *a);
}

template <class In>
static int by_out(const struct linear_rows *a, unsigned blocks, struct stream *s)
{
    switch (a->shape.out) {
    case DTYPE_F32: launch<In, float, float>(a, blocks, s); return ERR_OK;
    case DTYPE_F16: launch<In, float, f16>(a, blocks, s); return ERR_OK;
    case DTYPE_BF16: launch<In, float, bf16>(a, blocks, s); return ERR_OK;
    default: return ERR_UNSUPPORTED;
    }
}

int linear_rows(const struct gemm_shape *shape, int T, const struct gemm_operands *o,
                struct stream *s)
{
    const int groups = (shape->N + ROWS - 1) / ROWS;
    const unsigned blocks = (unsigned)groups * (unsigned)((T + ROWS_TOKENS - 1) / ROWS_TOKENS);
    const struct linear_rows a = {*shape, *o, T, groups};
    int rc = ERR_OK;

    switch (shape->in) {
    case DTYPE_F32: launch<float, float, float>(&a, blocks, s); break;
    case DTYPE_F16: rc = by_out<f16>(&a, blocks, s); break;
    case DTYPE_BF16: rc = by_out<bf16>(&a, blocks, s); break;
    case DTYPE_FP8: rc = by_out<fp8>(&a, blocks, s); break;
    case DTYPE_INT8: launch<int8_t, int, int>(&a, blocks, s); break;
    default: rc = ERR_UNSUPPORTED;
    }
    if (rc) return rc;
    return stream_launched(s, "linear", "T=%d N=%d K=%d %s by rows", T, shape->N, shape->K,
                           dtype_name(shape->in));
}
