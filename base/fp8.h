/* fp8.h - numbers of 8 bits: a sign, 4 bits of exponent, 3 of fraction (e4m3, no infinities).
 *
 * The largest is FP8_MAX; 0x7F and 0xFF are no numbers.  To fp8: the nearest, ties to even; what is
 * too large becomes the largest.
 *
 * Source  Micikevicius et al. 2022, arXiv 2209.05433.
 */
#ifndef BASE_FP8_H
#define BASE_FP8_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define FP8_MAX 448.0f

static inline float fp8_to_f32(uint8_t b)
{
    const int exp = b >> 3 & 15, man = b & 7;
    const float mag = exp == 15 && man == 7 ? NAN
                      : exp                 ? ldexpf((float)(8 + man), exp - 10)
                                            : (float)man * 0x1p-9f;

    return b & 0x80 ? -mag : mag;
}

static inline uint8_t f32_to_fp8(float f)
{
    uint32_t bits, mag;
    uint8_t sign;

    memcpy(&bits, &f, sizeof bits);
    sign = (uint8_t)(bits >> 24 & 0x80u);
    mag = bits & 0x7FFFFFFFu;
    if (mag > 0x7F800000u) return sign | 0x7Fu;
    if (mag >= 0x43E00000u) return sign | 0x7Eu; /* FP8_MAX and up */
    if (mag < 0x3C800000u)                       /* under 2^-6: steps of 2^-9 */
        return (uint8_t)(sign | (uint8_t)rintf(fabsf(f) * 512.0f));
    return (uint8_t)(sign | (uint8_t)(((mag + 0x7FFFFu + (mag >> 20 & 1u)) >> 20) - (120u << 3)));
}

#endif
