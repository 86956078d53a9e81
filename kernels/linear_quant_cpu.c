/* linear_quant_cpu.c - quantised weights by tokens in blocks of int8, never expanded in memory.
 *
 * Two panels of 16 rows are unpacked for a run of blocks, and all tokens of the piece pass by.
 * Inside a block the sum is exact, in integers: a row's unsigned bytes by the signed ones of x,
 * from -offset * the sum of x's on.  Then, block after block,
 *
 *   y += (float)sum * x.scale * scale,  y -= x.sum * min
 *
 * in float: the same order for every element.  Between runs y itself holds the sum so far.
 */
#include "kernels/linear_run.h"
#include "kernels/simd.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* --- AVX2: bytes 0 and 2 of each word, then 1 and 3, as 16 bits by those of x ------------------
 */

#define V3_INLINE static inline __attribute__((always_inline, target("arch=x86-64-v3")))

struct pairs {
    _Alignas(32) int32_t even[PANEL_BLOCKS][8], odd[PANEL_BLOCKS][8];
};

V3_INLINE void split_x(struct pairs *to, const struct quant_x *x, int n)
{
    for (int b = 0; b < n; b++) {
        const __m256i q = _mm256_loadu_si256((const __m256i *)(const void *)x[b].q);

        _mm256_store_si256((__m256i *)(void *)to->even[b],
                           _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8));
        _mm256_store_si256((__m256i *)(void *)to->odd[b], _mm256_srai_epi16(q, 8));
    }
}

/* The sums of eight rows over the groups [g, end) of block b. */
V3_INLINE __m256i sum_v3(const uint32_t *q, const struct pairs *x, int b, int g, int end)
{
    const __m256i low = _mm256_set1_epi32(0x00FF00FF);
    __m256i s = _mm256_setzero_si256();

    for (; g < end; g++) {
        const __m256i w = _mm256_load_si256((const __m256i *)(const void *)(q + 16 * g));

        s = _mm256_add_epi32(
            s, _mm256_madd_epi16(_mm256_and_si256(w, low), _mm256_set1_epi32(x->even[b][g])));
        s = _mm256_add_epi32(
            s, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_set1_epi32(x->odd[b][g])));
    }
    return s;
}

/* Eight rows of a panel, from row r0, by one token. */
V3_INLINE __m256 eight_v3(__m256 acc, const struct panel *p, const struct quant_x *x,
                          const struct pairs *pairs, int n, int r0, const struct kind k)
{
    for (int b = 0; b < n; b++) {
        for (int h = 0; h < (k.halves ? 2 : 1); h++) {
            const int32_t sum = x[b].halves[h] + (k.halves ? 0 : x[b].halves[1]);
            const __m256i off = _mm256_set1_epi32(k.shift ? sum * (1 << k.shift) : 0);
            const __m256i s = _mm256_sub_epi32(
                sum_v3(&p->q[b][0][r0], pairs, b, 4 * h, k.halves ? 4 * h + 4 : 8), off);
            const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(s), _mm256_set1_ps(x[b].scale));

            acc = _mm256_fmadd_ps(f, _mm256_load_ps(&p->scale[b][h][r0]), acc);
        }
        if (k.min)
            acc = _mm256_fnmadd_ps(_mm256_set1_ps(x[b].sum), _mm256_load_ps(&p->min[b][r0]), acc);
    }
    return acc;
}

V3_INLINE void tokens_v3(float *y, size_t N, int n_valid, const float *bias, const struct run *r,
                         int T, const struct kind k)
{
    struct pairs pairs;

    for (int t = 0; t < T; t++) {
        split_x(&pairs, run_token(r, t), r->n_blocks);
        for (int n = 0; n < n_valid; n += 8) {
            const int some = n_valid - n < 8 ? n_valid - n : 8;
            float part[8] = {0}, *at = y + (size_t)t * N + n;
            __m256 acc;

            if (!r->first) memcpy(part, at, (size_t)some * sizeof *at);
            acc = eight_v3(_mm256_loadu_ps(part), &r->panel[n / 16], run_token(r, t), &pairs,
                           r->n_blocks, n % 16, k);
            _mm256_storeu_ps(part, acc);
            for (int i = 0; i < some; i++)
                at[i] = part[i] + (r->last && bias ? bias[n + i] : 0);
        }
    }
}

#define V3_RUN(name, ...)                                                                          \
    __attribute__((target("arch=x86-64-v3"))) static void name(                                    \
        float *y, size_t N, int n_valid, const float *bias, const struct run *r, int T)            \
    {                                                                                              \
        const struct kind k = {__VA_ARGS__};                                                       \
                                                                                                   \
        tokens_v3(y, N, n_valid, bias, r, T, k);                                                   \
    }
V3_RUN(q8_0_v3, 7, false, false)
V3_RUN(q4_0_v3, 3, false, false)
V3_RUN(q4_k_v3, 0, false, true)
V3_RUN(q6_k_v3, 5, true, false)

#endif

/* --- plain -------------------------------------------------------------------------------------
 */

