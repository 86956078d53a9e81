/* glu.cu - the gated unit of the feed-forward layer: 16 bytes of a row a thread where they lie so,
 * else a number; as many blocks to a row as it takes.
 */
extern "C" {
#include "kernels/glu.h"
}

#include "kernels/act.cuh"

#define THREADS 256

/* The tails keep their digits: none of the forms takes a difference from 1. */
template <enum glu G> static __device__ __forceinline__ float activate(float x)
{
    if constexpr (G == GLU_SILU)
        return x / (1.0f + expf(-x));
    else if constexpr (G == GLU_GELU_TANH)
        return x / (1.0f + expf(-1.5957691216f * (x + 0.044715f * x * x * x)));
    else
        return 0.5f * x * erfcf(-0.70710678119f * x);
}

template <class E, int N, enum glu G>
static __global__ void glu_kernel(E *y, const E *gate, const E *up, int F, int step, int pieces)
{
    const size_t t = blockIdx.x / (unsigned)pieces;
    const int f = ((int)(blockIdx.x % (unsigned)pieces) * THREADS + (int)threadIdx.x) * N;
    float a[N], b[N];

    if (f >= F) return;
    numbers_in<N>(a, gate + t * (size_t)step + f);
    numbers_in<N>(b, up + t * (size_t)step + f);
#pragma unroll
    for (int k = 0; k < N; k++)
        a[k] = activate<G>(a[k]) * b[k];
    numbers_out<N>(y + t * (size_t)F + f, a);
}

template <class E, int N, enum glu G>
static void launch(void *y, const void *gate, const void *up, int T, int F, int step,
                   struct stream *s)
{
    const int pieces = (F + THREADS * N - 1) / (THREADS * N);

    LAUNCH((glu_kernel<E, N, G>), (unsigned)T * (unsigned)pieces, THREADS, 0, s->at, (E *)y,
           (const E *)gate, (const E *)up, F, step, pieces);
}

template <enum glu G>
static void launch_in(void *y, const void *gate, const void *up, int T, int F, int step,
                      struct stream *s)
{
    BY_ACT(s->act, E, {
        constexpr int N = WIDE<E>;

        if (starts_at<E>(y, F, N) && starts_at<E>(gate, step, N) && starts_at<E>(up, step, N))
            launch<E, N, G>(y, gate, up, T, F, step, s);
        else
            launch<E, 1, G>(y, gate, up, T, F, step, s);
    });
}

extern "C" int glu_cuda(void *y, const void *gate, const void *up, int T, int F, int step,
                        enum glu g, struct stream *s)
{
    if (T < 0 || F <= 0 || step < F) return ERR_ARG;
    if (T == 0) return ERR_OK;
    if (g == GLU_SILU)
        launch_in<GLU_SILU>(y, gate, up, T, F, step, s);
    else if (g == GLU_GELU_TANH)
        launch_in<GLU_GELU_TANH>(y, gate, up, T, F, step, s);
    else
        launch_in<GLU_GELU>(y, gate, up, T, F, step, s);
    return stream_launched(s, "glu", "T=%d F=%d step=%d", T, F, step);
}
