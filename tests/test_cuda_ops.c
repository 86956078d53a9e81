/* test_cuda_ops.c - the small ops of the .cu files against their references, on the emulation or a
 * device.
 *
 * Sizes are odd on purpose: rows that are no whole 16 bytes, one, more than a block of threads.
 */
#include <math.h>
#include <string.h>

#include "kernels/add.h"
#include "kernels/embed.h"
#include "kernels/gather.h"
#include "kernels/glu.h"
#include "kernels/quant.h"
#include "kernels/rmsnorm.h"
#include "kernels/scaled.h"
#include "kernels/softcap.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"
#include "tests/step.h"

/* The bytes of n numbers of act on the device. */
static void *bytes_of(const void *at, size_t n)
{
    void *b = malloc(n * dtype_bytes(dev.act) + 1);

    device_rig_get(b, at, n * dtype_bytes(dev.act));
    return b;
}

/* Are n numbers of act the same bits?  `from` numbers into a. */
static void ck_same(const void *a, size_t from, const void *b, size_t n)
{
    void *x = bytes_of((const char *)a + from * dtype_bytes(dev.act), n), *y = bytes_of(b, n);

    ck_assert_mem_eq(x, y, n * dtype_bytes(dev.act));
    free(x), free(y);
}

/* DV1, DV2 */
START_TEST(what_is_put_can_be_got)
{
    uint64_t seed = 1;
    float *x = numbers_take(&seed, 1000), *y;
    void *at;

    device_rig_open(ACTS[_i], NULL, NULL);
    at = device_rig_numbers(x, 1000, dev.act);
    y = device_rig_floats(at, 1000, dev.act);
    ck_assert_mem_eq(x, y, 1000 * sizeof *x);
    device_rig_close();
    free(x), free(y);
}
END_TEST

/* O1: one sum for each number, so the bits are the reference's. */
START_TEST(add_gives_the_sum_rounded_to_act)
{
    static const int TS[] = {1, 3, 7, 0}, DS[] = {1, 333, 1024, 8};

    device_rig_open(ACTS[_i], NULL, NULL);
    for (int c = 0; c < 4; c++) {
        const size_t n = (size_t)TS[c] * (size_t)DS[c];
        uint64_t seed = 1;
        float *x = numbers_take(&seed, n), *y = numbers_take(&seed, n);
        void *dx = device_rig_numbers(x, n, dev.act), *dy = device_rig_numbers(y, n, dev.act);

        ck_assert_int_eq(dev.ops->add(dx, dy, TS[c], DS[c], dev.s), ERR_OK);
        ck_assert_int_eq(add_ref(x, y, TS[c], DS[c], NULL), ERR_OK);
        ck_same(dx, 0, device_rig_numbers(x, n, dev.act), n);
        free(x), free(y);
    }
    ck_assert_int_eq(dev.ops->add(NULL, NULL, -1, 8, dev.s), ERR_ARG);
    device_rig_close();
}
END_TEST

/* O1; rows that a thread keeps in 1, 2, 4 and 8 pieces, one that is longer, odd ones. */
static const struct norm_case {
    int T, D;
} NORMS[] = {{19, 64}, {3, 200}, {5, 63}, {1, 1}, {2, 1500}, {2, 3500}, {2, 8000}, {1, 17000}};
#define N_NORMS ((int)(sizeof NORMS / sizeof NORMS[0]))

START_TEST(rmsnorm_agrees_with_the_reference_and_keeps_o1)
{
    const int T = NORMS[_i].T, D = NORMS[_i].D;
    const size_t n = (size_t)(T * D), last = (size_t)((T - 1) * D);

    for (int a = 0; a < N_ACTS; a++) {
        uint64_t seed = 2;
        float *x = numbers_take(&seed, n), *w = numbers_take(&seed, (size_t)D);
        float *ref = numbers_take(&seed, n);
        void *dx, *dw, *dy, *dz;

        device_rig_open(ACTS[a], NULL, NULL);
        dx = device_rig_numbers(x, n, dev.act), dw = device_rig_put(w, (size_t)D * sizeof *w);
        dy = device_rig_take(n * sizeof *x), dz = device_rig_take(n * sizeof *x);
        ck_assert_int_eq(dev.ops->rmsnorm(dy, dx, dw, T, D, 1e-5f, dev.s), ERR_OK);
        ck_assert_int_eq(rmsnorm_ref(ref, x, w, T, D, 1e-5f, NULL), ERR_OK);
        ck_assert_double_le(
            device_rig_worst(dy, ref, (size_t)T, (size_t)D, device_rig_rtol(RMSNORM_RTOL)), 1);
        ck_assert_int_eq(
            dev.ops->rmsnorm(dz, (char *)dx + last * dtype_bytes(dev.act), dw, 1, D, 1e-5f, dev.s),
            ERR_OK);
        if (last % 8 == 0) ck_same(dy, last, dz, (size_t)D);
        ck_assert_int_eq(dev.ops->rmsnorm(dx, dx, dw, T, D, 1e-5f, dev.s), ERR_OK); /* in place */
        ck_same(dx, 0, dy, n);
        device_rig_close();
        free(x), free(w), free(ref);
    }
}
END_TEST

