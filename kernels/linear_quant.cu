/* linear_quant.cu - products of quantised weights: x in blocks of bytes, then by rows or by tiles.
 *
 * Few tokens: the time is that of reading w, and a warp reads a row (linear_quant_rows.cu).  More:
 * the matrix units multiply tiles (linear_quant_tiles.cu); with batch_invariant they do for all T.
 */
#include "kernels/act.cuh"
#include "kernels/block.cuh"
#include "kernels/linear_cuda.cuh"
#include "kernels/linear_quant.cuh"

extern "C" {
#include "kernels/quant.h"
}

#define WARPS 8

/* A warp for each block of 32; n of them. */
template <class E>
static __global__ void __launch_bounds__(WARPS * 32)
    quant_x_kernel(int8_t *q, float *scales, float *sums, const E *x, size_t n)
{
    const size_t at = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const size_t i = at * QUANT_X + threadIdx.x % 32;

    if (at >= n) return; /* a whole warp */
    const float v = to_float(x[i]), size = fabsf(v);
    const bool none = __any_sync(0xFFFFFFFFu, !(size <= 3.402823466e38f));
    const float most = warp_max(none ? 0.0f : size);
    const bool zero = most < QUANT_LEAST;
    const int b = zero ? 0 : __float2int_rn(v * (127.0f / most));
    const float scale = none ? __int_as_float(0x7FC00000) : zero ? 0.0f : most / 127.0f;
    const int sum = warp_sum(b);

    q[i] = (int8_t)b;
    if (threadIdx.x % 32) return;
    scales[at] = scale;
    sums[at] = scale * (float)sum;
}

/* Bytes of a token's x in the rooms of linear_state: q in one, scales and sums in the other. */
static int tokens_at_once(const struct linear_state *st, size_t K, int T)
{
    const size_t by_q = st->x_bytes / K, by_scales = st->sums_bytes / (K / QUANT_X * 8);
    const size_t most = by_q < by_scales ? by_q : by_scales;

    return most < (size_t)T ? (int)most : T;
}

static int quantize(struct quant_args *a, const void *x, int T, struct stream *s)
{
    const size_t blocks = (size_t)T * (size_t)(a->K / QUANT_X);
    int8_t *q = (int8_t *)s->linear->x;
    float *scales = (float *)(void *)s->linear->sums, *sums = scales + blocks;

    a->q = q, a->scales = scales, a->sums = sums, a->T = T;
    BY_ACT(s->act, E,
           LAUNCH((quant_x_kernel<E>), (unsigned)((blocks + WARPS - 1) / WARPS), WARPS * 32, 0,
                  s->at, q, scales, sums, (const E *)x, blocks));
    return stream_launched(s, "linear", "T=%d K=%d in blocks of bytes", T, a->K);
}

static int multiply(struct quant_args *a, const struct product *p, int t0, struct stream *s)
{
    const size_t per = p->logits ? sizeof(float) : dtype_bytes(s->act);

    a->y_step = product_y_step(p);
    a->y = (char *)p->y + (size_t)t0 * (size_t)a->y_step * per;
    a->w = (const uint8_t *)p->w->data;
    a->row_bytes = weight_row_bytes(p->w);
    a->bias = p->bias;
    a->N = p->w->N;
    return (a->T <= QUANT_ROWS_MOST && !s->batch_invariant ? quant_by_rows : quant_by_tiles)(
        a, p->w->dtype, p->logits, s);
}

int linear_quant_cuda(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    const int K = p->w->K, most = tokens_at_once(s->linear, (size_t)K, T);
    struct quant_args a = {};
    int rc = most > 0 ? ERR_OK : ERR_ARG;

    a.K = K;
    for (int t = 0; t < T && !rc; t += most) {
        rc = quantize(&a, (const char *)x + (size_t)t * (size_t)K * dtype_bytes(s->act),
                      T - t < most ? T - t : most, s);
        for (int i = 0; i < n && !rc; i++)
            rc = multiply(&a, &p[i], t, s);
    }
    return rc;
}
