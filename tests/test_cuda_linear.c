/* test_cuda_linear.c - kernels/linear on the emulation or a device: every dtype against the
 * reference, products that are one, one order of sums, choices that are kept.
 *
 * Extents are odd on purpose: what the library takes and what it refuses, one, more than a block.
 */
#include <math.h>
#include <string.h>

#include "base/fp8.h"
#include "kernels/element.h"
#include "kernels/linear.h"
#include "kernels/linear_tune.h"
#include "kernels/scaled.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"
#include "tests/tuning.h"

static uint64_t seed = 1;
static struct shelf shelf;

/* A weight here and there: `host` for the reference. */
struct pair {
    struct weight host, device;
};

static void number_put(char *at, enum dtype d, size_t i, float f)
{
    const uint16_t half = d == DTYPE_BF16 ? f32_to_bf16(f) : f32_to_f16(f);

    if (d == DTYPE_F32)
        memcpy(at + i * 4, &f, 4);
    else if (dtype_is_scaled(d))
        at[i] = (char)scaled_put(f * scaled_largest(d), 1, d);
    else
        memcpy(at + i * 2, &half, 2);
}

/* Rows `wide` numbers apart; nothing behind the last. */
static struct pair weights(enum dtype d, int N, int K, int wide)
{
    const size_t n = (size_t)(N - 1) * (size_t)wide + (size_t)K, bytes = n * dtype_bytes(d);
    char *data = malloc(bytes);
    float *scales = numbers_take(&seed, (size_t)N);
    struct pair w = {.host = {data, d, N, K, (size_t)wide * dtype_bytes(d), scales}};

    for (size_t i = 0; i < n; i++)
        number_put(data, d, i, numbers_draw(&seed));
    for (int i = 0; i < N; i++)
        scales[i] = 0.001f + fabsf(scales[i]);
    w.device = w.host;
    w.device.data = device_rig_put(data, bytes);
    w.device.scales = device_rig_put(scales, (size_t)N * sizeof *scales);
    return w;
}

static void drop(struct pair *w)
{
    free((void *)(uintptr_t)w->host.data), free((void *)(uintptr_t)w->host.scales);
}

/* One call's product in both places, y_step 0: N. */
struct one {
    struct pair w;
    float *x, *bias, *ref;
    void *dx;
    struct product host, device;
    int T;
};

static bool takes(enum dtype d)
{
    return (d != DTYPE_F16 || dev.act == DTYPE_F16) && device_rig_multiplies(d);
}

static struct one one_of(enum dtype d, int T, int N, int K, bool biased, bool logits)
{
    const size_t per = logits ? sizeof(float) : dtype_bytes(dev.act), n = (size_t)T * (size_t)N;
    struct one o = {.w = weights(d, N, K, K), .T = T};

    o.x = numbers_take(&seed, (size_t)T * (size_t)K);
    o.dx = device_rig_numbers(o.x, (size_t)T * (size_t)K, dev.act);
    o.bias = numbers_take(&seed, (size_t)N);
    o.ref = numbers_take(&seed, n);
    o.host = (struct product){.y = o.ref, .bias = biased ? o.bias : NULL, .logits = logits};
    o.device = o.host;
    o.device.y = device_rig_take(n * per);
    if (biased) o.device.bias = device_rig_put(o.bias, (size_t)N * sizeof(float));
    return o;
}

static void one_drop(struct one *o)
{
    drop(&o->w), free(o->x), free(o->bias), free(o->ref);
}

/* sum_k |x * w| + |bias|, and what is allowed of it. */
static double allowed(const struct one *o, int t, int n)
{
    const struct weight *w = &o->w.host;
    const enum dtype d = w->dtype;
    const double rtol = d == DTYPE_FP8                      ? LINEAR_FP8_RTOL
                        : d == DTYPE_F32 || d == DTYPE_INT8 ? LINEAR_RTOL
                                                            : LINEAR_CUDA_RTOL;
    const double unit = o->host.logits ? 0 : device_rig_rtol(0);
    double size = o->host.bias ? fabs((double)o->bias[n]) : 0;

    for (int k = 0; k < w->K; k++) {
        const char *row = (const char *)w->data + (size_t)n * weight_row_bytes(w);
        const float v = dtype_is_scaled(d) ? scaled_number((uint8_t)row[k], d) * w->scales[n]
                                           : element(row, d, (size_t)k);

        size += fabs((double)o->x[t * w->K + k] * (double)v);
    }
    return rtol * size + unit * fabs((double)o->ref[t * w->N + n]) +
           (o->host.bias ? unit * (fabs((double)o->ref[t * w->N + n]) + fabs((double)o->bias[n]))
                         : 0);
}

