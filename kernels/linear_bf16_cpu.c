/* linear_bf16_cpu.c - bf16 weights by bf16 tokens with the instruction for it: 32 products at once.
 *
 * Both lie along k, so a tile of TT tokens by NN rows reads TT + NN vecs for TT*NN instructions.
 * Each of the 16 lanes of an accumulator takes two products of each 32, in order of k.
 *
 * With few tokens the time is memory's.  So a tile also asks for a share of the rows that come
 * next: else the first tile of a row would wait and the others would not read.  One token takes one
 * row after the other, because memory is read fastest in order.
 */
#include "kernels/linear_piece.h"
#include "kernels/simd.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define STEP     32    /* numbers in a vec */
#define MAX_TILE 16    /* accumulators: what vec_sum16 takes */
#define AHEAD    16384 /* bytes between one token's reading and its asking */
#define UNROLL   8
#define RUN      1024 /* numbers: 8 KiB of four rows */
#define MAX_KEPT 32   /* tiles of 4 tokens; a piece with so long rows has no more */

#define BF16_INLINE static inline __attribute__((always_inline)) SIMD_TARGET_BF16

/* Rows past the last one repeat it and are not stored. */
struct rows {
    const char *row[4];
    int n0, n_valid;
    size_t k0, k1; /* the run of it */
    size_t ahead;  /* bytes to what will be read after the run */
};

BF16_INLINE __m512i load(const void *p, __mmask32 some)
{
    return some == UINT32_MAX ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(some, p);
}

/* acc += the 32 products at byte `at` of each token and row. */
BF16_INLINE void step(vec *acc, const struct rows *r, const char *x, size_t x_bytes, size_t at,
                      __mmask32 some, const int TT, const int NN)
{
    __m512i xv[4];

#pragma GCC unroll 4
    for (int t = 0; t < TT; t++)
        xv[t] = _mm512_loadu_si512(x + (size_t)t * x_bytes + at);
#pragma GCC unroll 16
    for (int n = 0; n < NN; n++) {
        const __m512i w = load(r->row[n] + at, some);

#pragma GCC unroll 4
        for (int t = 0; t < TT; t++)
            acc[t * NN + n] =
                (vec)_mm512_dpbf16_ps((__m512)acc[t * NN + n], (__m512bh)xv[t], (__m512bh)w);
    }
}

/* acc += tokens [t0, t0 + TT) by the run in r, asking for what comes after rows [a0, a1) of it. */
BF16_INLINE void multiply(vec *acc, const struct piece *p, const struct rows *r, int t0, int a0,
                          int a1, const int TT)
{
    const size_t whole = r->k1 - r->k1 % STEP;
    const char *x = (const char *)p->x + (size_t)t0 * p->x_bytes;

    for (size_t k = r->k0; k < whole; k += STEP) {
        for (int n = a0; n < a1; n++)
            _mm_prefetch(r->row[n] + r->ahead + 2 * k, _MM_HINT_T0);
        step(acc, r, x, p->x_bytes, 2 * k, UINT32_MAX, TT, 4);
    }
    if (whole < r->k1) step(acc, r, x, p->x_bytes, 2 * whole, (1u << (r->k1 - whole)) - 1, TT, 4);
}

/* The sums of acc [TT][NN] at y[t0][n0]. */
BF16_INLINE void store(const struct piece *p, vec *acc, int t0, int n0, int n_valid, const int TT,
                       const int NN)
{
    float sums[MAX_TILE];

#pragma GCC unroll 16
    for (int i = TT * NN; i < MAX_TILE; i++)
        acc[i] = (vec){0};
    vec_sum16(acc);
    vec_store(sums, &acc[0]);
    for (int t = 0; t < TT; t++) {
        float *y = p->y + (size_t)(t0 + t) * (size_t)p->w->N + (size_t)n0;

        for (int n = 0; n < NN && n < n_valid; n++)
            y[n] = sums[t * NN + n] + (p->bias ? p->bias[n0 + n] : 0);
    }
}

/* kept: the accumulators, where the row is more than one run. */
BF16_INLINE void tile(const struct piece *p, const struct rows *r, vec *kept, int t0, int a0,
                      int a1, const int TT)
{
    vec acc[MAX_TILE];

#pragma GCC unroll 16
    for (int i = 0; i < TT * 4; i++)
        acc[i] = r->k0 == 0 ? (vec){0} : kept[i];
    multiply(acc, p, r, t0, a0, a1, TT);
    if (r->k1 == (size_t)p->w->K) {
        store(p, acc, t0, r->n0, r->n_valid, TT, 4);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < TT * 4; i++)
        kept[i] = acc[i];
}

