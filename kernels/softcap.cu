/* softcap.cu - bounds numbers smoothly: a number a thread. */
extern "C" {
#include "kernels/softcap.h"
}

#include "kernels/cuda_stream.cuh"

#define THREADS 256

static __global__ void softcap_kernel(float *x, size_t n, float cap)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;

    if (i < n) x[i] = cap * tanhf(x[i] / cap);
}

extern "C" int softcap_cuda(float *x, int T, int D, float cap, struct stream *s)
{
    const size_t n = T < 0 || D <= 0 ? 0 : (size_t)T * (size_t)D;

    if (T < 0 || D <= 0 || !(cap > 0)) return ERR_ARG;
    if (T == 0) return ERR_OK;
    LAUNCH(softcap_kernel, (unsigned)((n + THREADS - 1) / THREADS), THREADS, 0, s->at, x, n, cap);
    return stream_launched(s, "softcap", "T=%d D=%d", T, D);
}
