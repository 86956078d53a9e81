/* scale_out.cu - sums become y: four numbers a thread where they lie so, else one; a block has a
 * piece of one row.
 */
extern "C" {
#include "kernels/scale_out.h"
}

#include "kernels/act.cuh"

#define THREADS 256

/* Four numbers are read or written at once. */
static __device__ __forceinline__ void four_in(float *v, const float *p)
{
    numbers_in<4>(v, p);
}

static __device__ __forceinline__ void four_in(float *v, const int *p)
{
    const int4 i = *aligned<int4>(p);

    v[0] = (float)i.x, v[1] = (float)i.y, v[2] = (float)i.z, v[3] = (float)i.w;
}

template <class E> static __device__ __forceinline__ void four_in(float *v, const E *p)
{
    const uint2 u = *aligned<uint2>(p);
    const float2 a = unpack2<E>(u.x), b = unpack2<E>(u.y);

    v[0] = a.x, v[1] = a.y, v[2] = b.x, v[3] = b.y;
}

static __device__ __forceinline__ void four_out(float *p, const float *v)
{
    numbers_out<4>(p, v);
}

template <class E> static __device__ __forceinline__ void four_out(E *p, const float *v)
{
    *aligned<uint2>(p) = make_uint2(pack2<E>(v[0], v[1]), pack2<E>(v[2], v[3]));
}

static __device__ __forceinline__ float one_in(int x)
{
    return (float)x;
}

template <class E> static __device__ __forceinline__ float one_in(E x)
{
    return to_float(x);
}

template <class In, class Out, int V>
static __global__ void __launch_bounds__(THREADS) scale_out_kernel(struct scale_out a, int pieces)
{
    const size_t t = blockIdx.x / (unsigned)pieces;
    const int n = ((int)(blockIdx.x % (unsigned)pieces) * THREADS + (int)threadIdx.x) * V;
    const In *sums = (const In *)a.sums + t * (size_t)a.step + n;
    Out *y = (Out *)a.y + t * (size_t)a.y_step + n;
    float v[V];

    if (n >= a.N) return;
    if constexpr (V == 4)
        four_in(v, sums);
    else
        v[0] = one_in(*sums);
#pragma unroll
    for (int i = 0; i < V; i++) {
        if (a.x_scales) v[i] = v[i] * a.x_scales[t] * a.w_scales[n + i];
        if (a.bias) v[i] += a.bias[n + i];
    }
    if constexpr (V == 4)
        four_out(y, v);
    else
        *y = from_float<Out>(v[0]);
}

template <class In, class Out>
static void launch(const struct scale_out *a, int T, struct stream *s)
{
    const bool wide = (uintptr_t)a->sums % (4 * sizeof(In)) == 0 && a->step % 4 == 0 &&
                      (uintptr_t)a->y % (4 * sizeof(Out)) == 0 && a->y_step % 4 == 0 &&
                      a->N % 4 == 0;
    const int each = THREADS * (wide ? 4 : 1), pieces = (a->N + each - 1) / each;
    const unsigned blocks = (unsigned)T * (unsigned)pieces;

    if (wide)
        LAUNCH((scale_out_kernel<In, Out, 4>), blocks, THREADS, 0, s->at, *a, pieces);
    else
        LAUNCH((scale_out_kernel<In, Out, 1>), blocks, THREADS, 0, s->at, *a, pieces);
}

int scale_out(const struct scale_out *a, int T, struct stream *s)
{
    if (!dtype_is_float(a->out)) return ERR_UNSUPPORTED;
    if (!a->whole && a->in != DTYPE_F32 && a->in != a->out) return ERR_UNSUPPORTED;
    BY_ACT(a->out, Out, {
        if (a->whole)
            launch<int, Out>(a, T, s);
        else if (a->in == DTYPE_F32)
            launch<float, Out>(a, T, s);
        else
            launch<Out, Out>(a, T, s);
    });
    return stream_launched(s, "linear", "y of T=%d N=%d", T, a->N);
}