START_TEST(add_rmsnorm_is_add_and_then_rmsnorm)
{
    const int T = NORMS[_i].T, D = NORMS[_i].D;
    const size_t n = (size_t)(T * D);

    for (int a = 0; a < N_ACTS; a++) {
        uint64_t seed = 3;
        float *x = numbers_take(&seed, n), *y = numbers_take(&seed, n);
        float *w = numbers_take(&seed, (size_t)D);
        void *one, *two, *dy, *dz, *dw;

        device_rig_open(ACTS[a], NULL, NULL);
        one = device_rig_numbers(x, n, dev.act), two = device_rig_numbers(x, n, dev.act);
        dy = device_rig_numbers(y, n, dev.act), dw = device_rig_put(w, (size_t)D * sizeof *w);
        dz = device_rig_take(n * sizeof *x);
        ck_assert_int_eq(dev.ops->add(one, dy, T, D, dev.s), ERR_OK);
        ck_assert_int_eq(dev.ops->rmsnorm(dz, one, dw, T, D, 1e-6f, dev.s), ERR_OK);
        ck_assert_int_eq(dev.ops->add_rmsnorm(dy, two, dy, dw, T, D, 1e-6f, dev.s), ERR_OK);
        ck_same(two, 0, one, n);
        ck_same(dy, 0, dz, n); /* y was a */
        device_rig_close();
        free(x), free(y), free(w);
    }
}
END_TEST

/* O1.  Rows stand alone, side by side (gate and up in one), and at odd places. */
START_TEST(glu_agrees_with_the_reference_and_keeps_o1)
{
    static const struct {
        int T, F, step, up;
    } CASES[] = {{21, 333, 333, 0}, {7, 512, 1024, 512}, {3, 2056, 4112, 2056}, {4, 30, 67, 31}};

    device_rig_open(ACTS[_i], NULL, NULL);
    for (int c = 0; c < 12; c++) {
        const enum glu kind = (enum glu)(c / 4);
        const int T = CASES[c % 4].T, F = CASES[c % 4].F, step = CASES[c % 4].step;
        const size_t n = (size_t)(T * F), nx = (size_t)(T * step), b = dtype_bytes(dev.act);
        const size_t at = (size_t)((T - 1) * step);
        uint64_t seed = 4;
        float *gate = numbers_take(&seed, nx), *other = numbers_take(&seed, nx);
        float *ref = numbers_take(&seed, n), *up;
        char *dg, *du;
        void *dy = device_rig_take(n * sizeof *ref), *dz = device_rig_take((size_t)F * b);

        for (size_t i = 0; i < nx; i++)
            gate[i] *= i % 5 ? 8.0f : 120.0f; /* past where exp leaves the floats, too */
        dg = device_rig_numbers(gate, nx, dev.act), du = device_rig_numbers(other, nx, dev.act);
        up = CASES[c % 4].up ? gate + CASES[c % 4].up : other;
        if (CASES[c % 4].up) du = dg + (size_t)CASES[c % 4].up * b;
        ck_assert_int_eq(dev.ops->glu(dy, dg, du, T, F, step, kind, dev.s), ERR_OK);
        ck_assert_int_eq(glu_ref(ref, gate, up, T, F, step, kind, NULL), ERR_OK);
        ck_assert_double_le(
            device_rig_worst(dy, ref, (size_t)T, (size_t)F, device_rig_rtol(GLU_RTOL)), 1);
        ck_assert_int_eq(dev.ops->glu(dz, dg + at * b, du + at * b, 1, F, step, kind, dev.s),
                         ERR_OK);
        ck_same(dy, (size_t)((T - 1) * F), dz, (size_t)F);
        free(gate), free(other), free(ref);
    }
    ck_assert_int_eq(dev.ops->glu(NULL, NULL, NULL, 3, 8, 7, GLU_SILU, dev.s), ERR_ARG);
    ck_assert_int_eq(dev.ops->glu(NULL, NULL, NULL, 0, 8, 8, GLU_SILU, dev.s), ERR_OK);
    device_rig_close();
}
END_TEST

