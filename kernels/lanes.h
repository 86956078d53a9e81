/* lanes.h - the 16 floats of a vec for inner loops, in registers that the level has.
 *
 * Without AVX-512 compilers keep a 64-byte vector in memory.  So a struct lanes has two members:
 * `whole` with AVX-512, else `half`.  The other one costs nothing: nobody reads it, and it is gone
 * once a body is inlined with its LEVEL.  Order of sums and everything else as in simd.h.
 */
#ifndef KERNELS_LANES_H
#define KERNELS_LANES_H

#include "kernels/simd.h"

typedef float simd_half __attribute__((vector_size(32)));
typedef float simd_half_at __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t simd_half_bits __attribute__((vector_size(32)));
typedef uint16_t simd_quarter_at __attribute__((vector_size(16), aligned(2), may_alias));

struct lanes {
    vec whole;
    simd_half half[2];
};

SIMD_INLINE void lanes_set(struct lanes *l, float f, const int level)
{
    if (level == SIMD_V4)
        vec_set(&l->whole, f);
    else
        for (int i = 0; i < 2; i++)
            l->half[i] = (simd_half){0} + f;
}

/* As vec_load_as. */
SIMD_INLINE void lanes_load_as(struct lanes *l, const void *p, size_t at, enum dtype d,
                               const int level)
{
    if (level == SIMD_V4) {
        vec_load_as(&l->whole, p, at, d);
        return;
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++, at += SIMD_LANES / 2) {
        simd_half_bits b, mag;

        if (d == DTYPE_F32) {
            l->half[i] = *(const simd_half_at *)((const float *)p + at);
            continue;
        }
        b = __builtin_convertvector(*(const simd_quarter_at *)((const uint16_t *)p + at),
                                    simd_half_bits);
        if (d == DTYPE_BF16) {
            l->half[i] = (simd_half)(b << 16);
            continue;
        }
        mag = b & 0x7FFFu; /* as vec_from_f16 */
        l->half[i] =
            (simd_half)((simd_half_bits)((simd_half)(mag << 13) * 0x1p112f) |
                        ((simd_half_bits)(mag >= 0x7C00u) & 0x7F800000u) | (b & 0x8000u) << 16);
    }
}

/* The first n < 16 lanes from element at of p, zeros behind them. */
SIMD_INLINE void lanes_load_part(struct lanes *l, const void *p, size_t at, int n, enum dtype d,
                                 const int level)
{
    float part[SIMD_LANES] = {0};

    memcpy(part, (const char *)p + at * dtype_bytes(d), (size_t)n * dtype_bytes(d));
    lanes_load_as(l, part, 0, d, level);
}

SIMD_INLINE void lanes_store(float *p, const struct lanes *l, const int level)
{
    if (level == SIMD_V4)
        vec_store(p, &l->whole);
    else
        for (int i = 0; i < 2; i++)
            *(simd_half_at *)(p + i * SIMD_LANES / 2) = l->half[i];
}

SIMD_INLINE void lanes_scale(struct lanes *l, float f, const int level)
{
    if (level == SIMD_V4)
        l->whole *= f;
    else
        for (int i = 0; i < 2; i++)
            l->half[i] *= f;
}

/* acc += x * y */
SIMD_INLINE void lanes_fma(struct lanes *acc, const struct lanes *x, const struct lanes *y,
                           const int level)
{
    if (level == SIMD_V4)
        acc->whole += x->whole * y->whole;
    else
        for (int i = 0; i < 2; i++)
            acc->half[i] += x->half[i] * y->half[i];
}

/* sums[i] = the sum of acc[i]'s lanes, for n <= 16 of them, by the tree of vec_sum16. */
SIMD_INLINE void lanes_sums(float *sums, const struct lanes *acc, const int n, const int level)
{
    if (level == SIMD_V4) {
        vec all[SIMD_LANES];

#pragma GCC unroll 16
        for (int i = 0; i < SIMD_LANES; i++)
            all[i] = acc[i < n ? i : 0].whole;
        vec_sum16(all);
        if (n == SIMD_LANES)
            vec_store(sums, all);
        else
            vec_store_part(sums, all, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        const simd_half h = acc[i].half[0] + acc[i].half[1];
        const float a = h[0] + h[4], b = h[1] + h[5], c = h[2] + h[6], d = h[3] + h[7];

        sums[i] = (a + c) + (b + d);
    }
}

#endif
