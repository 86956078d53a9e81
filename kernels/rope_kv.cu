/* rope_kv.cu - turns q and k by their positions, and puts k and v into the KV blocks.
 *
 * Some lanes of a warp for a head, of q, k or v: the pairs that turn together lie in one lane's
 * registers, P of them side by side.  A block's heads are of one token, and share a table of sines.
 * Numbers that do not turn make pairs, too.
 */
extern "C" {
#include "kernels/rope_kv.h"
}

#include "kernels/act.cuh"

extern "C" {
#include "base/fp8.h"
}

#define THREADS 256

struct turning {
    const float *q_norm, *k_norm, *inv_freq;
    const int32_t *pos, *seq, *blocks;
    float *k_scales, *v_scales;
    int H, HK, HD, q_step, kv_step, n_rot, max_blocks;
    int lanes; /* of a head: 1, 2, 4, ... 32 */
    int parts; /* blocks of a token */
    float eps, scale;
    bool adjacent;
};

/* A lane's pairs of a head: ROUNDS times P that lie side by side. */
template <int P> static constexpr int ROUNDS = ROPE_MAX_HD / 2 / 32 / P;
template <int P> struct pairs {
    float x[ROUNDS<P>][P], y[ROUNDS<P>][P];
};

/* Where in the head pair p has its x and its y. */
static __device__ __forceinline__ int x_of(const struct turning &a, int p)
{
    return p < a.n_rot / 2 ? p : p + a.n_rot / 2;
}

static __device__ __forceinline__ int y_of(const struct turning &a, int p)
{
    return p < a.n_rot / 2 ? p + a.n_rot / 2 : p + a.HD / 2;
}

template <int P, class E>
static __device__ __forceinline__ void pairs_in(struct pairs<P> &v, const E *head,
                                                const struct turning &a, int lane)
{
#pragma unroll
    for (int r = 0; r < ROUNDS<P>; r++) {
        const int p = (r * a.lanes + lane) * P;

        if (p >= a.HD / 2) continue;
        if (!a.adjacent) {
            numbers_in<P>(v.x[r], head + x_of(a, p));
            numbers_in<P>(v.y[r], head + y_of(a, p));
            continue;
        }
#pragma unroll
        for (int k = 0; k < P; k += 2) {
            float two[4];

            if constexpr (P == 1)
                two[0] = to_float(head[2 * p]), two[1] = to_float(head[2 * p + 1]);
            else
                numbers_in<4>(two, head + 2 * (p + k));
            v.x[r][k] = two[0], v.y[r][k] = two[1];
            if constexpr (P > 1) v.x[r][k + 1] = two[2], v.y[r][k + 1] = two[3];
        }
    }
}

template <int P, class C>
static __device__ __forceinline__ void pairs_out(C *head, const struct pairs<P> &v,
                                                 const struct turning &a, int lane)
{
#pragma unroll
    for (int r = 0; r < ROUNDS<P>; r++) {
        const int p = (r * a.lanes + lane) * P;

        if (p >= a.HD / 2) continue;
        if (!a.adjacent) {
            numbers_out<P>(head + x_of(a, p), v.x[r]);
            numbers_out<P>(head + y_of(a, p), v.y[r]);
            continue;
        }
#pragma unroll
        for (int k = 0; k < P; k += 2) {
            if constexpr (P == 1) {
                head[2 * p] = from_float<C>(v.x[r][0]);
                head[2 * p + 1] = from_float<C>(v.y[r][0]);
            } else {
                const float two[4] = {v.x[r][k], v.y[r][k], v.x[r][k + 1], v.y[r][k + 1]};

                numbers_out<4>(head + 2 * (p + k), two);
            }
        }
    }
}

/* Calls f(x or y, its number in the head) for each of the lane's numbers. */
template <int P, class F>
static __device__ __forceinline__ void pairs_each(struct pairs<P> &v, const struct turning &a,
                                                  int lane, F f)
{
#pragma unroll
    for (int r = 0; r < ROUNDS<P>; r++) {
        const int p = (r * a.lanes + lane) * P;

        if (p >= a.HD / 2) continue;
#pragma unroll
        for (int k = 0; k < P; k++) {
            f(v.x[r][k], a.adjacent ? 2 * (p + k) : x_of(a, p + k));
            f(v.y[r][k], a.adjacent ? 2 * (p + k) + 1 : y_of(a, p + k));
        }
    }
}

