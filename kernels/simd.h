/* simd.h - sixteen floats at a time, compiled once for each level of x86-64 and chosen at run time.
 *
 * A vec is 16 floats whatever the machine: one AVX-512 register, two of AVX, four of SSE.  The
 * order of every sum is written in terms of these lanes, so it does not depend on how many tokens
 * or threads there are (O1).  Between levels results differ, because only some fuse a multiply and
 * an add.
 *
 * Vectors go through pointers: passed by value, their calling convention would depend on the
 * level, and compilers rightly complain.  All of it is inlined and lives in registers.
 *
 * Only *_cpu.c files include this, before any other code of theirs.
 */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/dtype.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast") /* a += b * c is one instruction where there is one */
#endif

#define SIMD_LANES  16
#define SIMD_INLINE static inline __attribute__((always_inline))

enum simd_level { SIMD_BASE = 1, SIMD_V3 = 3, SIMD_V4 = 4 }; /* x86-64-v3: AVX2; v4: AVX-512 */

enum simd_level simd_level(void);       /* the best one here, up to the cap */
void simd_cap(enum simd_level at_most); /* for tests: no thread may be at work */

/* Instructions beside the level: dot products of bf16, and of bytes.  Some machines of v4 have
 * neither, or the second only. */
enum simd_feature { SIMD_BF16 = 1, SIMD_VNNI = 2 };

bool simd_has(enum simd_feature f);     /* only at level v4, and if not left out */
void simd_leave_out(unsigned features); /* for tests, as simd_cap: a sum of enum simd_feature */

/* Targets of functions that use those instructions by name. */
#define SIMD_TARGET_BF16 __attribute__((target("arch=x86-64-v4,avx512bf16")))
#define SIMD_TARGET_VNNI __attribute__((target("arch=x86-64-v4,avx512vnni")))

typedef float vec __attribute__((vector_size(64)));
typedef int32_t vec_int __attribute__((vector_size(64)));
typedef uint32_t vec_bits __attribute__((vector_size(64)));
typedef uint16_t vec_half __attribute__((vector_size(32)));
typedef float vec_at __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t vec_half_at __attribute__((vector_size(32), aligned(2), may_alias));

/* SIMD_CLONES(f, (params), (args)) makes f(params) out of the always_inline f_body(args): one copy
 * for each level.  args may use the constant LEVEL. */
#if defined(__x86_64__)
#define SIMD_CLONES(name, params, args)                                                            \
    __attribute__((target("arch=x86-64-v4"))) static void name##_v4 params                         \
    {                                                                                              \
        enum { LEVEL = SIMD_V4 };                                                                  \
        name##_body args;                                                                          \
    }                                                                                              \
    __attribute__((target("arch=x86-64-v3"))) static void name##_v3 params                         \
    {                                                                                              \
        enum { LEVEL = SIMD_V3 };                                                                  \
        name##_body args;                                                                          \
    }                                                                                              \
    static void name##_base params                                                                 \
    {                                                                                              \
        enum { LEVEL = SIMD_BASE };                                                                \
        name##_body args;                                                                          \
    }
