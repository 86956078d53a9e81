/* convert.cu - a weight in another dtype: a block a row, four numbers a thread where they lie so.
 */
extern "C" {
#include "kernels/convert.h"
}

#include "kernels/act.cuh"
#include "kernels/block.cuh"

extern "C" {
#include "base/fp8.h"
}

#define THREADS 256

/* int8 as a type of its own, beside fp8. */
struct whole {
    int8_t v;
};

template <class C> static constexpr float LARGEST = 0; /* 0: no scale */
template <> constexpr float LARGEST<fp8> = FP8_MAX;
template <> constexpr float LARGEST<whole> = 127;

template <int N, class C> static __device__ __forceinline__ void stored_out(C *to, const float *x)
{
    numbers_out<N>(to, x);
}

template <int N> static __device__ __forceinline__ void stored_out(whole *to, const float *x)
{
    unsigned four = 0;

    if constexpr (N == 1) {
        to->v = (int8_t)__float2int_rn(x[0]);
    } else {
        for (int i = 0; i < 4; i++)
            four |= (unsigned)(__float2int_rn(x[i]) & 255) << 8 * i;
        *aligned<unsigned>(to) = four;
    }
}

/* Bytes from a row to the next, of both. */
struct convert_rows {
    char *to;
    const char *from;
    float *scales;
    size_t to_bytes, from_bytes;
    int K;
};

template <class E, class C, int N> static __global__ void convert_kernel(struct convert_rows r)
{
    const E *from = (const E *)(r.from + (size_t)blockIdx.x * r.from_bytes);
    C *to = (C *)(r.to + (size_t)blockIdx.x * r.to_bytes);
    __shared__ float room[BLOCK_ROOM];
    float x[N], most = 0, scale = 1;

    if constexpr (LARGEST < C >> 0) {
        for (int k = (int)threadIdx.x * N; k < r.K; k += THREADS * N) {
            numbers_in<N>(x, from + k);
            for (int i = 0; i < N; i++)
                most = fmaxf(most, fabsf(x[i]));
        }
        scale = block_max(most, room) / LARGEST<C>;
        if (threadIdx.x == 0) r.scales[blockIdx.x] = scale;
    }
    for (int k = (int)threadIdx.x * N; k < r.K; k += THREADS * N) {
        numbers_in<N>(x, from + k);
        for (int i = 0; i < N && LARGEST < C >> 0; i++)
            x[i] = scale > 0 ? x[i] / scale : 0.0f;
        stored_out<N>(to + k, x);
    }
}

template <class E, class C>
static void launch(const struct convert_rows *r, int n, struct stream *s)
{
    if (r->K % 4 == 0 && (uintptr_t)r->from % (4 * sizeof(E)) == 0 &&
        r->from_bytes % (4 * sizeof(E)) == 0 && (uintptr_t)r->to % (4 * sizeof(C)) == 0 &&
        r->to_bytes % (4 * sizeof(C)) == 0)
        LAUNCH((convert_kernel<E, C, 4>), (unsigned)n, THREADS, 0, s->at, *r);
    else
        LAUNCH((convert_kernel<E, C, 1>), (unsigned)n, THREADS, 0, s->at, *r);
}

template <class E>
static void launch_from(const struct convert_rows *r, int n, enum dtype d, struct stream *s)
{
    if (d == DTYPE_FP8)
        launch<E, fp8>(r, n, s);
    else if (d == DTYPE_INT8)
        launch<E, whole>(r, n, s);
    else
        BY_ACT(d, C, (launch<E, C>(r, n, s)));
}

/* The same dtype: rows are bytes. */
static int copy(const struct convert_rows *r, const struct weight *from, struct stream *s)
{
    const size_t row = dtype_row_bytes(from->dtype, (size_t)from->K), N = (size_t)from->N;
    cudaError_t rc = r->to_bytes == row && r->from_bytes == row
                         ? cudaMemcpyAsync(r->to, r->from, N * row, cudaMemcpyDeviceToDevice, s->at)
                         : cudaMemcpy2DAsync(r->to, r->to_bytes, r->from, r->from_bytes, row, N,
                                             cudaMemcpyDeviceToDevice, s->at);

    if (!rc && dtype_is_scaled(from->dtype))
        rc = cudaMemcpyAsync(r->scales, from->scales, (size_t)from->N * sizeof(float),
                             cudaMemcpyDeviceToDevice, s->at);
    return stream_called(s, rc, "convert", "N=%d K=%d %s", from->N, from->K,
                         dtype_name(from->dtype));
}

extern "C" int convert_cuda(const struct weight *to, const struct weight *from, struct stream *s)
{
    const struct convert_rows rows = {(char *)to->data,       (const char *)from->data,
                                      (float *)to->scales,    weight_row_bytes(to),
                                      weight_row_bytes(from), to->K};
    const int rc = convert_check(to, from);

    if (rc || to->N == 0) return rc;
    if (to->dtype == from->dtype) return to->data == from->data ? ERR_OK : copy(&rows, from, s);
    BY_ACT(from->dtype, E, launch_from<E>(&rows, to->N, to->dtype, s));
    return stream_launched(s, "convert", "N=%d K=%d %s to %s", to->N, to->K,
                           dtype_name(from->dtype), dtype_name(to->dtype));
}
