/* attn_prefill.cu - attention of many tokens of a sequence, by matrix products.
 *
 * A block of 4 warps does an item: up to ROWS query rows of one KV head, a row being one of the G
 * heads of a token, in order of token.  It passes once over the positions that the rows see, NP at
 * a time from a multiple of NP on, and keeps maximum, total and sums in registers: 16 * MT rows a
 * warp.  While it computes on one tile of K and V, the next one is on its way from the KV blocks
 * into shared memory (cp.async); with fp8 it is then widened into a third place.
 *
 *   scores   S[16][NP] = Q[16][HD] K^T     mma m16n8k16; both from shared memory by ldmatrix
 *   weights  2^(S * mult - max * mult)     in f32, in the registers that the product left them in
 *   values   O[16][HD] += P[16][NP] V      P goes from C's registers to A's as they are
 *
 * O1: a row's numbers come from the same instructions wherever it stands.  A tile that it does not
 * see multiplies its sums by 1 and adds 0.
 *
 * Launch  grid: a block for each tile of rows and KV head; 128 threads; MT 2, but 1 where the
 *         registers (HD 256) or the rows (tokens that decode, all alone) are no more; on sm_75 with
 *         NP 32, for its shared memory.
 * Source  Dao 2023, arXiv 2307.08691 (rows by warps, one pass); PTX ISA (fragments).
 */
#include "kernels/attn_prefill.cuh"

/* A warp's rows: lane g * 4 + t has rows g and g + 8 of each 16, columns 2t and 2t + 1 of each 8.
 */
template <int HD, int MT> struct sums {
    float o[MT][HD / 8][4];
    float max[MT][2], total[MT][2]; /* of scores before mult; of this lane's columns */
};

/* --- one tile, one warp ----------------------------------------------------------------------- */

template <class E, int HD, int MT, int NP>
static __device__ __forceinline__ void multiply_qk(float s[MT][NP / 8][4], const unsigned char *q,
                                                   const unsigned char *k, int row, int lane)
{
#pragma unroll
    for (int i = 0; i < MT * NP / 8 * 4; i++)
        s[i / (NP / 2)][i / 4 % (NP / 8)][i % 4] = 0;
#pragma unroll
    for (int d = 0; d < HD / 16; d++) {
        unsigned a[MT][4], b[4];

#pragma unroll
        for (int m = 0; m < MT; m++)
            ldmatrix_x4(a[m], q + chunk_at<HD>(row + m * 16 + lane % 16, 2 * d + lane / 16));
#pragma unroll
        for (int n = 0; n < NP / 16; n++) {
            ldmatrix_x4(b,
                        k + chunk_at<HD>(n * 16 + lane / 16 * 8 + lane % 8, 2 * d + lane / 8 % 2));
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma_m16n8k16<E>(s[m][2 * n], a[m], b);
                mma_m16n8k16<E>(s[m][2 * n + 1], a[m], b + 2);
            }
        }
    }
}

/* What is no plain product: the scales of fp8, a softcap, positions that are not seen. */
template <int MT, int NP>
static __device__ __forceinline__ void
finish_scores(float s[MT][NP / 8][4], const struct attn_tiles *j, const float *scales,
              const struct row *rows, int lane, int start, bool hide)
{
    const float up = 2.0f * ATTN_LOG2E * j->curve.by, cap = j->curve.cap;

    if (scales) {
#pragma unroll
        for (int n = 0; n < NP / 8; n++) {
            const float2 by = *aligned<float2>(scales + n * 8 + lane % 4 * 2);

#pragma unroll
            for (int i = 0; i < MT * 2; i++)
                s[i / 2][n][i % 2 * 2] *= by.x, s[i / 2][n][i % 2 * 2 + 1] *= by.y;
        }
    }
    if (cap > 0) { /* tanh(x) = 1 - 2 / (1 + e^2x) */
#pragma unroll
        for (int i = 0; i < MT * NP / 2; i++) {
            float *x = &s[i / (NP / 2)][i / 4 % (NP / 8)][i % 4];

            *x = cap - __fdividef(2.0f * cap, 1.0f + exp2_fast(fminf(*x * up, 120.0f)));
        }
    }
    if (!hide) return;
#pragma unroll
    for (int i = 0; i < MT * 2; i++) {
        const struct row *r = &rows[i / 2 * 16 + i % 2 * 8 + lane / 4];

        const int first = r->first - start - lane % 4 * 2;
        const unsigned n = (unsigned)(r->end - r->first);

#pragma unroll
        for (int c = 0; c < NP / 4; c++) {
            float *x = &s[i / 2][c / 2][i % 2 * 2 + c % 2];

            *x = (unsigned)(c / 2 * 8 + c % 2 - first) < n ? *x : -INFINITY;
        }
    }
}

