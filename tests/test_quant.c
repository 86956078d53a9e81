/* test_quant.c - kernels/quant: blocks as floats and back, by hand-made blocks and round trips. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "kernels/embed.h"
#include "kernels/quant.h"
#include "kernels/simd.h"
#include "tests/test.h"

static uint64_t state = 1;

static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static void half_at(uint8_t *p, float f)
{
    const uint16_t h = f32_to_f16(f);

    memcpy(p, &h, sizeof h);
}

START_TEST(q8_0_is_its_scale_times_each_number)
{
    uint8_t b[34];
    float f[32];

    half_at(b, 0.5f);
    for (int i = 0; i < 32; i++)
        b[2 + i] = (uint8_t)(int8_t)(i * 8 - 128);
    quant_unpack(f, b, DTYPE_Q8_0, 32);
    for (int i = 0; i < 32; i++)
        ck_assert(f[i] == 0.5f * (float)(i * 8 - 128));
}
END_TEST

START_TEST(q4_0_keeps_the_second_half_in_the_high_bits)
{
    uint8_t b[18];
    float f[32];

    half_at(b, 2);
    for (int i = 0; i < 16; i++)
        b[2 + i] = (uint8_t)(i | (15 - i) << 4);
    quant_unpack(f, b, DTYPE_Q4_0, 32);
    for (int i = 0; i < 16; i++) {
        ck_assert(f[i] == 2 * (float)(i - 8));
        ck_assert(f[i + 16] == 2 * (float)(7 - i));
    }
}
END_TEST

/* Scales 8*j + 1 and minimums 63 - 7*j: with bits in both parts of the last four. */
START_TEST(q4_k_has_a_scale_and_a_minimum_for_each_32)
{
    uint8_t b[144] = {0}, *s = b + 4;
    float f[256];

    half_at(b, 0.25f);
    half_at(b + 2, 0.125f);
    for (int j = 0; j < 4; j++) {
        const int low = 8 * j + 1, high = 8 * (j + 4) + 1;
        const int min_low = 63 - 7 * j, min_high = 63 - 7 * (j + 4);

        s[j] = (uint8_t)(low | high >> 4 << 6);
        s[j + 4] = (uint8_t)(min_low | min_high >> 4 << 6);
        s[j + 8] = (uint8_t)((high & 15) | (min_high & 15) << 4);
    }
    for (int i = 0; i < 128; i++)
        b[16 + i] = (uint8_t)(i % 16 | (i * 7 % 16) << 4);
    quant_unpack(f, b, DTYPE_Q4_K, 256);
    for (int k = 0; k < 256; k++) {
        const int j = k / 32, i = j / 2 * 32 + k % 32, q = j % 2 ? i * 7 % 16 : i % 16;

        ck_assert_msg(f[k] == 0.25f * (float)(8 * j + 1) * (float)q - 0.125f * (float)(63 - 7 * j),
                      "[%d]: %g", k, (double)f[k]);
    }
}
END_TEST

START_TEST(q6_k_has_four_low_and_two_high_bits_and_a_scale_for_each_16)
{
    uint8_t b[210] = {0};
    int q[256];
    float f[256];

    half_at(b + 208, 0.5f);
    for (int k = 0; k < 256; k++) { /* put each number where it belongs */
        const int half = k / 128, at = k % 128;
        uint8_t *low = &b[half * 64 + at % 64], *high = &b[128 + half * 32 + at % 32];

        q[k] = (k * 37 + 5) % 64;
        *low |= (uint8_t)((q[k] & 15) << (at < 64 ? 0 : 4));
        *high |= (uint8_t)((q[k] >> 4) << (at / 32 * 2));
        b[192 + k / 16] = (uint8_t)(int8_t)(k / 16 * 16 - 120);
    }
    quant_unpack(f, b, DTYPE_Q6_K, 256);
    for (int k = 0; k < 256; k++)
        ck_assert_msg(f[k] == 0.5f * (float)(k / 16 * 16 - 120) * (float)(q[k] - 32), "[%d]: %g", k,
                      (double)f[k]);
}
END_TEST

