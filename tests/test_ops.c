/* test_ops.c - kernels/: the fast ops but linear against the reference, and what does not change a
 * result.
 *
 * Sizes are odd on purpose: whole vecs, tails of each kind, one.  Every test runs at each level of
 * x86-64 that this machine has.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/add.h"
#include "kernels/embed.h"
#include "kernels/glu.h"
#include "kernels/ops.h"
#include "kernels/pool.h"
#include "kernels/rmsnorm.h"
#include "kernels/softcap.h"
#include "tests/numbers.h"
#include "tests/test.h"

/* O1; rows are wide ones, and many short ones, as the heads of q and k are. */
START_TEST(rmsnorm_agrees_with_the_reference_and_keeps_o1)
{
    static const int DS[] = {1, 16, 63, 200}, TS[] = {19, 1100, 150, 150};
    uint64_t seed = 1;
    struct errmsg e;
    struct stream *s;

    if (!numbers_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < 4; c++) {
        const int T = TS[c], D = DS[c], last = (T - 1) * D;
        const size_t n = (size_t)(T * D);
        float *w = numbers_take(&seed, (size_t)D), *x = numbers_take(&seed, n);
        float *y = numbers_take(&seed, n), *ref = numbers_take(&seed, n);

        ck_assert_int_eq(rmsnorm_cpu(y, x, w, T, D, 1e-5f, s), ERR_OK);
        ck_assert_int_eq(rmsnorm_ref(ref, x, w, T, D, 1e-5f, NULL), ERR_OK);
        ck_assert_double_le(numbers_worst(y, ref, (size_t)T, (size_t)D, RMSNORM_RTOL), 1);
        ck_assert_int_eq(rmsnorm_cpu(ref, x + last, w, 1, D, 1e-5f, NULL), ERR_OK);
        ck_assert_mem_eq(ref, y + last, (size_t)D * sizeof *y);
        ck_assert_int_eq(rmsnorm_cpu(x, x, w, T, D, 1e-5f, NULL), ERR_OK); /* in place */
        ck_assert_mem_eq(x, y, n * sizeof *y);
        free(x), free(y), free(ref), free(w);
    }
    pool_close(&s);
}
END_TEST

/* O1 */
START_TEST(glu_agrees_with_the_reference_and_keeps_o1)
{
    static const enum glu KINDS[] = {GLU_SILU, GLU_GELU_TANH, GLU_GELU};
    const int T = 21, F = 333;
    const size_t n = (size_t)(T * F);
    uint64_t seed = 1;
    struct errmsg e;
    struct stream *s;

    if (!numbers_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < 3; c++) {
        const enum glu kind = KINDS[c];
        float *gate = numbers_take(&seed, n), *up = numbers_take(&seed, n);
        float *y = numbers_take(&seed, n), *ref = numbers_take(&seed, n);

        for (size_t i = 0; i < n; i++)
            gate[i] *= i % 5 ? 8.0f : 120.0f; /* past where exp leaves the floats, too */
        ck_assert_int_eq(glu_cpu(y, gate, up, T, F, F, kind, s), ERR_OK);
        ck_assert_int_eq(glu_ref(ref, gate, up, T, F, F, kind, NULL), ERR_OK);
        ck_assert_double_le(numbers_worst(y, ref, (size_t)T, (size_t)F, GLU_RTOL), 1);
        ck_assert_int_eq(glu_cpu(ref, gate + 17 * F, up + 17 * F, 1, F, F, kind, NULL), ERR_OK);
        ck_assert_mem_eq(ref, y + 17 * F, (size_t)F * sizeof *y);
        ck_assert_int_eq(glu_cpu(gate, gate, up, T, F, F, kind, s), ERR_OK); /* in place */
        ck_assert_mem_eq(gate, y, n * sizeof *y);
        free(gate), free(up), free(y), free(ref);
    }
    pool_close(&s);
}
END_TEST

