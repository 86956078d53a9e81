/* linear_bf16_cpu.c - bf16 weights by bf16 tokens with the instruction for it: 32 products at once.
 *
 * Both lie along k, so a tile of TT tokens by NN rows reads TT + NN vecs for TT*NN instructions.
 * Each of the 16 lanes of an accumulator takes two products of each 32, in order of k.
 *
 * A tile also asks for a share of the rows that come next.  With few tokens a row is read from
 * memory once and used a few times: without that, the first tile of a row waits and the others do
 * not read.
 */
#include "kernels/linear_piece.h"
#include "kernels/simd.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define STEP     32 /* numbers in a vec */
#define MAX_TILE 16 /* accumulators: what vec_sum16 takes */
#define LINE     64 /* bytes that one prefetch brings */

#define BF16_INLINE static inline __attribute__((always_inline)) SIMD_TARGET_BF16

/* Rows past the last one repeat it and are not stored. */
struct rows {
    const char *row[MAX_TILE];
    int n0, n_valid;
    size_t ahead; /* bytes from a row to the one that a later tile reads there */
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

BF16_INLINE void store(const struct piece *p, const struct rows *r, vec *acc, int t0, const int TT,
                       const int NN)
{
    float sums[MAX_TILE];

#pragma GCC unroll 16
    for (int i = TT * NN; i < MAX_TILE; i++)
        acc[i] = (vec){0};
    vec_sum16(acc);
    vec_store(sums, &acc[0]);
    for (int t = 0; t < TT; t++) {
        float *y = p->y + (size_t)(t0 + t) * (size_t)p->w->N + (size_t)r->n0;

        for (int n = 0; n < NN && n < r->n_valid; n++)
            y[n] = sums[t * NN + n] + (p->bias ? p->bias[r->n0 + n] : 0);
    }
}

/* Tokens [t0, t0 + TT) by the rows in r, asking for what comes after rows [a0, a1) of them. */
BF16_INLINE void tile(const struct piece *p, const struct rows *r, int t0, int a0, int a1,
                      const int TT, const int NN)
{
    const size_t K = (size_t)p->w->K, whole = K - K % STEP;
    const char *x = (const char *)p->x + (size_t)t0 * p->x_bytes;
    vec acc[MAX_TILE];

#pragma GCC unroll 16
    for (int i = 0; i < TT * NN; i++)
        acc[i] = (vec){0};
    for (size_t k = 0; k < whole; k += STEP) {
        for (int n = a0; n < a1; n++)
            _mm_prefetch(r->row[n] + r->ahead + 2 * k, _MM_HINT_T1);
        step(acc, r, x, p->x_bytes, 2 * k, UINT32_MAX, TT, NN);
    }
    if (whole < K) step(acc, r, x, p->x_bytes, 2 * whole, (1u << (K - whole)) - 1, TT, NN);
    store(p, r, acc, t0, TT, NN);
}

BF16_INLINE void strip(const struct piece *p, const struct rows *r, const int NN)
{
    const int T = p->t1 - p->t0, n_tiles = (T + 3) / 4, last = T % 4;
    const int each = r->ahead ? (NN + n_tiles - 1) / n_tiles : 0; /* rows to ask for in a tile */
    int t = p->t0, a = 0, b;

    for (; t + 4 <= p->t1; t += 4, a = b) {
        b = a + each < NN ? a + each : NN;
        tile(p, r, t, a, b, 4, NN);
    }
    b = r->ahead ? NN : a;
    if (last == 3) tile(p, r, t, a, b, 3, NN);
    if (last == 2) tile(p, r, t, a, b, 2, NN);
    if (last == 1) tile(p, r, t, a, b, 1, NN);
}

BF16_INLINE void pick(struct rows *r, const struct piece *p, int n, const int NN)
{
    const size_t bytes = weight_row_bytes(p->w);

    r->n0 = n;
    r->n_valid = p->n1 - n < NN ? p->n1 - n : NN;
    r->ahead = n + 2 * NN <= p->w->N ? (size_t)NN * bytes : 0;
    for (int i = 0; i < NN; i++)
        r->row[i] = (const char *)p->w->data + (size_t)(n + (i < r->n_valid ? i : 0)) * bytes;
}

SIMD_TARGET_BF16 void linear_bf16(const struct piece *p)
{
    const int T = p->t1 - p->t0;
    struct rows r;

    for (int n = p->n0; T > 2 && n < p->n1; n += 4) {
        pick(&r, p, n, 4);
        strip(p, &r, 4);
    }
    for (int n = p->n0; T == 2 && n < p->n1; n += 8) {
        pick(&r, p, n, 8);
        tile(p, &r, p->t0, 0, r.ahead ? 8 : 0, 2, 8);
    }
    for (int n = p->n0; T == 1 && n < p->n1; n += 16) {
        pick(&r, p, n, 16);
        tile(p, &r, p->t0, 0, r.ahead ? 16 : 0, 1, 16);
    }
}

#else

void linear_bf16(const struct piece *p)
{
    linear_float(p);
}

#endif
