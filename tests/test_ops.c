/* test_ops.c - kernels/: the fast ops against the reference, and what does not change a result.
 *
 * Sizes are odd on purpose: whole vecs, tails of each kind, one.  Every test runs at each level of
 * x86-64 that this machine has.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/embed.h"
#include "kernels/glu.h"
#include "kernels/linear.h"
#include "kernels/ops.h"
#include "kernels/pool.h"
#include "kernels/rmsnorm.h"
#include "kernels/simd.h"
#include "tests/test.h"

static uint64_t state = 1;

/* Even in [-1, 1), the same sequence in each test. */
static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static float *floats(size_t n)
{
    float *f = malloc(n * sizeof *f + 1);

    for (size_t i = 0; i < n; i++)
        f[i] = draw();
    return f;
}

static struct weight weights(enum dtype d, int N, int K)
{
    const size_t n = (size_t)N * (size_t)K;
    uint16_t *half = malloc(n * 4 + 1);

    if (d == DTYPE_F32) {
        for (size_t i = 0; i < n; i++)
            ((float *)(void *)half)[i] = draw();
    } else {
        for (size_t i = 0; i < n; i++) { /* signs, exponents near 1, and a few tiny ones */
            const uint16_t bits = (uint16_t)(draw() * 32767.0f);
            const uint16_t top = d == DTYPE_BF16 ? 0x3E00 : i % 9 ? 0x3400 : 0x0000;

            half[i] = (uint16_t)((bits & 0x8000u) | ((top | (bits & 0x03FFu)) & 0x7FFFu));
        }
    }
    return (struct weight){half, d, N, K, 0};
}

/* Largest |a - b| in units of the row's tolerance; NaN counts as worst. */
static double worst(const float *a, const float *b, size_t rows, size_t width, double rtol)
{
    double most = 0;

    for (size_t r = 0; r < rows; r++) {
        double top = 0, off = 0;

        for (size_t i = r * width; i < (r + 1) * width; i++) {
            const double d = fabs((double)a[i] - (double)b[i]);

            top = fmax(top, fabs((double)b[i]));
            off = isnan(d) ? HUGE_VAL : fmax(off, d);
        }
        if (off > 0) most = fmax(most, off / (rtol * top));
    }
    return most;
}

typedef int (*linear_fn)(const struct product *p, int n, const void *x, int T, struct stream *s);

static int one_linear(linear_fn f, void *y, const void *x, const struct weight *w, int T,
                      struct stream *s)
{
    const struct product p = {.y = y, .w = w};

    return f(&p, 1, x, T, s);
}

static const enum simd_level LEVELS[] = {SIMD_BASE, SIMD_V3, SIMD_V4};

/* Caps the level by the loop test's index; false where the machine lacks it. */
static bool at_level(int i)
{
    state = 1;
    simd_cap(SIMD_V4);
    if (simd_level() < LEVELS[i]) return false;
    simd_cap(LEVELS[i]);
    return true;
}

START_TEST(half_precision_is_decoded_exactly)
{
    struct weight w;
    float x = 1.0f, y;

    if (!at_level(_i)) return;
    for (unsigned bits = 0; bits < 65536; bits++) {
        const uint16_t h = (uint16_t)bits;
        const float f = f16_to_f32(h);

        w = (struct weight){&h, DTYPE_F16, 1, 1, 0};
        ck_assert_int_eq(one_linear(linear_cpu, &y, &x, &w, 1, NULL), ERR_OK);
        if (isnan(f))
            ck_assert(isnan(y));
        else
            ck_assert_msg(y == f, "0x%04x is %g, not %g", bits, (double)y, (double)f);
    }
}
END_TEST

