/* bench_linear.c - matrix products of ops_cpu with the weights of a model of half a billion, on one
 * thread and on two.
 *
 * Some rows and tokens are held to the reference within LINEAR_RTOL before anything is timed.
 * T = 1: bytes of w a second.  Else 2*T*N*K flops.  The limit is what this machine could do if it
 * were only to read w, or only to multiply, whichever takes longer, measured for each figure.
 *
 * Time is the calling thread's own for one thread, and the wall's for two (bench/peak.h).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "bench/numbers.h"
#include "bench/peak.h"
#include "bench/report.h"
#include "kernels/element.h"
#include "kernels/linear.h"
#include "kernels/pool.h"
#include "kernels/quant.h"

#define MOST_TOKENS 512
#define ROUNDS      9
#define SAMPLE_NS   3000000 /* a sample takes at least this */
#define CHECK_ROWS  48
#define CHECK_T     3

/* One block of w from random floats; of Q4_K and the like random bytes with sensible scales. */
static void fill(char *to, enum dtype d)
{
    const uint16_t scale = f32_to_f16(0.01f);
    float f[32];

    for (int i = 0; i < 32; i++)
        f[i] = numbers_draw();
    if (d == DTYPE_F32) memcpy(to, f, 4);
    const uint16_t half = d == DTYPE_BF16 ? f32_to_bf16(f[0]) : f32_to_f16(f[0]);
    if (d == DTYPE_BF16 || d == DTYPE_F16) memcpy(to, &half, 2);
    if (d == DTYPE_Q8_0) quant_q8_0(to, f, 32);
    if (dtype_block(d) < 256) return;
    for (size_t i = 0; i < dtype_block_bytes(d); i++)
        to[i] = (char)(numbers_draw() * 128);
    memcpy(to + (d == DTYPE_Q6_K ? 208 : 0), &scale, 2);
    if (d == DTYPE_Q4_K) memcpy(to + 2, &scale, 2);
}

/* A thousand rows drawn, and again and again: drawing all would take longer than the benchmark. */
static struct weight weights(enum dtype d, int N, int K)
{
    const size_t row = dtype_row_bytes(d, (size_t)K), drawn = (size_t)(N < 1000 ? N : 1000);
    char *data = numbers_room((size_t)N * row);

    for (size_t at = 0; at < drawn * row; at += dtype_block_bytes(d))
        fill(data + at, d);
    for (size_t n = drawn; n < (size_t)N; n++)
        memcpy(data + n * row, data + n % drawn * row, row);
    return (struct weight){data, d, N, K, 0, NULL};
}

/* sum_k |x[k] * w[n][k]| */
static double size_of(const float *x, const struct weight *w, int n)
{
    const size_t block = (size_t)dtype_block(w->dtype);
    const char *row = weight_row(w, n);
    double size = 0;
    float f[256];

    for (size_t k = 0; k < (size_t)w->K; k += block) {
        if (dtype_is_float(w->dtype))
            f[0] = element(row, w->dtype, k);
        else
            quant_unpack(f, row + dtype_row_bytes(w->dtype, k), w->dtype, block);
        for (size_t i = 0; i < block; i++)
            size += fabs((double)x[k + i] * (double)f[i]);
    }
    return size;
}

static void check(const struct weight *w, const float *x)
{
    float y[CHECK_T * CHECK_ROWS], ref[CHECK_T * CHECK_ROWS];
    const struct weight part = {w->data, w->dtype, CHECK_ROWS, w->K, 0, NULL};
    const struct product fast = {.y = y, .w = &part}, plain = {.y = ref, .w = &part};

    if (linear_cpu(&fast, 1, x, CHECK_T, NULL) || linear_ref(&plain, 1, x, CHECK_T, NULL))
        report_fail("linear refuses %s", dtype_name(w->dtype));
    for (int i = 0; i < CHECK_T * CHECK_ROWS; i++) {
        const double size = size_of(x + i / CHECK_ROWS * w->K, w, i % CHECK_ROWS);

        if (!(fabs((double)y[i] - (double)ref[i]) <= LINEAR_RTOL * size))
            report_fail("linear %s K=%d: y[%d] is %g, and the reference says %g",
                        dtype_name(w->dtype), w->K, i, (double)y[i], (double)ref[i]);
    }
}

static double sample(const struct product *p, const float *x, int T, struct stream *s, int calls)
{
    const int64_t start_ns = peak_clock_ns(pool_threads(s));

    for (int i = 0; i < calls; i++)
        if (linear_cpu(p, 1, x, T, s)) report_fail("linear refuses its arguments");
    return (double)(peak_clock_ns(pool_threads(s)) - start_ns) * 1e-9 / calls;
}

static void measure(const struct weight *w, const float *x, float *y, int T, struct stream *s)
{
    const int threads = pool_threads(s);
    const struct product p = {.y = y, .w = w};
    const double bytes = (double)w->N * (double)weight_row_bytes(w);
    const double flops = 2.0 * T * w->N * w->K, work = T == 1 ? bytes : flops;
    const double reading = bytes / peak_read(threads, (size_t)bytes);
    const double multiplying = flops / peak_flops(threads, w->dtype);
    double v[ROUNDS], once, limit;
    char name[64];

    (void)sample(&p, x, T, s, 1); /* the caches */
    once = sample(&p, x, T, s, 1);
    for (int r = 0; r < ROUNDS; r++)
        v[r] = work * 1e-9 / sample(&p, x, T, s, 1 + (int)(SAMPLE_NS * 1e-9 / once));
    limit = work * 1e-9 / (reading > multiplying ? reading : multiplying);
    snprintf(name, sizeof name, "linear %s T=%d N=%d K=%d threads=%d", dtype_name(w->dtype), T,
             w->N, w->K, threads);
    report_figure(&(struct figure){.bench = "linear",
                                   .figure = name,
                                   .value = report_median(v, ROUNDS),
                                   .unit = T == 1 ? "GB/s" : "GFLOP/s",
                                   .limit = limit});
}

static void bench(enum dtype d, int N, int K, struct stream *const *pools)
{
    static const int TS[] = {1, 32, MOST_TOKENS};
    const struct weight w = weights(d, N, K);
    float *x = numbers_floats((size_t)MOST_TOKENS * (size_t)K);

    check(&w, x);
    for (int t = 0; t < 3; t++) {
        if (N > 100000 && TS[t] > 32) continue; /* a vocabulary's rows: no step asks for so many */
        float *y = numbers_room((size_t)TS[t] * (size_t)N * sizeof *y);

        for (int s = 0; s < 2; s++)
            measure(&w, x, y, TS[t], pools[s]);
        free(y);
    }
    free(x), free((void *)(uintptr_t)w.data);
}

int main(void)
{
    static const enum dtype DTYPES[] = {DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_F32};
    static const int SHAPES[][2] = {{1024, 1024}, {4096, 1024}, {1024, 4096}, {128256, 1024}};
    struct stream *pools[2];
    struct errmsg e;

    for (int i = 0; i < 2; i++)
        if (pool_open(&pools[i], 1 + i, &e) || linear_cpu_prepare(pools[i], MOST_TOKENS, 4096))
            report_fail("no pool of %d threads", 1 + i);
    for (int d = 0; d < 4; d++)
        for (int s = 0; s < 4; s++)
            bench(DTYPES[d], SHAPES[s][0], SHAPES[s][1], pools);
    for (int i = 0; i < 2; i++)
        pool_close(&pools[i]);
    return EXIT_SUCCESS;
}
