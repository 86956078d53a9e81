/* test_dtype.c - base/dtype: every 16-bit pattern there and back, and rounding between them. */
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "tests/test.h"

/* Of the definition: sign, five bits of exponent, ten of fraction. */
static double half_of(unsigned h)
{
    const double sign = h & 0x8000u ? -1 : 1;
    const int exp = (int)(h >> 10 & 31u), man = (int)(h & 1023u);

    if (exp == 31) return man ? NAN : sign * HUGE_VAL;
    return sign * (exp ? ldexp(1024 + man, exp - 25) : ldexp(man, -24));
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

START_TEST(every_f16_is_what_its_bits_say_and_comes_back)
{
    for (unsigned h = 0; h < 65536; h++) {
        const float f = f16_to_f32((uint16_t)h);

        if (!same((double)f, half_of(h))) ck_abort_msg("0x%04x is %g", h, (double)f);
        if (isnan(f) ? !isnan(f16_to_f32(f32_to_f16(f))) : f32_to_f16(f) != h)
            ck_abort_msg("0x%04x comes back as 0x%04x", h, f32_to_f16(f));
    }
}
END_TEST

START_TEST(every_bf16_is_a_float_cut_short_and_comes_back)
{
    for (unsigned h = 0; h < 65536; h++) {
        const uint32_t bits = h << 16;
        const float f = bf16_to_f32((uint16_t)h);

        if (memcmp(&f, &bits, sizeof f)) ck_abort_msg("0x%04x is %g", h, (double)f);
        if (isnan(f) ? !isnan(bf16_to_f32(f32_to_bf16(f))) : f32_to_bf16(f) != h)
            ck_abort_msg("0x%04x comes back as 0x%04x", h, f32_to_bf16(f));
    }
}
END_TEST

/* Between two neighbours the nearer one, halfway the one whose last bit is 0. */
static void check_between(double low, double high, unsigned h, unsigned (*round)(float))
{
    const float half = (float)((low + high) / 2);
    const unsigned even = h & 1u ? h + 1 : h;

    if (round(half) != even || round(nextafterf(half, (float)low)) != h ||
        round(nextafterf(half, (float)high)) != h + 1)
        ck_abort_msg("between 0x%04x and the next: 0x%04x, 0x%04x, 0x%04x", h,
                     round(nextafterf(half, (float)low)), round(half),
                     round(nextafterf(half, (float)high)));
}

static unsigned to_f16(float f)
{
    return f32_to_f16(f);
}

static unsigned to_bf16(float f)
{
    return f32_to_bf16(f);
}

START_TEST(a_float_becomes_the_nearest_ties_to_even)
{
    for (unsigned h = 0; h < 0x7BFF; h++)
        check_between(half_of(h), half_of(h + 1), h, to_f16);
    for (unsigned h = 0x0080; h < 0x7F7F; h++)
        check_between((double)bf16_to_f32((uint16_t)h), (double)bf16_to_f32((uint16_t)(h + 1)), h,
                      to_bf16);
}
END_TEST

START_TEST(what_is_too_large_for_f16_is_infinite)
{
    ck_assert_uint_eq(f32_to_f16(65519.996f), 0x7BFF);
    ck_assert_uint_eq(f32_to_f16(65520), 0x7C00);
    ck_assert_uint_eq(f32_to_f16(-1e30f), 0xFC00);
    ck_assert_uint_eq(f32_to_f16(-INFINITY), 0xFC00);
    ck_assert_uint_eq(f32_to_f16(1e-30f), 0);
    ck_assert_uint_eq(f32_to_f16(-1e-30f), 0x8000);
}
END_TEST

START_TEST(a_row_is_whole_blocks)
{
    ck_assert_uint_eq(dtype_row_bytes(DTYPE_F32, 3), 12);
    ck_assert_uint_eq(dtype_row_bytes(DTYPE_BF16, 3), 6);
    ck_assert_uint_eq(dtype_row_bytes(DTYPE_Q8_0, 64), 68);
    ck_assert_uint_eq(dtype_row_bytes(DTYPE_Q4_0, 64), 36);
    ck_assert_uint_eq(dtype_row_bytes(DTYPE_Q4_K, 512), 288);
    ck_assert_uint_eq(dtype_row_bytes(DTYPE_Q6_K, 512), 420);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dtype");
    TCase *t = tcase_create("dtype");

    tcase_add_test(t, every_f16_is_what_its_bits_say_and_comes_back);
    tcase_add_test(t, every_bf16_is_a_float_cut_short_and_comes_back);
    tcase_add_test(t, a_float_becomes_the_nearest_ties_to_even);
    tcase_add_test(t, what_is_too_large_for_f16_is_infinite);
    tcase_add_test(t, a_row_is_whole_blocks);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
