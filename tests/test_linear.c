/* test_linear.c - kernels/linear: every dtype against the reference, at each level and with and
 * without the instructions beside it.
 *
 * Sizes are odd on purpose: whole vecs, tails of each kind, one.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/linear.h"
#include "kernels/pool.h"
#include "kernels/quant.h"
#include "kernels/simd.h"
#include "tests/numbers.h"
#include "tests/test.h"

static uint64_t seed = 1;

/* f16 scales of a block, from byte 0 of it; Q6_K has its own behind the rest. */
static void scales(char *block, enum dtype d)
{
    const uint16_t one = f32_to_f16(numbers_draw(&seed) * 0.01f),
                   two = f32_to_f16(numbers_draw(&seed) * 0.01f);

    memcpy(block + (d == DTYPE_Q6_K ? 208 : 0), &one, sizeof one);
    if (d == DTYPE_Q4_K) memcpy(block + 2, &two, sizeof two);
}

/* A weight at an address that is no multiple of anything, and with nothing behind it. */
static struct weight weights(enum dtype d, int N, int K)
{
    const size_t n = (size_t)N * (size_t)K, bytes = dtype_row_bytes(d, n);
    const size_t off = d == DTYPE_F32 ? 4 : 2;
    char *data = (char *)malloc(bytes + off) + off;

    for (size_t i = 0; dtype_is_float(d) && i < n; i++) {
        const float f = i % 9 ? numbers_draw(&seed) : numbers_draw(&seed) * 1e-5f;
        const uint16_t half = d == DTYPE_BF16 ? f32_to_bf16(f) : f32_to_f16(f);

        if (d == DTYPE_F32)
            memcpy(data + i * 4, &f, 4);
        else
            memcpy(data + i * 2, &half, 2);
    }
    for (size_t i = 0; !dtype_is_float(d) && i < bytes; i++)
        data[i] = (char)(numbers_draw(&seed) * 128);
    for (size_t i = 0; !dtype_is_float(d) && i < bytes; i += dtype_block_bytes(d))
        scales(data + i, d);
    return (struct weight){data, d, N, K, 0, NULL};
}

static int prepare(struct stream *s, int max_tokens, int max_width)
{
    return linear_cpu_prepare(
        s, &(struct step_limits){.max_tokens = max_tokens, .max_width = max_width});
}

static void drop(struct weight *w)
{
    free((char *)(uintptr_t)w->data - (w->dtype == DTYPE_F32 ? 4 : 2));
}

typedef int (*linear_fn)(const struct product *p, int n, const void *x, int T, struct stream *s);

static int one_linear(linear_fn f, float *y, const float *x, const struct weight *w, int T,
                      struct stream *s)
{
    const struct product p = {.y = y, .w = w};

    return f(&p, 1, x, T, s);
}

/* sum_k |x[k] * w[n][k]|.  A minimum of Q4_K is multiplied apart and counts by itself. */
static double size_of(const float *x, const struct weight *w, int n)
{
    const size_t block = (size_t)dtype_block(w->dtype);
    const char *row = (const char *)w->data + (size_t)n * weight_row_bytes(w);
    double size = 0;
    float f[256];

    for (size_t k = 0; k < (size_t)w->K; k += block) {
        const char *at = row + dtype_row_bytes(w->dtype, k);
        uint16_t dmin = 0;

        memcpy(f, at, w->dtype == DTYPE_F32 ? 4 : 2);
        if (w->dtype == DTYPE_F16) f[0] = f16_to_f32(*(const uint16_t *)(const void *)at);
        if (w->dtype == DTYPE_BF16) f[0] = bf16_to_f32(*(const uint16_t *)(const void *)at);
        if (!dtype_is_float(w->dtype)) quant_unpack(f, at, w->dtype, block);
        if (w->dtype == DTYPE_Q4_K) memcpy(&dmin, at + 2, sizeof dmin);
        for (size_t i = 0; i < block; i++)
            size += fabs((double)x[k + i]) * (fabs((double)f[i]) + 2 * 63 * fabs(f16_to_f32(dmin)));
    }
    return size;
}