static void compare(const struct one *o, const char *what)
{
    const int N = o->w.host.N;
    float *y = device_rig_floats(o->device.y, (size_t)o->T * (size_t)N,
                                 o->host.logits ? DTYPE_F32 : dev.act);

    for (int i = 0; i < o->T * N; i++)
        if (!(fabs((double)y[i] - (double)o->ref[i]) <= allowed(o, i / N, i % N)))
            ck_abort_msg("%s: %s on %s T=%d N=%d K=%d [%d]: %g, not %g", what,
                         dtype_name(o->w.host.dtype), dtype_name(dev.act), o->T, N, o->w.host.K, i,
                         (double)y[i], (double)o->ref[i]);
    free(y);
}

static void check(enum dtype d, int T, int N, int K, bool biased, bool logits)
{
    struct one o = one_of(d, T, N, K, biased, logits);

    o.host.w = &o.w.host;
    o.device.w = &o.w.device;
    ck_assert_int_eq(linear_ref(&o.host, 1, o.x, T, NULL), ERR_OK);
    ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
    compare(&o, biased ? "biased" : "plain");
    one_drop(&o);
}

static const enum dtype DTYPES[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_FP8, DTYPE_INT8};
#define N_KINDS (int)(sizeof DTYPES / sizeof DTYPES[0])

static void check_all(void)
{
    static const int SHAPES[][3] = {{1, 1, 1},     {2, 19, 37},  {9, 48, 64},
                                    {33, 50, 208}, {5, 300, 16}, {4, 16, 1040}};

    for (int c = 0; c < N_KINDS * 6; c++) {
        const int *a = SHAPES[c % 6];

        if (!takes(DTYPES[c / 6])) continue;
        check(DTYPES[c / 6], a[0], a[1], a[2], c % 2, false);
        check(DTYPES[c / 6], a[0], a[1], a[2], c % 3 == 0, true);
    }
}

START_TEST(every_dtype_agrees_with_the_reference)
{
    device_rig_open(ACTS[_i], NULL, NULL);
    check_all();
    device_rig_close();
}
END_TEST

/* Cards whose library does not scale (sm_89), or has neither fp8 nor its scales (sm_80). */
START_TEST(every_card_agrees_with_the_reference)
{
    static const char *const ARCHS[] = {"80", "89"};

    for (int i = 0; i < 2; i++) {
        setenv("EMU_ARCH", ARCHS[i], 1);
        device_rig_open(ACTS[_i], NULL, NULL);
        for (int c = 0; c < N_KINDS; c++) {
            if (!takes(DTYPES[c])) continue;
            check(DTYPES[c], 9, 48, 64, true, false);
            check(DTYPES[c], 9, 50, 37, false, true);
        }
        device_rig_close();
    }
}
END_TEST

START_TEST(every_order_of_threads_agrees_with_the_reference)
{
    static const char *const ORDERS[] = {"reverse", "random:1", "random:2"};

    setenv("EMU_ORDER", ORDERS[_i], 1);
    device_rig_open(DTYPE_BF16, NULL, NULL);
    if (takes(DTYPE_FP8)) check(DTYPE_FP8, 5, 19, 300, true, false);
    check(DTYPE_INT8, 5, 48, 64, true, false);
    device_rig_close();
}
END_TEST

START_TEST(a_dtype_that_the_card_lacks_is_refused)
{
    struct one o;

    device_rig_open(DTYPE_F32, NULL, NULL);
    o = one_of(DTYPE_F16, 2, 16, 16, false, false);
    o.device.w = &o.w.device;
    ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, 2, dev.s), ERR_UNSUPPORTED);
    one_drop(&o);
    device_rig_close();
    if (!dev.plugin->emulated) return;
    setenv("EMU_ARCH", "75", 1);
    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int c = 2; c < 4; c++) { /* bf16, fp8 */
        o = one_of(DTYPES[c], 2, 16, 16, false, false);
        o.device.w = &o.w.device;
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, 2, dev.s), ERR_UNSUPPORTED);
        one_drop(&o);
    }
    check(DTYPE_INT8, 3, 16, 32, true, false);
    device_rig_close();
}
END_TEST

