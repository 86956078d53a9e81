/* linear_quant_cpu.c - quantised weights by tokens in blocks of int8, never expanded in memory.
 *
 * Two panels of 16 rows are unpacked for a run of blocks, and all tokens of the piece pass by.
 * Inside a block the sum is exact, in integers: bytes of a row's q without its offset's sign by
 * those of x, which starts from -offset * the sum of x's.  Then, block after block,
 *
 *   y += (float)sum * x.scale * scale,  y -= x.sum * min
 *
 * in float: the same order for every element.  Between runs y itself holds the sum so far.
 */
#include "kernels/linear_piece.h"
#include "kernels/panel.h"
#include "kernels/quant.h"
#include "kernels/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PANELS     2 /* at a time: x is loaded once for both */
#define MAX_TOKENS 4 /* of a tile */
#define LINE       64

/* A run of blocks of some tokens by some panels. */
struct run {
    const struct panel *panel;
    const struct quant_x *x; /* the first token's first block; tokens are x_bytes apart */
    size_t x_bytes;
    int n_blocks;
    bool first, last; /* of the row */
};

/* What differs between dtypes: a constant, so that each gets a loop of its own. */
struct kind {
    int shift;   /* offset = 1 << shift, none if 0 */
    bool halves; /* a scale for each 16 numbers */
    bool min;
};

static const struct quant_x *token(const struct run *r, int t)
{
    return (const struct quant_x *)(const void *)((const char *)r->x + (size_t)t * r->x_bytes);
}

/* --- AVX-512 with dot products of bytes ------------------------------------------------------- */

#if defined(__x86_64__)

#define VNNI_INLINE static inline __attribute__((always_inline)) SIMD_TARGET_VNNI

/* s = the sums of block b's groups [g, end), with the offset taken off. */
VNNI_INLINE void sums_vnni(__m512i *s, const struct run *r, const struct quant_x *const *x, int b,
                           int g, int end, const struct kind k, const int TT, const int PP)
{
#pragma GCC unroll 4
    for (int t = 0; t < TT; t++) {
        int32_t sum = x[t][b].halves[g / 4];

        if (end - g == 8) sum += x[t][b].halves[1];
#pragma GCC unroll 2
        for (int p = 0; p < PP; p++)
            s[t * PP + p] = _mm512_set1_epi32(k.shift ? -(sum * (1 << k.shift)) : 0);
    }
#pragma GCC unroll 8
    for (; g < end; g++) {
        __m512i w[PANELS];

#pragma GCC unroll 2
        for (int p = 0; p < PP; p++)
            w[p] = _mm512_load_si512(r->panel[p].q[b][g]);
#pragma GCC unroll 4
        for (int t = 0; t < TT; t++) {
            int32_t four;

            memcpy(&four, x[t][b].q + 4 * g, sizeof four);
#pragma GCC unroll 2
            for (int p = 0; p < PP; p++)
                s[t * PP + p] = _mm512_dpbusd_epi32(s[t * PP + p], w[p], _mm512_set1_epi32(four));
        }
    }
}

/* acc += the sums of one half, or of all, of block b. */
VNNI_INLINE void add_vnni(__m512 *acc, const struct run *r, const struct quant_x *const *x, int b,
                          int h, const struct kind k, const int TT, const int PP)
{
    __m512i s[MAX_TOKENS * PANELS];

    sums_vnni(s, r, x, b, 4 * h, k.halves ? 4 * h + 4 : 8, k, TT, PP);
#pragma GCC unroll 4
    for (int t = 0; t < TT; t++)
#pragma GCC unroll 2
        for (int p = 0; p < PP; p++) {
            const __m512 f =
                _mm512_mul_ps(_mm512_cvtepi32_ps(s[t * PP + p]), _mm512_set1_ps(x[t][b].scale));

            acc[t * PP + p] =
                _mm512_fmadd_ps(f, _mm512_load_ps(r->panel[p].scale[b][h]), acc[t * PP + p]);
        }
}

/* The first n of 16 lanes. */
VNNI_INLINE __mmask16 some_rows(int n)
{
    const int some = n < 0 ? 0 : n > 16 ? 16 : n;

    return (__mmask16)((1u << some) - 1);
}