/* All tokens by a run. */
BF16_INLINE void tokens(const struct piece *p, const struct rows *r, vec (*kept)[MAX_TILE])
{
    const int n_tiles = (p->t1 - p->t0 + 3) / 4;
    const int each = (4 + n_tiles - 1) / n_tiles; /* rows to ask for in a tile */
    int t = p->t0, a = 0, b;

    for (; t + 4 <= p->t1; t += 4, a = b, kept++) {
        b = a + each < 4 ? a + each : 4;
        tile(p, r, *kept, t, a, b, 4);
    }
    if (p->t1 - t == 3) tile(p, r, *kept, t, a, 4, 3);
    if (p->t1 - t == 2) tile(p, r, *kept, t, a, 4, 2);
    if (p->t1 - t == 1) tile(p, r, *kept, t, a, 4, 1);
}

/* More than one token by four rows: with many tokens, a run of the rows at a time that stays in the
 * first-level cache. */
BF16_INLINE void some_tokens(const struct piece *p, int n)
{
    const size_t K = (size_t)p->w->K, bytes = weight_row_bytes(p->w);
    const int T = p->t1 - p->t0;
    const size_t run = K > 2 * RUN && T > 8 && T <= 4 * MAX_KEPT ? RUN : K;
    struct rows r = {.n0 = n, .n_valid = p->n1 - n};
    vec kept[MAX_KEPT][MAX_TILE];

    for (int i = 0; i < 4; i++)
        r.row[i] = (const char *)p->w->data + (size_t)(n + (i < r.n_valid ? i : 0)) * bytes;
    for (; r.k0 < K; r.k0 = r.k1) {
        r.k1 = K - r.k0 < run ? K : r.k0 + run;
        r.ahead = r.k1 < K ? 2 * run : 4 * bytes - 2 * r.k0;
        tokens(p, &r, kept);
    }
}

/* x by one row. */
BF16_INLINE void one_row(vec *acc, const struct piece *p, const char *x, const char *row)
{
    const size_t K = (size_t)p->w->K, whole = K - K % STEP, bytes = weight_row_bytes(p->w);
    const struct rows r = {.row = {row}};
    const size_t ahead = bytes < AHEAD ? AHEAD / bytes * bytes : bytes;
    size_t k = 0;

    *acc = (vec){0};
    for (; k + UNROLL * STEP <= whole; k += UNROLL * STEP) {
#pragma GCC unroll 8
        for (size_t u = k; u < k + UNROLL * STEP; u += STEP) {
            _mm_prefetch(row + ahead + 2 * u, _MM_HINT_T0);
            step(acc, &r, x, 0, 2 * u, UINT32_MAX, 1, 1);
        }
    }
    for (; k < whole; k += STEP)
        step(acc, &r, x, 0, 2 * k, UINT32_MAX, 1, 1);
    if (whole < K) step(acc, &r, x, 0, 2 * whole, (1u << (K - whole)) - 1, 1, 1);
}

/* One token by 16 rows. */
BF16_INLINE void one_token(const struct piece *p, int n)
{
    const char *x = (const char *)p->x + (size_t)p->t0 * p->x_bytes;
    const char *w = (const char *)p->w->data + (size_t)n * weight_row_bytes(p->w);
    const int n_valid = p->n1 - n < MAX_TILE ? p->n1 - n : MAX_TILE;
    vec acc[MAX_TILE] = {0};

    for (int i = 0; i < n_valid; i++)
        one_row(&acc[i], p, x, w + (size_t)i * weight_row_bytes(p->w));
    store(p, acc, p->t0, n, n_valid, 1, MAX_TILE);
}

SIMD_TARGET_BF16 void linear_bf16(const struct piece *p)
{
    const bool one = p->t1 - p->t0 == 1;

    for (int n = p->n0; !one && n < p->n1; n += 4)
        some_tokens(p, n);
    for (int n = p->n0; one && n < p->n1; n += MAX_TILE)
        one_token(p, n);
}

#else

void linear_bf16(const struct piece *p)
{
    linear_float(p);
}

#endif