template <int P>
static __device__ __forceinline__ void pairs_turn(struct pairs<P> &v, const float2 *table,
                                                  const struct turning &a, int lane)
{
#pragma unroll
    for (int r = 0; r < ROUNDS<P>; r++)
#pragma unroll
        for (int k = 0; k < P; k++) {
            const int p = (r * a.lanes + lane) * P + k;
            const float x = v.x[r][k], y = v.y[r][k];

            if (p >= a.n_rot / 2) continue;
            v.x[r][k] = x * table[p].x - y * table[p].y;
            v.y[r][k] = y * table[p].x + x * table[p].y;
        }
}

/* Over the lanes of a head; every lane of the warp takes part. */
static __device__ __forceinline__ float lanes_sum(float v, int lanes)
{
    for (int bit = lanes / 2; bit > 0; bit >>= 1)
        v += __shfl_xor_sync(0xFFFFFFFFu, v, bit);
    return v;
}

static __device__ __forceinline__ float lanes_max(float v, int lanes)
{
    for (int bit = lanes / 2; bit > 0; bit >>= 1)
        v = fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, bit));
    return v;
}

/* The head's scale, by which its numbers are divided. */
template <int P>
static __device__ __forceinline__ float pairs_scale(struct pairs<P> &v, const struct turning &a,
                                                    int lane)
{
    float most = 0;

    pairs_each(v, a, lane, [&](float &x, int) { most = fmaxf(most, fabsf(x)); });
    most = lanes_max(most, a.lanes) / FP8_MAX;
    pairs_each(v, a, lane, [&](float &x, int) { x = most > 0 ? x / most : 0.0f; });
    return most;
}

/* The angle is reduced in double, as turns, of which only the fraction counts. */
static __device__ __forceinline__ void make_table(float2 *table, const struct turning &a, int pos)
{
    for (int i = (int)threadIdx.x; i < a.n_rot / 2; i += THREADS) {
        const double turns = (double)pos * (double)a.inv_freq[i] * 0.15915494309189535;
        float s, c;

        sincospif((float)(2.0 * (turns - rint(turns))), &s, &c);
        table[i] = make_float2(a.scale * c, a.scale * s);
    }
}

template <class E, class C, int P>
static __global__ void __launch_bounds__(THREADS)
    rope_kv_kernel(E *q, const E *k, const E *v, C *to_k, C *to_v, const struct turning a)
{
    __shared__ float2 table[ROPE_MAX_HD / 2];
    const int t = (int)(blockIdx.x / (unsigned)a.parts), heads = THREADS / a.lanes;
    const int first = (int)(blockIdx.x % (unsigned)a.parts) * heads;
    const int h = first + (int)threadIdx.x / a.lanes, lane = (int)threadIdx.x % a.lanes;
    const bool is_q = h < a.H, is_k = !is_q && h < a.H + a.HK;
    const int hk = is_q ? 0 : is_k ? h - a.H : h - a.H - a.HK;
    const int pos = a.pos[t];
    const float *norm = is_q ? a.q_norm : is_k ? a.k_norm : NULL;
    E *const qh = q + (size_t)t * (size_t)a.q_step + (size_t)h * a.HD;
    const E *head = qh;
    struct pairs<P> mine = {};
    float ss = 0, scale = 1;

    if (!is_q) head = (is_k ? k : v) + (size_t)t * (size_t)a.kv_step + (size_t)hk * a.HD;
    if (first < a.H + a.HK) make_table(table, a, pos);
    if (hk < a.HK) pairs_in(mine, head, a, lane);
    pairs_each(mine, a, lane, [&](float &x, int) { ss += x * x; });
    ss = rsqrtf(lanes_sum(ss, a.lanes) / (float)a.HD + a.eps);
    if (norm) pairs_each(mine, a, lane, [&](float &x, int d) { x *= ss * norm[d]; });
    __syncthreads();
    if (is_q || is_k) pairs_turn(mine, table, a, lane);
    if (is_q) pairs_out(qh, mine, a, lane);
    if constexpr (sizeof(C) == 1) scale = pairs_scale(mine, a, lane);
    if (!is_q && hk < a.HK) {
        const size_t block =
            (size_t)
                a.blocks[(size_t)a.seq[t] * (size_t)a.max_blocks + (size_t)(pos / KV_BLOCK_TOKENS)];
        const size_t slot =
            (block * (size_t)a.HK + (size_t)hk) * KV_BLOCK_TOKENS + (size_t)(pos % KV_BLOCK_TOKENS);

        pairs_out((is_k ? to_k : to_v) + slot * (size_t)a.HD, mine, a, lane);
        if (sizeof(C) == 1 && lane == 0) (is_k ? a.k_scales : a.v_scales)[slot] = scale;
    }
}