START_TEST(floats_as_q8_0_come_back_within_half_a_step)
{
    enum { N = 32 * 50 };
    uint8_t b[N / 32 * 34];
    float x[N], back[N];

    for (int i = 0; i < N; i++)
        x[i] = draw() * (i / 32 % 5 ? 3 : 0.01f);
    memset(x, 0, 32 * sizeof *x);
    quant_q8_0(b, x, N);
    quant_unpack(back, b, DTYPE_Q8_0, N);
    for (int i = 0; i < N; i++) {
        float most = 0;

        for (int k = i / 32 * 32; k < i / 32 * 32 + 32; k++)
            most = fmaxf(most, fabsf(x[k]));
        /* Half a step, and the scale's own rounding: 2^-11 of the number. */
        ck_assert_float_le(fabsf(x[i] - back[i]), most / 127 * 0.501f + most * 0x1p-11f);
    }
}
END_TEST

/* Ties to even, the largest number, nothing, and what is no number. */
START_TEST(x_in_blocks_is_the_nearest_whole_number_of_steps)
{
    float x[3 * 32] = {127, -127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 63.4f};
    struct quant_x q[3];

    x[64] = 1;
    x[70] = NAN;
    quant_x(q, x, 96);
    ck_assert_mem_eq(q[0].q, ((int8_t[]){127, -127, 0, 2, 2, 0, -2, 63}), 8);
    ck_assert(q[0].scale == 1 && q[0].sum == 65);
    ck_assert_int_eq(q[0].halves[0], 65);
    ck_assert_int_eq(q[0].halves[1], 0);
    ck_assert(q[1].scale == 0 && q[1].sum == 0 && q[1].q[0] == 0);
    ck_assert(isnan(q[2].scale) && isnan(q[2].sum) && q[2].q[0] == 0);
}
END_TEST

START_TEST(the_fast_way_makes_the_same_blocks)
{
    enum { N = 32 * 300 };
    static struct quant_x plain[N / 32], fast[N / 32];
    float x[N];

    for (int i = 0; i < N; i++)
        x[i] = draw() * powf(2, (float)(i / 32 % 260) - 130);
    x[32 * 7 + 3] = INFINITY;
    x[32 * 9 + 20] = NAN;
    quant_x(plain, x, N);
    quant_x_cpu(fast, x, N);
    for (int b = 0; b < N / 32; b++) {
        ck_assert_mem_eq(plain[b].q, fast[b].q, 32);
        ck_assert(!memcmp(&plain[b].scale, &fast[b].scale, 4) || isnan(plain[b].scale));
        ck_assert(!memcmp(&plain[b].sum, &fast[b].sum, 4) || isnan(plain[b].sum));
        ck_assert_mem_eq(plain[b].halves, fast[b].halves, sizeof fast[b].halves);
    }
}
END_TEST

START_TEST(an_embedding_may_be_quantised)
{
    enum { V = 3, D = 64 };
    uint8_t b[V * D / 32 * 34];
    float table[V * D], x[2 * D], want[D];
    const struct weight w = {b, DTYPE_Q8_0, V, D, 0, NULL}, odd = {b, DTYPE_Q8_0, V, 33, 0, NULL};
    const int32_t ids[] = {2, 0};
    const struct ragged r = {.T = 2, .S = 1, .ids = ids};

    for (int i = 0; i < V * D; i++)
        table[i] = draw();
    quant_q8_0(b, table, V * D);
    ck_assert_int_eq(embed_ref(x, &w, 2, &r, NULL), ERR_OK);
    quant_unpack(want, b + 2 * D / 32 * 34, DTYPE_Q8_0, D);
    for (int i = 0; i < D; i++)
        ck_assert(x[i] == 2 * want[i]);
    ck_assert_int_eq(embed_ref(x, &odd, 1, &r, NULL), ERR_ARG);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("quant");
    TCase *t = tcase_create("quant");

    tcase_add_test(t, q8_0_is_its_scale_times_each_number);
    tcase_add_test(t, q4_0_keeps_the_second_half_in_the_high_bits);
    tcase_add_test(t, q4_k_has_a_scale_and_a_minimum_for_each_32);
    tcase_add_test(t, q6_k_has_four_low_and_two_high_bits_and_a_scale_for_each_16);
    tcase_add_test(t, floats_as_q8_0_come_back_within_half_a_step);
    tcase_add_test(t, x_in_blocks_is_the_nearest_whole_number_of_steps);
    tcase_add_test(t, the_fast_way_makes_the_same_blocks);
    tcase_add_test(t, an_embedding_may_be_quantised);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
