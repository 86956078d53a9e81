/* linear_wide_cpu.c - float weights with AVX-512: 16 lanes, in registers by name.
 *
 * Both x and w lie along k, so a tile of 4 tokens by 4 rows reads 8 vecs for 16 multiply-adds.  A
 * step is 16 numbers, widened to floats where they are not; or 32 bf16 where there is the
 * instruction, whose lanes take two products each, in order of k.
 *
 * With few tokens the time is memory's.  So a tile also asks for a share of the rows that come
 * next: else the first tile of a row would wait and the others would not read.  One token takes one
 * row after the other, because memory is read fastest in order.
 */
#include "kernels/linear_piece.h"
#include "kernels/simd.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define MAX_TILE  16   /* accumulators: what vec_sum16 takes */
#define AHEAD     8192 /* bytes between one token's reading and its asking */
#define UNROLL    8
#define RUN_BYTES 2048 /* of a row, four of which stay in the first-level cache */
#define MAX_KEPT  32   /* tiles of 4 tokens whose accumulators are kept between runs */

/* One target for all, so that all of it can be inlined; the instruction for bf16 comes from its
 * intrinsic alone, which is reached only where the machine has it. */
#define WIDE_INLINE static inline __attribute__((always_inline)) SIMD_TARGET_BF16

/* What the numbers are: constants, so that each kind gets a loop of its own. */
struct kind {
    enum dtype d;
    bool dot;           /* two products a lane */
    int step;           /* numbers at once */
    int w_size, x_size; /* bytes of a number */
};

/* Rows past the last one repeat it and are not stored. */
struct rows {
    const char *row[4];
    int n0, n_valid;
    size_t k0, k1; /* the run of it */
    size_t ahead;  /* bytes to what will be read after the run */
};

