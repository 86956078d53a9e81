/* test_cuda_convert.c - weights in another dtype, on the host and on the emulation or a device. */
#include <math.h>
#include <string.h>

#include "kernels/convert.h"
#include "kernels/element.h"
#include "kernels/scaled.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"

#define ROWS 5

/* A weight on the host with `gap` bytes behind each row, full of 0xA5; scales [ROWS]. */
static struct weight weight_take(enum dtype d, int K, size_t gap)
{
    const size_t row = dtype_row_bytes(d, (size_t)K) + gap;
    void *data = malloc(ROWS * row);
    float *scales = calloc(ROWS, sizeof *scales);

    ck_assert(data && scales);
    memset(data, 0xA5, ROWS * row);
    return (struct weight){data, d, ROWS, K, row, scales};
}

/* Rows of different sizes: even numbers, large ones, zeros, tiny ones, one that is far. */
static void weight_fill(const struct weight *w, uint64_t *seed)
{
    for (int n = 0; n < ROWS; n++)
        for (int k = 0; k < w->K; k++) {
            const float size[ROWS] = {1, 300, 0, 1e-6f, k == w->K / 2 ? 50.0f : 0.01f};
            const float f = numbers_draw(seed) * size[n];
            char *row = (char *)w->data + (size_t)n * w->row_bytes;

            if (w->dtype == DTYPE_F32)
                ((float *)(void *)row)[k] = f;
            else if (dtype_is_float(w->dtype))
                ((uint16_t *)(void *)row)[k] =
                    w->dtype == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
            else
                row[k / dtype_block(w->dtype)] = (char)k;
        }
}

static void weight_drop(struct weight *w)
{
    free((void *)w->data), free((void *)w->scales);
}

static struct weight weight_put(const struct weight *w)
{
    struct weight on = *w;

    on.data = device_rig_put(w->data, ROWS * w->row_bytes);
    on.scales = device_rig_put(w->scales, ROWS * sizeof *w->scales);
    return on;
}

static const int KS[] = {1, 64, 333, 1100};
#define N_KS 4

/* Every dtype that a float can become, rows with and without gaps. */
START_TEST(the_device_converts_to_the_bits_of_the_reference)
{
    static const enum dtype TO[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_FP8, DTYPE_INT8};
    const enum dtype from = ACTS[_i];

    device_rig_open(DTYPE_BF16, NULL, NULL);
    for (int c = 0; c < 5 * N_KS; c++) {
        const size_t gap = c % 2 ? 12 : 0;
        struct weight a = weight_take(from, KS[c % N_KS], gap);
        struct weight b = weight_take(TO[c / N_KS], KS[c % N_KS], 8 - gap / 3 * 2), on_a, on_b;
        void *got = malloc(ROWS * b.row_bytes);
        uint64_t seed = 1;
        float scales[ROWS];

        weight_fill(&a, &seed);
        on_a = weight_put(&a), on_b = weight_put(&b);
        ck_assert_int_eq(dev.ops->convert(&on_b, &on_a, dev.s), ERR_OK);
        ck_assert_int_eq(convert_ref(&b, &a, NULL), ERR_OK);
        device_rig_get(got, on_b.data, ROWS * b.row_bytes);
        ck_assert_mem_eq(got, b.data, ROWS * b.row_bytes);
        device_rig_get(scales, on_b.scales, sizeof scales);
        ck_assert_mem_eq(scales, b.scales, sizeof scales);
        weight_drop(&a), weight_drop(&b);
        free(got);
    }
    device_rig_close();
}
END_TEST