/* Scores become weights; what the sums have shrinks where a maximum grows. */
template <int HD, int MT, int NP>
static __device__ __forceinline__ void weigh(float s[MT][NP / 8][4], struct sums<HD, MT> *p,
                                             float mult)
{
    float keep[MT][2];
    bool grows = false;

#pragma unroll
    for (int i = 0; i < MT * 2; i++) {
        const int m = i / 2, h = i % 2;
        float top = p->max[m][h], total = 0, base;

#pragma unroll
        for (int c = 0; c < NP / 4; c++)
            top = fmaxf(top, s[m][c / 2][h * 2 + c % 2]);
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 2));
        base = top == -INFINITY ? 0.0f : top; /* nothing is seen yet */
        keep[m][h] = exp2_fast((p->max[m][h] - base) * mult);
        grows |= top != p->max[m][h];
        p->max[m][h] = top;
        base *= mult;
#pragma unroll
        for (int c = 0; c < NP / 4; c++) {
            float *x = &s[m][c / 2][h * 2 + c % 2];

            *x = exp2_fast(fmaf(*x, mult, -base));
            total += *x;
        }
        p->total[m][h] = p->total[m][h] * keep[m][h] + total;
    }
    if (!__any_sync(0xFFFFFFFFu, grows)) return;
#pragma unroll
    for (int i = 0; i < MT * HD / 2; i++) {
        const int m = i / (HD / 2);

        p->o[m][i / 4 % (HD / 8)][i % 4] *= keep[m][i % 4 / 2];
    }
}

template <class E, int HD, int MT, int NP>
static __device__ __forceinline__ void multiply_pv(struct sums<HD, MT> *p, float s[MT][NP / 8][4],
                                                   const unsigned char *v, int lane)
{
#pragma unroll
    for (int c = 0; c < NP / 16; c++) {
        unsigned a[MT][4], b[4];

#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *x = &s[m][2 * c + i / 2][i % 2 * 2];

                a[m][i] = pack2<E>(x[0], x[1]);
            }
        }
#pragma unroll
        for (int d = 0; d < HD / 16; d++) {
            ldmatrix_x4_trans(b, v + chunk_at<HD>(c * 16 + lane % 16, 2 * d + lane / 16));
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma_m16n8k16<E>(p->o[m][2 * d], a[m], b);
                mma_m16n8k16<E>(p->o[m][2 * d + 1], a[m], b + 2);
            }
        }
    }
}

/* --- an item ---------------------------------------------------------------------------------- */

/* o = sums / total, through the warp's own rows of q's place, so that rows are written whole. */
template <class E, int HD, int MT>
static __device__ __forceinline__ void write_rows(const struct attn_tiles *j,
                                                  struct sums<HD, MT> *p, unsigned char *q,
                                                  const struct row *rows, int row, int n, int lane)
{
    constexpr int C = HD / 8;
    E *o = (E *)j->o;

#pragma unroll
    for (int i = 0; i < MT * 2; i++) {
        const int m = i / 2, h = i % 2, r = row + m * 16 + h * 8 + lane / 4;
        float total = p->total[m][h], part;

        total += __shfl_xor_sync(0xFFFFFFFFu, total, 1);
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 2);
        part = 1.0f / total;
#pragma unroll
        for (int d = 0; d < HD / 8; d++) {
            const float *x = &p->o[m][d][h * 2];
            unsigned *to = aligned<unsigned>(q + chunk_at<HD>(r, d) + lane % 4 * 4);

            /* + 0: no zero has a sign, whatever was skipped */
            *to = pack2<E>(x[0] * part + 0.0f, x[1] * part + 0.0f);
        }
    }
    __syncwarp();
    for (int i = lane; i < 16 * MT * C; i += 32) {
        const int r = row + i / C;

        if (r >= n) break;
        *aligned<uint4>(o + ((size_t)rows[r].token * j->H + rows[r].head) * HD + i % C * 8) =
            *aligned<uint4>(q + chunk_at<HD>(r, i % C));
    }
}

template <class E, class KV, int HD, int MT, int NP>
static __device__ __forceinline__ void look_at(struct sums<HD, MT> *p, const unsigned char *shared,
                                               const unsigned char *tile,
                                               const struct attn_tiles *j, int row, int start)
{
    typedef place<KV, HD, MT, NP> at;
    const float *scales = at::SCALED ? (const float *)(shared + at::K_SCALES) : NULL;
    const struct row *rows = (const struct row *)(shared + at::ROW) + row;
    const struct row *last = rows + 16 * MT - 1;
    const int lane = threadIdx.x % 32;
    float s[MT][NP / 8][4];

    if (start >= last->end || start + NP <= rows->first) return;
    multiply_qk<E, HD, MT, NP>(s, shared + at::Q, tile, row, lane);
    finish_scores<MT, NP>(s, j, scales, rows, lane, start,
                          start < last->first || start + NP > rows->end);
    weigh<HD, MT, NP>(s, p, j->curve.cap > 0 ? 1.0f : j->curve.by);
    multiply_pv<E, HD, MT, NP>(p, s, tile + at::TILE, lane);
}

