/* linear_float_cpu.c - float weights below AVX-512, in register tiles.
 *
 * Both x and w are contiguous along K, so a tile of TT tokens by NN outputs keeps TT*NN vec
 * accumulators and reads TT + NN vecs for TT*NN multiply-adds.  How large it may be is a matter of
 * registers: 16 accumulators for AVX-512 (32 registers of one vec), 4 for AVX2 (16 of half a vec).
 *
 * With enough tokens, NN rows at a time are first widened to floats, so that the decoding of 16-bit
 * weights is paid once and not for each tile.
 */
#include "kernels/linear_piece.h"
#include "kernels/simd.h"

#include <stdbool.h>

#include "kernels/lanes.h"

#define MAX_TILE   16   /* accumulators: what vec_sum16 takes */
#define MAX_ROWS   4    /* outputs of a tile whose rows are widened first */
#define WIDEN_K    8192 /* longest row that is widened: MAX_ROWS of them are 128 KiB of stack */
#define WIDEN_FROM 8    /* tokens from which on it pays */

/* The rows of w that a tile reads.  Rows past the last one repeat it and are not stored, so that
 * there is one tile shape and no edge code. */
struct rows {
    const void *row[MAX_TILE];
    int n0, n_valid;
};

/* What the numbers are: constants, so that each pair gets a loop of its own. */
struct forms {
    enum dtype x, w;
};

/* acc += TT vecs of x by NN vecs of the rows, at element k; n_lanes: 16 but for the last. */
SIMD_INLINE void step(struct lanes *acc, const struct rows *r, const char *x, size_t x_bytes,
                      size_t k, int n_lanes, const struct forms d, const int TT, const int NN,
                      const int level)
{
    struct lanes xv[4], wv;

#pragma GCC unroll 4
    for (int t = 0; t < TT; t++)
        if (n_lanes == SIMD_LANES)
            lanes_load_as(&xv[t], x + (size_t)t * x_bytes, k, d.x, level);
        else
            lanes_load_part(&xv[t], x + (size_t)t * x_bytes, k, n_lanes, d.x, level);
#pragma GCC unroll 16
    for (int n = 0; n < NN; n++) {
        if (n_lanes == SIMD_LANES)
            lanes_load_as(&wv, r->row[n], k, d.w, level);
        else
            lanes_load_part(&wv, r->row[n], k, n_lanes, d.w, level);
#pragma GCC unroll 4
        for (int t = 0; t < TT; t++)
            lanes_fma(&acc[t * NN + n], &xv[t], &wv, level);
    }
}

SIMD_INLINE void tile(const struct piece *p, const struct rows *r, int t0, const struct forms d,
                      const int TT, const int NN, const int level)
{
    const size_t K = (size_t)p->w->K, whole = K - K % SIMD_LANES;
    const char *x = (const char *)p->x + (size_t)t0 * p->x_bytes;
    struct lanes acc[MAX_TILE];
    float sums[MAX_TILE];

#pragma GCC unroll 16
    for (int i = 0; i < TT * NN; i++)
        lanes_set(&acc[i], 0, level);
    for (size_t k = 0; k < whole; k += SIMD_LANES)
        step(acc, r, x, p->x_bytes, k, SIMD_LANES, d, TT, NN, level);
    if (whole < K) step(acc, r, x, p->x_bytes, whole, (int)(K - whole), d, TT, NN, level);
    lanes_sums(sums, acc, TT * NN, level);
    for (int t = 0; t < TT; t++) {
        float *y = p->y + (size_t)(t0 + t) * (size_t)p->w->N + (size_t)r->n0;

        for (int n = 0; n < NN && n < r->n_valid; n++)
            y[n] = sums[t * NN + n] + (p->bias ? p->bias[r->n0 + n] : 0);
    }
}

/* All tokens by the rows in r: TT at a time, then one at a time. */
SIMD_INLINE void strip(const struct piece *p, const struct rows *r, const struct forms d,
                       const int TT, const int NN, const int level)
{
    int t = p->t0;

    for (; t + TT <= p->t1; t += TT)
        tile(p, r, t, d, TT, NN, level);
    for (; TT > 1 && t < p->t1; t++)
        tile(p, r, t, d, 1, NN, level);
}

SIMD_INLINE void pick(struct rows *r, const struct piece *p, int n, const int NN)
{
    r->n0 = n;
    r->n_valid = p->n1 - n < NN ? p->n1 - n : NN;
    for (int i = 0; i < NN; i++)
        r->row[i] = (const char *)p->w->data +
                    (size_t)(n + (i < r->n_valid ? i : 0)) * weight_row_bytes(p->w);
}

SIMD_INLINE void widen(struct rows *r, float *wide, int K, enum dtype d, const int NN,
                       const int level)
{
    const int whole = K - K % SIMD_LANES;
    struct lanes l;
    float rest[SIMD_LANES];

    for (int n = 0; n < NN; n++) {
        float *to = wide + (size_t)n * WIDEN_K;

        for (int k = 0; k < whole; k += SIMD_LANES) {
            lanes_load_as(&l, r->row[n], (size_t)k, d, level);
            lanes_store(to + k, &l, level);
        }
        if (whole < K) {
            lanes_load_part(&l, r->row[n], (size_t)whole, K - whole, d, level);
            lanes_store(rest, &l, level);
            memcpy(to + whole, rest, (size_t)(K - whole) * sizeof *to);
        }
        r->row[n] = to;
    }
}

SIMD_INLINE void piece_of(const struct piece *p, const struct forms d, const int TT, const int NN,
                          const int NN1, const int level)
{
    const int T = p->t1 - p->t0;
    const bool wider = d.w != DTYPE_F32 && T >= WIDEN_FROM && p->w->K <= WIDEN_K;
    float wide[MAX_ROWS * WIDEN_K];
    struct rows r;

    for (int n = p->n0; T < TT && n < p->n1; n += NN1) {
        pick(&r, p, n, NN1);
        strip(p, &r, d, 1, NN1, level);
    }
    for (int n = p->n0; T >= TT && n < p->n1; n += NN) {
        pick(&r, p, n, NN);
        if (wider) {
            widen(&r, wide, p->w->K, d.w, NN, level);
            strip(p, &r, (struct forms){d.x, DTYPE_F32}, TT, NN, level);
        } else {
            strip(p, &r, d, TT, NN, level);
        }
    }
}

SIMD_INLINE void piece_body(const struct piece *p, const int level)
{
    const int TT = level == SIMD_V4 ? 4 : level == SIMD_V3 ? 2 : 1;
    const int NN = level == SIMD_V4 ? 4 : 2, NN1 = level == SIMD_V4 ? 16 : level == SIMD_V3 ? 4 : 2;

    if (p->w->dtype == DTYPE_F32)
        piece_of(p, (struct forms){DTYPE_F32, DTYPE_F32}, TT, NN, NN1, level);
    else if (p->w->dtype == DTYPE_F16)
        piece_of(p, (struct forms){DTYPE_F32, DTYPE_F16}, TT, NN, NN1, level);
    else
        piece_of(p, (struct forms){DTYPE_BF16, DTYPE_BF16}, TT, NN, NN1, level);
}

SIMD_CLONES(piece, (const struct piece *p), (p, LEVEL))

void linear_float(const struct piece *p)
{
    SIMD_PICK(piece)(p);
}
