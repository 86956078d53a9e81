/* act.cuh - numbers of act as floats, in the widest loads that fit.
 *
 *   BY_ACT(act, E, statement)     the statement with E the type of act: float, f16 or bf16; no
 *                                 other dtype comes here
 *   numbers_in<N>(x, p)           N numbers of E as floats: 1, or a multiple of 4 with p aligned
 *   numbers_out<N>(p, x)          to 4 of them, and to 16 bytes where they are so many; fp8, too
 */
#ifndef KERNELS_ACT_CUH
#define KERNELS_ACT_CUH

#include "kernels/cuda_stream.cuh"

#define BY_ACT(act, E, ...)                                                                        \
    do {                                                                                           \
        if ((act) == DTYPE_F32) {                                                                  \
            typedef float E;                                                                       \
            __VA_ARGS__;                                                                           \
        } else if ((act) == DTYPE_F16) {                                                           \
            typedef f16 E;                                                                         \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            typedef bf16 E;                                                                        \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

/* Numbers of E in 16 bytes. */
template <class E> static constexpr int WIDE = 16 / (int)sizeof(E);

template <int N, class E> static __device__ __forceinline__ void numbers_in(float *x, const E *p)
{
    if constexpr (N == 1) {
        x[0] = to_float(p[0]);
    } else if constexpr (sizeof(E) == 4) {
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            const float4 v = *aligned<float4>(p + i);

            x[i] = v.x, x[i + 1] = v.y, x[i + 2] = v.z, x[i + 3] = v.w;
        }
    } else if constexpr (N == 4) {
        const uint2 v = *aligned<uint2>(p);
        const float2 a = unpack2<E>(v.x), b = unpack2<E>(v.y);

        x[0] = a.x, x[1] = a.y, x[2] = b.x, x[3] = b.y;
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 8) {
            const uint4 v = *aligned<uint4>(p + i);
            const float2 a = unpack2<E>(v.x), b = unpack2<E>(v.y);
            const float2 c = unpack2<E>(v.z), d = unpack2<E>(v.w);

            x[i] = a.x, x[i + 1] = a.y, x[i + 2] = b.x, x[i + 3] = b.y;
            x[i + 4] = c.x, x[i + 5] = c.y, x[i + 6] = d.x, x[i + 7] = d.y;
        }
    }
}

template <int N, class E> static __device__ __forceinline__ void numbers_out(E *p, const float *x)
{
    if constexpr (N == 1) {
        p[0] = from_float<E>(x[0]);
    } else if constexpr (sizeof(E) == 1) {
#pragma unroll
        for (int i = 0; i < N; i += 4)
            *aligned<unsigned>(p + i) = pack4_fp8(x[i], x[i + 1], x[i + 2], x[i + 3]);
    } else if constexpr (sizeof(E) == 4) {
#pragma unroll
        for (int i = 0; i < N; i += 4)
            *aligned<float4>(p + i) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
    } else if constexpr (N == 4) {
        *aligned<uint2>(p) = make_uint2(pack2<E>(x[0], x[1]), pack2<E>(x[2], x[3]));
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 8)
            *aligned<uint4>(p + i) =
                make_uint4(pack2<E>(x[i], x[i + 1]), pack2<E>(x[i + 2], x[i + 3]),
                           pack2<E>(x[i + 4], x[i + 5]), pack2<E>(x[i + 6], x[i + 7]));
    }
}

/* Does each row of an array, `step` numbers from the one before, begin at a multiple of n of them?
 * 0: there is one row. */
template <class E> static inline bool starts_at(const void *p, int step, int n)
{
    return (uintptr_t)p % (sizeof(E) * (size_t)n) == 0 && step % n == 0;
}

#endif
