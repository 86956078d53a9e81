/* arith.h - the device's small functions: bits, casts, rounded and fast arithmetic.
 *
 * The fast forms (__expf and its like) are computed exactly here; the device is off by a few units
 * in the last place, which the tolerances of the ops must hold.
 */
#ifndef KERNELS_EMU_ARITH_H
#define KERNELS_EMU_ARITH_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

template <class To, class From> static inline To emu_bits(From from)
{
    To to;

    static_assert(sizeof(To) == sizeof(From), "as many bits");
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline int __float_as_int(float f)
{
    return emu_bits<int>(f);
}
static inline unsigned __float_as_uint(float f)
{
    return emu_bits<unsigned>(f);
}
static inline float __int_as_float(int i)
{
    return emu_bits<float>(i);
}
static inline float __uint_as_float(unsigned u)
{
    return emu_bits<float>(u);
}
static inline long long __double_as_longlong(double d)
{
    return emu_bits<long long>(d);
}
static inline double __longlong_as_double(long long i)
{
    return emu_bits<double>(i);
}

static inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}
static inline int __popcll(unsigned long long v)
{
    return __builtin_popcountll(v);
}
static inline int __clz(int v)
{
    return v ? __builtin_clz((unsigned)v) : 32;
}
static inline int __clzll(long long v)
{
    return v ? __builtin_clzll((unsigned long long)v) : 64;
}
static inline int __ffs(int v)
{
    return __builtin_ffs(v);
}
static inline int __ffsll(long long v)
{
    return __builtin_ffsll(v);
}

static inline unsigned __brev(unsigned v)
{
    unsigned out = 0;

    for (int i = 0; i < 32; i++)
        out |= (v >> i & 1u) << (31 - i);
    return out;
}

/* Four bytes chosen from the eight of a (low) and b (high). */
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned select)
{
    const uint64_t all = (uint64_t)b << 32 | a;
    unsigned out = 0;

    for (int i = 0; i < 4; i++) {
        const unsigned s = select >> 4 * i & 15u;
        unsigned byte = (unsigned)(all >> 8 * (s & 7u)) & 255u;

        if (s & 8u) byte = byte & 128u ? 255u : 0u;
        out |= byte << 8 * i;
    }
    return out;
}

static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n)
{
    return (unsigned)(((uint64_t)hi << 32 | lo) << (n & 31u) >> 32);
}

static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n)
{
    return (unsigned)(((uint64_t)hi << 32 | lo) >> (n & 31u));
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
static inline int __mulhi(int a, int b)
{
    return (int)((int64_t)a * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

/* Four products of bytes and their sum; the sum wraps. */
static inline int __dp4a(int a, int b, int c)
{
    unsigned sum = (unsigned)c;

    for (int i = 0; i < 4; i++)
        sum += (unsigned)((int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
    return (int)sum;
}

static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 4; i++)
        c += (a >> 8 * i & 255u) * (b >> 8 * i & 255u);
    return c;
}

static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fsub_rn(float a, float b)
{
    return a - b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __frcp_rn(float a)
{
    return 1.0f / a;
}
static inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
static inline float __fdividef(float a, float b)
{
    return a / b;
}
/* The C library has functions of these names inside. */
#define __expf  expf
#define __exp2f exp2f
#define __logf  logf
#define __log2f log2f
#define __powf  powf
#define __sinf  sinf
#define __cosf  cosf
#define __tanhf tanhf
static inline float __saturatef(float a)
{
    return a > 0 ? a < 1 ? a : 1.0f : 0.0f;
}
static inline float rsqrtf(float a)
{
    return 1.0f / sqrtf(a);
}
static inline double rsqrt(double a)
{
    return 1.0 / sqrt(a);
}
/* Of pi times a. */
static inline void sincospif(float a, float *s, float *c)
{
    *s = (float)sin(M_PI * (double)a);
    *c = (float)cos(M_PI * (double)a);
}
static inline int __float2int_rn(float a)
{
    return (int)rintf(a);
}
static inline int __float2int_rz(float a)
{
    return (int)a;
}
static inline float __int2float_rn(int a)
{
    return (float)a;
}

/* <math.h> may have these as templates or macros already. */
#define EMU_MIN_MAX(T)                                                                             \
    static inline T min(T a, T b)                                                                  \
    {                                                                                              \
        return a < b ? a : b;                                                                      \
    }                                                                                              \
    static inline T max(T a, T b)                                                                  \
    {                                                                                              \
        return a > b ? a : b;                                                                      \
    }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
EMU_MIN_MAX(float)
EMU_MIN_MAX(double)
#undef EMU_MIN_MAX

template <class T> static inline T __ldg(const T *p)
{
    return *p;
}
template <class T> static inline T __ldcg(const T *p)
{
    return *p;
}
template <class T> static inline T __ldcs(const T *p)
{
    return *p;
}
template <class T> static inline void __stcg(T *p, T v)
{
    *p = v;
}
template <class T> static inline void __stcs(T *p, T v)
{
    *p = v;
}
static inline void __nanosleep(unsigned)
{
}
static inline long long clock64(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
