/* curves.h - tanh of 16 floats, and picking between two vecs. */
#ifndef KERNELS_CURVES_H
#define KERNELS_CURVES_H

#include "kernels/simd.h"

/* a where the mask's bits are set, else b. */
SIMD_INLINE void vec_pick(vec *out, const vec_bits *mask, const vec *a, const vec *b)
{
    *out = (vec)(((vec_bits)*a & *mask) | ((vec_bits)*b & ~*mask));
}

/* The larger of each lane; b's where a's is no number. */
SIMD_INLINE void vec_max(vec *out, const vec *a, const vec *b)
{
    const vec_bits more = (vec_bits)(*a > *b);

    vec_pick(out, &more, a, b);
}

/* The largest lane. */
SIMD_INLINE float vec_top(const vec *v)
{
    vec a = *v, b;

    b = VEC_SHUFFLE(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    vec_max(&a, &a, &b);
    b = VEC_SHUFFLE(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    vec_max(&a, &a, &b);
    b = VEC_SHUFFLE(a, a, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    vec_max(&a, &a, &b);
    b = VEC_SHUFFLE(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    vec_max(&a, &a, &b);
    return a[0];
}

/* out = tanh(x), absolute error under 2e-7 and relative under 3e-7 near 0: there the odd polynomial
 * of Cephes' tanhf (S. L. Moshier), else 1 - 2 / (exp(2|x|) + 1) with the sign of x. */
SIMD_INLINE void vec_tanh(vec *out, const vec *x)
{
    const vec z = *x * *x;
    vec size = (vec)((vec_bits)*x & 0x7FFFFFFFu), twice = size + size, e, near, far;
    vec_bits is_near = (vec_bits)(size < 0.625f);

    near = z * -5.70498872745e-3f + 2.06390887954e-2f;
    near = near * z - 5.37397155531e-2f;
    near = near * z + 1.33314422036e-1f;
    near = near * z - 3.33332819422e-1f;
    near = near * z * *x + *x;
    vec_exp(&e, &twice);
    far = 1.0f - 2.0f / (e + 1.0f);
    far = (vec)((vec_bits)far | ((vec_bits)*x & 0x80000000u));
    vec_pick(out, &is_near, &near, &far);
}

#endif
