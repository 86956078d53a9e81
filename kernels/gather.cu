/* gather.cu - picks the tokens whose logits are wanted: a block a row, in words of 16, 4 or 2
 * bytes. */
extern "C" {
#include "kernels/gather.h"
}

#include "kernels/cuda_stream.cuh"

#define THREADS 128

template <class W>
static __global__ void gather_kernel(W *y, const W *x, const int32_t *rows, int n)
{
    const W *from = x + (size_t)rows[blockIdx.x] * (size_t)n;
    W *to = y + (size_t)blockIdx.x * (size_t)n;

    for (int i = (int)threadIdx.x; i < n; i += THREADS)
        to[i] = from[i];
}

template <class W>
static void launch(void *y, const void *x, const struct ragged *r, size_t row, struct stream *s)
{
    LAUNCH(gather_kernel<W>, (unsigned)r->n_rows, THREADS, 0, s->at, (W *)y, (const W *)x, r->rows,
           (int)(row / sizeof(W)));
}

extern "C" int gather_cuda(void *y, const void *x, const struct ragged *r, int D, struct stream *s)
{
    const size_t row = D <= 0 ? 0 : (size_t)D * dtype_bytes(s->act);
    const size_t at = (size_t)(uintptr_t)x | (size_t)(uintptr_t)y | row;

    if (r->n_rows < 0 || D <= 0) return ERR_ARG;
    if (r->n_rows == 0) return ERR_OK;
    if (at % 16 == 0)
        launch<uint4>(y, x, r, row, s);
    else if (at % 4 == 0)
        launch<uint32_t>(y, x, r, row, s);
    else
        launch<uint16_t>(y, x, r, row, s);
    return stream_launched(s, "gather", "rows=%d D=%d", r->n_rows, D);
}
