/* attn_tile.h - the two products of attention for a few query rows, in registers.
 *
 * A row is one head of one token.  Rows share what they read of K and V; how many of them stand in
 * a tile changes no bit, because each sum is its own accumulator in its own order.
 *
 * While it computes, a tile may ask for the memory of the next chunk, a line for each vec that it
 * reads: KV blocks lie anywhere, and a decoding token computes too little on each of them for the
 * processor to find the next one in time.
 */
#ifndef KERNELS_ATTN_TILE_H
#define KERNELS_ATTN_TILE_H

#include <stdbool.h>

#include "kernels/attn.h"
#include "kernels/lanes.h"

_Static_assert(KV_BLOCK_TOKENS == SIMD_LANES, "a KV block's scores are one vec");

#define TILE_ROWS   4
#define TILE_BLOCKS 4 /* KV blocks of scores, or vecs of o, at once */
#define KEEP_STEP   4 /* a row's number stands in as many lanes: vec_top4 */

/* Where the next chunk's blocks begin, and bytes from a vec of 16 numbers to the next. */
struct ahead {
    const char *k[TILE_BLOCKS], *v[TILE_BLOCKS];
    size_t step;
};

/* *f in every lane, by one load.  Through its bits: for floats {0} + f is a sum, because of -0. */
SIMD_INLINE void lanes_spread(struct lanes *l, const float *f, const int level)
{
    uint32_t bits;

    memcpy(&bits, f, sizeof bits);
    if (level == SIMD_V4)
        l->whole = (vec)((vec_bits){0} + bits);
    else
        for (int i = 0; i < 2; i++)
            l->half[i] = (simd_half)((simd_half_bits){0} + bits);
}

/* s[m][16 n ...] = q[m] . K[b + n], a vec of 16 positions each, summed in order of d; q [M][HD],
 * s [M][ATTN_CHUNK]. */
SIMD_INLINE void tile_scores(float *s, const float *q, const float *const *k, int b, int HD,
                             const struct ahead *ahead, const bool ASK, const int M, const int N,
                             const int level)
{
    struct lanes acc[TILE_ROWS * TILE_BLOCKS], kv[TILE_BLOCKS], qv;

#pragma GCC unroll 16
    for (int i = 0; i < M * N; i++)
        lanes_set(&acc[i], 0, level);
    for (int d = 0; d < HD; d++) {
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) {
            lanes_load_as(&kv[n], k[b + n], (size_t)d * SIMD_LANES, DTYPE_F32, level);
            if (ASK) __builtin_prefetch(ahead->k[b + n] + (size_t)d * ahead->step);
        }
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
            lanes_spread(&qv, q + m * HD + d, level);
#pragma GCC unroll 4
            for (int n = 0; n < N; n++)
                lanes_fma(&acc[m * N + n], &qv, &kv[n], level);
        }
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++)
            lanes_store(s + m * ATTN_CHUNK + n * SIMD_LANES, &acc[m * N + n], level);
}

/* acc += p[m] * V, for C positions of one block whose rows are `step` floats apart. */
SIMD_INLINE void tile_block(struct lanes *acc, const float *p, const float *v, size_t step, int C,
                            const char *ask, size_t ask_step, const bool ASK, const int M,
                            const int N, const int level)
{
    struct lanes vv[TILE_BLOCKS], weight;

    for (int c = 0; c < C; c++) {
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) {
            lanes_load_as(&vv[n], v, (size_t)n * SIMD_LANES, DTYPE_F32, level);
            if (ASK) __builtin_prefetch(ask + (size_t)n * ask_step);
        }
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
            lanes_spread(&weight, p + m * ATTN_CHUNK + c, level);
#pragma GCC unroll 4
            for (int n = 0; n < N; n++)
                lanes_fma(&acc[m * N + n], &weight, &vv[n], level);
        }
        v += step;
        if (ASK) ask += (size_t)N * ask_step;
    }
}

/* o[m] = o[m] * keep[m] + sum_c p[m][c] * V[c] over C positions in their order, for the N vecs of o
 * from float `at` on; o [M][width], p [M][ATTN_CHUNK], keep[KEEP_STEP * m], v: the KV blocks. */
