/* simd.c - which level of x86-64 this machine has, and which instructions beside it. */
#include "kernels/simd.h"

static enum simd_level cap = SIMD_V4;
static unsigned left_out;

static enum simd_level best(void)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2"))
        return SIMD_BASE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return SIMD_V3;
    return SIMD_V4;
#else
    return SIMD_BASE;
#endif
}

enum simd_level simd_level(void)
{
    const enum simd_level b = best();

    return b < cap ? b : cap;
}

void simd_cap(enum simd_level at_most)
{
    cap = at_most;
}

bool simd_has(enum simd_feature f)
{
#if defined(__x86_64__)
    if (simd_level() != SIMD_V4 || left_out & (unsigned)f) return false;
    return f == SIMD_BF16 ? __builtin_cpu_supports("avx512bf16")
                          : __builtin_cpu_supports("avx512vnni");
#else
    (void)f;
    return false;
#endif
}

void simd_leave_out(unsigned features)
{
    left_out = features;
}