/* Where nothing else in the row is large: each number on its own, from tiny to far. */
START_TEST(gelu_and_softcap_are_right_number_by_number)
{
    float x[1201], one[1201], ref[1201], *dx, *d1, *dy, *y;

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int i = 0; i <= 1200; i++) {
        x[i] = (float)((i < 600 ? -1 : 1) * pow(1.05, abs(i - 600) - 450));
        if (x[i] < -4) x[i] = -4;
        one[i] = 1;
    }
    dx = device_rig_numbers(x, 1201, DTYPE_F32), d1 = device_rig_numbers(one, 1201, DTYPE_F32);
    dy = device_rig_take(sizeof x);
    for (int c = 0; c < 4; c++) {
        const bool cap = c == 3;

        memcpy(ref, x, sizeof x);
        if (cap) {
            ck_assert_int_eq(dev.ops->softcap(dx, 1, 1201, 30, dev.s), ERR_OK);
            ck_assert_int_eq(softcap_ref(ref, 1, 1201, 30, NULL), ERR_OK);
        } else {
            ck_assert_int_eq(dev.ops->glu(dy, dx, d1, 1, 1201, 1201, (enum glu)c, dev.s), ERR_OK);
            ck_assert_int_eq(glu_ref(ref, x, one, 1, 1201, 1201, (enum glu)c, NULL), ERR_OK);
        }
        y = device_rig_floats(cap ? dx : dy, 1201, DTYPE_F32);
        for (int i = 0; i <= 1200; i++)
            ck_assert_msg(fabsf(y[i] - ref[i]) <=
                              (cap ? (float)SOFTCAP_RTOL : 2 * (float)GLU_RTOL) * fabsf(ref[i]),
                          "%d(%g): %.9g, not %.9g", c, (double)x[i], (double)y[i], (double)ref[i]);
        free(y);
    }
    ck_assert_int_eq(dev.ops->softcap(dx, 1, 8, 0, dev.s), ERR_ARG);
    device_rig_close();
}
END_TEST

START_TEST(gather_copies_the_rows_that_are_wanted)
{
    static const int TOKENS[] = {3, 1, 7}, LAST[] = {2, 40, 20}, DS[] = {64, 6, 333};

    device_rig_open(ACTS[_i], NULL, NULL);
    for (int c = 0; c < 3; c++) {
        const int D = DS[c];
        uint64_t seed = 5;
        float *x = numbers_take(&seed, (size_t)(11 * D)),
              *ref = numbers_take(&seed, (size_t)(3 * D));
        void *dx = device_rig_numbers(x, (size_t)(11 * D), dev.act);
        void *dy = device_rig_take((size_t)(3 * D) * sizeof *x);
        struct ragged on;
        struct step p;

        step_init(&p, 3, TOKENS, LAST, 0, 10, 1);
        on = device_rig_begin(&p.r);
        ck_assert_int_eq(dev.ops->gather(dy, dx, &on, D, dev.s), ERR_OK);
        ck_assert_int_eq(gather_ref(ref, x, &p.r, D, NULL), ERR_OK);
        ck_same(dy, 0, device_rig_numbers(ref, (size_t)(3 * D), dev.act), (size_t)(3 * D));
        on.n_rows = 0;
        ck_assert_int_eq(dev.ops->gather(NULL, NULL, &on, D, dev.s), ERR_OK);
        step_fini(&p);
        free(x), free(ref);
    }
    device_rig_close();
}
END_TEST

/* A block of dtype d: made-up bytes, but for floats, which are even in [-1, 1), and for f16 scales,
 * which lose exponent bits so that none is an infinity or no number. */
static void block_init(uint8_t *b, enum dtype d, uint64_t *seed)
{
    const float f = numbers_draw(seed);
    const uint16_t half = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);

    for (size_t i = 0; i < dtype_block_bytes(d); i++)
        b[i] = (uint8_t)(int8_t)(numbers_draw(seed) * 128);
    if (d == DTYPE_F32) memcpy(b, &f, sizeof f);
    if (d == DTYPE_F16 || d == DTYPE_BF16) memcpy(b, &half, sizeof half);
    if (d == DTYPE_FP8 && (*b & 0x7F) == 0x7F) *b = 0;
    if (d == DTYPE_Q8_0 || d == DTYPE_Q4_0 || d == DTYPE_Q4_K) b[1] &= 0xBB;
    if (d == DTYPE_Q4_K) b[3] &= 0xBB;
    if (d == DTYPE_Q6_K) b[209] &= 0xBB;
}

