/* quantize_rows.cu - x in the dtype of a weight: a block a row, two passes where there is a scale.
 *
 * The largest magnitude is found among the floats' bits as whole numbers, where a NaN is above all.
 */
extern "C" {
#include "base/fp8.h"
#include "kernels/quantize_rows.h"
}

#include "kernels/act.cuh"

#define THREADS 256

static __device__ __forceinline__ unsigned block_max(unsigned x)
{
    __shared__ unsigned warps[THREADS / 32];

#pragma unroll
    for (int half = 16; half; half /= 2)
        x = max(x, __shfl_xor_sync(0xFFFFFFFFu, x, half));
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
#pragma unroll
    for (int w = 0; w < THREADS / 32; w++)
        x = max(x, warps[w]);
    return x;
}

/* N numbers of fp8 or int8: one, or a multiple of four. */
template <int N> static __device__ __forceinline__ void put(fp8 *to, const float *v)
{
    numbers_out<N>(to, v);
}

static __device__ __forceinline__ unsigned whole(float v)
{
    return (unsigned)(v == v ? __float2int_rn(v) : 0) & 0xFFu;
}

template <int N> static __device__ __forceinline__ void put(int8_t *to, const float *v)
{
    if constexpr (N == 1)
        *to = (int8_t)whole(v[0]);
    else
#pragma unroll
        for (int i = 0; i < N; i += 4)
            *aligned<unsigned>(to + i) =
                whole(v[i]) | whole(v[i + 1]) << 8 | whole(v[i + 2]) << 16 | whole(v[i + 3]) << 24;
}

template <class E, class To, int N>
static __global__ void __launch_bounds__(THREADS)
    quantize_kernel(To *to, int to_step, float *scales, const E *x, int K, float largest)
{
    const E *row = x + (size_t)blockIdx.x * (size_t)K;
    To *out = to + (size_t)blockIdx.x * (size_t)to_step;
    unsigned most = 0;
    float v[N], scale;

    for (int k = (int)threadIdx.x * N; k < K; k += THREADS * N) {
        numbers_in<N>(v, row + k);
#pragma unroll
        for (int i = 0; i < N; i++)
            most = max(most, __float_as_uint(v[i]) & 0x7FFFFFFFu);
    }
    scale = __uint_as_float(block_max(most)) / largest;
    if (threadIdx.x == 0) scales[blockIdx.x] = scale;
    for (int k = (int)threadIdx.x * N; k < K; k += THREADS * N) {
        numbers_in<N>(v, row + k);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] = scale > 0 ? v[i] / scale : 0.0f;
        put<N>(out + k, v);
    }
}

template <class E, class To>
static __global__ void __launch_bounds__(THREADS)
    cast_kernel(To *to, int to_step, const E *x, int K)
{
    for (int k = (int)threadIdx.x; k < K; k += THREADS)
        to[(size_t)blockIdx.x * (size_t)to_step + (size_t)k] =
            from_float<To>(to_float(x[(size_t)blockIdx.x * (size_t)K + (size_t)k]));
}

template <class E, class To>
static void quantize(void *to, int to_step, float *scales, float largest, const E *x, int T, int K,
                     struct stream *s)
{
    const bool wide = starts_at<E>(x, K, WIDE<E>) && starts_at<To>(to, to_step, 4);

    if (wide)
        LAUNCH((quantize_kernel<E, To, WIDE<E>>), (unsigned)T, THREADS, 0, s->at, (To *)to, to_step,
               scales, x, K, largest);
    else
        LAUNCH((quantize_kernel<E, To, 1>), (unsigned)T, THREADS, 0, s->at, (To *)to, to_step,
               scales, x, K, largest);
}

template <class E, class To>
static void cast(void *to, int to_step, const E *x, int T, int K, struct stream *s)
{
    LAUNCH((cast_kernel<E, To>), (unsigned)T, THREADS, 0, s->at, (To *)to, to_step, x, K);
}

int quantize_rows(void *to, int to_step, float *scales, enum dtype d, const void *x, int T, int K,
                  struct stream *s)
{
    BY_ACT(s->act, E, {
        const E *from = (const E *)x;

        switch (d) {
        case DTYPE_FP8: quantize<E, fp8>(to, to_step, scales, FP8_MAX, from, T, K, s); break;
        case DTYPE_INT8: quantize<E, int8_t>(to, to_step, scales, 127, from, T, K, s); break;
        case DTYPE_F32: cast<E, float>(to, to_step, from, T, K, s); break;
        case DTYPE_BF16: cast<E, bf16>(to, to_step, from, T, K, s); break;
        default: return ERR_UNSUPPORTED;
        }
    });
    return stream_launched(s, "linear", "x of T=%d K=%d as %s", T, K, dtype_name(d));
}
