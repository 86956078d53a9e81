/* curves.h - tanh, erfc and the exp of a softmax of 16 floats; maxima, picking between two vecs. */
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

/* f in every lane.  Through its bits: for floats {0} + f is a sum, because of -0. */
SIMD_INLINE void vec_spread(vec *out, const float *f)
{
    uint32_t bits;

    memcpy(&bits, f, sizeof bits);
    *out = (vec)((vec_bits){0} + bits);
}

/* The largest lane of each of four vecs: lanes 4 i to 4 i + 3 of out are that of a[i]. */
SIMD_INLINE void vec_top4(vec *out, const vec *a)
{
    vec x, y, pair[2];

#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const vec p = a[2 * i], q = a[2 * i + 1];

        x = VEC_SHUFFLE(p, q, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        y = VEC_SHUFFLE(p, q, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
        vec_max(&pair[i], &x, &y);
    }
    const vec p = pair[0], q = pair[1];
    x = VEC_SHUFFLE(p, q, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    y = VEC_SHUFFLE(p, q, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    vec_max(&x, &x, &y);
    y = VEC_SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    vec_max(&x, &x, &y);
    y = VEC_SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    vec_max(out, &x, &y);
}

/* out = exp(x) for x <= 0, relative error under 4e-7, and 0 below -87; as vec_exp with one term
 * less.  No number stays one. */
SIMD_INLINE void vec_exp_down(vec *out, const vec *x)
{
    const float to_whole = 0x1.8p23f;
    const vec_bits gone = (vec_bits)(*x < -87.0f);
    vec n = *x * 1.44269504f + to_whole, r, e;
    const vec_bits pow2 = (vec_bits)n << 23; /* what to_whole adds falls off */

    n = n - to_whole;
    r = *x - n * 0x1.62e4p-1f;
    r = r - n * 1.42860677e-06f;
    e = r * (1.0f / 720) + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    *out = (vec)(((vec_bits)e + pow2) & ~gone);
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

/* out = erfc(x) for x >= 0, relative error under 2e-6 where erfc(x) > 1e-9: the fit of Press et
 * al., Numerical Recipes, erfcc. */
SIMD_INLINE void vec_erfc(vec *out, const vec *x)
{
    const vec t = 1.0f / (1.0f + *x * 0.5f);
    vec p = t * 0.17087277f - 0.82215223f, e;

    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    p = p - *x * *x;
    vec_exp(&e, &p);
    *out = t * e;
}

#endif