#define SIMD_PICK(name)                                                                            \
    (simd_level() == SIMD_V4 ? name##_v4 : simd_level() == SIMD_V3 ? name##_v3 : name##_base)
#else
#define SIMD_CLONES(name, params, args)                                                            \
    static void name##_base params                                                                 \
    {                                                                                              \
        enum { LEVEL = SIMD_BASE };                                                                \
        name##_body args;                                                                          \
    }
#define SIMD_PICK(name) name##_base
#endif

SIMD_INLINE void vec_set(vec *out, float f)
{
    *out = (vec){0} + f;
}

SIMD_INLINE void vec_load(vec *out, const float *p)
{
    *out = *(const vec_at *)p;
}

SIMD_INLINE void vec_store(float *p, const vec *v)
{
    *(vec_at *)p = *v;
}

/* The first n < 16 lanes from p, zeros behind them. */
SIMD_INLINE void vec_load_part(vec *out, const float *p, int n)
{
    float part[SIMD_LANES] = {0};

    memcpy(part, p, (size_t)n * sizeof *p);
    vec_load(out, part);
}

SIMD_INLINE void vec_store_part(float *p, const vec *v, int n)
{
    float part[SIMD_LANES];

    vec_store(part, v);
    memcpy(p, part, (size_t)n * sizeof *p);
}

/* A bf16 is the upper half of a float: zeros go below it.  One permutation; gcc makes of a
 * widening and a shift two of the one and an insertion. */
SIMD_INLINE void vec_from_bf16(vec *out, const vec_half *h)
{
    const vec_half zero = {0};

    *out =
        (vec)__builtin_shufflevector(zero, *h, 0, 16, 0, 17, 0, 18, 0, 19, 0, 20, 0, 21, 0, 22, 0,
                                     23, 0, 24, 0, 25, 0, 26, 0, 27, 0, 28, 0, 29, 0, 30, 0, 31);
}

/* The exponent is put right by a product, which is exact and takes subnormals along; infinity and
 * NaN, which it would make finite, get their exponent back. */
SIMD_INLINE void vec_from_f16_bits(vec *out, const vec_bits *b)
{
    vec_bits mag = *b & 0x7FFFu;
    vec v = (vec)(mag << 13) * 0x1p112f;
    vec_bits special = (vec_bits)(mag >= 0x7C00u) & 0x7F800000u;

    *out = (vec)((vec_bits)v | special | (*b & 0x8000u) << 16);
}

SIMD_INLINE void vec_from_f16(vec *out, const vec_half *h)
{
    const vec_bits b = __builtin_convertvector(*h, vec_bits);

    vec_from_f16_bits(out, &b);
}

/* 16 numbers of any dtype from element i of p, as floats. */
SIMD_INLINE void vec_load_as(vec *out, const void *p, size_t i, enum dtype d)
{
    vec_half h;

    if (d == DTYPE_F32) {
        vec_load(out, (const float *)p + i);
        return;
    }
    h = *(const vec_half_at *)((const uint16_t *)p + i);
    if (d == DTYPE_BF16)
        vec_from_bf16(out, &h);
    else
        vec_from_f16(out, &h);
}

SIMD_INLINE void vec_load_as_part(vec *out, const void *p, size_t i, int n, enum dtype d)
{
    uint16_t part[SIMD_LANES] = {0};

    if (d == DTYPE_F32) {
        vec_load_part(out, (const float *)p + i, n);
        return;
    }
    memcpy(part, (const uint16_t *)p + i, (size_t)n * sizeof *part);
    vec_load_as(out, part, 0, d);
}

#define VEC_SHUFFLE __builtin_shufflevector

/* Sums each of 16 vectors: lane i of a[0] becomes the sum of a[i].  The same tree for each: lane j
 * with lane j + 8, then 4, 2, 1. */
SIMD_INLINE void vec_sum16(vec *a)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const vec p = a[2 * i], q = a[2 * i + 1];

        a[i] = VEC_SHUFFLE(p, q, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               VEC_SHUFFLE(p, q, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        const vec p = a[2 * i], q = a[2 * i + 1];

        a[i] = VEC_SHUFFLE(p, q, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               VEC_SHUFFLE(p, q, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 2; i++) {
        const vec p = a[2 * i], q = a[2 * i + 1];

        a[i] = VEC_SHUFFLE(p, q, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
               VEC_SHUFFLE(p, q, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    }
    const vec p = a[0], q = a[1];
    a[0] = VEC_SHUFFLE(p, q, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           VEC_SHUFFLE(p, q, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

SIMD_INLINE float vec_sum(const vec *v)
{
    float f[SIMD_LANES];

    vec_store(f, v);
    for (int half = SIMD_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            f[i] += f[i + half];
    return f[0];
}

/* out = exp(x), relative error under 3e-7; x is held between -87 and 88, so no result is infinite
 * or subnormal.  2^n * exp(r) with n the nearest whole number of x / ln 2, and exp(r) by its
 * Taylor series: |r| < 0.35, so the first term left out is 6e-9. */
SIMD_INLINE void vec_exp(vec *out, const vec *x)
{
    const float to_whole = 0x1.8p23f; /* adding it leaves no bits for a fraction */
    const vec_bits low = (vec_bits)(*x < -87.0f), high = (vec_bits)(*x > 88.0f);
    vec lo, hi, c, n, r, e;
    vec_int pow2;

    vec_set(&lo, -87.0f);
    vec_set(&hi, 88.0f);
    c = (vec)(((vec_bits)*x & ~(low | high)) | ((vec_bits)lo & low) | ((vec_bits)hi & high));
    n = c * 1.44269504f + to_whole;
    pow2 = ((vec_int)n - 0x4B400000) << 23; /* 0x4B400000: the bits of to_whole */
    n = n - to_whole;
    r = c - n * 0x1.62e4p-1f;    /* ln 2 in two parts, */
    r = r - n * 1.42860677e-06f; /* the first short enough for an exact product */
    e = r * (1.0f / 5040) + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    *out = (vec)((vec_int)e + pow2);
}

#endif