template <class E, class KV, int HD, int MT, int NP>
static __device__ __forceinline__ void look_back(struct sums<HD, MT> *p, unsigned char *shared,
                                                 const struct attn_tiles *j,
                                                 const struct item *item, int row)
{
    typedef place<KV, HD, MT, NP> at;
    const struct row *rows = (const struct row *)(shared + at::ROW);
    const int first = rows[0].first, end = rows[at::ROWS - 1].end;
    unsigned char *stage = shared + at::STAGES, *next = stage + (at::N_STAGES - 1) * at::STAGE;
    int start = first / NP * NP;

    copy_q<E, HD>(shared + at::Q, rows, at::ROWS, item->n, j);
    copy_tile<KV, HD, MT, NP>(stage, j, item, start, first, end);
    cp_async_commit();
    for (; start < end; start += NP) {
        unsigned char *const now = stage;

        cp_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the one before */
        if (at::SCALED) {
            widen_tile<E, KV, HD, MT, NP>(shared, start, first, end);
            __syncthreads();
        }
        if (start + NP < end) copy_tile<KV, HD, MT, NP>(next, j, item, start + NP, first, end);
        cp_async_commit();
        if (row < item->n)
            look_at<E, KV, HD, MT, NP>(p, shared, at::SCALED ? shared + at::TILES : now, j, row,
                                       start);
        stage = next, next = now;
    }
}

/* --- the kernel ------------------------------------------------------------------------------- */

template <class E, class KV, int HD, int MT, int NP>
static __device__ __forceinline__ void attend(unsigned char *shared, const struct attn_tiles *j)
{
    typedef place<KV, HD, MT, NP> at;
    struct row *rows = (struct row *)(shared + at::ROW);
    const struct item item = find_item(j, at::ROWS);
    const int row = threadIdx.x / 32 * 16 * MT;
    struct sums<HD, MT> p;

    if (item.n <= 0) return;
    find_rows(rows, at::ROWS, j, &item);
#pragma unroll
    for (int i = 0; i < MT * HD / 2; i++)
        p.o[i / (HD / 2)][i / 4 % (HD / 8)][i % 4] = 0;
#pragma unroll
    for (int i = 0; i < MT * 2; i++)
        p.max[i / 2][i % 2] = -INFINITY, p.total[i / 2][i % 2] = 0;
    __syncthreads();
    look_back<E, KV, HD, MT, NP>(&p, shared, j, &item, row);
    write_rows<E, HD, MT>(j, &p, shared + at::Q, rows, row, item.n, threadIdx.x % 32);
}

template <class E, class KV, int HD, int MT, int NP>
static __global__ void __launch_bounds__(THREADS, (place<KV, HD, MT, NP>::BLOCKS))
    attn_prefill_kernel(const struct attn_tiles j)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    SHARED_DYNAMIC(unsigned char, shared);

    attend<E, KV, HD, MT, NP>(shared, &j);
#endif
}

/* For sm_75: f16, and tiles that its shared memory holds. */
template <class KV, int HD>
static __global__ void __launch_bounds__(THREADS)
    attn_prefill_small_kernel(const struct attn_tiles j)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 800
    SHARED_DYNAMIC(unsigned char, shared);

    attend<f16, KV, HD, 1, 32>(shared, &j);
#endif
}

/* --- launch ----------------------------------------------------------------------------------- */

/* The list of the longest tiles that are one run of `rows` rows; if none is, the shortest. */
static int choose_list(int rows, int G)
{
    int list = 0;

    while (list + 1 < ATTN_TILE_LISTS && (ATTN_TILE << (list + 1)) * G <= rows)
        list++;
    return list;
}