static int32_t sum_plain(const struct panel *p, const struct quant_x *x, int b, int row, int i,
                         int end, int offset)
{
    int32_t s = 0;

    for (; i < end; i++)
        s += ((int32_t)(p->q[b][i / 4][row] >> (8 * (i % 4)) & 0xFF) - offset) * x[b].q[i];
    return s;
}

static float row_plain(float acc, const struct panel *p, const struct quant_x *x, int n, int row,
                       enum dtype d)
{
    const int step = d == DTYPE_Q6_K ? 16 : 32;

    for (int b = 0; b < n; b++) {
        for (int i = 0; i < 32; i += step) {
            const int32_t s = sum_plain(p, x, b, row, i, i + step, panel_offset(d));

            acc += (float)s * x[b].scale * p->scale[b][i / 16][row];
        }
        if (d == DTYPE_Q4_K) acc -= x[b].sum * p->min[b][row];
    }
    return acc;
}

static void tokens_plain(float *y, size_t N, int n_valid, const float *bias, const struct run *r,
                         int T, enum dtype d)
{
    for (int t = 0; t < T; t++)
        for (int n = 0; n < n_valid; n++) {
            float *at = y + (size_t)t * N + n;
            const float sum = row_plain(r->first ? 0 : *at, &r->panel[n / PANEL_ROWS],
                                        run_token(r, t), r->n_blocks, n % PANEL_ROWS, d);

            *at = sum + (r->last && bias ? bias[n] : 0);
        }
}

/* --- all ---------------------------------------------------------------------------------------
 */

static void run_tokens(float *y, size_t N, int n_valid, const float *bias, const struct run *r,
                       int T, enum dtype d)
{
#if defined(__x86_64__)
    if (simd_has(SIMD_VNNI)) {
        run_vnni(y, N, n_valid, bias, r, T, d);
        return;
    }
    if (simd_level() >= SIMD_V3) {
        switch (d) {
        case DTYPE_Q8_0: q8_0_v3(y, N, n_valid, bias, r, T); break;
        case DTYPE_Q4_0: q4_0_v3(y, N, n_valid, bias, r, T); break;
        case DTYPE_Q4_K: q4_k_v3(y, N, n_valid, bias, r, T); break;
        default: q6_k_v3(y, N, n_valid, bias, r, T);
        }
        return;
    }
#endif
    tokens_plain(y, N, n_valid, bias, r, T, d);
}

/* Block `at` of the rows from n on; rows past the last one repeat it and are not stored. */
static void unpack(struct panel *panel, const struct piece *p, int n, int at, int n_blocks)
{
    const enum dtype d = p->w->dtype;
    const size_t row_bytes = weight_row_bytes(p->w), off = dtype_row_bytes(d, (size_t)at * QUANT_X);
    const bool last = (at + n_blocks) * QUANT_X == p->w->K;
    const char *row[PANEL_ROWS];
    ptrdiff_t ahead = (ptrdiff_t)dtype_row_bytes(d, (size_t)n_blocks * QUANT_X);

    if (last) ahead = (ptrdiff_t)(PANEL_ROWS * row_bytes) - (ptrdiff_t)off;
    for (int i = 0; i < PANEL_ROWS; i++)
        row[i] = (const char *)p->w->data +
                 (size_t)(n + i < p->n1 ? n + i : p->n1 - 1) * row_bytes + off;
    panel_unpack(panel, row, d, n_blocks, ahead);
}

void linear_quant(const struct piece *p)
{
    const int blocks = p->w->K / QUANT_X;
    const size_t N = (size_t)p->w->N;
    struct panel panel[PANELS];

#if defined(__x86_64__)
    if (p->t1 - p->t0 == 1 && p->w->dtype == DTYPE_Q8_0 && simd_has(SIMD_VNNI)) {
        one_q8_0_vnni(p);
        return;
    }
#endif
    for (int n = p->n0; n < p->n1; n += PANELS * PANEL_ROWS) {
        const int n_valid = p->n1 - n < PANELS * PANEL_ROWS ? p->n1 - n : PANELS * PANEL_ROWS;

        for (int b = 0; b < blocks; b += PANEL_BLOCKS) {
            struct run r = {.panel = panel, .x_bytes = p->x_bytes, .first = b == 0};

            r.n_blocks = blocks - b < PANEL_BLOCKS ? blocks - b : PANEL_BLOCKS;
            r.last = b + r.n_blocks == blocks;
            r.x = (const struct quant_x *)p->x + b;
            r.x = (const struct quant_x *)(const void *)((const char *)r.x +
                                                         (size_t)p->t0 * p->x_bytes);
            for (int i = 0; i < n_valid; i += PANEL_ROWS)
                unpack(&panel[i / PANEL_ROWS], p, n + i, b, r.n_blocks);
            run_tokens(p->y + (size_t)p->t0 * N + n, N, n_valid, p->bias ? p->bias + n : NULL, &r,
                       p->t1 - p->t0, p->w->dtype);
        }
    }
}