START_TEST(linear_agrees_with_the_reference)
{
    static const int TS[] = {1, 2, 3, 5, 9, 67}, NS[] = {1, 7, 33}, KS[] = {1, 16, 37, 200};

    if (!at_level(_i)) return;
    for (int c = 0; c < 6 * 3 * 4 * 3; c++) {
        const int T = TS[c % 6], N = NS[c / 6 % 3], K = KS[c / 18 % 4];
        struct weight w = weights((enum dtype)(c / 72), N, K);
        float *x = floats((size_t)(T * K)), *y = floats((size_t)(T * N));
        float *ref = floats((size_t)(T * N));

        ck_assert_int_eq(one_linear(linear_cpu, y, x, &w, T, NULL), ERR_OK);
        ck_assert_int_eq(one_linear(linear_ref, ref, x, &w, T, NULL), ERR_OK);
        for (int i = 0; i < T * N; i++) {
            double size = 0;

            for (int k = 0; k < K; k++) {
                const struct weight one = {(const char *)w.data +
                                               dtype_bytes(w.dtype) * (size_t)(i % N * K + k),
                                           w.dtype, 1, 1, 0};
                float p;

                (void)one_linear(linear_ref, &p, &x[i / N * K + k], &one, 1, NULL);
                size += fabs((double)p);
            }
            ck_assert_msg(fabs((double)y[i] - (double)ref[i]) <= LINEAR_RTOL * size,
                          "%s T=%d N=%d K=%d [%d]: %g, not %g", dtype_name(w.dtype), T, N, K, i,
                          (double)y[i], (double)ref[i]);
        }
        free(x), free(y), free(ref), free((void *)(uintptr_t)w.data);
    }
}
END_TEST

/* O1 */
START_TEST(linear_gives_a_token_the_same_bits_in_any_batch)
{
    const int T = 64, N = 45, K = 203;
    struct errmsg e;
    struct stream *s;

    if (!at_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int d = 0; d < 3; d++) {
        struct weight w = weights((enum dtype)d, N, K);
        float *x = floats((size_t)(T * K)), *all = floats((size_t)(T * N)), one[45];

        ck_assert_int_eq(one_linear(linear_cpu, all, x, &w, T, s), ERR_OK);
        for (int n = 1; n < 12; n++) /* n tokens at a time, up to the tile edges */
            for (int t = 0; t + n <= T; t += 7) {
                float some[12 * 45];

                ck_assert_int_eq(one_linear(linear_cpu, some, x + t * K, &w, n, NULL), ERR_OK);
                ck_assert_mem_eq(some, all + t * N, (size_t)(n * N) * sizeof *some);
            }
        for (int t = 0; t < T; t++) {
            ck_assert_int_eq(one_linear(linear_cpu, one, x + t * K, &w, 1, NULL), ERR_OK);
            ck_assert_mem_eq(one, all + t * N, sizeof one);
        }
        free(x), free(all), free((void *)(uintptr_t)w.data);
    }
    pool_close(&s);
}
END_TEST

START_TEST(a_row_too_long_to_widen_gives_the_same_bits)
{
    const int T = 9, N = 5, K = 8200;
    struct weight w;
    float *x, all[9 * 5], one[5];

    if (!at_level(_i)) return;
    w = weights(DTYPE_BF16, N, K), x = floats((size_t)(T * K));
    ck_assert_int_eq(one_linear(linear_cpu, all, x, &w, T, NULL), ERR_OK);
    for (int t = 0; t < T; t++) {
        ck_assert_int_eq(one_linear(linear_cpu, one, x + t * K, &w, 1, NULL), ERR_OK);
        ck_assert_mem_eq(one, all + t * N, sizeof one);
    }
    free(x), free((void *)(uintptr_t)w.data);
}
END_TEST

START_TEST(rmsnorm_agrees_with_the_reference_and_keeps_o1)
{
    static const int DS[] = {1, 16, 63, 200};
    struct errmsg e;
    struct stream *s;

    if (!at_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < 4; c++) {
        const int T = 19, D = DS[c];
        float *w = floats((size_t)D), *x = floats((size_t)(T * D)), *y = floats((size_t)(T * D));
        float *ref = floats((size_t)(T * D));

        ck_assert_int_eq(rmsnorm_cpu(y, x, w, T, D, 1e-5f, s), ERR_OK);
        ck_assert_int_eq(rmsnorm_ref(ref, x, w, T, D, 1e-5f, NULL), ERR_OK);
        ck_assert_double_le(worst(y, ref, (size_t)T, (size_t)D, RMSNORM_RTOL), 1);
        ck_assert_int_eq(rmsnorm_cpu(ref, x + 18 * D, w, 1, D, 1e-5f, NULL), ERR_OK);
        ck_assert_mem_eq(ref, y + 18 * D, (size_t)D * sizeof *y);
        ck_assert_int_eq(rmsnorm_cpu(x, x, w, T, D, 1e-5f, NULL), ERR_OK); /* in place */
        ck_assert_mem_eq(x, y, (size_t)(T * D) * sizeof *y);
        free(x), free(y), free(ref), free(w);
    }
    pool_close(&s);
}
END_TEST