/* alone: every tile is of one token. */
template <class KV, int HD, int MT, int NP>
static int launch_rows(void (*kernel)(struct attn_tiles), struct attn_tiles *j,
                       const struct attn_plan *plan, bool alone, struct stream *s)
{
    typedef place<KV, HD, MT, NP> at;
    int64_t grid;
    int rc;

    j->list = alone ? 0 : choose_list(at::ROWS, j->G);
    j->n_parts = ((alone ? 1 : ATTN_TILE << j->list) * j->G + at::ROWS - 1) / at::ROWS;
    grid = (int64_t)plan->n_tiles[j->list] * j->HK * j->n_parts;
    if (grid == 0) return ERR_OK;
    if (grid > INT32_MAX) return ERR_ARG;
    rc = stream_called(s,
                       cudaFuncSetAttribute((const void *)kernel,
                                            cudaFuncAttributeMaxDynamicSharedMemorySize, at::BYTES),
                       "attn", "%d bytes of shared memory", at::BYTES);
    if (rc) return rc;
    LAUNCH(kernel, (unsigned)grid, THREADS, at::BYTES, s->at, *j);
    return stream_launched(s, "attn", "tiles=%d H=%d HK=%d HD=%d", plan->n_tiles[j->list], j->H,
                           j->HK, HD);
}

/* Rows of a warp: more share what is read from shared memory; few tokens leave most of them empty.
 */
template <class E, class KV, int HD>
static int launch(struct attn_tiles *j, const struct attn_plan *plan, int T, struct stream *s)
{
    constexpr int MT = HD > 128 ? 1 : 2, NP = HD > 128 ? 32 : 64;
    const bool alone = plan->n_tiles[0] == T;

    static_assert(place<KV, HD, MT, NP>::BYTES <= 99 * 1024, "as much as sm_86 gives");
    if (alone)
        return launch_rows<KV, HD, 1, NP>(attn_prefill_kernel<E, KV, HD, 1, NP>, j, plan, alone, s);
    return launch_rows<KV, HD, MT, NP>(attn_prefill_kernel<E, KV, HD, MT, NP>, j, plan, alone, s);
}

template <class KV, int HD>
static int launch_small(struct attn_tiles *j, const struct attn_plan *plan, int T, struct stream *s)
{
    static_assert(place<KV, HD, 1, 32>::BYTES <= 64 * 1024, "as much as sm_75 gives");
    return launch_rows<KV, HD, 1, 32>(attn_prefill_small_kernel<KV, HD>, j, plan,
                                      plan->n_tiles[0] == T, s);
}

template <class KV>
static int launch_small_width(struct attn_tiles *j, const struct attn_plan *plan, int HD, int T,
                              struct stream *s)
{
    switch (HD) {
    case 64: return launch_small<KV, 64>(j, plan, T, s);
    case 80: return launch_small<KV, 80>(j, plan, T, s);
    case 96: return launch_small<KV, 96>(j, plan, T, s);
    case 128: return launch_small<KV, 128>(j, plan, T, s);
    default: return ERR_UNSUPPORTED;
    }
}

template <class E, class KV>
static int launch_width(struct attn_tiles *j, const struct attn_plan *plan, int HD, int T,
                        struct stream *s)
{
    switch (HD) {
    case 64: return launch<E, KV, 64>(j, plan, T, s);
    case 80: return launch<E, KV, 80>(j, plan, T, s);
    case 96: return launch<E, KV, 96>(j, plan, T, s);
    case 128: return launch<E, KV, 128>(j, plan, T, s);
    case 256: return launch<E, KV, 256>(j, plan, T, s);
    default: return ERR_UNSUPPORTED;
    }
}

/* sm_75 has matrix instructions for f16, and shared memory for smaller tiles. */
static bool has_mma(const struct kv_layer *kv, const struct attn_shape *a, const struct stream *s)
{
    const bool small = s->arch < 80 && s->act == DTYPE_F16 && a->HD <= 128;

    return attn_has_mma(s->act, kv, a, small ? 80 : s->arch);
}

int attn_prefill_launch(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                        const struct attn_shape *a, const struct attn_plan *plan, struct stream *s)
{
    struct attn_tiles j = attn_tiles_of(o, q, kv, r, a);
    const bool aligned16 = (uintptr_t)q % 16 == 0 && (uintptr_t)o % 16 == 0 && j.q_step % 8 == 0;

    if (!has_mma(kv, a, s) || !aligned16 || !(a->scale > 0))
        return attn_plain_launch(o, q, kv, r, a, plan, s);
    if (s->arch < 80)
        return kv->dtype == DTYPE_FP8 ? launch_small_width<fp8>(&j, plan, a->HD, r->T, s)
                                      : launch_small_width<f16>(&j, plan, a->HD, r->T, s);
    if (s->act == DTYPE_BF16)
        return kv->dtype == DTYPE_FP8 ? launch_width<bf16, fp8>(&j, plan, a->HD, r->T, s)
                                      : launch_width<bf16, bf16>(&j, plan, a->HD, r->T, s);
    return kv->dtype == DTYPE_FP8 ? launch_width<f16, fp8>(&j, plan, a->HD, r->T, s)
                                  : launch_width<f16, f16>(&j, plan, a->HD, r->T, s);
}
