/* quant.c - quantised numbers: blocks of a weight as floats, and x as blocks of int8. */
#include "kernels/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The nearest whole number, ties to even, of |f| < 2^22: adding 1.5 * 2^23 leaves no fraction. */
static int nearest(float f)
{
    const float sum = f + 0x1.8p23f;
    int32_t bits;

    memcpy(&bits, &sum, sizeof bits);
    return bits - 0x4B400000;
}

/* max |x|, and NaN counts as more than any number: magnitudes compare as their bits. */
static float largest(const float *x)
{
    uint32_t most = 0;
    float f;

    for (int i = 0; i < QUANT_X; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7FFFFFFFu;
        if (bits > most) most = bits;
    }
    memcpy(&f, &most, sizeof f);
    return f;
}

void quant_x(struct quant_x *out, const float *x, size_t n)
{
    for (size_t b = 0; b < n / QUANT_X; b++, x += QUANT_X, out++) {
        const float most = largest(x);
        const bool zero = most < QUANT_LEAST, none = !isfinite(most);

        out->halves[0] = out->halves[1] = 0;
        for (int i = 0; i < QUANT_X; i++) {
            out->q[i] = zero || none ? 0 : (int8_t)nearest(x[i] * (127 / most));
            out->halves[i / 16] += out->q[i];
        }
        out->scale = none ? NAN : zero ? 0 : most / 127;
        out->sum = out->scale * (float)(out->halves[0] + out->halves[1]);
    }
}

static float scale_at(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return f16_to_f32(h);
}

static void unpack_q8_0(float *out, const uint8_t *b)
{
    for (int i = 0; i < 32; i++)
        out[i] = scale_at(b) * (float)(int8_t)b[2 + i];
}

static void unpack_q4_0(float *out, const uint8_t *b)
{
    for (int i = 0; i < 16; i++) {
        out[i] = scale_at(b) * (float)((b[2 + i] & 15) - 8);
        out[i + 16] = scale_at(b) * (float)((b[2 + i] >> 4) - 8);
    }
}

/* Six bits each: the first four pairs have a byte for each number; the low halves of the last four
 * share the last four bytes, and their high two bits are the high bits of the first eight. */
void quant_scale_min(const uint8_t s[12], int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* 64 numbers take 32 bytes: the first half of them the low halves. */
static void unpack_q4_k(float *out, const uint8_t *b)
{
    const float d = scale_at(b), dmin = scale_at(b + 2);
    const uint8_t *q = b + 16;
    int scale, min;

    for (int j = 0; j < 8; j++) {
        quant_scale_min(b + 4, j, &scale, &min);
        for (int i = 0; i < 32; i++) {
            const uint8_t two = q[j / 2 * 32 + i];

            out[j * 32 + i] =
                d * (float)scale * (float)(j % 2 ? two >> 4 : two & 15) - dmin * (float)min;
        }
    }
}

/* 128 numbers take 64 bytes of low halves, the second 64 numbers in their high bits, and 32 bytes
 * of two high bits each. */
static void unpack_q6_k(float *out, const uint8_t *b)
{
    const float d = scale_at(b + 208);

    for (int i = 0; i < 256; i++) {
        const int part = i % 128, four = part / 32, at = part % 32;
        const uint8_t low = b[i / 128 * 64 + part % 64], high = b[128 + i / 128 * 32 + at];
        const int q = (part < 64 ? low & 15 : low >> 4) | (high >> (2 * four) & 3) << 4;

        out[i] = d * (float)(int8_t)b[192 + i / 16] * (float)(q - 32);
    }
}

void quant_unpack(float *out, const void *blocks, enum dtype d, size_t n)
{
    const uint8_t *b = blocks;

    assert(!dtype_is_float(d));
    for (size_t i = 0; i < n; i += (size_t)dtype_block(d), b += dtype_block_bytes(d)) {
        if (d == DTYPE_Q8_0) unpack_q8_0(out + i, b);
        if (d == DTYPE_Q4_0) unpack_q4_0(out + i, b);
        if (d == DTYPE_Q4_K) unpack_q4_k(out + i, b);
        if (d == DTYPE_Q6_K) unpack_q6_k(out + i, b);
    }
}

void quant_q8_0(void *out, const float *x, size_t n)
{
    uint8_t *b = out;

    for (size_t i = 0; i < n; i += 32, x += 32, b += 34) {
        const float most = largest(x), d = most / 127;
        const uint16_t half = f32_to_f16(d);

        memcpy(b, &half, sizeof half);
        for (int k = 0; k < 32; k++) /* most may be so small that 127 / most is infinite */
            b[2 + k] = (uint8_t)(most < QUANT_LEAST ? 0 : nearest(x[k] * (127 / most)));
    }
}