static const struct {
    enum simd_level level;
    unsigned left_out;
} MACHINES[] = {
    {SIMD_BASE, 0},
    {SIMD_V3, 0},
    {SIMD_V4, SIMD_BF16 | SIMD_VNNI},
    {SIMD_V4, 0},
};
#define N_MACHINES 4

/* Makes this machine one of MACHINES; false where it is less. */
static bool on_machine(int i)
{
    seed = 1;
    simd_cap(SIMD_V4);
    if (simd_level() < MACHINES[i].level) return false;
    simd_cap(MACHINES[i].level);
    simd_leave_out(MACHINES[i].left_out);
    return true;
}

static const enum dtype DTYPES[] = {DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0,
                                    DTYPE_Q4_0, DTYPE_Q4_K, DTYPE_Q6_K};
#define N_KINDS (int)(sizeof DTYPES / sizeof DTYPES[0])

enum { MOST = 18 };

/* The first T tokens of what the reference says of MOST. */
static void check(const struct product *plain, const double *sizes, const float *x, int T)
{
    const struct weight *w = plain->w;
    const int N = w->N;
    float *y = numbers_take(&seed, (size_t)(T * N)), *ref = plain->y;
    const struct product fast = {.y = y, .w = w, .bias = plain->bias};

    ck_assert_int_eq(linear_cpu(&fast, 1, x, T, NULL), ERR_OK);
    for (int i = 0; i < T * N; i++)
        if (!(fabs((double)y[i] - (double)ref[i]) <= LINEAR_RTOL * sizes[i]))
            ck_abort_msg("%s T=%d N=%d K=%d [%d]: %g, not %g", dtype_name(w->dtype), T, N, w->K, i,
                         (double)y[i], (double)ref[i]);
    free(y);
}

static void check_shape(enum dtype d, int N, int K)
{
    static const int TS[] = {1, 2, 3, 5, 9, MOST};
    struct weight w = weights(d, N, K);
    float *x = numbers_take(&seed, (size_t)(MOST * K)), *bias = numbers_take(&seed, (size_t)N);
    const struct product plain = {
        .y = numbers_take(&seed, (size_t)(MOST * N)), .w = &w, .bias = N % 2 ? bias : NULL};
    double *sizes = malloc((size_t)(MOST * N) * sizeof *sizes);

    ck_assert_int_eq(linear_ref(&plain, 1, x, MOST, NULL), ERR_OK);
    for (int i = 0; i < MOST * N; i++)
        sizes[i] = size_of(x + i / N * K, &w, i % N) + fabs((double)bias[i % N]);
    for (int t = 0; t < 6; t++)
        check(&plain, sizes, x, TS[t]);
    free(x), free(bias), free(plain.y), free(sizes), drop(&w);
}

START_TEST(every_dtype_agrees_with_the_reference)
{
    static const int NS[] = {1, 19, 50}, KS[] = {1, 37, 200};
    static const int BLOCKS[] = {1, 2, 5}; /* of 256: past a run of 1024 */

    if (!on_machine(_i)) return;
    for (int c = 0; c < N_KINDS * 3 * 3; c++) {
        const enum dtype d = DTYPES[c / 9];
        const int block = dtype_block(d) == 32 && c % 3 < 2 ? 32 : 256;

        check_shape(d, NS[c / 3 % 3], dtype_is_float(d) ? KS[c % 3] : BLOCKS[c % 3] * block);
    }
}
END_TEST

START_TEST(half_precision_is_decoded_exactly)
{
    struct weight w;
    float x = 1.0f, y;

    if (!on_machine(_i)) return;
    for (unsigned bits = 0; bits < 65536; bits++) {
        const uint16_t h = (uint16_t)bits;
        const float f = f16_to_f32(h);

        w = (struct weight){&h, DTYPE_F16, 1, 1, 0, NULL};
        if (one_linear(linear_cpu, &y, &x, &w, 1, NULL) || !(isnan(f) ? isnan(y) : y == f))
            ck_abort_msg("0x%04x is %g, not %g", bits, (double)y, (double)f);
    }
}
END_TEST