/* The meaning: within half a step of the row's scale, and the largest is stored as the largest. */
START_TEST(a_row_is_scaled_by_its_largest_number)
{
    const enum dtype d = _i ? DTYPE_INT8 : DTYPE_FP8;
    struct weight a = weight_take(DTYPE_F32, 100, 0), b = weight_take(d, 100, 0);
    uint64_t seed = 1;

    weight_fill(&a, &seed);
    ck_assert_int_eq(convert_ref(&b, &a, NULL), ERR_OK);
    for (int n = 0; n < ROWS; n++) {
        const float *x = weight_row(&a, n), scale = b.scales[n];
        const uint8_t *y = weight_row(&b, n);
        float most = 0, stored = 0;

        for (int k = 0; k < 100; k++) {
            const float off = fabsf(scale * scaled_number(y[k], d) - x[k]);

            ck_assert_float_le(off, d == DTYPE_INT8
                                        ? 0.5001f * scale
                                        : fmaxf(fabsf(x[k]) * 0x1.01p-4f, scale * 0x1p-9f));
            most = fmaxf(most, fabsf(x[k]));
            stored = fmaxf(stored, fabsf(scaled_number(y[k], d)));
        }
        ck_assert_float_eq(scale, most / scaled_largest(d));
        ck_assert_float_eq(stored, n == 2 ? 0 : scaled_largest(d));
    }
    weight_drop(&a), weight_drop(&b);
}
END_TEST

START_TEST(the_same_dtype_is_a_copy)
{
    static const enum dtype SAME[] = {DTYPE_F32, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q6_K, DTYPE_FP8};
    const enum dtype d = SAME[_i];
    struct weight a = weight_take(d, 512, 0), b = weight_take(d, 512, 16), c = b, on_a, on_b;
    uint64_t seed = 1;
    void *got;

    device_rig_open(DTYPE_F16, NULL, NULL);
    weight_fill(&a, &seed);
    for (int n = 0; n < ROWS; n++)
        ((float *)a.scales)[n] = (float)n;
    on_a = weight_put(&a), on_b = weight_put(&b);
    ck_assert_int_eq(dev.ops->convert(&on_b, &on_a, dev.s), ERR_OK);
    ck_assert_int_eq(convert_ref(&c, &a, NULL), ERR_OK);
    for (int n = 0; n < ROWS; n++)
        ck_assert_mem_eq(weight_row(&c, n), weight_row(&a, n), dtype_row_bytes(d, 512));
    got = malloc(ROWS * b.row_bytes);
    device_rig_get(got, on_b.data, ROWS * b.row_bytes);
    ck_assert_mem_eq(got, c.data, ROWS * b.row_bytes);
    if (d == DTYPE_FP8) ck_assert_float_eq(c.scales[4], 4);
    device_rig_get(got, on_b.scales, ROWS * sizeof *b.scales);
    ck_assert_mem_eq(got, c.scales, ROWS * sizeof *b.scales);
    device_rig_close();
    weight_drop(&a), weight_drop(&b);
    free(got);
}
END_TEST

START_TEST(what_cannot_be_converted_is_refused)
{
    const struct weight f = {.dtype = DTYPE_F32, .N = 2, .K = 64},
                        q = {.dtype = DTYPE_Q8_0, .N = 2, .K = 64};
    struct weight to = f;

    device_rig_open(DTYPE_F16, NULL, NULL);
    ck_assert_int_eq(convert_ref(&f, &q, NULL), ERR_UNSUPPORTED);
    ck_assert_int_eq(convert_ref(&q, &f, NULL), ERR_UNSUPPORTED);
    ck_assert_int_eq(dev.ops->convert(&q, &f, dev.s), ERR_UNSUPPORTED);
    to.dtype = DTYPE_FP8; /* without scales */
    ck_assert_int_eq(dev.ops->convert(&to, &f, dev.s), ERR_ARG);
    to = f, to.K = 32;
    ck_assert_int_eq(dev.ops->convert(&to, &f, dev.s), ERR_ARG);
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_convert");
    TCase *c = tcase_create("convert");

    suite_add_tcase(s, c);
    tcase_add_loop_test(c, a_row_is_scaled_by_its_largest_number, 0, 2);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, the_device_converts_to_the_bits_of_the_reference, 0, N_ACTS);
    tcase_add_loop_test(c, the_same_dtype_is_a_copy, 0, 5);
    tcase_add_test(c, what_cannot_be_converted_is_refused);
    return s;
}

TEST_MAIN(suite)
