/* linear_vnni_cpu.c - quantised weights by tokens with AVX-512's dot products of bytes. */
#include "kernels/linear_run.h"
#include "kernels/simd.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define MAX_TOKENS 4  /* of a tile */
#define LINE       64 /* bytes that one prefetch brings */

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
        x[i / PP] = run_token(r, t0 + i / PP);
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

void run_vnni(float *y, size_t N, int n_valid, const float *bias, const struct run *r, int T,
              enum dtype d)
{
    switch (d) {
    case DTYPE_Q8_0: q8_0_vnni(y, N, n_valid, bias, r, T); break;
    case DTYPE_Q4_0: q4_0_vnni(y, N, n_valid, bias, r, T); break;
    case DTYPE_Q4_K: q4_k_vnni(y, N, n_valid, bias, r, T); break;
    default: q6_k_vnni(y, N, n_valid, bias, r, T);
    }
}

void one_q8_0_vnni(const struct piece *p)
{
    for (int n = p->n0; n < p->n1; n += PANEL_ROWS)
        one_q8_0(p, n);
}

#endif