/* V rows of D numbers of dtype d, on the host, and scales [V] as fp8 and int8 have them. */
static void *rows_of(enum dtype d, int V, int D, float *scales, uint64_t *seed)
{
    const size_t n = (size_t)V * dtype_row_bytes(d, (size_t)D);
    uint8_t *b = malloc(n);

    ck_assert_ptr_nonnull(b);
    for (size_t i = 0; i < n; i += dtype_block_bytes(d))
        block_init(b + i, d, seed);
    for (int v = 0; v < V; v++)
        scales[v] = numbers_draw(seed);
    return b;
}

START_TEST(embed_unpacks_every_dtype)
{
    static const int TOKENS[] = {3, 1, 7}, LAST[] = {2, 40, 20};
    const enum dtype d = (enum dtype)(_i / N_ACTS);
    const int V = 37;

    device_rig_open(ACTS[_i % N_ACTS], NULL, NULL);
    for (int D = dtype_block(d); D < 1100; D = D * 5 + (dtype_block(d) == 1 ? 3 : 0)) {
        uint64_t seed = 6;
        float scales[37], *ref = numbers_take(&seed, (size_t)(11 * D));
        void *rows = rows_of(d, V, D, scales, &seed), *dx = device_rig_take((size_t)(44 * D));
        const struct weight w = {.data = rows, .dtype = d, .N = V, .K = D, .scales = scales};
        struct weight dw = w;
        struct ragged on;
        struct step p;

        dw.data = device_rig_put(rows, (size_t)V * weight_row_bytes(&w));
        dw.scales = dtype_is_scaled(d) ? device_rig_put(scales, sizeof scales) : NULL;
        step_init(&p, 3, TOKENS, LAST, 0, V, 7);
        on = device_rig_begin(&p.r);
        ck_assert_int_eq(dev.ops->embed(dx, &dw, 1.5f, &on, dev.s), ERR_OK);
        ck_assert_int_eq(embed_ref(ref, &w, 1.5f, &p.r, NULL), ERR_OK);
        ck_assert_double_le(device_rig_worst(dx, ref, 11, (size_t)D, device_rig_rtol(EMBED_RTOL)),
                            1);
        step_fini(&p);
        free(rows), free(ref);
    }
    device_rig_close();
}
END_TEST

/* What the host's call refuses, a device sees too late. */
START_TEST(embed_takes_an_id_from_outside_to_the_border)
{
    static const int TOKENS[] = {3}, LAST[] = {2};
    float w[5 * 8], *x;
    struct weight dw = {.dtype = DTYPE_F32, .N = 5, .K = 8};
    struct ragged on;
    struct step p;
    void *dx;

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int i = 0; i < 40; i++)
        w[i] = (float)i;
    dw.data = device_rig_put(w, sizeof w), dx = device_rig_take(sizeof(float) * 24);
    step_init(&p, 1, TOKENS, LAST, 0, 5, 1);
    p.ids[0] = -7, p.ids[1] = 5, p.ids[2] = 2147483647;
    on = device_rig_begin(&p.r);
    ck_assert_int_eq(dev.ops->embed(dx, &dw, 1, &on, dev.s), ERR_OK);
    x = device_rig_floats(dx, 24, DTYPE_F32);
    ck_assert_mem_eq(x, w, 8 * sizeof *x);
    ck_assert_mem_eq(x + 8, w + 32, 8 * sizeof *x);
    ck_assert_mem_eq(x + 16, w + 32, 8 * sizeof *x);
    dw.K = 33, dw.dtype = DTYPE_Q8_0;
    ck_assert_int_eq(dev.ops->embed(dx, &dw, 1, &on, dev.s), ERR_ARG);
    on.T = 0, dw.K = 32;
    ck_assert_int_eq(dev.ops->embed(dx, &dw, 1, &on, dev.s), ERR_OK);
    device_rig_close();
    step_fini(&p);
    free(x);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_ops");
    TCase *c = tcase_create("ops");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, what_is_put_can_be_got, 0, N_ACTS);
    tcase_add_loop_test(c, add_gives_the_sum_rounded_to_act, 0, N_ACTS);
    tcase_add_loop_test(c, rmsnorm_agrees_with_the_reference_and_keeps_o1, 0, N_NORMS);
    tcase_add_loop_test(c, add_rmsnorm_is_add_and_then_rmsnorm, 0, N_NORMS);
    tcase_add_loop_test(c, glu_agrees_with_the_reference_and_keeps_o1, 0, N_ACTS);
    tcase_add_test(c, gelu_and_softcap_are_right_number_by_number);
    tcase_add_loop_test(c, gather_copies_the_rows_that_are_wanted, 0, N_ACTS);
    tcase_add_loop_test(c, embed_unpacks_every_dtype, 0, N_ACTS * N_DTYPES);
    tcase_add_test(c, embed_takes_an_id_from_outside_to_the_border);
    return s;
}

TEST_MAIN(suite)
