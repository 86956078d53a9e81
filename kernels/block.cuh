/* block.cuh - sums and maxima over a warp and over a block, in an order that is always the same.
 *
 * Every thread of the warp or block takes part, and each gets the result.  `room` is shared memory
 * for BLOCK_ROOM numbers; it may be used again at once.
 */
#ifndef KERNELS_BLOCK_CUH
#define KERNELS_BLOCK_CUH

#include "kernels/cuda.cuh"

#define BLOCK_ROOM 32

/* Of float, unsigned or uint64_t. */
template <class T> static __device__ __forceinline__ T warp_sum(T v)
{
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
        v += __shfl_xor_sync(0xFFFFFFFFu, v, bit);
    return v;
}

template <class T> static __device__ __forceinline__ T warp_max(T v)
{
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
        v = max(v, __shfl_xor_sync(0xFFFFFFFFu, v, bit));
    return v;
}

/* A block of whole warps, in x alone. */
static __device__ __forceinline__ float block_sum(float v, float *room)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;

    v = warp_sum(v);
    __syncthreads();
    if (lane == 0) room[warp] = v;
    __syncthreads();
    return warp_sum(lane < (int)blockDim.x / 32 ? room[lane] : 0.0f);
}

static __device__ __forceinline__ float block_max(float v, float *room)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;

    v = warp_max(v);
    __syncthreads();
    if (lane == 0) room[warp] = v;
    __syncthreads();
    return warp_max(room[lane < (int)blockDim.x / 32 ? lane : 0]);
}

#endif