/* Where nothing else in the row is large: each number on its own, from tiny to far. */
START_TEST(gelu_and_softcap_are_right_number_by_number)
{
    float one = 1, x, y, ref;

    if (!numbers_level(_i)) return;
    for (int i = -600; i <= 600; i++) {
        const double size = pow(1.05, abs(i) - 450);

        x = (float)(i < 0 ? -size : size);
        for (int c = 0; c < 2; c++) {
            const enum glu kind = c ? GLU_GELU : GLU_GELU_TANH;

            if (x < -4) continue; /* 1e-4 and less, times x */
            ck_assert_int_eq(glu_cpu(&y, &x, &one, 1, 1, 1, kind, NULL), ERR_OK);
            ck_assert_int_eq(glu_ref(&ref, &x, &one, 1, 1, 1, kind, NULL), ERR_OK);
            ck_assert_msg(fabsf(y - ref) <= 2 * (float)GLU_RTOL * fabsf(ref), "%d(%g): %g, not %g",
                          kind, (double)x, (double)y, (double)ref);
        }
        y = ref = x;
        ck_assert_int_eq(softcap_cpu(&y, 1, 1, 30, NULL), ERR_OK);
        ck_assert_int_eq(softcap_ref(&ref, 1, 1, 30, NULL), ERR_OK);
        ck_assert_msg(fabsf(y - ref) <= (float)SOFTCAP_RTOL * fabsf(ref),
                      "softcap(%g): %.9g, not %.9g", (double)x, (double)y, (double)ref);
    }
}
END_TEST

/* O1 */
START_TEST(softcap_and_add_do_the_same_to_each_number_in_any_step)
{
    const int T = 53, D = 333;
    const size_t n = (size_t)(T * D), last = (size_t)((T - 1) * D);
    uint64_t seed = 1;
    struct errmsg e;
    struct stream *s;
    float *x, *y, *sum, *ref;

    if (!numbers_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    x = numbers_take(&seed, n), y = numbers_take(&seed, n);
    sum = malloc(n * sizeof *sum), ref = malloc(n * sizeof *ref);
    memcpy(sum, x, n * sizeof *x), memcpy(ref, x, n * sizeof *x);
    ck_assert_int_eq(add_cpu(sum, y, T, D, s), ERR_OK);
    ck_assert_int_eq(add_ref(ref, y, T, D, NULL), ERR_OK);
    ck_assert_mem_eq(sum, ref, n * sizeof *sum);

    ck_assert_int_eq(softcap_cpu(sum, T, D, 0.5f, s), ERR_OK);
    ck_assert_int_eq(softcap_cpu(ref + last, 1, D, 0.5f, NULL), ERR_OK);
    ck_assert_mem_eq(ref + last, sum + last, (n - last) * sizeof *sum);
    pool_close(&s);
    free(x), free(y), free(sum), free(ref);
}
END_TEST

START_TEST(embed_gather_and_add_do_as_their_headers_say)
{
    const struct ops *tables[] = {ops_ref(), ops_cpu()};
    const uint16_t half[] = {0x3F80, 0x4000, 0xBF80, 0x0000, 0x4040, 0x4080};
    const struct weight w = {half, DTYPE_BF16, 3, 2, 0, NULL};
    const int32_t ids[] = {2, 0}, rows[] = {1}, wild[] = {0, 3}, negative[] = {-1, 0};

    for (int i = 0; i < 2; i++) {
        struct ragged r = {.T = 2, .S = 1, .n_rows = 1, .ids = ids, .rows = rows};
        float x[4], y[2];

        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_OK);
        ck_assert_mem_eq(x, ((float[]){3, 4, 1, 2}), sizeof x);
        ck_assert_int_eq(tables[i]->gather(y, x, &r, 2, NULL), ERR_OK);
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
        ck_assert_int_eq(o->glu(&y, &one, &one, 1, 0, 0, GLU_SILU, NULL), ERR_ARG);
        ck_assert_int_eq(o->add(&y, &one, -1, 1, NULL), ERR_ARG);
        ck_assert_int_eq(o->softcap(&y, 1, 1, 0, NULL), ERR_ARG);
        ck_assert_int_eq(o->softcap(&y, 1, 0, 1, NULL), ERR_ARG);
        ck_assert_int_eq(o->gather(&y, &one, &(struct ragged){.n_rows = -1}, 1, NULL), ERR_ARG);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ops");
    TCase *t = tcase_create("ops");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, rmsnorm_agrees_with_the_reference_and_keeps_o1, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, glu_agrees_with_the_reference_and_keeps_o1, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, gelu_and_softcap_are_right_number_by_number, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, softcap_and_add_do_the_same_to_each_number_in_any_step, 0,
                        NUMBERS_LEVELS);
    tcase_add_test(t, embed_gather_and_add_do_as_their_headers_say);
    tcase_add_test(t, an_extent_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
