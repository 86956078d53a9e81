/* quant_cuda.cuh - numbers of a quantised row as floats, on the device.
 *
 *   quant_eight<Q>(x, row, at)    numbers at..at+7 of a row of blocks (base/dtype.h), at a multiple
 *                                 of 8, row at a multiple of 2 bytes
 *
 * Q is the dtype.  The arithmetic is quant_unpack's, in its order: the same bits where the compiler
 * joins no product and sum.
 */
#ifndef KERNELS_QUANT_CUDA_CUH
#define KERNELS_QUANT_CUDA_CUH

#include "kernels/cuda_stream.cuh"

static __device__ __forceinline__ float quant_half(const uint8_t *p)
{
    return to_float(*aligned<f16>(p));
}

/* The 6-bit scale and minimum of 32 numbers, j = 0..7, of a Q4_K block's twelve bytes. */
static __device__ __forceinline__ void quant_pair(const uint8_t *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

template <enum dtype Q>
static __device__ __forceinline__ void quant_eight(float *x, const uint8_t *row, int at);

template <>
__device__ __forceinline__ void quant_eight<DTYPE_Q8_0>(float *x, const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 32) * 34;
    const float d = quant_half(b);

    for (int i = 0; i < 8; i++)
        x[i] = d * (float)(int8_t)b[2 + at % 32 + i];
}

template <>
__device__ __forceinline__ void quant_eight<DTYPE_Q4_0>(float *x, const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 32) * 18;
    const float d = quant_half(b);
    const int high = at % 32 / 16 * 4;

    for (int i = 0; i < 8; i++)
        x[i] = d * (float)((b[2 + at % 16 + i] >> high & 15) - 8);
}

template <>
__device__ __forceinline__ void quant_eight<DTYPE_Q4_K>(float *x, const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 256) * 144;
    const int in = at % 256, j = in / 32;
    const uint8_t *q = b + 16 + j / 2 * 32 + in % 32;
    int scale, min;
    float d, least;

    quant_pair(b + 4, j, &scale, &min);
    d = quant_half(b) * (float)scale;
    least = quant_half(b + 2) * (float)min;
    for (int i = 0; i < 8; i++)
        x[i] = d * (float)(j % 2 ? q[i] >> 4 : q[i] & 15) - least;
}

template <>
__device__ __forceinline__ void quant_eight<DTYPE_Q6_K>(float *x, const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 256) * 210;
    const int in = at % 256, part = in % 128, four = part / 32;
    const uint8_t *low = b + in / 128 * 64 + part % 64, *high = b + 128 + in / 128 * 32 + in % 32;
    const float d = quant_half(b + 208) * (float)(int8_t)b[192 + in / 16];

    for (int i = 0; i < 8; i++) {
        const int q = (part < 64 ? low[i] & 15 : low[i] >> 4) | (high[i] >> 2 * four & 3) << 4;

        x[i] = d * (float)(q - 32);
    }
}

#endif