/* O1 */
START_TEST(a_token_gets_the_same_bits_in_any_batch)
{
    enum { T = 64, N = 45 };
    struct errmsg e;
    struct stream *s;

    if (!on_machine(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    ck_assert_int_eq(prepare(s, T, 2048), ERR_OK);
    for (int c = 0; c < N_KINDS; c++) {
        const enum dtype d = DTYPES[c];
        const int K = dtype_is_float(d) ? 203 : 1280;
        struct weight w = weights(d, N, K);
        float *x = numbers_take(&seed, (size_t)(T * K)),
              *all = numbers_take(&seed, (size_t)(T * N)), some[12 * N];

        ck_assert_int_eq(one_linear(linear_cpu, all, x, &w, T, s), ERR_OK);
        for (int n = 1; n < 12; n++) /* n tokens at a time, up to the tile edges */
            for (int t = 0; t + n <= T; t += n == 1 ? 1 : 7) {
                ck_assert_int_eq(one_linear(linear_cpu, some, x + t * K, &w, n, NULL), ERR_OK);
                ck_assert_mem_eq(some, all + t * N, (size_t)(n * N) * sizeof *some);
            }
        free(x), free(all), drop(&w);
    }
    pool_close(&s);
}
END_TEST

START_TEST(a_long_row_gives_the_same_bits_in_any_batch)
{
    enum { T = 30, N = 5, K = 8448 }; /* more than one block of tokens, too */

    if (!on_machine(_i)) return;
    for (int c = 0; c < N_KINDS; c++) {
        struct weight w = weights(DTYPES[c], N, K);
        float *x = numbers_take(&seed, (size_t)(T * K)), all[T * N], one[N];

        ck_assert_int_eq(one_linear(linear_cpu, all, x, &w, T, NULL), ERR_OK);
        for (int t = 0; t < T; t++) {
            ck_assert_int_eq(one_linear(linear_cpu, one, x + t * K, &w, 1, NULL), ERR_OK);
            ck_assert_mem_eq(one, all + t * N, sizeof one);
        }
        free(x), drop(&w);
    }
}
END_TEST

/* Products of one call may have different dtypes and widths, and be more than one list. */
START_TEST(many_products_of_one_call_are_each_what_they_are_alone)
{
    enum { T = 37, K = 256, N_PRODUCTS = 11 };
    struct weight w[N_PRODUCTS];
    struct product p[N_PRODUCTS];
    struct errmsg e;
    struct stream *s;
    float *x, *alone;

    if (!on_machine(_i)) return;
    ck_assert_int_eq(pool_open(&s, 4, &e), ERR_OK);
    ck_assert_int_eq(prepare(s, T, K), ERR_OK);
    x = numbers_take(&seed, T * K);
    for (int i = 0; i < N_PRODUCTS; i++) {
        w[i] = weights(DTYPES[i % N_KINDS], 3 + 29 * i, K);
        p[i] = (struct product){
            .y = numbers_take(&seed, (size_t)(T * w[i].N)), .w = &w[i], .bias = i % 2 ? x : NULL};
    }
    ck_assert_int_eq(linear_cpu(p, N_PRODUCTS, x, T, s), ERR_OK);
    for (int i = 0; i < N_PRODUCTS; i++) {
        const struct product one = {
            .y = alone = numbers_take(&seed, (size_t)(T * w[i].N)), .w = &w[i], .bias = p[i].bias};

        ck_assert_int_eq(linear_cpu(&one, 1, x, T, NULL), ERR_OK);
        ck_assert_mem_eq(alone, p[i].y, (size_t)(T * w[i].N) * sizeof *alone);
        free(alone), free(p[i].y), drop(&w[i]);
    }
    free(x);
    pool_close(&s);
}
END_TEST

/* A TP rank's columns: rows that are part of wider ones. */
START_TEST(a_row_may_be_a_part_of_a_wider_one)
{
    enum { T = 6, N = 19, WIDE = 1024, K = 512 };

    if (!on_machine(_i)) return;
    for (int c = 0; c < N_KINDS; c++) {
        struct weight w = weights(DTYPES[c], N, WIDE), part = w, dense;
        float *x = numbers_take(&seed, T * K), y[T * N], want[T * N];
        const size_t bytes = dtype_row_bytes(w.dtype, K);
        char *copy = malloc(N * bytes);

        part.K = K;
        part.row_bytes = weight_row_bytes(&w);
        part.data = (const char *)w.data + bytes;
        for (size_t n = 0; n < N; n++)
            memcpy(copy + n * bytes, (const char *)part.data + n * part.row_bytes, bytes);
        dense = (struct weight){copy, w.dtype, N, K, 0, NULL};
        ck_assert_int_eq(one_linear(linear_cpu, y, x, &part, T, NULL), ERR_OK);
        ck_assert_int_eq(one_linear(linear_cpu, want, x, &dense, T, NULL), ERR_OK);
        ck_assert_mem_eq(y, want, sizeof y);
        free(x), free(copy), drop(&w);
    }
}
END_TEST

START_TEST(numbers_that_are_none_reach_their_own_token_only)
{
    enum { T = 5, N = 20, K = 512 };

    if (!on_machine(_i)) return;
    for (int c = 0; c < N_KINDS; c++) {
        struct weight w = weights(DTYPES[c], N, K);
        float *x = numbers_take(&seed, T * K), y[T * N], clean[T * N];

        ck_assert_int_eq(one_linear(linear_cpu, clean, x, &w, T, NULL), ERR_OK);
        x[1 * K + 7] = NAN;
        x[3 * K + 100] = INFINITY;
        ck_assert_int_eq(one_linear(linear_cpu, y, x, &w, T, NULL), ERR_OK);
        for (int i = 0; i < T * N; i++)
            if (i / N == 1 || i / N == 3 ? isfinite(y[i]) : memcmp(&y[i], &clean[i], sizeof *y))
                ck_abort_msg("%s [%d]: %g", dtype_name(w.dtype), i, (double)y[i]);
        free(x), drop(&w);
    }
}
END_TEST

START_TEST(an_extent_out_of_range_is_refused)
{
    static const linear_fn FNS[] = {linear_ref, linear_cpu};
    const float one = 1;
    float y;

    for (int i = 0; i < 2; i++) {
        struct weight w = {&one, DTYPE_F32, 1, 1, 0, NULL},
                      other = {&one, DTYPE_F32, 1, 2, 0, NULL};
        const struct product p[] = {{.y = &y, .w = &w}, {.y = &y, .w = &other}};

        ck_assert_int_eq(FNS[i](p, 1, &one, -1, NULL), ERR_ARG);
        ck_assert_int_eq(FNS[i](p, 0, &one, 1, NULL), ERR_ARG);
        ck_assert_int_eq(FNS[i](p, 2, &one, 1, NULL), ERR_ARG);
        ck_assert_int_eq(FNS[i](p, 1, &one, 0, NULL), ERR_OK);
        w.N = 0;
        ck_assert_int_eq(FNS[i](p, 1, &one, 1, NULL), ERR_ARG);
        w = (struct weight){&one, DTYPE_Q8_0, 1, 33, 0, NULL}; /* no whole blocks */
        ck_assert_int_eq(FNS[i](p, 1, &one, 1, NULL), ERR_ARG);
    }
    ck_assert_int_eq(prepare(NULL, 0, 1), ERR_ARG);
    ck_assert_int_eq(prepare(NULL, 1, 1), ERR_OK);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("linear");
    TCase *t = tcase_create("linear");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, every_dtype_agrees_with_the_reference, 0, N_MACHINES);
    tcase_add_loop_test(t, half_precision_is_decoded_exactly, 0, N_MACHINES);
    tcase_add_loop_test(t, a_token_gets_the_same_bits_in_any_batch, 0, N_MACHINES);
    tcase_add_loop_test(t, a_long_row_gives_the_same_bits_in_any_batch, 0, N_MACHINES);
    tcase_add_loop_test(t, many_products_of_one_call_are_each_what_they_are_alone, 0, N_MACHINES);
    tcase_add_loop_test(t, a_row_may_be_a_part_of_a_wider_one, 0, N_MACHINES);
    tcase_add_loop_test(t, numbers_that_are_none_reach_their_own_token_only, 0, N_MACHINES);
    tcase_add_test(t, an_extent_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
