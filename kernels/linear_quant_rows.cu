/* linear_quant_rows.cu - a quantised row of w by few tokens: a warp reads the row once for all.
 *
 * Lane l takes the eight numbers at 8l, 8l + 256, ..., sums in order of k, and a tree adds up the
 * lanes: the same for a token whatever T is.
 */
#include "kernels/act.cuh"
#include "kernels/block.cuh"
#include "kernels/linear_quant.cuh"
#include "kernels/quant_words.cuh"

#define WARPS 4

/* TT: tokens there is room for, a.T of them. */
template <enum dtype Q, int TT, class Out>
static __global__ void __launch_bounds__(WARPS * 32) quant_rows_kernel(struct quant_args a)
{
    const int n = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const uint8_t *row = a.w + (size_t)n * a.row_bytes;
    const size_t K = (size_t)a.K, blocks = K / 32;
    float sum[TT] = {};

    if (n >= a.N) return; /* a whole warp */
#pragma unroll 4
    for (int at = lane * 8; at < a.K; at += 256) {
        int w[2];
        float d, m;

        quant_words<Q>(w, &d, &m, row, at);
#pragma unroll
        for (int t = 0; t < TT; t++) {
            if (t >= a.T) break;
            const int2 x = *aligned<int2>(a.q + (size_t)t * K + at);
            const size_t block = (size_t)t * blocks + (size_t)at / 32;
            const int dot = __dp4a(w[1], x.y, __dp4a(w[0], x.x, 0));

            sum[t] = __fmaf_rn(d * a.scales[block], (float)dot, sum[t]);
            if (Q == DTYPE_Q4_K && at % 32 == 0) sum[t] = __fmaf_rn(-m, a.sums[block], sum[t]);
        }
    }
#pragma unroll
    for (int t = 0; t < TT; t++) {
        if (t >= a.T) break;
        const float all = warp_sum(sum[t]) + (a.bias ? a.bias[n] : 0.0f);

        if (lane == 0) ((Out *)a.y)[(size_t)t * (size_t)a.y_step + n] = from_float<Out>(all);
    }
}

template <enum dtype Q, class Out> static void launch(const struct quant_args *a, struct stream *s)
{
    const unsigned blocks = (unsigned)((a->N + WARPS - 1) / WARPS);

    if (a->T == 1)
        LAUNCH((quant_rows_kernel<Q, 1, Out>), blocks, WARPS * 32, 0, s->at, *a);
    else if (a->T == 2)
        LAUNCH((quant_rows_kernel<Q, 2, Out>), blocks, WARPS * 32, 0, s->at, *a);
    else if (a->T <= 4)
        LAUNCH((quant_rows_kernel<Q, 4, Out>), blocks, WARPS * 32, 0, s->at, *a);
    else
        LAUNCH((quant_rows_kernel<Q, QUANT_ROWS_MOST, Out>), blocks, WARPS * 32, 0, s->at, *a);
}

int quant_by_rows(const struct quant_args *a, enum dtype d, bool logits, struct stream *s)
{
    BY_ACT(logits ? DTYPE_F32 : s->act, Out, BY_QUANT(d, Q, (launch<Q, Out>(a, s))));
    return stream_launched(s, "linear", "T=%d N=%d K=%d %s by rows", a->T, a->N, a->K,
                           dtype_name(d));
}