/* 16 numbers of d as floats, or 32 bf16 as they are; zeros where `some` has none. */
WIDE_INLINE __m512 load(const char *p, uint32_t some, enum dtype d, bool dot)
{
    const bool whole = some == UINT32_MAX;
    __m256i h;

    if (dot)
        return _mm512_castsi512_ps(whole ? _mm512_loadu_si512(p)
                                         : _mm512_maskz_loadu_epi16(some, p));
    if (d == DTYPE_F32)
        return whole ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps((__mmask16)some, p);
    h = whole ? _mm256_loadu_si256((const __m256i *)(const void *)p)
              : _mm256_maskz_loadu_epi16((__mmask16)some, p);
    return d == DTYPE_F16 ? _mm512_cvtph_ps(h)
                          : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

WIDE_INLINE vec product(vec acc, __m512 x, __m512 w, bool dot)
{
    return dot ? (vec)_mm512_dpbf16_ps((__m512)acc, (__m512bh)x, (__m512bh)w)
               : (vec)_mm512_fmadd_ps(x, w, (__m512)acc);
}

/* acc += the products at number k of each token and row. */
WIDE_INLINE void step(vec *acc, const char *const *row, const char *x, size_t x_bytes, size_t k,
                      uint32_t some, const struct kind q, const int TT, const int NN)
{
    __m512 xv[4];

#pragma GCC unroll 4
    for (int t = 0; t < TT; t++)
        xv[t] = load(x + (size_t)t * x_bytes + k * (size_t)q.x_size, some,
                     q.x_size == 4 ? DTYPE_F32 : DTYPE_BF16, q.dot);
#pragma GCC unroll 4
    for (int n = 0; n < NN; n++) {
        const __m512 w = load(row[n] + k * (size_t)q.w_size, some, q.d, q.dot);

#pragma GCC unroll 4
        for (int t = 0; t < TT; t++)
            acc[t * NN + n] = product(acc[t * NN + n], xv[t], w, q.dot);
    }
}

/* The first n numbers of a step. */
WIDE_INLINE uint32_t some_of(size_t n)
{
    return n < 32 ? (1u << n) - 1 : UINT32_MAX;
}

/* acc += tokens [t0, t0 + TT) by the run in r, asking for what comes after rows [a0, a1) of it. */
WIDE_INLINE void multiply(vec *acc, const struct piece *p, const struct rows *r, int t0, int a0,
                          int a1, const struct kind q, const int TT)
{
    const size_t whole = r->k1 - r->k1 % (size_t)q.step;
    const char *x = (const char *)p->x + (size_t)t0 * p->x_bytes;

    for (size_t k = r->k0; k < whole; k += (size_t)q.step) {
        for (int n = a0; n < a1; n++)
            _mm_prefetch(r->row[n] + r->ahead + k * (size_t)q.w_size, _MM_HINT_T0);
        step(acc, r->row, x, p->x_bytes, k, UINT32_MAX, q, TT, 4);
    }
    if (whole < r->k1) step(acc, r->row, x, p->x_bytes, whole, some_of(r->k1 - whole), q, TT, 4);
}

/* The sums of acc [TT][NN] at y[t0][n0]. */
WIDE_INLINE void store(const struct piece *p, vec *acc, int t0, int n0, int n_valid, const int TT,
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
WIDE_INLINE void tile(const struct piece *p, const struct rows *r, vec *kept, int t0, int a0,
                      int a1, const struct kind q, const int TT)
{
    vec acc[MAX_TILE];

#pragma GCC unroll 16
    for (int i = 0; i < TT * 4; i++)
        acc[i] = r->k0 == 0 ? (vec){0} : kept[i];
    multiply(acc, p, r, t0, a0, a1, q, TT);
    if (r->k1 == (size_t)p->w->K) {
        store(p, acc, t0, r->n0, r->n_valid, TT, 4);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < TT * 4; i++)
        kept[i] = acc[i];
}

/* All tokens by a run. */
WIDE_INLINE void tokens(const struct piece *p, const struct rows *r, vec (*kept)[MAX_TILE],
                        const struct kind q)
{
    const int n_tiles = (p->t1 - p->t0 + 3) / 4;
    const int each = (4 + n_tiles - 1) / n_tiles; /* rows to ask for in a tile */
    int t = p->t0, a = 0, b;

    for (; t + 4 <= p->t1; t += 4, a = b, kept++) {
        b = a + each < 4 ? a + each : 4;
        tile(p, r, *kept, t, a, b, q, 4);
    }
    if (p->t1 - t == 3) tile(p, r, *kept, t, a, 4, q, 3);
    if (p->t1 - t == 2) tile(p, r, *kept, t, a, 4, q, 2);
    if (p->t1 - t == 1) tile(p, r, *kept, t, a, 4, q, 1);
}

/* More than one token by four rows: with many tokens, a run of the rows at a time that stays in the
 * first-level cache. */
WIDE_INLINE void some_tokens(const struct piece *p, int n, const struct kind q)
{
    const size_t K = (size_t)p->w->K, bytes = weight_row_bytes(p->w);
    const size_t run = RUN_BYTES / (size_t)q.w_size, size = (size_t)q.w_size;
    const int T = p->t1 - p->t0;
    const size_t most = K > 2 * run && T > 8 && T <= 4 * MAX_KEPT ? run : K;
    struct rows r = {.n0 = n, .n_valid = p->n1 - n};
    vec kept[MAX_KEPT][MAX_TILE];

    for (int i = 0; i < 4; i++)
        r.row[i] = (const char *)p->w->data + (size_t)(n + (i < r.n_valid ? i : 0)) * bytes;
    for (; r.k0 < K; r.k0 = r.k1) {
        r.k1 = K - r.k0 < most ? K : r.k0 + most;
        r.ahead = r.k1 < K ? most * size : 4 * bytes - r.k0 * size;
        tokens(p, &r, kept, q);
    }
}

/* x by one row. */
WIDE_INLINE void one_row(vec *acc, const struct piece *p, const char *x, const char *row,
                         const struct kind q)
{
    const size_t K = (size_t)p->w->K, each = (size_t)q.step, whole = K - K % each;
    const size_t bytes = weight_row_bytes(p->w);
    const size_t ahead = bytes < AHEAD ? AHEAD / bytes * bytes : bytes;
    size_t k = 0;

    *acc = (vec){0};
    for (; k + UNROLL * each <= whole; k += UNROLL * each) {
#pragma GCC unroll 8
        for (size_t u = k; u < k + UNROLL * each; u += each) {
            _mm_prefetch(row + ahead + u * (size_t)q.w_size, _MM_HINT_T0);
            step(acc, &row, x, 0, u, UINT32_MAX, q, 1, 1);
        }
    }
    for (; k < whole; k += each)
        step(acc, &row, x, 0, k, UINT32_MAX, q, 1, 1);
    if (whole < K) step(acc, &row, x, 0, whole, some_of(K - whole), q, 1, 1);
}

/* One token by 16 rows. */
WIDE_INLINE void one_token(const struct piece *p, int n, const struct kind q)
{
    const char *x = (const char *)p->x + (size_t)p->t0 * p->x_bytes;
    const char *w = (const char *)p->w->data + (size_t)n * weight_row_bytes(p->w);
    const int n_valid = p->n1 - n < MAX_TILE ? p->n1 - n : MAX_TILE;
    vec acc[MAX_TILE] = {0};

    for (int i = 0; i < n_valid; i++)
        one_row(&acc[i], p, x, w + (size_t)i * weight_row_bytes(p->w), q);
    store(p, acc, p->t0, n, n_valid, 1, MAX_TILE);
}

WIDE_INLINE void piece_of(const struct piece *p, const struct kind q)
{
    const bool one = p->t1 - p->t0 == 1;

    for (int n = p->n0; !one && n < p->n1; n += 4)
        some_tokens(p, n, q);
    for (int n = p->n0; one && n < p->n1; n += MAX_TILE)
        one_token(p, n, q);
}

#define WIDE(name, ...)                                                                            \
    SIMD_TARGET_BF16 static void name(const struct piece *p)                                       \
    {                                                                                              \
        piece_of(p, (struct kind){__VA_ARGS__});                                                   \
    }
WIDE(wide_f32, DTYPE_F32, false, 16, 4, 4)
WIDE(wide_f16, DTYPE_F16, false, 16, 2, 4)
WIDE(wide_bf16, DTYPE_BF16, false, 16, 2, 2)
WIDE(dot_bf16, DTYPE_BF16, true, 32, 2, 2)

void linear_wide(const struct piece *p)
{
    if (p->w->dtype == DTYPE_F32)
        wide_f32(p);
    else if (p->w->dtype == DTYPE_F16)
        wide_f16(p);
    else if (simd_has(SIMD_BF16))
        dot_bf16(p);
    else
        wide_bf16(p);
}

#else

void linear_wide(const struct piece *p)
{
    linear_float(p);
}

#endif
