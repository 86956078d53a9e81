/* scale_out.cu - sums become y: four numbers a thread where they lie so, else one; a block has a
 * piece of one row.
 */
extern "C" {
#include "kernels/scale_out.h"
}

#include "kernels/act.cuh"

#define THREADS 256

/* Sums as floats: one, or four at 16 bytes. */
template <int V> static __device__ __forceinline__ void sums_in(float *v, const int *p)
{
    if constexpr (V == 1) {
        v[0] = (float)*p;
    } else {
        const int4 i = *aligned<int4>(p);

        v[0] = (float)i.x, v[1] = (float)i.y, v[2] = (float)i.z, v[3] = (float)i.w;
    }
}

template <int V, class E> static __device__ __forceinline__ void sums_in(float *v, const E *p)
{
    numbers_in<V>(v, p);
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
    sums_in<V>(v, sums);
#pragma unroll
    for (int i = 0; i < V; i++) {
        if (a.x_scales) v[i] = v[i] * a.x_scales[t] * a.w_scales[n + i];
        if (a.bias) v[i] += a.bias[n + i];
    }
    numbers_out<V>(y, v);
}

template <class In, class Out>
static void launch(const struct scale_out *a, int T, struct stream *s)
{
    const bool wide =
        starts_at<In>(a->sums, a->step, 4) && starts_at<Out>(a->y, a->y_step, 4) && a->N % 4 == 0;
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