SIMD_INLINE void tile_values(float *o, size_t width, const float *keep, const float *p,
                             const float *const *v, size_t step, size_t at, int C,
                             const struct ahead *ahead, const bool ASK, const int M, const int N,
                             const int level)
{
    struct lanes acc[TILE_ROWS * TILE_BLOCKS];

#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) {
            lanes_load_as(&acc[m * N + n], o + (size_t)m * width, at + (size_t)n * SIMD_LANES,
                          DTYPE_F32, level);
            lanes_scale(&acc[m * N + n], keep[KEEP_STEP * m], level);
        }
    for (int c = 0; c < C; c += SIMD_LANES)
        tile_block(acc, p + c, v[c / SIMD_LANES] + at, step,
                   C - c < SIMD_LANES ? C - c : SIMD_LANES,
                   ASK ? ahead->v[c / SIMD_LANES] + at * ahead->step : NULL, ASK ? ahead->step : 0,
                   ASK, M, N, level);
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++)
            lanes_store(o + (size_t)m * width + at + n * SIMD_LANES, &acc[m * N + n], level);
}

/* How many of n are taken at once: what the level has registers for. */
SIMD_INLINE int tile_width(int n, const int level)
{
    const int most = level == SIMD_V4 ? TILE_BLOCKS : 1;

    return n < most ? n : most;
}

SIMD_INLINE int tile_height(int m, const int level)
{
    const int most = level == SIMD_BASE ? 2 : TILE_ROWS;

    return m < most ? m : most;
}

/* Calls f with M, N and ASK as constants; a tile that is not whole asks for nothing. */
#define TILE_M(f, m, n, ask, ...)                                                                  \
    switch (m) {                                                                                   \
    case 1: f(__VA_ARGS__, ask, 1, n, level); break;                                               \
    case 2: f(__VA_ARGS__, ask, 2, n, level); break;                                               \
    case 3: f(__VA_ARGS__, ask, 3, n, level); break;                                               \
    default: f(__VA_ARGS__, ask, 4, n, level); break;                                              \
    }
#define TILE_MN(f, m, n, ahead, ...)                                                               \
    do {                                                                                           \
        if (level != SIMD_V4 && (ahead))                                                           \
            TILE_M(f, m, 1, true, __VA_ARGS__, ahead)                                              \
        else if (level != SIMD_V4 || (n) == 1)                                                     \
            TILE_M(f, m, 1, false, __VA_ARGS__, ahead)                                             \
        else if ((n) == 2)                                                                         \
            TILE_M(f, m, 2, false, __VA_ARGS__, ahead)                                             \
        else if ((n) == 3)                                                                         \
            TILE_M(f, m, 3, false, __VA_ARGS__, ahead)                                             \
        else if (!(ahead))                                                                         \
            TILE_M(f, m, 4, false, __VA_ARGS__, ahead)                                             \
        else                                                                                       \
            TILE_M(f, m, 4, true, __VA_ARGS__, ahead)                                              \
    } while (0)

/* The same for up to TILE_ROWS rows and any number of vecs; ahead: NULL, or what to ask for. */
SIMD_INLINE void rows_scores(float *s, const float *q, const float *const *k, int HD,
                             const struct ahead *ahead, int M, int N, const int level)
{
    for (int m = 0, mm; m < M; m += mm) {
        mm = tile_height(M - m, level);
        for (int n = 0, nn; n < N; n += nn) {
            nn = tile_width(N - n, level);
            TILE_MN(tile_scores, mm, nn, ahead, s + m * ATTN_CHUNK + n * SIMD_LANES, q + m * HD, k,
                    n, HD);
        }
    }
}

SIMD_INLINE void rows_values(float *o, size_t width, const float *keep, const float *p,
                             const float *const *v, size_t step, int C, const struct ahead *ahead,
                             int M, const int level)
{
    const int N = (int)width / SIMD_LANES;

    for (int m = 0, mm; m < M; m += mm) {
        mm = tile_height(M - m, level);
        for (int n = 0, nn; n < N; n += nn) {
            nn = tile_width(N - n, level);
            TILE_MN(tile_values, mm, nn, ahead, o + (size_t)m * width, width, keep + KEEP_STEP * m,
                    p + m * ATTN_CHUNK, v, step, (size_t)n * SIMD_LANES, C);
        }
    }
}

#endif