VNNI_INLINE void tile_vnni(float *y, size_t N, int n_valid, const float *bias, const struct run *r,
                           int t0, const struct kind k, const int TT, const int PP)
{
    const struct quant_x *x[MAX_TOKENS];
    __m512 acc[MAX_TOKENS * PANELS];
    __mmask16 some[PANELS];

#pragma GCC unroll 2
    for (int p = 0; p < PP; p++)
        some[p] = some_rows(n_valid - 16 * p);
    y += (size_t)t0 * N;
#pragma GCC unroll 8
    for (int i = 0; i < TT * PP; i++) {
        x[i / PP] = token(r, t0 + i / PP);
        acc[i] = r->first ? _mm512_setzero_ps()
                          : _mm512_maskz_loadu_ps(some[i % PP],
                                                  y + (size_t)(i / PP) * N + 16 * (i % PP));
    }
    for (int b = 0; b < r->n_blocks; b++) {
        add_vnni(acc, r, x, b, 0, k, TT, PP);
        if (k.halves) add_vnni(acc, r, x, b, 1, k, TT, PP);
        if (k.min)
#pragma GCC unroll 8
            for (int i = 0; i < TT * PP; i++)
                acc[i] = _mm512_fnmadd_ps(_mm512_set1_ps(x[i / PP][b].sum),
                                          _mm512_load_ps(r->panel[i % PP].min[b]), acc[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < TT * PP; i++) {
        const int p = i % PP;

        if (r->last && bias)
            acc[i] = _mm512_add_ps(acc[i], _mm512_maskz_loadu_ps(some[p], bias + 16 * p));
        _mm512_mask_storeu_ps(y + (size_t)(i / PP) * N + 16 * p, some[p], acc[i]);
    }
}

VNNI_INLINE void tokens_vnni(float *y, size_t N, int n_valid, const float *bias,
                             const struct run *r, int T, const struct kind k, const int PP)
{
    int t = 0;

    for (; t + 4 <= T; t += 4)
        tile_vnni(y, N, n_valid, bias, r, t, k, 4, PP);
    if (T - t == 3) tile_vnni(y, N, n_valid, bias, r, t, k, 3, PP);
    if (T - t == 2) tile_vnni(y, N, n_valid, bias, r, t, k, 2, PP);
    if (T - t == 1) tile_vnni(y, N, n_valid, bias, r, t, k, 1, PP);
}

#define VNNI_RUN(name, ...)                                                                        \
    SIMD_TARGET_VNNI static void name(float *y, size_t N, int n_valid, const float *bias,          \
                                      const struct run *r, int T)                                  \
    {                                                                                              \
        const struct kind k = {__VA_ARGS__};                                                       \
                                                                                                   \
        if (n_valid > PANEL_ROWS)                                                                  \
            tokens_vnni(y, N, n_valid, bias, r, T, k, 2);                                          \
        else                                                                                       \
            tokens_vnni(y, N, n_valid, bias, r, T, k, 1);                                          \
    }
VNNI_RUN(q8_0_vnni, 7, false, false)
VNNI_RUN(q4_0_vnni, 3, false, false)
VNNI_RUN(q4_k_vnni, 0, false, true)
VNNI_RUN(q6_k_vnni, 5, true, false)

/* One token by Q8_0 rows: the bytes are multiplied as they lie, and the sums of 16 rows are turned
 * instead of the rows.  The sum of a block is an integer, so the bits are those of a tile. */

/* s = the sums of 32 bytes of sixteen rows by x, which starts from 128 times too much of it. */
VNNI_INLINE __m512i turned_sums(const char *const *row, size_t at, __m512i x)
{
    const __m512i sign = _mm512_set1_epi8(-128);
    __m512i s[8];

#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) { /* rows i and i + 4 of each eight */
        const char *const *two = row + i % 4 + i / 4 * 8;
        const __m512i w =
            _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(
                                   (const __m256i *)(const void *)(two[0] + at))),
                               _mm256_loadu_si256((const __m256i *)(const void *)(two[4] + at)), 1);

        s[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_xor_si512(w, sign), x);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        s[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2 * i], s[2 * i + 1]),
                                _mm512_unpackhi_epi32(s[2 * i], s[2 * i + 1]));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        s[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(s[2 * i], s[2 * i + 1]),
                                _mm512_unpackhi_epi64(s[2 * i], s[2 * i + 1]));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(s[0], s[1], 0x88),
                            _mm512_shuffle_i32x4(s[0], s[1], 0xDD));
}

