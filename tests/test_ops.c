/* test_ops.c - kernels/: the fast ops but linear against the reference, and what does not change a
 * result.
 *
 * Sizes are odd on purpose: whole vecs, tails of each kind, one.  Every test runs at each level of
 * x86-64 that this machine has.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/embed.h"
#include "kernels/glu.h"
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
    float y;

    for (int i = 0; i < 2; i++) {
        const struct ops *o = tables[i];

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
    tcase_add_loop_test(t, rmsnorm_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_loop_test(t, glu_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_test(t, embed_gather_and_add_do_as_their_headers_say);
    tcase_add_test(t, an_extent_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
