/* narrow.h - floats to 16 bits, 16 at a time: the nearest, ties to even, as in base/dtype.h. */
#ifndef KERNELS_NARROW_H
#define KERNELS_NARROW_H

#include "kernels/simd.h"

/* a where the mask's bits are set, else b. */
SIMD_INLINE void bits_pick(vec_bits *out, const vec_bits *mask, const vec_bits *a,
                           const vec_bits *b)
{
    *out = (*a & *mask) | (*b & ~*mask);
}

SIMD_INLINE void vec_to_bf16(vec_half *out, const vec *v)
{
    const vec_bits b = (vec_bits)*v, odd = b >> 16 & 1u;
    const vec_bits near = (b + 0x7FFFu + odd) >> 16, nan = b >> 16 | 0x40u;
    const vec_bits is_nan = (vec_bits)((b & 0x7FFFFFFFu) > 0x7F800000u);
    vec_bits h;

    bits_pick(&h, &is_nan, &nan, &near);
    *out = __builtin_convertvector(h, vec_half);
}

SIMD_INLINE void vec_to_f16(vec_half *out, const vec *v)
{
    const vec_bits b = (vec_bits)*v, mag = b & 0x7FFFFFFFu, odd = mag >> 13 & 1u;
    const vec_bits near = (mag - 0x38000000u + 0xFFFu + odd) >> 13;
    const vec_bits tiny = (vec_bits)((vec)mag + 0.5f) - 0x3F000000u; /* steps of 2^-24 */
    const vec_bits infinite = (vec_bits){0} + 0x7C00u, nan = (vec_bits){0} + 0x7E00u;
    const vec_bits is_tiny = (vec_bits)(mag < 0x38800000u);
    const vec_bits is_large = (vec_bits)(mag >= 0x477FF000u);
    const vec_bits is_nan = (vec_bits)(mag > 0x7F800000u);
    vec_bits h;

    bits_pick(&h, &is_tiny, &tiny, &near);
    bits_pick(&h, &is_large, &infinite, &h);
    bits_pick(&h, &is_nan, &nan, &h);
    h |= b >> 16 & 0x8000u;
    *out = __builtin_convertvector(h, vec_half);
}

/* n floats of v as d, which is f16 or bf16. */
SIMD_INLINE void narrow(uint16_t *out, const float *v, int n, enum dtype d)
{
    vec_half h;
    vec f;

    for (int i = 0; i < n; i += SIMD_LANES) {
        const int part = n - i < SIMD_LANES ? n - i : SIMD_LANES;

        if (part == SIMD_LANES)
            vec_load(&f, v + i);
        else
            vec_load_part(&f, v + i, part);
        if (d == DTYPE_BF16)
            vec_to_bf16(&h, &f);
        else
            vec_to_f16(&h, &f);
        memcpy(out + i, &h, (size_t)part * sizeof *out);
    }
}

#endif
