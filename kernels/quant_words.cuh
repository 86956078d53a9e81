/* quant_words.cuh - numbers of a quantised row as whole numbers in words, for products of bytes.
 *
 *   quant_words<Q>(w, &d, &m, row, at)   numbers at..at+7 (at a multiple of 8) as int8, four to a
 *                                        word, the first in the low byte: x = d * q - m
 *
 * m is 0 but for Q4_K.  d and m are the same for the 32 numbers around `at`, of Q6_K for 16.
 * Blocks of Q8_0, Q4_0 and Q6_K begin at multiples of 2 bytes only, so words come in halves.
 */
#ifndef KERNELS_QUANT_WORDS_CUH
#define KERNELS_QUANT_WORDS_CUH

#include "kernels/quant_cuda.cuh"

static __device__ __forceinline__ unsigned quant_word(const uint8_t *p)
{
    const uint16_t *half = aligned<uint16_t>(p);

    return (unsigned)half[0] | (unsigned)half[1] << 16;
}

/* Four numbers of `bits` bits less 2^(bits-1), each in a byte, as int8: the top bit is turned, and
 * copied into the bits above it. */
template <int BITS> static __device__ __forceinline__ int quant_signed(unsigned v)
{
    constexpr unsigned top = 0x01010101u << (BITS - 1), above = (1u << (9 - BITS)) - 2u;

    v ^= top;
    return (int)(v | (v & top) * above);
}

template <enum dtype Q>
static __device__ __forceinline__ void quant_words(int w[2], float *d, float *m, const uint8_t *row,
                                                   int at);

template <>
__device__ __forceinline__ void quant_words<DTYPE_Q8_0>(int w[2], float *d, float *m,
                                                        const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 32) * 34;

    *d = quant_half(b);
    *m = 0;
    for (int i = 0; i < 2; i++)
        w[i] = (int)quant_word(b + 2 + at % 32 + 4 * i);
}

template <>
__device__ __forceinline__ void quant_words<DTYPE_Q4_0>(int w[2], float *d, float *m,
                                                        const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 32) * 18;
    const int high = at % 32 / 16 * 4;

    *d = quant_half(b);
    *m = 0;
    for (int i = 0; i < 2; i++)
        w[i] = quant_signed<4>(quant_word(b + 2 + at % 16 + 4 * i) >> high & 0x0F0F0F0Fu);
}

template <>
__device__ __forceinline__ void quant_words<DTYPE_Q4_K>(int w[2], float *d, float *m,
                                                        const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 256) * 144;
    const int in = at % 256, j = in / 32, high = j % 2 * 4;
    const uint8_t *q = b + 16 + j / 2 * 32 + in % 32;
    int scale, min;

    quant_pair(b + 4, j, &scale, &min);
    *d = quant_half(b) * (float)scale;
    *m = quant_half(b + 2) * (float)min;
    for (int i = 0; i < 2; i++)
        w[i] = (int)(quant_word(q + 4 * i) >> high & 0x0F0F0F0Fu);
}

template <>
__device__ __forceinline__ void quant_words<DTYPE_Q6_K>(int w[2], float *d, float *m,
                                                        const uint8_t *row, int at)
{
    const uint8_t *b = row + (size_t)(at / 256) * 210;
    const int in = at % 256, part = in % 128, pair = part / 32 * 2;
    const uint8_t *low = b + in / 128 * 64 + part % 64, *high = b + 128 + in / 128 * 32 + in % 32;

    *d = quant_half(b + 208) * (float)(int8_t)b[192 + in / 16];
    *m = 0;
    for (int i = 0; i < 2; i++) {
        const unsigned lo = quant_word(low + 4 * i) >> (part / 64 * 4) & 0x0F0F0F0Fu;
        const unsigned hi = quant_word(high + 4 * i) >> pair & 0x03030303u;

        w[i] = quant_signed<6>(lo | hi << 4);
    }
}

#endif