/* The float scratch holds some rows of so wide a y, not all. */
START_TEST(more_tokens_than_there_is_room_for_go_in_parts)
{
    const struct step_limits l = {
        .max_tokens = 70, .max_seqs = 8, .max_blocks = 8, .max_width = 16};

    device_rig_open(DTYPE_BF16, NULL, &l);
    check(DTYPE_INT8, 70, 4100, 16, true, false);
    device_rig_close();
}
END_TEST

/* q, k and v: one weight in memory, one row of y; only one of them has a bias. */
static void check_one_row(enum dtype d, const int *N, int n, int wide, int T)
{
    enum { K = 64 };
    const size_t per = dtype_bytes(dev.act);
    int sum = 0, at = 0;
    struct one o;
    struct weight host[3], device[3];
    struct product p[3], all;
    char *row;
    float *got;

    for (int i = 0; i < n; i++)
        sum += N[i];
    o = one_of(d, T, sum, K, true, false);
    memset(o.bias, 0, (size_t)sum * sizeof *o.bias);
    for (int i = N[0]; i < N[0] + N[1]; i++)
        o.bias[i] = (float)i;
    o.device.bias = device_rig_put(o.bias, (size_t)sum * sizeof *o.bias);
    row = device_rig_take((size_t)T * (size_t)wide * per);
    for (int i = 0; i < n; at += N[i++]) {
        host[i] = o.w.host;
        device[i] = o.w.device;
        device[i].N = N[i];
        device[i].data = (const char *)device[i].data + (size_t)at * weight_row_bytes(host);
        device[i].scales += at;
        p[i] = (struct product){.y = row + (size_t)at * per,
                                .w = &device[i],
                                .bias = i == 1 ? o.device.bias + at : NULL,
                                .y_step = wide};
    }
    all = (struct product){.y = o.ref, .w = &o.w.host, .bias = o.bias};
    ck_assert_int_eq(linear_ref(&all, 1, o.x, T, NULL), ERR_OK);
    ck_assert_int_eq(dev.ops->linear(p, n, o.dx, T, dev.s), ERR_OK);
    got = device_rig_floats(row, (size_t)T * (size_t)wide, dev.act);
    for (int i = 0; i < T * wide; i++) {
        if (i % wide >= sum) { /* the gap is left alone: no number, as it was */
            ck_assert(isnan(got[i]));
            continue;
        }
        if (!(fabs((double)got[i] - (double)o.ref[i / wide * sum + i % wide]) <=
              allowed(&o, i / wide, i % wide)))
            ck_abort_msg("%s [%d][%d]: %g, not %g", dtype_name(d), i / wide, i % wide,
                         (double)got[i], (double)o.ref[i / wide * sum + i % wide]);
    }
    free(got);
    one_drop(&o);
}

START_TEST(products_side_by_side_are_what_they_are_alone)
{
    static const int EVEN[] = {32, 16, 16}, ODD[] = {5, 3, 11};

    device_rig_open(ACTS[_i], NULL, NULL);
    for (int c = 0; c < N_KINDS; c++) {
        if (!takes(DTYPES[c])) continue;
        check_one_row(DTYPES[c], EVEN, 3, 64, 5);
        check_one_row(DTYPES[c], EVEN, 3, 80, 5);
        check_one_row(DTYPES[c], ODD, 3, 23, 3);
    }
    device_rig_close();
}
END_TEST

