/* bench_ops.c - linear and decode attention of ops_cpu on one thread, against ops_ref.
 *
 * Each result is held to the reference within its header's tolerance before anything is timed.
 * linear: 2*T*N*K flops, held to the core's multiply-adds; for T = 1 the bytes of w, held to
 * reading as many bytes in order.  attn: 8*HD*HK bytes for each (sequence, position), likewise.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/limit.h"
#include "bench/race.h"
#include "bench/report.h"
#include "kernels/attn.h"
#include "kernels/linear.h"

#define CONTEXT 512 /* positions that a decoding token looks back at */

static uint64_t state = 1;

/* Evenly in [-1, 1). */
static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static void *room(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 63) & ~(size_t)63);

    if (!p) report_fail("no memory for %zu bytes", n_bytes);
    return p;
}

static float *floats(size_t n)
{
    float *f = room(n * sizeof *f);

    for (size_t i = 0; i < n; i++)
        f[i] = draw();
    return f;
}

/* --- linear ----------------------------------------------------------------------------------- */

struct multiplication {
    const struct ops *ops;
    float *y;
    const float *x;
    struct weight w;
    int T;
};

static void multiply(void *arg)
{
    const struct multiplication *m = arg;
    const struct product p = {.y = m->y, .w = &m->w};

    if (m->ops->linear(&p, 1, m->x, m->T, NULL)) report_fail("linear refuses its arguments");
}

static size_t w_bytes(const struct weight *w)
{
    return (size_t)w->N * (size_t)w->K * dtype_bytes(w->dtype);
}

static void *weights(enum dtype d, size_t n)
{
    uint16_t *half;

    if (d == DTYPE_F32) return floats(n);
    half = room(n * sizeof *half);
    for (size_t i = 0; i < n; i++) {
        const float f = draw();
        uint32_t bits;

        memcpy(&bits, &f, sizeof bits);
        half[i] = (uint16_t)(bits >> 16);
    }
    return half;
}

/* |v|, in a copy: the product of these is what LINEAR_RTOL is relative to. */
static void *magnitudes(const void *v, enum dtype d, size_t n)
{
    unsigned char *m = room(n * dtype_bytes(d));
    const size_t width = dtype_bytes(d);

    memcpy(m, v, n * width);
    for (size_t i = 1; i <= n; i++)
        m[i * width - 1] &= 0x7F; /* the sign is the last byte's first bit */
    return m;
}

static void check_linear(struct multiplication *cpu, struct multiplication *ref)
{
    const size_t n = (size_t)ref->T * (size_t)ref->w.N, K = (size_t)ref->w.K;
    struct multiplication most = *ref;
    void *x = magnitudes(ref->x, DTYPE_F32, (size_t)ref->T * K);
    void *w = magnitudes(ref->w.data, ref->w.dtype, (size_t)ref->w.N * K);

    most.x = x;
    most.w.data = w;
    most.y = room(n * sizeof *most.y);
    multiply(cpu);
    multiply(ref);
    multiply(&most);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)cpu->y[i] - (double)ref->y[i]) <= LINEAR_RTOL * (double)most.y[i]))
            report_fail("linear T=%d N=%d: y[%zu] is %g, and the reference says %g", ref->T,
                        ref->w.N, i, (double)cpu->y[i], (double)ref->y[i]);
    free(x), free(w), free(most.y);
}

static void bench_linear(enum dtype d, int size, int T)
{
    const size_t n = (size_t)T * (size_t)size;
    const struct weight w = {weights(d, (size_t)size * (size_t)size), d, size, size, 0};
    struct multiplication cpu = {ops_cpu(), room(n * sizeof(float)), floats(n), w, T};
    struct multiplication ref = {ops_ref(), room(n * sizeof(float)), cpu.x, w, T};
    struct limit_read bytes = {w.data, w_bytes(&w)};
    struct rival r[] = {{.work = multiply, .arg = &cpu},
                        {.work = multiply, .arg = &ref},
                        {.work = T == 1 ? limit_read : limit_fma, .arg = &bytes}};
    const double work = T == 1 ? (double)bytes.n_bytes : 2.0 * T * size * size;
    char name[64];

    check_linear(&cpu, &ref);
    race(r, 3);
    snprintf(name, sizeof name, "linear %s T=%d N=K=%d", dtype_name(d), T, size);
    report_figure(&(struct figure){.bench = "ops",
                                   .figure = name,
                                   .value = work / r[0].seconds * 1e-9,
                                   .unit = T == 1 ? "GB/s" : "GFLOP/s",
                                   .against = "ops_ref",
                                   .ratio = r[1].seconds / r[0].seconds,
                                   .limit = (T == 1 ? work : LIMIT_FLOPS) / r[2].seconds * 1e-9});
    free((void *)(uintptr_t)w.data), free((void *)(uintptr_t)cpu.x), free(cpu.y), free(ref.y);
}

