/* peak.c - the most that some cores of this machine do together. */
#include "bench/peak.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/clock.h"
#include "bench/limit.h"
#include "bench/report.h"
#include "kernels/pool.h"
#include "kernels/simd.h"

#define SAMPLES 5
#define CALLS   200 /* of a loop of products in a sample: tens of milliseconds */
#define CHAINS  16
#define ROUNDS  4096

#define BF16_FLOPS (2.0 * 32 * CHAINS * ROUNDS)
#define BYTE_FLOPS (2.0 * 64 * CHAINS * ROUNDS)

struct work {
    void (*loop)(void *arg); /* products; NULL: reading */
    const char *data;
    size_t n_bytes;
    int threads;
};

int64_t peak_clock_ns(int threads)
{
    return threads == 1 ? clock_thread_ns() : clock_mono_ns();
}

#if defined(__x86_64__)
static float sink; /* so that no loop is left out */

__attribute__((target("avx512f,avx512bf16"))) static void dot_bf16(void *arg)
{
    const __m512bh x = (__m512bh)_mm512_set1_epi16(0x3F80);
    __m512 acc[CHAINS];

    (void)arg;
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (int r = 0; r < ROUNDS; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm512_dpbf16_ps(acc[i], x, x);
    }
    for (int i = 0; i < CHAINS; i++)
        sink += acc[i][0];
}

__attribute__((target("avx512f,avx512vnni"))) static void dot_bytes(void *arg)
{
    const __m512i x = _mm512_set1_epi8(1);
    __m512i acc[CHAINS];

    (void)arg;
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_epi32(i);
    for (int r = 0; r < ROUNDS; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm512_dpbusd_epi32(acc[i], x, x);
    }
    for (int i = 0; i < CHAINS; i++)
        sink += (float)_mm512_reduce_add_epi32(acc[i]);
}
#endif

/* The loop for weights of d, and its flops. */
static double pick(struct work *w, enum dtype d)
{
    w->loop = limit_fma;
#if defined(__x86_64__)
    if (simd_level() == SIMD_V4 && d == DTYPE_BF16 && __builtin_cpu_supports("avx512bf16")) {
        w->loop = dot_bf16;
        return BF16_FLOPS;
    }
    if (simd_level() == SIMD_V4 && !dtype_is_float(d) && __builtin_cpu_supports("avx512vnni")) {
        w->loop = dot_bytes;
        return BYTE_FLOPS;
    }
#endif
    (void)d;
    return LIMIT_FLOPS;
}

static void share(void *arg, int i)
{
    const struct work *w = arg;
    const size_t part = w->n_bytes / (size_t)w->threads & ~(size_t)63;
    struct limit_read r = {(const float *)(const void *)(w->data + (size_t)i * part), part};

    if (w->loop)
        for (int n = 0; n < CALLS; n++)
            w->loop(NULL);
    else
        limit_read(&r);
}

/* The best of some samples: a limit is what nothing disturbed. */
static double seconds(struct work *w)
{
    struct stream *pool;
    struct errmsg e;
    double best = 0;

    if (pool_open(&pool, w->threads, &e)) report_fail("%s", e.text);
    for (int i = 0; i < SAMPLES; i++) {
        const int64_t start_ns = peak_clock_ns(w->threads);
        double s;

        pool_run(pool, w->threads, share, w);
        s = (double)(peak_clock_ns(w->threads) - start_ns) * 1e-9;
        if (!i || s < best) best = s;
    }
    pool_close(&pool);
    return best;
}

double peak_flops(int threads, enum dtype d)
{
    struct work w = {.threads = threads};
    const double flops = pick(&w, d) * CALLS * threads;

    return flops / seconds(&w);
}

double peak_read(int threads, size_t n_bytes)
{
    struct work w = {.n_bytes = n_bytes, .threads = threads};
    char *data = aligned_alloc(64, n_bytes & ~(size_t)63);

    if (!data) report_fail("no memory for %zu bytes", n_bytes);
    memset(data, 0, n_bytes & ~(size_t)63); /* so that each page is there */
    w.data = data;
    const double s = seconds(&w);
    free(data);
    return (double)n_bytes / s;
}
