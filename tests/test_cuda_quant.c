/* test_cuda_quant.c - products of quantised weights on the emulation or a device: by rows and by
 * tiles, against the reference; what a token gets does not depend on the others.
 */
#include <math.h>
#include <string.h>

#include "kernels/element.h"
#include "kernels/linear.h"
#include "kernels/quant.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"

#define MOST_T 70

static const enum dtype QUANTS[] = {DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_K, DTYPE_Q6_K};
#define N_QUANTS 4

static uint64_t seed = 3;

/* Any bytes are numbers but for the scales, which are f16. */
static void scale_put(char *block, enum dtype d)
{
    const uint16_t scale = f32_to_f16(0.01f + 0.01f * numbers_draw(&seed));
    const uint16_t min = f32_to_f16(0.02f * numbers_draw(&seed));

    memcpy(block + (d == DTYPE_Q6_K ? 208 : 0), &scale, 2);
    if (d == DTYPE_Q4_K) memcpy(block + 2, &min, 2);
}

static struct weight weight_of(enum dtype d, int N, int K)
{
    const size_t bytes = (size_t)N * dtype_row_bytes(d, (size_t)K);
    char *data = malloc(bytes);

    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(numbers_draw(&seed) * 128);
    for (size_t i = 0; i < bytes; i += dtype_block_bytes(d))
        scale_put(data + i, d);
    return (struct weight){.data = data, .dtype = d, .N = N, .K = K};
}

/* sum_k |x * w| + |bias|; a minimum counts by itself, and x as it is after its rounding. */
static double size_of(const struct weight *w, const float *x, int n, float bias)
{
    const size_t block = (size_t)dtype_block(w->dtype);
    double size = fabs((double)bias);
    float f[256];

    for (size_t k = 0; k < (size_t)w->K; k += block) {
        quant_unpack(f, (const char *)weight_row(w, n) + dtype_row_bytes(w->dtype, k), w->dtype,
                     block);
        for (size_t i = 0; i < block; i++)
            size += fabs((double)x[k + i]) * (fabs((double)f[i]) + 0.02 * 63);
    }
    return size;
}

struct quant_case {
    struct weight host, device;
    float *x, *bias, *ref;
    void *dx, *dbias;
    int T;
    bool logits;
};

static struct quant_case case_of(enum dtype d, int T, int N, int K, bool biased, bool logits)
{
    const size_t n = (size_t)T * (size_t)K;
    struct quant_case c = {.host = weight_of(d, N, K), .T = T, .logits = logits};

    c.device = c.host;
    c.device.data = device_rig_put(c.host.data, (size_t)N * dtype_row_bytes(d, (size_t)K));
    c.x = numbers_take(&seed, n);
    for (int k = 0; k < QUANT_X; k++)
        c.x[k] = 0; /* a block of zeros */
    c.dx = device_rig_numbers(c.x, n, dev.act);
    c.bias = biased ? numbers_take(&seed, (size_t)N) : NULL;
    c.dbias = biased ? device_rig_put(c.bias, (size_t)N * sizeof(float)) : NULL;
    c.ref = numbers_take(&seed, (size_t)T * (size_t)N);
    return c;
}

static void case_drop(struct quant_case *c)
{
    free((void *)(uintptr_t)c->host.data);
    free(c->x), free(c->bias), free(c->ref);
}

/* The device's y of tokens t0..t0+T-1, rows of y `step` apart; the caller frees. */
static float *run(const struct quant_case *c, int t0, int T, int step)
{
    const enum dtype out = c->logits ? DTYPE_F32 : dev.act;
    const size_t n = (size_t)T * (size_t)step;
    void *y = device_rig_take(n * dtype_bytes(out));
    const char *x = (const char *)c->dx + (size_t)t0 * (size_t)c->host.K * dtype_bytes(dev.act);
    const struct product p = {
        .y = y, .w = &c->device, .bias = c->dbias, .y_step = step, .logits = c->logits};

    ck_assert_int_eq(dev.ops->linear(&p, 1, x, T, dev.s), ERR_OK);
    return device_rig_floats(y, n, out);
}

