/* embed.cu - a row of the embedding for each token: eight numbers a thread, as many blocks to a
 * token as it takes.
 */
extern "C" {
#include "kernels/embed.h"
}

#include "kernels/act.cuh"
#include "kernels/quant_cuda.cuh"

#define THREADS 128

/* N numbers of a row of dtype Q from `at` on; scale that of the row, where it has one. */
template <enum dtype Q, int N>
static __device__ __forceinline__ void row_in(float *x, const uint8_t *row, int at, float scale)
{
    if constexpr (Q == DTYPE_F32)
        numbers_in<N>(x, (const float *)row + at);
    else if constexpr (Q == DTYPE_F16)
        numbers_in<N>(x, (const f16 *)row + at);
    else if constexpr (Q == DTYPE_BF16)
        numbers_in<N>(x, (const bf16 *)row + at);
    else if constexpr (Q == DTYPE_FP8)
        for (int i = 0; i < N; i++)
            x[i] = scale * to_float(((const fp8 *)row)[at + i]);
    else if constexpr (Q == DTYPE_INT8)
        for (int i = 0; i < N; i++)
            x[i] = scale * (float)((const int8_t *)row)[at + i];
    else
        quant_eight<Q>(x, row, at);
}

struct table {
    const uint8_t *rows;
    const float *scales;
    size_t row_bytes;
    int V, D;
};

template <class E, enum dtype Q, int N>
static __global__ void embed_kernel(E *x, struct table w, float scale, const int32_t *ids,
                                    int pieces)
{
    const size_t t = blockIdx.x / (unsigned)pieces;
    const int d = ((int)(blockIdx.x % (unsigned)pieces) * THREADS + (int)threadIdx.x) * N;
    const int id = min(max(ids[t], 0), w.V - 1);
    float v[N];

    if (d >= w.D) return;
    row_in<Q, N>(v, w.rows + (size_t)id * w.row_bytes, d, w.scales ? w.scales[id] : 1.0f);
#pragma unroll
    for (int k = 0; k < N; k++)
        v[k] *= scale;
    numbers_out<N>(x + t * (size_t)w.D + d, v);
}

template <class E, enum dtype Q, int N>
static void launch(void *x, const struct table *w, float scale, const struct ragged *r,
                   struct stream *s)
{
    const int pieces = (w->D + THREADS * N - 1) / (THREADS * N);

    LAUNCH((embed_kernel<E, Q, N>), (unsigned)r->T * (unsigned)pieces, THREADS, 0, s->at, (E *)x,
           *w, scale, r->ids, pieces);
}

/* Rows of single numbers may lie anywhere; those of blocks are whole eights. */
template <class E, enum dtype Q>
static void launch_as(void *x, const struct table *w, float scale, const struct ragged *r,
                      struct stream *s)
{
    constexpr bool blocks = Q > DTYPE_BF16 && Q < DTYPE_FP8;

    if (blocks || ((uintptr_t)w->rows % 16 == 0 && w->row_bytes % 16 == 0 && w->D % 8 == 0 &&
                   starts_at<E>(x, 0, WIDE<E>)))
        launch<E, Q, 8>(x, w, scale, r, s);
    else if constexpr (!blocks)
        launch<E, Q, 1>(x, w, scale, r, s);
}

template <class E>
static int launch_in(void *x, const struct table *w, enum dtype d, float scale,
                     const struct ragged *r, struct stream *s)
{
    switch (d) {
    case DTYPE_F32: launch_as<E, DTYPE_F32>(x, w, scale, r, s); break;
    case DTYPE_F16: launch_as<E, DTYPE_F16>(x, w, scale, r, s); break;
    case DTYPE_BF16: launch_as<E, DTYPE_BF16>(x, w, scale, r, s); break;
    case DTYPE_Q8_0: launch_as<E, DTYPE_Q8_0>(x, w, scale, r, s); break;
    case DTYPE_Q4_0: launch_as<E, DTYPE_Q4_0>(x, w, scale, r, s); break;
    case DTYPE_Q4_K: launch_as<E, DTYPE_Q4_K>(x, w, scale, r, s); break;
    case DTYPE_Q6_K: launch_as<E, DTYPE_Q6_K>(x, w, scale, r, s); break;
    case DTYPE_FP8: launch_as<E, DTYPE_FP8>(x, w, scale, r, s); break;
    case DTYPE_INT8: launch_as<E, DTYPE_INT8>(x, w, scale, r, s); break;
    }
    return ERR_OK;
}

extern "C" int embed_cuda(void *x, const struct weight *w, float scale, const struct ragged *r,
                          struct stream *s)
{
    const struct table table = {(const uint8_t *)w->data, w->scales, weight_row_bytes(w), w->N,
                                w->K};

    if (w->N <= 0 || w->K <= 0 || w->K % dtype_block(w->dtype)) return ERR_ARG;
    if (dtype_is_scaled(w->dtype) && !w->scales) return ERR_ARG;
    if (r->T == 0) return ERR_OK;
    BY_ACT(s->act, E, launch_in<E>(x, &table, w->dtype, scale, r, s));
    return stream_launched(s, "embed", "T=%d D=%d", r->T, w->K);
}