/* acc += blocks [0, n) of sixteen rows.  Memory is asked for the next ones as in unpack_q8_0. */
SIMD_TARGET_VNNI static __m512 run_one_q8_0(__m512 acc, const char *const *row,
                                            const struct quant_x *x, int n, ptrdiff_t ahead)
{
    uint16_t h[PANEL_BLOCKS][PANEL_ROWS];

    for (int r = 0; r < PANEL_ROWS; r++) {
#pragma GCC unroll 9
        for (int i = 0; i < 9; i++)
            _mm_prefetch(row[r] + ahead + i * LINE, _MM_HINT_T0);
        for (int b = 0; b < n; b++)
            memcpy(&h[b][r], row[r] + (size_t)b * 34, sizeof h[b][r]);
    }
    for (int b = 0; b < n; b++) {
        const __m512i q =
            _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)x[b].q));
        const __m512 scale =
            _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h[b]));
        const __m512i off = _mm512_set1_epi32((x[b].halves[0] + x[b].halves[1]) * 128);
        const __m512i s = _mm512_sub_epi32(turned_sums(row, (size_t)b * 34 + 2, q), off);

        acc = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(s), _mm512_set1_ps(x[b].scale)),
                              scale, acc);
#pragma GCC unroll 4
        for (int i = 9; i < 13; i++)
            _mm_prefetch(row[b / 2] + ahead + (i + b % 2 * 4) * LINE, _MM_HINT_T0);
    }
    return acc;
}

SIMD_TARGET_VNNI static void one_q8_0(const struct piece *p, int n)
{
    const size_t row_bytes = weight_row_bytes(p->w);
    const int blocks = p->w->K / QUANT_X;
    const __mmask16 some = some_rows(p->n1 - n);
    const struct quant_x *x =
        (const struct quant_x *)(const void *)((const char *)p->x + (size_t)p->t0 * p->x_bytes);
    const char *row[PANEL_ROWS];
    __m512 acc = _mm512_setzero_ps();

    for (int i = 0; i < PANEL_ROWS; i++)
        row[i] = (const char *)p->w->data + (size_t)(n + i < p->n1 ? n + i : p->n1 - 1) * row_bytes;
    for (int b = 0; b < blocks; b += PANEL_BLOCKS) {
        const int m = blocks - b < PANEL_BLOCKS ? blocks - b : PANEL_BLOCKS;
        const ptrdiff_t ahead = b + m < blocks ? m * 34 : (ptrdiff_t)(16 * row_bytes) - b * 34;

        acc = run_one_q8_0(acc, row, x + b, m, ahead);
        for (int i = 0; i < PANEL_ROWS; i++)
            row[i] += m * 34;
    }
    if (p->bias) acc = _mm512_add_ps(acc, _mm512_maskz_loadu_ps(some, p->bias + n));
    _mm512_mask_storeu_ps(p->y + (size_t)p->t0 * (size_t)p->w->N + n, some, acc);
}

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
        split_x(&pairs, token(r, t), r->n_blocks);
        for (int n = 0; n < n_valid; n += 8) {
            const int some = n_valid - n < 8 ? n_valid - n : 8;
            float part[8] = {0}, *at = y + (size_t)t * N + n;
            __m256 acc;

            if (!r->first) memcpy(part, at, (size_t)some * sizeof *at);
            acc = eight_v3(_mm256_loadu_ps(part), &r->panel[n / 16], token(r, t), &pairs,
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
            const float sum = row_plain(r->first ? 0 : *at, &r->panel[n / PANEL_ROWS], token(r, t),
                                        r->n_blocks, n % PANEL_ROWS, d);

            *at = sum + (r->last && bias ? bias[n] : 0);
        }
}

/* --- all ---------------------------------------------------------------------------------------
 */

static void run_tokens(float *y, size_t N, int n_valid, const float *bias, const struct run *r,
                       int T, enum dtype d)
{
#if defined(__x86_64__)
    const bool v = simd_has(SIMD_VNNI);

    if (v || simd_level() >= SIMD_V3) {
        switch (d) {
        case DTYPE_Q8_0: (v ? q8_0_vnni : q8_0_v3)(y, N, n_valid, bias, r, T); break;
        case DTYPE_Q4_0: (v ? q4_0_vnni : q4_0_v3)(y, N, n_valid, bias, r, T); break;
        case DTYPE_Q4_K: (v ? q4_k_vnni : q4_k_v3)(y, N, n_valid, bias, r, T); break;
        default: (v ? q6_k_vnni : q6_k_v3)(y, N, n_valid, bias, r, T);
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

    if (p->t1 - p->t0 == 1 && p->w->dtype == DTYPE_Q8_0 && simd_has(SIMD_VNNI)) {
        for (int n = p->n0; n < p->n1; n += PANEL_ROWS)
            one_q8_0(p, n);
        return;
    }
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