/* Each shape is kept once: side by side they have one, apart three. */
START_TEST(products_side_by_side_are_chosen_for_as_one)
{
    static const int NS[] = {16, 24, 8};
    const struct step_limits l = {.max_tokens = 4, .max_seqs = 4, .max_blocks = 4, .max_width = 64};
    const struct device_opts o = {.tuning = &shelf.tuning};
    struct product p[3];
    struct weight w[3];
    struct pair all;
    char *y;

    shelf_init(&shelf);
    device_rig_open(DTYPE_BF16, &o, &l);
    all = weights(DTYPE_BF16, 48, 64, 64);
    y = device_rig_take(4 * 64 * 2);
    for (int i = 0, at = 0; i < 3; at += NS[i++]) {
        w[i] = all.device;
        w[i].N = NS[i];
        w[i].data = (const char *)w[i].data + at * 64 * 2;
        p[i] = (struct product){.y = y + at * 2, .w = &w[i], .y_step = 48};
    }
    ck_assert_int_eq(dev.ops->tune(p, 3, dev.s), ERR_OK);
    ck_assert_int_eq(shelf.keeps, 1);
    p[1].y_step = 56;
    ck_assert_int_eq(dev.ops->tune(p, 3, dev.s), ERR_OK);
    ck_assert_int_eq(shelf.keeps, 4);
    p[1].y_step = 48;
    w[2].N = 4; /* its rows are parts of wider ones */
    w[2].row_bytes = 2 * 64 * 2;
    ck_assert_int_eq(dev.ops->tune(p, 3, dev.s), ERR_OK);
    ck_assert_int_eq(shelf.keeps, 6);
    device_rig_close();
    drop(&all);
}
END_TEST

START_TEST(a_row_may_be_a_part_of_a_wider_one)
{
    enum { T = 6, N = 19, WIDE = 64, K = 32 };

    device_rig_open(ACTS[_i], NULL, NULL);
    for (int c = 0; c < N_KINDS; c++) {
        struct one o;

        if (!takes(DTYPES[c])) continue;
        o = one_of(DTYPES[c], T, N, K, false, false);
        drop(&o.w);
        o.w = weights(DTYPES[c], N, K, WIDE);
        o.host.w = &o.w.host;
        o.device.w = &o.w.device;
        ck_assert_int_eq(linear_ref(&o.host, 1, o.x, T, NULL), ERR_OK);
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
        compare(&o, "wider");
        one_drop(&o);
    }
    device_rig_close();
}
END_TEST

/* O1, GE2 */
START_TEST(a_batch_invariant_token_gets_the_same_bits_at_every_T)
{
    enum { T = 40, K = 304 };
    static const int NS[] = {48, 19};
    const struct device_opts invariant = {.batch_invariant = true};

    device_rig_open(ACTS[_i], &invariant, NULL);
    for (int c = 0; c < N_KINDS * 2; c++) {
        const enum dtype d = DTYPES[c / 2];
        const int N = NS[c % 2];
        const size_t row = (size_t)N * dtype_bytes(dev.act);
        struct one o;
        char *all = malloc(T * row), *some = malloc(T * row);

        if (takes(d)) {
            o = one_of(d, T, N, K, true, false);
            o.device.w = &o.w.device;
            ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
            device_rig_get(all, o.device.y, T * row);
            for (int n = 1; n < T; n += n < 5 ? 1 : 7) {
                const int from = T - n;
                const char *x = (const char *)o.dx + (size_t)(from * K) * dtype_bytes(dev.act);

                ck_assert_int_eq(dev.ops->linear(&o.device, 1, x, n, dev.s), ERR_OK);
                device_rig_get(some, o.device.y, (size_t)n * row);
                if (memcmp(some, all + (size_t)from * row, (size_t)n * row))
                    ck_abort_msg("%s N=%d: %d tokens", dtype_name(d), N, n);
            }
            one_drop(&o);
        }
        free(all), free(some);
    }
    device_rig_close();
}
END_TEST

START_TEST(numbers_that_are_none_reach_their_own_token_only)
{
    enum { T = 5, N = 32, K = 64 };

    device_rig_open(ACTS[_i], &(struct device_opts){.batch_invariant = true}, NULL);
    for (int c = 0; c < N_KINDS; c++) {
        struct one o;
        float *clean, *y;

        if (!takes(DTYPES[c])) continue;
        o = one_of(DTYPES[c], T, N, K, false, false);
        o.device.w = &o.w.device;
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
        clean = device_rig_floats(o.device.y, T * N, dev.act);
        o.x[1 * K + 7] = NAN;
        o.x[3 * K + 50] = INFINITY;
        o.dx = device_rig_numbers(o.x, T * K, dev.act);
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
        y = device_rig_floats(o.device.y, T * N, dev.act);
        for (int i = 0; i < T * N; i++)
            if (i / N == 1 || i / N == 3 ? isfinite(y[i]) : memcmp(&y[i], &clean[i], sizeof *y))
                ck_abort_msg("%s [%d]: %g", dtype_name(DTYPES[c]), i, (double)y[i]);
        free(y), free(clean), one_drop(&o);
    }
    device_rig_close();
}
END_TEST

