/* types.h - f16, bf16 and fp8 on the host, with the device's roundings.
 *
 * from_float rounds to nearest, ties to even.  f16 and bf16 overflow to infinity; fp8 (e4m3: no
 * infinities, largest 448) saturates.  A NaN becomes the type's NaN as the device writes it.
 *
 * Source  PTX ISA, cvt; OCP 8-bit floating point specification 1.0 (e4m3).
 */
#ifndef KERNELS_EMU_TYPES_H
#define KERNELS_EMU_TYPES_H

#include <stdint.h>

#include "base/dtype.h"
#include "kernels/emu/arith.h"
#include "kernels/emu/vector.h"

struct alignas(2) f16 {
    uint16_t bits;
};
struct alignas(2) bf16 {
    uint16_t bits;
};
struct fp8 {
    uint8_t bits;
};

static inline float to_float(float x)
{
    return x;
}

static inline float to_float(f16 x)
{
    return f16_to_f32(x.bits);
}

static inline float to_float(bf16 x)
{
    return bf16_to_f32(x.bits);
}

static inline float to_float(fp8 x)
{
    const unsigned mag = x.bits & 0x7Fu, exp = mag >> 3, man = mag & 7u;
    const float sign = x.bits & 0x80u ? -1.0f : 1.0f;

    if (mag == 0x7Fu) return __uint_as_float(0x7FFFFFFFu);
    if (exp == 0) return sign * (float)man * 0x1p-9f;
    return sign * __uint_as_float((exp + 120u) << 23 | man << 20);
}

template <class E> E from_float(float x);

template <> inline float from_float<float>(float x)
{
    return x;
}

template <> inline f16 from_float<f16>(float x)
{
    return {x != x ? (uint16_t)0x7FFF : f32_to_f16(x)};
}

template <> inline bf16 from_float<bf16>(float x)
{
    return {x != x ? (uint16_t)0x7FFF : f32_to_bf16(x)};
}

template <> inline fp8 from_float<fp8>(float x)
{
    const unsigned bits = __float_as_uint(x), sign = bits >> 24 & 0x80u, mag = bits & 0x7FFFFFFFu;

    if (mag > 0x7F800000u) return {0x7F};
    if (mag >= 0x43E00000u) return {(uint8_t)(sign | 0x7Eu)}; /* 448 and up */
    if (mag < 0x3C800000u) /* under 2^-6: adding 2^14 rounds to steps of 2^-9 */
        return {(uint8_t)(sign | (__float_as_uint(__uint_as_float(mag) + 0x1p14f) & 15u))};
    return {(uint8_t)(sign | ((mag - 0x3C000000u + 0x7FFFFu + (mag >> 20 & 1u)) >> 20))};
}

/* Two 16-bit numbers in 32 bits, the first in the low half. */
template <class E> static inline unsigned pack2(float a, float b)
{
    return from_float<E>(a).bits | (unsigned)from_float<E>(b).bits << 16;
}

template <class E> static inline float2 unpack2(unsigned u)
{
    return {to_float(E{(uint16_t)u}), to_float(E{(uint16_t)(u >> 16)})};
}

/* Four fp8 in 32 bits, the first in the lowest byte. */
static inline unsigned pack4_fp8(float a, float b, float c, float d)
{
    return from_float<fp8>(a).bits | (unsigned)from_float<fp8>(b).bits << 8 |
           (unsigned)from_float<fp8>(c).bits << 16 | (unsigned)from_float<fp8>(d).bits << 24;
}

static inline float4 unpack4_fp8(unsigned u)
{
    return {to_float(fp8{(uint8_t)u}), to_float(fp8{(uint8_t)(u >> 8)}),
            to_float(fp8{(uint8_t)(u >> 16)}), to_float(fp8{(uint8_t)(u >> 24)})};
}

#endif
