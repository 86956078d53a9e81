/* linear_cpu.c - a matrix product with a weight as it lies in its file, in register tiles.
 *
 * Both x and w are contiguous along K, so a tile of TT tokens by NN outputs keeps TT*NN vec
 * accumulators and reads TT + NN vecs for TT*NN multiply-adds.  How large it may be is a matter of
 * registers: 16 accumulators for AVX-512 (32 registers of one vec), 4 for AVX2 (16 of half a vec).
 *
 * A piece of work is OUTPUTS rows of w by TOKENS tokens: its rows of w stay in the second-level
 * cache while the tokens pass by.  With enough tokens, NN rows at a time are first widened to
 * floats, so that the decoding of 16-bit weights is paid once and not for each tile.
 */
#include "kernels/linear.h"
#include "kernels/simd.h"

#include <stdbool.h>

#include "base/err.h"
#include "kernels/lanes.h"
#include "kernels/pool.h"

#define OUTPUTS    32
#define TOKENS     64
#define MAX_TILE   16    /* accumulators: what vec_sum16 takes */
#define MAX_ROWS   4     /* outputs of a tile whose rows are widened first */
#define WIDEN_K    8192  /* longest row that is widened: MAX_ROWS of them are 128 KiB of stack */
#define WIDEN_FROM 8     /* tokens from which on it pays */
#define SMALL      65536 /* multiply-adds below which a second thread is not worth waking */

struct job {
    float *y;
    const float *x;
    const struct weight *w;
    int T;
    int n_cuts; /* pieces along N */
};

/* The rows of w that a tile reads.  Rows past the last one repeat it and are not stored, so that
 * there is one tile shape and no edge code. */
struct rows {
    const void *row[MAX_TILE];
    int n_valid;
    float *y; /* [TT][N] at the tile's first token and output */
};

/* acc += TT vecs of x by NN vecs of the rows, at element k; n: lanes, 16 but for the last. */
SIMD_INLINE void tile_step(struct lanes *acc, const struct rows *r, const float *x, size_t K,
                           size_t k, int n_lanes, enum dtype d, const int TT, const int NN,
                           const int level)
{
    struct lanes xv[4], wv;

#pragma GCC unroll 4
    for (int t = 0; t < TT; t++)
        if (n_lanes == SIMD_LANES)
            lanes_load_as(&xv[t], x + (size_t)t * K, k, DTYPE_F32, level);
        else
            lanes_load_part(&xv[t], x + (size_t)t * K, k, n_lanes, DTYPE_F32, level);
#pragma GCC unroll 16
    for (int n = 0; n < NN; n++) {
        if (n_lanes == SIMD_LANES)
            lanes_load_as(&wv, r->row[n], k, d, level);
        else
            lanes_load_part(&wv, r->row[n], k, n_lanes, d, level);
#pragma GCC unroll 4
        for (int t = 0; t < TT; t++)
            lanes_fma(&acc[t * NN + n], &xv[t], &wv, level);
    }
}

SIMD_INLINE void tile(const struct rows *r, const float *x, size_t K, size_t N, enum dtype d,
                      const int TT, const int NN, const int level)
{
    const int rest = (int)(K % SIMD_LANES);
    const size_t whole = K - (size_t)rest;
    struct lanes acc[MAX_TILE];
    float sums[MAX_TILE];

#pragma GCC unroll 16
    for (int i = 0; i < TT * NN; i++)
        lanes_set(&acc[i], 0, level);
    for (size_t k = 0; k < whole; k += SIMD_LANES)
        tile_step(acc, r, x, K, k, SIMD_LANES, d, TT, NN, level);
    if (rest) tile_step(acc, r, x, K, whole, rest, d, TT, NN, level);
    lanes_sums(sums, acc, TT * NN, level);
    for (int t = 0; t < TT; t++)
        for (int n = 0; n < NN && n < r->n_valid; n++)
            r->y[(size_t)t * N + (size_t)n] = sums[t * NN + n];
}

