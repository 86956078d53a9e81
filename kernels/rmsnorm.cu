/* rmsnorm.cu - scales each row by the inverse of its root mean square: a block a row.
 *
 * A thread keeps its part of the row in registers, PER pieces of 16 bytes that lie a block's width
 * apart.  Rows that are longer, or do not lie at multiples of 16 bytes, are read twice.
 */
extern "C" {
#include "kernels/rmsnorm.h"
}

#include "kernels/act.cuh"
#include "kernels/block.cuh"

#define THREADS 256

/* N numbers of x at p; with ADD those of a are added first, and x gets the sum, rounded. */
template <class E, int N, bool ADD>
static __device__ __forceinline__ void summed_in(float *x, E *p, const E *a)
{
    numbers_in<N>(x, p);
    if constexpr (ADD) {
        float b[N];

        numbers_in<N>(b, a);
#pragma unroll
        for (int k = 0; k < N; k++)
            x[k] = to_float(from_float<E>(x[k] + b[k]));
        numbers_out<N>(p, x);
    }
}

template <int N>
static __device__ __forceinline__ void scaled(float *x, const float *w, float scale)
{
    float b[N];

    numbers_in<N>(b, w);
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] *= scale * b[k];
}

template <class E, int N, int PER, bool ADD>
static __global__ void __launch_bounds__(THREADS)
    rmsnorm_kernel(E *y, E *x, const E *a, const float *w, int D, float eps)
{
    const size_t row = (size_t)blockIdx.x * (size_t)D;
    __shared__ float room[BLOCK_ROOM];
    float v[PER][N], ss = 0, scale;

#pragma unroll
    for (int p = 0; p < PER; p++) {
        const int d = (p * THREADS + (int)threadIdx.x) * N;

        if (d >= D) continue;
        summed_in<E, N, ADD>(v[p], x + row + d, a + row + d);
#pragma unroll
        for (int k = 0; k < N; k++)
            ss += v[p][k] * v[p][k];
    }
    scale = rsqrtf(block_sum(ss, room) / (float)D + eps);
#pragma unroll
    for (int p = 0; p < PER; p++) {
        const int d = (p * THREADS + (int)threadIdx.x) * N;

        if (d >= D) continue;
        scaled<N>(v[p], w + d, scale);
        numbers_out<N>(y + row + d, v[p]);
    }
}

/* Any row, a number at a time. */
template <class E, bool ADD>
static __global__ void __launch_bounds__(THREADS)
    rmsnorm_long_kernel(E *y, E *x, const E *a, const float *w, int D, float eps)
{
    const size_t row = (size_t)blockIdx.x * (size_t)D;
    __shared__ float room[BLOCK_ROOM];
    float v, ss = 0, scale;

    for (int d = (int)threadIdx.x; d < D; d += THREADS) {
        summed_in<E, 1, ADD>(&v, x + row + d, a + row + d);
        ss += v * v;
    }
    scale = rsqrtf(block_sum(ss, room) / (float)D + eps);
    for (int d = (int)threadIdx.x; d < D; d += THREADS) {
        v = to_float(x[row + d]);
        scaled<1>(&v, w + d, scale);
        y[row + d] = from_float<E>(v);
    }
}

template <class E, bool ADD>
static void launch(E *y, E *x, const E *a, const float *w, int T, int D, float eps,
                   struct stream *s)
{
    constexpr int N = WIDE<E>;
    const int per = (D + THREADS * N - 1) / (THREADS * N);
    const bool fits = starts_at<E>(x, D, N) && starts_at<E>(y, D, N) &&
                      (!ADD || starts_at<E>(a, D, N)) && starts_at<float>(w, 0, 4);

    if (!fits || per > 8)
        LAUNCH((rmsnorm_long_kernel<E, ADD>), T, THREADS, 0, s->at, y, x, a, w, D, eps);
    else if (per <= 1)
        LAUNCH((rmsnorm_kernel<E, N, 1, ADD>), T, THREADS, 0, s->at, y, x, a, w, D, eps);
    else if (per <= 2)
        LAUNCH((rmsnorm_kernel<E, N, 2, ADD>), T, THREADS, 0, s->at, y, x, a, w, D, eps);
    else if (per <= 4)
        LAUNCH((rmsnorm_kernel<E, N, 4, ADD>), T, THREADS, 0, s->at, y, x, a, w, D, eps);
    else
        LAUNCH((rmsnorm_kernel<E, N, 8, ADD>), T, THREADS, 0, s->at, y, x, a, w, D, eps);
}

extern "C" int rmsnorm_cuda(void *y, const void *x, const float *w, int T, int D, float eps,
                            struct stream *s)
{
    if (T < 0 || D <= 0) return ERR_ARG;
    if (T == 0) return ERR_OK;
    BY_ACT(s->act, E, (launch<E, false>((E *)y, (E *)x, (const E *)x, w, T, D, eps, s)));
    return stream_launched(s, "rmsnorm", "T=%d D=%d", T, D);
}

extern "C" int add_rmsnorm_cuda(void *y, void *x, const void *a, const float *w, int T, int D,
                                float eps, struct stream *s)
{
    if (T < 0 || D <= 0) return ERR_ARG;
    if (T == 0) return ERR_OK;
    BY_ACT(s->act, E, (launch<E, true>((E *)y, (E *)x, (const E *)a, w, T, D, eps, s)));
    return stream_launched(s, "add_rmsnorm", "T=%d D=%d", T, D);
}
