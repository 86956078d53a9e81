/* dtype.h - how numbers are stored: one by one, or in blocks that share a scale.
 *
 * A quantised dtype stores dtype_block(d) numbers together; a row of a tensor is whole blocks.
 * Little-endian; f16 is IEEE half.
 *
 *   Q8_0  32 numbers   f16 d; int8 q[32]                            x = d * q
 *   Q4_0  32 numbers   f16 d; u8 q[16]: number i is the low half of byte i, number i + 16 the high
 *                                                                   x = d * (q - 8)
 *   Q4_K  256 numbers  f16 d, dmin; u8 s[12]: eight pairs of 6 bits; u8 q[128]
 *                      x = d * scale * q - dmin * min, of each 32   (kernels/quant.h unpacks it)
 *   Q6_K  256 numbers  u8 low[128], high[64]; int8 scale[16]; f16 d
 *                      x = d * scale * (q - 32), of each 16
 *
 * fp8 (base/fp8.h) and int8 are made when a model is loaded, never read from a file: one byte each,
 * and a float scale for each row that is kept beside them.
 *
 * Source  the GGUF format's block types.
 */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_Q8_0,
    DTYPE_Q4_0,
    DTYPE_Q4_K,
    DTYPE_Q6_K,
    DTYPE_FP8,
    DTYPE_INT8,
};
#define N_DTYPES 9

static inline bool dtype_is_float(enum dtype d)
{
    return d <= DTYPE_BF16;
}

/* Numbers in a block, and its bytes. */
static inline int dtype_block(enum dtype d)
{
    static const int16_t n[N_DTYPES] = {1, 1, 1, 32, 32, 256, 256, 1, 1};

    return n[d];
}

static inline size_t dtype_block_bytes(enum dtype d)
{
    static const uint8_t bytes[N_DTYPES] = {4, 2, 2, 34, 18, 144, 210, 1, 1};

    return bytes[d];
}

/* A byte each, with a scale beside them. */
static inline bool dtype_is_scaled(enum dtype d)
{
    return d == DTYPE_FP8 || d == DTYPE_INT8;
}

/* Of one number; float and scaled dtypes only. */
static inline size_t dtype_bytes(enum dtype d)
{
    return d == DTYPE_F32 ? 4 : dtype_is_scaled(d) ? 1 : 2;
}

/* Of n numbers, which are whole blocks. */
static inline size_t dtype_row_bytes(enum dtype d, size_t n)
{
    return n / (size_t)dtype_block(d) * dtype_block_bytes(d);
}

static inline const char *dtype_name(enum dtype d)
{
    static const char *const names[N_DTYPES] = {"f32",  "f16",  "bf16", "q8_0", "q4_0",
                                                "q4_k", "q6_k", "fp8",  "int8"};

    return names[d];
}

static inline float bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The nearest bf16, ties to even; a NaN stays one. */
static inline uint16_t f32_to_bf16(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/* IEEE half: subnormals, infinities and NaN included. */
static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31u, man = h & 1023u, bits;
    float f;

    if (exp == 0) {
        f = (float)man * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = exp == 31 ? sign | 0x7F800000u | man << 13 : sign | (exp + 112) << 23 | man << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The nearest half, ties to even; what is too large becomes infinite. */
static inline uint16_t f32_to_f16(float f)
{
    uint32_t bits, sign, mag;
    float scaled;

    memcpy(&bits, &f, sizeof bits);
    sign = bits >> 16 & 0x8000u;
    mag = bits & 0x7FFFFFFFu;
    if (mag > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);
    if (mag >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* 65520 and up */
    if (mag < 0x38800000u) { /* under 2^-14: adding 2^-1 * 2^0 rounds to steps of 2^-24 */
        memcpy(&scaled, &mag, sizeof scaled);
        scaled += 0.5f;
        memcpy(&bits, &scaled, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000u));
    }
    return (uint16_t)(sign | ((mag - 0x38000000u + 0xFFFu + (mag >> 13 & 1u)) >> 13));
}

#endif