/* Tokens [t0, t1) by the rows in r: TT at a time, then one at a time. */
SIMD_INLINE void strip(const struct job *j, struct rows *r, int n0, int t0, int t1, enum dtype d,
                       const int TT, const int NN, const int level)
{
    const size_t N = (size_t)j->w->N, K = (size_t)j->w->K;
    int t = t0;

    for (; t + TT <= t1; t += TT) {
        r->y = j->y + (size_t)t * N + (size_t)n0;
        tile(r, j->x + (size_t)t * K, K, N, d, TT, NN, level);
    }
    for (; TT > 1 && t < t1; t++) {
        r->y = j->y + (size_t)t * N + (size_t)n0;
        tile(r, j->x + (size_t)t * K, K, N, d, 1, NN, level);
    }
}

SIMD_INLINE void pick_rows(struct rows *r, const struct weight *w, int n0, int n1, const int NN)
{
    r->n_valid = n1 - n0;
    for (int n = 0; n < NN; n++)
        r->row[n] =
            (const char *)w->data + (size_t)(n0 + n < n1 ? n0 + n : n1 - 1) * weight_row_bytes(w);
}

SIMD_INLINE void widen_rows(struct rows *r, float *wide, int K, enum dtype d, const int NN,
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

SIMD_INLINE void block_of(const struct job *j, int n0, int n1, int t0, int t1, enum dtype d,
                          const int TT, const int NN, const int NN1, const int level)
{
    const bool widen = d != DTYPE_F32 && t1 - t0 >= WIDEN_FROM && j->w->K <= WIDEN_K;
    float wide[MAX_ROWS * WIDEN_K];
    const int step = t1 - t0 < TT ? NN1 : NN;
    struct rows r;

    for (int n = n0; n < n1; n += step) {
        if (t1 - t0 < TT) {
            pick_rows(&r, j->w, n, n1, NN1);
            strip(j, &r, n, t0, t1, d, 1, NN1, level);
            continue;
        }
        pick_rows(&r, j->w, n, n1, NN);
        if (widen) {
            widen_rows(&r, wide, j->w->K, d, NN, level);
            strip(j, &r, n, t0, t1, DTYPE_F32, TT, NN, level);
        } else {
            strip(j, &r, n, t0, t1, d, TT, NN, level);
        }
    }
}

SIMD_INLINE void block_body(const struct job *j, int i, const int level)
{
    const int n0 = i % j->n_cuts * OUTPUTS, t0 = i / j->n_cuts * TOKENS;
    const int n1 = j->w->N - n0 < OUTPUTS ? j->w->N : n0 + OUTPUTS;
    const int t1 = j->T - t0 < TOKENS ? j->T : t0 + TOKENS;
    const int TT = level == SIMD_V4 ? 4 : level == SIMD_V3 ? 2 : 1;
    const int NN = level == SIMD_V4 ? 4 : 2, NN1 = level == SIMD_V4 ? 16 : level == SIMD_V3 ? 4 : 2;

    switch (j->w->dtype) {
    case DTYPE_F32: block_of(j, n0, n1, t0, t1, DTYPE_F32, TT, NN, NN1, level); break;
    case DTYPE_BF16: block_of(j, n0, n1, t0, t1, DTYPE_BF16, TT, NN, NN1, level); break;
    case DTYPE_F16: block_of(j, n0, n1, t0, t1, DTYPE_F16, TT, NN, NN1, level); break;
    default: break; /* refused by one_product */
    }
}

SIMD_CLONES(block, (void *arg, int i), (arg, i, LEVEL))

static int one_product(const struct product *p, const float *x, int T, struct stream *s)
{
    struct job j = {.y = p->y, .x = x, .w = p->w, .T = T};
    const int N = p->w->N;

    if (T < 0 || N <= 0 || p->w->K <= 0) return ERR_ARG;
    if (!dtype_is_float(p->w->dtype)) return ERR_UNSUPPORTED;
    if ((int64_t)T * N * p->w->K < SMALL) s = NULL;
    j.n_cuts = (N + OUTPUTS - 1) / OUTPUTS;
    pool_run(s, j.n_cuts * ((T + TOKENS - 1) / TOKENS), SIMD_PICK(block), &j);
    for (int t = 0; p->bias && t < T; t++)
        for (int n = 0; n < N; n++)
            j.y[(size_t)t * (size_t)N + (size_t)n] += p->bias[n];
    return ERR_OK;
}

int linear_cpu(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    int rc = n < 1 ? ERR_ARG : ERR_OK;

    for (int i = 0; i < n && !rc; i++)
        rc = p[i].w->K == p[0].w->K ? one_product(&p[i], x, T, s) : ERR_ARG;
    return rc;
}
