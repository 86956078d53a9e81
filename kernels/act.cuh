/* act.cuh - rows of numbers of act, as floats, 16 bytes at a time.
 *
 *   BY_ACT(act, E, statement)     the statement with E the type of act: float, f16 or bf16; no
 *                                 other dtype comes here
 *   numbers_in<N>(x, p)           N numbers as floats: one, or WIDE<E>, p aligned to 16 bytes
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

static __device__ __forceinline__ void wide_in(float *x, const float *p)
{
    const float4 v = *aligned<float4>(p);

    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}

template <class E> static __device__ __forceinline__ void wide_in(float *x, const E *p)
{
    const uint4 v = *aligned<uint4>(p);
    const float2 a = unpack2<E>(v.x), b = unpack2<E>(v.y), c = unpack2<E>(v.z), d = unpack2<E>(v.w);

    x[0] = a.x, x[1] = a.y, x[2] = b.x, x[3] = b.y;
    x[4] = c.x, x[5] = c.y, x[6] = d.x, x[7] = d.y;
}

static __device__ __forceinline__ void wide_out(float *p, const float *x)
{
    *aligned<float4>(p) = make_float4(x[0], x[1], x[2], x[3]);
}

template <class E> static __device__ __forceinline__ void wide_out(E *p, const float *x)
{
    *aligned<uint4>(p) = make_uint4(pack2<E>(x[0], x[1]), pack2<E>(x[2], x[3]),
                                    pack2<E>(x[4], x[5]), pack2<E>(x[6], x[7]));
}

/* N numbers: one, or WIDE<E>. */
template <int N, class E> static __device__ __forceinline__ void numbers_in(float *x, const E *p)
{
    if constexpr (N == 1)
        x[0] = to_float(*p);
    else
        wide_in(x, p);
}

template <int N, class E> static __device__ __forceinline__ void numbers_out(E *p, const float *x)
{
    if constexpr (N == 1)
        *p = from_float<E>(x[0]);
    else
        wide_out(p, x);
}

/* Do all rows of an array, `step` numbers apart, begin at a multiple of 16 bytes? */
template <class E> static inline bool wide_fits(const void *p, int step)
{
    return (uintptr_t)p % 16 == 0 && step % WIDE<E> == 0;
}

#endif