START_TEST(a_row_of_zeros_gives_the_bias)
{
    enum { N = 16, K = 32 };

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int c = 3; c < N_KINDS; c++) {
        struct one o;
        float *y;

        if (!takes(DTYPES[c])) continue;
        o = one_of(DTYPES[c], 1, N, K, true, false);
        memset(o.x, 0, K * sizeof *o.x);
        o.dx = device_rig_numbers(o.x, K, DTYPE_F32);
        o.device.w = &o.w.device;
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, 1, dev.s), ERR_OK);
        y = device_rig_floats(o.device.y, N, DTYPE_F32);
        ck_assert_mem_eq(y, o.bias, N * sizeof *y);
        free(y), one_drop(&o);
    }
    device_rig_close();
}
END_TEST

START_TEST(an_extent_out_of_range_is_refused)
{
    struct one o;
    struct product two[2];
    struct weight other;

    device_rig_open(DTYPE_F32, NULL, NULL);
    o = one_of(DTYPE_F32, 2, 16, 16, false, false);
    o.device.w = &o.w.device;
    ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, -1, dev.s), ERR_ARG);
    ck_assert_int_eq(dev.ops->linear(&o.device, 0, o.dx, 1, dev.s), ERR_ARG);
    ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, 257, dev.s), ERR_ARG); /* the limit */
    ck_assert_int_eq(dev.ops->linear(&o.device, 1, NULL, 0, dev.s), ERR_OK);
    two[0] = two[1] = o.device;
    other = o.w.device;
    other.K = 8;
    two[1].w = &other;
    ck_assert_int_eq(dev.ops->linear(two, 2, o.dx, 1, dev.s), ERR_ARG);
    o.device.y_step = 15;
    ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, 1, dev.s), ERR_ARG);
    device_rig_close();
    one_drop(&o);
}
END_TEST

/* Kinds that a product in this act can be of. */
static int n_taken(enum dtype act)
{
    int n = 0;

    dev.act = act;
    for (int c = 0; c < N_KINDS; c++)
        n += takes(DTYPES[c]);
    return n;
}

/* Chooses for one product of each kind, and looks that it is still right. */
static void tune_all(const struct device_opts *opts, int *keeps)
{
    const struct step_limits l = {
        .max_tokens = 16, .max_seqs = 8, .max_blocks = 8, .max_width = 64};

    seed = 1;
    device_rig_open(DTYPE_BF16, opts, &l);
    shelf.keeps = 0;
    for (int c = 0; c < N_KINDS; c++) {
        struct one o;

        if (!takes(DTYPES[c])) continue;
        o = one_of(DTYPES[c], 9, 48, 64, true, false);
        o.host.w = &o.w.host;
        o.device.w = &o.w.device;
        ck_assert_int_eq(dev.ops->tune(&o.device, 1, dev.s), ERR_OK);
        ck_assert_int_eq(linear_ref(&o.host, 1, o.x, 9, NULL), ERR_OK);
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, 9, dev.s), ERR_OK);
        compare(&o, "tuned");
        one_drop(&o);
    }
    device_rig_close();
    *keeps = shelf.keeps;
}

/* TU1 */
START_TEST(a_choice_is_measured_once_and_kept)
{
    const struct device_opts opts = {.tuning = &shelf.tuning, .batch_invariant = _i};
    struct shelf before;
    int keeps;

    shelf_init(&shelf);
    tune_all(&opts, &keeps);
    ck_assert_int_eq(keeps, n_taken(DTYPE_BF16));
    before = shelf;
    tune_all(&opts, &keeps);
    ck_assert_int_eq(keeps, 0);
    for (int i = 0; i < shelf.n; i++)
        ck_assert_mem_eq(shelf.items[i].bytes, before.items[i].bytes, before.items[i].len);
}
END_TEST

