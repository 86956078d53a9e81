/* quant_cpu.c - x as blocks of int8, two vecs at a time; the same bits as the plain way. */
#include "kernels/quant.h"
#include "kernels/simd.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

SIMD_TARGET_VNNI static __m128i whole16(__m512 x, __m512 by)
{
    return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, by)));
}

SIMD_TARGET_VNNI static int32_t sum16(__m128i q)
{
    const __m128i two = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8(-128)), _mm_setzero_si128());

    return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 2) - 16 * 128;
}

SIMD_TARGET_VNNI static void by_vecs(struct quant_x *out, const float *x, size_t n)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);

    for (size_t b = 0; b < n / QUANT_X; b++, x += QUANT_X, out++) {
        const __m512 lo = _mm512_loadu_ps(x), hi = _mm512_loadu_ps(x + 16);
        const __m512i mag = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(lo), magnitude),
                                             _mm512_and_si512(_mm512_castps_si512(hi), magnitude));
        const uint32_t bits = _mm512_reduce_max_epu32(mag);
        __m512 by;
        __m128i q;
        float most;

        memcpy(&most, &bits, sizeof most);
        if (most < QUANT_LEAST || !isfinite(most)) {
            quant_x(out, x, QUANT_X);
            continue;
        }
        by = _mm512_set1_ps(127 / most);
        q = whole16(lo, by);
        _mm_storeu_si128((__m128i *)(void *)out->q, q);
        out->halves[0] = sum16(q);
        q = whole16(hi, by);
        _mm_storeu_si128((__m128i *)(void *)(out->q + 16), q);
        out->halves[1] = sum16(q);
        out->scale = most / 127;
        out->sum = out->scale * (float)(out->halves[0] + out->halves[1]);
    }
}

void quant_x_cpu(struct quant_x *out, const float *x, size_t n)
{
    if (simd_has(SIMD_VNNI))
        by_vecs(out, x, n);
    else
        quant_x(out, x, n);
}

#else

void quant_x_cpu(struct quant_x *out, const float *x, size_t n)
{
    quant_x(out, x, n);
}

#endif
