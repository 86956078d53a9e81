/* cuda.cuh - what each .cu file includes in place of CUDA's headers.
 *
 * nvcc takes CUDA's own; g++ with -DCUDA_EMU takes kernels/emu, where a grid is a loop and a block
 * is fibers.  The same names under both:
 *
 *   LAUNCH(kernel, grid, block, dynamic_bytes, stream, args...)
 *       a kernel with a comma in its name: in parentheses
 *   SHARED_DYNAMIC(type, name)
 *       type *name: the dynamic shared memory of the block, 1,024-aligned
 *   f16, bf16, fp8 (e4m3); to_float(x), from_float<E>(float)
 *       the nearest, ties to even; f16 and bf16 overflow to infinity, fp8 saturates at 448
 *   pack2<E>(a, b), unpack2<E>(u)
 *       two f16 or bf16 in 32 bits, the first in the low half
 *   pack4_fp8(a, b, c, d), unpack4_fp8(u)
 *   aligned<T>(p)
 *       p as T *; the emulation refuses it when it is not aligned as T is
 */
#ifndef KERNELS_CUDA_CUH
#define KERNELS_CUDA_CUH

#ifdef CUDA_EMU
#include "kernels/emu/emu.h"
#else

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#include <stdint.h>

#define LAUNCH(kernel, grid, block, dynamic_bytes, stream, ...)                                    \
    kernel<<<grid, block, dynamic_bytes, stream>>>(__VA_ARGS__)

#define SHARED_DYNAMIC(type, name)                                                                 \
    extern __shared__ __align__(1024) unsigned char shared_dynamic[];                              \
    type *const name = (type *)shared_dynamic

typedef __half f16;
typedef __nv_bfloat16 bf16;
typedef __nv_fp8_e4m3 fp8;

static __host__ __device__ __forceinline__ float to_float(float x)
{
    return x;
}

static __host__ __device__ __forceinline__ float to_float(f16 x)
{
    return __half2float(x);
}

static __host__ __device__ __forceinline__ float to_float(bf16 x)
{
    return __bfloat162float(x);
}

static __host__ __device__ __forceinline__ float to_float(fp8 x)
{
    return (float)x;
}

template <class E> __host__ __device__ __forceinline__ E from_float(float x);

template <> __host__ __device__ __forceinline__ float from_float<float>(float x)
{
    return x;
}

template <> __host__ __device__ __forceinline__ f16 from_float<f16>(float x)
{
    return __float2half_rn(x);
}

template <> __host__ __device__ __forceinline__ bf16 from_float<bf16>(float x)
{
    return __float2bfloat16_rn(x);
}

template <> __host__ __device__ __forceinline__ fp8 from_float<fp8>(float x)
{
    fp8 y;

    y.__x = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
    return y;
}

template <class E> static __device__ __forceinline__ unsigned pack2(float a, float b);

template <> __device__ __forceinline__ unsigned pack2<f16>(float a, float b)
{
    const __half2 h = __floats2half2_rn(a, b);

    return *(const unsigned *)&h;
}

template <> __device__ __forceinline__ unsigned pack2<bf16>(float a, float b)
{
    const __nv_bfloat162 h = __floats2bfloat162_rn(a, b);

    return *(const unsigned *)&h;
}

template <class E> static __device__ __forceinline__ float2 unpack2(unsigned u);

template <> __device__ __forceinline__ float2 unpack2<f16>(unsigned u)
{
    return __half22float2(*(const __half2 *)&u);
}

template <> __device__ __forceinline__ float2 unpack2<bf16>(unsigned u)
{
    return make_float2(__uint_as_float(u << 16), __uint_as_float(u & 0xFFFF0000u));
}

static __device__ __forceinline__ unsigned pack4_fp8(float a, float b, float c, float d)
{
    const unsigned lo = __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
    const unsigned hi = __nv_cvt_float2_to_fp8x2(make_float2(c, d), __NV_SATFINITE, __NV_E4M3);

    return lo | hi << 16;
}

static __device__ __forceinline__ float4 unpack4_fp8(unsigned u)
{
    const __half2_raw lo =
        __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)(u & 0xFFFFu), __NV_E4M3);
    const __half2_raw hi = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)(u >> 16), __NV_E4M3);
    const float2 a = __half22float2(lo), b = __half22float2(hi);

    return make_float4(a.x, a.y, b.x, b.y);
}

template <class T> static __device__ __forceinline__ T *aligned(void *p)
{
    return (T *)p;
}

template <class T> static __device__ __forceinline__ const T *aligned(const void *p)
{
    return (const T *)p;
}

#endif
#endif