template <class E, class C, int P>
static void launch(void *q, void *k, const void *v, const struct kv_layer *kv, struct turning a,
                   int T, struct stream *s)
{
    const int heads = a.H + 2 * a.HK;

    for (a.lanes = 1; a.lanes < 32 && a.lanes * P < a.HD / 2;)
        a.lanes *= 2;
    a.parts = (heads * a.lanes + THREADS - 1) / THREADS;
    LAUNCH((rope_kv_kernel<E, C, P>), (unsigned)T * (unsigned)a.parts, THREADS, 0, s->at, (E *)q,
           (const E *)k, (const E *)v, (C *)kv->k, (C *)kv->v, a);
}

/* Pairs go by fours where they, and all heads, begin at multiples of four numbers. */
template <class E, class C>
static void launch_as(void *q, void *k, const void *v, const struct kv_layer *kv,
                      const struct turning *a, int T, struct stream *s)
{
    if (a->HD % 8 == 0 && a->n_rot % 8 == 0 && starts_at<E>(q, a->q_step, 4) &&
        starts_at<E>(k, a->kv_step, 4) && starts_at<E>(v, a->kv_step, 4) &&
        starts_at<C>(kv->k, 0, 4) && starts_at<C>(kv->v, 0, 4))
        launch<E, C, 4>(q, k, v, kv, *a, T, s);
    else
        launch<E, C, 1>(q, k, v, kv, *a, T, s);
}

template <class E>
static void launch_in(void *q, void *k, const void *v, const struct kv_layer *kv,
                      const struct turning *a, int T, struct stream *s)
{
    if (kv->dtype == DTYPE_FP8)
        launch_as<E, fp8>(q, k, v, kv, a, T, s);
    else
        BY_ACT(kv->dtype, C, (launch_as<E, C>(q, k, v, kv, a, T, s)));
}

extern "C" int rope_kv_cuda(void *q, void *k, const void *v, const struct kv_layer *kv,
                            const struct ragged *r, const struct rope_shape *a, struct stream *s)
{
    const int rc = rope_kv_check(kv, a);
    const struct turning turning = {a->q_norm,
                                    a->k_norm,
                                    a->inv_freq,
                                    r->pos,
                                    r->seq,
                                    r->blocks,
                                    kv->k_scales,
                                    kv->v_scales,
                                    a->H,
                                    a->HK,
                                    a->HD,
                                    a->q_step ? a->q_step : a->H * a->HD,
                                    a->kv_step ? a->kv_step : a->HK * a->HD,
                                    a->n_rot,
                                    r->max_blocks,
                                    0,
                                    0,
                                    a->eps,
                                    a->scale,
                                    a->adjacent};

    if (rc) return rc;
    if (kv->dtype == DTYPE_FP8 && (!kv->k_scales || !kv->v_scales)) return ERR_ARG;
    if (r->T == 0) return ERR_OK;
    BY_ACT(s->act, E, launch_in<E>(q, k, v, kv, &turning, r->T, s));
    return stream_launched(s, "rope_kv", "T=%d H=%d HK=%d HD=%d", r->T, a->H, a->HK, a->HD);
}