/* What another library left, or a bad disk, is measured again. */
START_TEST(a_kept_choice_that_does_not_fit_is_measured_again)
{
    const struct device_opts opts = {.tuning = &shelf.tuning, .batch_invariant = _i};
    int keeps;

    shelf_init(&shelf);
    tune_all(&opts, &keeps);
    for (int i = 0; i < shelf.n; i++) {
        struct tune_choice choice = {.way = TUNE_LIBRARY};
        char *choices = shelf.items[i].bytes + shelf.items[i].len - TUNE_BUCKETS * sizeof choice;

        memset(choice.algo, 0xEE, sizeof choice.algo);
        memcpy(choices, &choice, sizeof choice);
    }
    tune_all(&opts, &keeps);
    ck_assert_int_eq(keeps, n_taken(DTYPE_BF16));
}
END_TEST

START_TEST(a_choice_is_kept_apart_for_one_order)
{
    struct device_opts opts = {.tuning = &shelf.tuning};
    int keeps;

    shelf_init(&shelf);
    tune_all(&opts, &keeps);
    opts.batch_invariant = true;
    tune_all(&opts, &keeps);
    ck_assert_int_eq(keeps, n_taken(DTYPE_BF16));
}
END_TEST

/* The same addresses, other numbers. */
START_TEST(a_recorded_product_runs_again_on_what_is_there)
{
    enum { T = 3, N = 48, K = 64 };
    struct graph *g = NULL;

    device_rig_open(DTYPE_BF16, NULL, NULL);
    for (int c = 2; c < N_KINDS; c++) {
        struct one o;
        float *x;
        char bits[T * K * 2];

        if (!takes(DTYPES[c])) continue;
        o = one_of(DTYPES[c], T, N, K, true, false);
        x = numbers_take(&seed, T * K);
        o.host.w = &o.w.host;
        o.device.w = &o.w.device;
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
        ck_assert_int_eq(dev.device->record(dev.s), ERR_OK);
        ck_assert_int_eq(dev.ops->linear(&o.device, 1, o.dx, T, dev.s), ERR_OK);
        ck_assert_int_eq(dev.ops->tune(&o.device, 1, dev.s), ERR_ARG);
        ck_assert_int_eq(dev.device->recorded(&g, dev.s), ERR_OK);
        device_rig_get(bits, device_rig_numbers(x, T * K, DTYPE_BF16), sizeof bits);
        ck_assert_int_eq(dev.device->put(dev.s, o.dx, bits, sizeof bits), ERR_OK);
        free(o.x);
        o.x = x;
        ck_assert_int_eq(linear_ref(&o.host, 1, o.x, T, NULL), ERR_OK);
        ck_assert_int_eq(dev.device->replay(g, dev.s), ERR_OK);
        compare(&o, "replayed");
        dev.device->forget(&g);
        one_drop(&o);
    }
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_linear");
    TCase *c = tcase_create("linear");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, every_dtype_agrees_with_the_reference, 0, N_ACTS);
    if (dev.plugin->emulated) {
        tcase_add_loop_test(c, every_card_agrees_with_the_reference, 0, N_ACTS);
        tcase_add_loop_test(c, every_order_of_threads_agrees_with_the_reference, 0, 3);
    }
    tcase_add_test(c, a_dtype_that_the_card_lacks_is_refused);
    tcase_add_test(c, more_tokens_than_there_is_room_for_go_in_parts);
    tcase_add_loop_test(c, products_side_by_side_are_what_they_are_alone, 0, N_ACTS);
    tcase_add_test(c, products_side_by_side_are_chosen_for_as_one);
    tcase_add_loop_test(c, a_row_may_be_a_part_of_a_wider_one, 0, N_ACTS);
    tcase_add_loop_test(c, a_batch_invariant_token_gets_the_same_bits_at_every_T, 0, N_ACTS);
    tcase_add_loop_test(c, numbers_that_are_none_reach_their_own_token_only, 0, N_ACTS);
    tcase_add_test(c, a_row_of_zeros_gives_the_bias);
    tcase_add_test(c, an_extent_out_of_range_is_refused);
    tcase_add_loop_test(c, a_choice_is_measured_once_and_kept, 0, 2);
    tcase_add_loop_test(c, a_kept_choice_that_does_not_fit_is_measured_again, 0, 2);
    tcase_add_test(c, a_choice_is_kept_apart_for_one_order);
    tcase_add_test(c, a_recorded_product_runs_again_on_what_is_there);
    return s;
}

TEST_MAIN(suite)