START_TEST(glu_agrees_with_the_reference_and_keeps_o1)
{
    const int T = 21, F = 333;
    struct errmsg e;
    struct stream *s;
    float *gate, *up, *y, *ref;

    if (!at_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    gate = floats((size_t)(T * F)), up = floats((size_t)(T * F));
    y = floats((size_t)(T * F)), ref = floats((size_t)(T * F));
    for (int i = 0; i < T * F; i++)
        gate[i] *= i % 5 ? 8.0f : 120.0f; /* past where exp leaves the floats, too */
    ck_assert_int_eq(glu_cpu(y, gate, up, T, F, GLU_SILU, s), ERR_OK);
    ck_assert_int_eq(glu_ref(ref, gate, up, T, F, GLU_SILU, NULL), ERR_OK);
    ck_assert_double_le(worst(y, ref, (size_t)T, (size_t)F, GLU_RTOL), 1);
    ck_assert_int_eq(glu_cpu(ref, gate + 17 * F, up + 17 * F, 1, F, GLU_SILU, NULL), ERR_OK);
    ck_assert_mem_eq(ref, y + 17 * F, (size_t)F * sizeof *y);
    ck_assert_int_eq(glu_cpu(gate, gate, up, T, F, GLU_SILU, s), ERR_OK); /* in place */
    ck_assert_mem_eq(gate, y, (size_t)(T * F) * sizeof *y);
    pool_close(&s);
    free(gate), free(up), free(y), free(ref);
}
END_TEST

START_TEST(embed_gather_and_add_do_as_their_headers_say)
{
    const struct ops *tables[] = {ops_ref(), ops_cpu()};
    const uint16_t half[] = {0x3F80, 0x4000, 0xBF80, 0x0000, 0x4040, 0x4080};
    const struct weight w = {half, DTYPE_BF16, 3, 2, 0};
    const int32_t ids[] = {2, 0}, rows[] = {1}, wild[] = {0, 3}, negative[] = {-1, 0};

    for (int i = 0; i < 2; i++) {
        struct ragged r = {.T = 2, .S = 1, .ids = ids};
        float x[4], y[2];

        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_OK);
        ck_assert_mem_eq(x, ((float[]){3, 4, 1, 2}), sizeof x);
        ck_assert_int_eq(tables[i]->gather(y, x, rows, 1, 2, NULL), ERR_OK);
        ck_assert_mem_eq(y, ((float[]){1, 2}), sizeof y);
        ck_assert_int_eq(tables[i]->add(x, (float[]){1, 1, 0.5f, -2}, 2, 2, NULL), ERR_OK);
        ck_assert_mem_eq(x, ((float[]){4, 5, 1.5f, 0}), sizeof x);
        r.ids = wild;
        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_ARG);
        r.ids = negative;
        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_ARG);
    }
}
END_TEST

START_TEST(an_extent_out_of_range_is_refused)
{
    const struct ops *tables[] = {ops_ref(), ops_cpu()};
    const float one = 1;
    const struct weight w = {&one, DTYPE_F32, 1, 1, 0};
    float y;

    for (int i = 0; i < 2; i++) {
        const struct ops *o = tables[i];

        ck_assert_int_eq(one_linear(o->linear, &y, &one, &w, -1, NULL), ERR_ARG);
        ck_assert_int_eq(o->rmsnorm(&y, &one, &one, 1, 0, 0, NULL), ERR_ARG);
        ck_assert_int_eq(o->glu(&y, &one, &one, 1, 0, GLU_SILU, NULL), ERR_ARG);
        ck_assert_int_eq(o->add(&y, &one, -1, 1, NULL), ERR_ARG);
        ck_assert_int_eq(o->gather(&y, &one, NULL, -1, 1, NULL), ERR_ARG);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ops");
    TCase *t = tcase_create("ops");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, half_precision_is_decoded_exactly, 0, 3);
    tcase_add_loop_test(t, linear_agrees_with_the_reference, 0, 3);
    tcase_add_loop_test(t, linear_gives_a_token_the_same_bits_in_any_batch, 0, 3);
    tcase_add_loop_test(t, a_row_too_long_to_widen_gives_the_same_bits, 0, 3);
    tcase_add_loop_test(t, rmsnorm_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_loop_test(t, glu_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_test(t, embed_gather_and_add_do_as_their_headers_say);
    tcase_add_test(t, an_extent_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
