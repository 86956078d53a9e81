/* widen.h - numbers of 16 bits as floats, many at a time.
 *
 * bf16 is a shift; f16 has an instruction of its own from x86-64-v3 on, which only a function that
 * is compiled for that level can name.
 */
#ifndef KERNELS_WIDEN_H
#define KERNELS_WIDEN_H

#include "kernels/lanes.h"

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("arch=x86-64-v4"), unused)) static void
widen_f16_v4(float *to, const uint16_t *from, size_t n)
{
    for (size_t i = 0; i < n; i += SIMD_LANES)
        _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(from + i))));
}

__attribute__((target("arch=x86-64-v3"), unused)) static void
widen_f16_v3(float *to, const uint16_t *from, size_t n)
{
    for (size_t i = 0; i < n; i += SIMD_LANES / 2)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(from + i))));
}
#else
#define widen_f16_v4(to, from, n) ((void)0)
#define widen_f16_v3(to, from, n) ((void)0)
#endif

SIMD_INLINE void widen_vecs(float *to, const void *from, size_t at, size_t n, enum dtype d,
                            const int level)
{
    struct lanes l;

    for (size_t i = 0; i < n; i += SIMD_LANES) {
        lanes_load_as(&l, from, at + i, d, level);
        lanes_store(to + i, &l, level);
    }
}

/* n numbers from element at on, as floats; n in whole vecs. */
SIMD_INLINE void widen(float *to, const void *from, size_t at, size_t n, enum dtype d,
                       const int level)
{
    if (d == DTYPE_F32)
        memcpy(to, (const float *)from + at, n * sizeof *to);
    else if (d == DTYPE_BF16)
        widen_vecs(to, from, at, n, DTYPE_BF16, level);
    else if (level == SIMD_V4)
        widen_f16_v4(to, (const uint16_t *)from + at, n);
    else if (level == SIMD_V3)
        widen_f16_v3(to, (const uint16_t *)from + at, n);
    else
        widen_vecs(to, from, at, n, DTYPE_F16, level);
}

/* Any n, and zeros up to a whole vec. */
SIMD_INLINE void widen_row(float *to, const void *from, size_t at, size_t n, enum dtype d,
                           const int level)
{
    const size_t rest = n % SIMD_LANES, whole = n - rest;
    struct lanes l;

    widen(to, from, at, whole, d, level);
    if (!rest) return;
    lanes_load_part(&l, from, at + whole, (int)rest, d, level);
    lanes_store(to + whole, &l, level);
}

#endif