/* --- attention -------------------------------------------------------------------------------- */

struct look_back {
    const struct ops *ops;
    float *o;
    const float *q;
    struct kv_layer kv;
    struct ragged r;
    struct attn_shape a;
};

static void attend(void *arg)
{
    const struct look_back *l = arg;

    if (l->ops->attn(l->o, l->q, &l->kv, &l->r, &l->a, NULL))
        report_fail("attn refuses its arguments");
}

static int32_t *numbers(int n, int first, int step)
{
    int32_t *v = room((size_t)n * sizeof *v);

    for (int i = 0; i < n; i++)
        v[i] = first + i * step;
    return v;
}

/* S decoding sequences whose blocks lie anywhere, as they do after a while. */
static struct ragged decoding(int S)
{
    const int per_seq = CONTEXT / KV_BLOCK_TOKENS, n = S * per_seq;
    int32_t *blocks = numbers(n, 0, 1);

    for (int i = n - 1; i > 0; i--) {
        const int k = (int)((double)(draw() + 1) / 2 * i), b = blocks[i];

        blocks[i] = blocks[k];
        blocks[k] = b;
    }
    return (struct ragged){.T = S,
                           .S = S,
                           .ids = NULL,
                           .pos = numbers(S, CONTEXT - 1, 0),
                           .seq = numbers(S, 0, 1),
                           .start = numbers(S + 1, 0, 1),
                           .blocks = blocks,
                           .max_blocks = per_seq};
}

/* V is drawn from [-1, 1), thousands of numbers for each head: its largest is 1 but for a little,
 * and ATTN_RTOL is relative to that. */
static void check_attn(struct look_back *cpu, struct look_back *ref)
{
    const size_t n = (size_t)ref->r.T * (size_t)ref->a.H * (size_t)ref->a.HD;

    attend(cpu);
    attend(ref);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)cpu->o[i] - (double)ref->o[i]) <= ATTN_RTOL * 0.99))
            report_fail("attn S=%d: o[%zu] is %g, and the reference says %g", ref->r.S, i,
                        (double)cpu->o[i], (double)ref->o[i]);
}

static void bench_attn(int S, int H, int HK, int HD)
{
    const size_t n = (size_t)S * (size_t)H * (size_t)HD;
    const size_t n_kv = (size_t)S * CONTEXT * (size_t)HK * (size_t)HD;
    float *kv = floats(2 * n_kv); /* K, then V */
    struct look_back cpu = {ops_cpu(),   room(n * sizeof(float)),
                            floats(n),   {kv, kv + n_kv, DTYPE_F32},
                            decoding(S), {H, HK, HD, 1 / sqrtf((float)HD), 0, 0}};
    struct look_back ref = cpu;
    struct limit_read bytes = {kv, 2 * n_kv * sizeof *kv};
    struct rival r[] = {{.work = attend, .arg = &cpu},
                        {.work = attend, .arg = &ref},
                        {.work = limit_read, .arg = &bytes}};
    char name[64];

    ref.ops = ops_ref();
    ref.o = room(n * sizeof(float));
    check_attn(&cpu, &ref);
    race(r, 3);
    snprintf(name, sizeof name, "attn decode S=%d context=%d H=%d HK=%d HD=%d", S, CONTEXT, H, HK,
             HD);
    report_figure(&(struct figure){.bench = "ops",
                                   .figure = name,
                                   .value = (double)bytes.n_bytes / r[0].seconds * 1e-9,
                                   .unit = "GB/s",
                                   .against = "ops_ref",
                                   .ratio = r[1].seconds / r[0].seconds,
                                   .limit = (double)bytes.n_bytes / r[2].seconds * 1e-9});
    free(kv), free(cpu.o), free(ref.o), free((void *)(uintptr_t)cpu.q);
    free((void *)(uintptr_t)cpu.r.pos), free((void *)(uintptr_t)cpu.r.seq);
    free((void *)(uintptr_t)cpu.r.start), free((void *)(uintptr_t)cpu.r.blocks);
}

int main(void)
{
    static const enum dtype DTYPES[] = {DTYPE_BF16, DTYPE_F32};
    static const int SIZES[] = {512, 2048}, TS[] = {1, 16, 256};

    for (int d = 0; d < 2; d++)
        for (int n = 0; n < 2; n++)
            for (int t = 0; t < 3; t++)
                bench_linear(DTYPES[d], SIZES[n], TS[t]);
    for (int S = 1; S <= 16; S *= 16) {
        bench_attn(S, 4, 2, 64);   /* the example model */
        bench_attn(S, 32, 8, 128); /* a model of 8 billion weights */
    }
    return EXIT_SUCCESS;
}