static void check(enum dtype d, int T, int N, int K, bool biased, bool logits)
{
    struct quant_case c = case_of(d, T, N, K, biased, logits);
    const struct product p = {.y = c.ref, .w = &c.host, .bias = c.bias};
    const double unit = logits ? 0 : device_rig_rtol(0);
    float *y = run(&c, 0, T, N + 3);

    ck_assert_int_eq(linear_ref(&p, 1, c.x, T, NULL), ERR_OK);
    for (int i = 0; i < T * N; i++) {
        const int t = i / N, n = i % N;
        const double size = size_of(&c.host, c.x + t * K, n, biased ? c.bias[n] : 0);
        const double got = (double)y[t * (N + 3) + n], want = (double)c.ref[i];

        if (!(fabs(got - want) <= LINEAR_RTOL * size + unit * fabs(want)))
            ck_abort_msg("%s T=%d N=%d K=%d [%d][%d]: %g, not %g", dtype_name(d), T, N, K, t, n,
                         got, want);
    }
    free(y);
    case_drop(&c);
}

START_TEST(every_block_dtype_agrees_with_the_reference)
{
    static const int TS[] = {1, 2, 3, 5, 8, 9, 33, MOST_T}, NS[] = {1, 7, 66};
    const enum dtype d = QUANTS[_i];

    for (int act = 0; act < N_ACTS; act++) {
        device_rig_open(ACTS[act], NULL, NULL);
        for (int i = 0; i < 8; i++) {
            const int K = dtype_block(d) == 32 ? 32 * (1 + i % 4) : 256 * (1 + i % 2);

            check(d, TS[i], NS[(i + act) % 3], K, i % 2, i % 3 == act);
        }
        device_rig_close();
    }
}
END_TEST

/* O1 within the tokens that go by rows, and within those that go by tiles. */
START_TEST(a_token_gets_the_same_bits_in_any_batch)
{
    static const struct {
        int T, t0, n;
        bool invariant;
    } PARTS[] = {{8, 0, 1, false}, {8, 5, 3, false}, {MOST_T, 3, 9, false}, {MOST_T, 64, 1, true}};
    const int N = 9, K = 512;

    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        const struct device_opts o = {.batch_invariant = PARTS[i].invariant};
        struct quant_case c;
        float *all, *some;

        device_rig_open(DTYPE_BF16, &o, NULL);
        c = case_of(QUANTS[_i], PARTS[i].T, N, K, true, true);
        all = run(&c, 0, c.T, N);
        some = run(&c, PARTS[i].t0, PARTS[i].n, N);
        ck_assert_mem_eq(some, all + PARTS[i].t0 * N, (size_t)(PARTS[i].n * N) * sizeof *all);
        free(all), free(some);
        case_drop(&c);
        device_rig_close();
    }
}
END_TEST

START_TEST(x_that_is_no_number_gives_no_number)
{
    const int N = 3, K = 256;
    struct quant_case c;
    float *y;

    device_rig_open(DTYPE_F32, NULL, NULL);
    c = case_of(QUANTS[_i], 2, N, K, false, false);
    c.x[40] = INFINITY;
    c.dx = device_rig_numbers(c.x, (size_t)(2 * K), dev.act);
    y = run(&c, 0, 2, N);
    for (int n = 0; n < N; n++) {
        ck_assert(isnan(y[n]));
        ck_assert(isfinite(y[N + n])); /* the other token is untouched */
    }
    free(y);
    case_drop(&c);
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_quant");
    TCase *t = tcase_create("quant");

    if (device_rig_found()) {
        tcase_add_loop_test(t, every_block_dtype_agrees_with_the_reference, 0, N_QUANTS);
        tcase_add_loop_test(t, a_token_gets_the_same_bits_in_any_batch, 0, N_QUANTS);
        tcase_add_loop_test(t, x_that_is_no_number_gives_no_number, 0, N_QUANTS);
    }
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
