/* bench_ops.c - linear and attention of ops_cpu on one thread, against ops_ref.
 *
 * Each result is held to the reference within its header's tolerance before anything is timed.
 * linear: 2*T*N*K flops, held to the core's multiply-adds; for T = 1 the bytes of w, held to
 * reading as many bytes in order.  attn: 4*HD flops for each (token, head, position that it sees);
 * for decoding the bytes of K and V, likewise.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/limit.h"
#include "bench/race.h"
#include "bench/report.h"
#include "kernels/attn.h"
#include "kernels/linear.h"
#include "worker/kv.h"

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

struct attn_bench {
    int S, T; /* sequences, and tokens of each: 1 when they decode */
    int context, H, HK, HD;
    enum dtype kv;
};

/* The last T of `context` positions of each sequence, on blocks that lie anywhere, as they do after
 * a while. */
static struct ragged step_of(const struct attn_bench *b)
{
    const int per_seq = kv_table_blocks(b->context), n = b->S * per_seq, T = b->S * b->T;
    int32_t *blocks = numbers(n, 0, 1), *pos = numbers(T, 0, 0), *seq = numbers(T, 0, 0);

    for (int i = n - 1; i > 0; i--) {
        const int k = (int)((double)(draw() + 1) / 2 * i), other = blocks[i];

        blocks[i] = blocks[k];
        blocks[k] = other;
    }
    for (int t = 0; t < T; t++) {
        pos[t] = b->context - b->T + t % b->T;
        seq[t] = t / b->T;
    }
    return (struct ragged){.T = T,
                           .S = b->S,
                           .pos = pos,
                           .seq = seq,
                           .start = numbers(b->S + 1, 0, b->T),
                           .blocks = blocks,
                           .max_blocks = per_seq};
}

/* KV blocks as the engine has them, with numbers from [-1, 1). */
static struct kv *filled_kv(const struct attn_bench *b, size_t *half)
{
    const struct kv_shape shape = {1, b->HK, b->HD, b->kv};
    const int n = b->S * kv_table_blocks(b->context);
    struct errmsg e;
    struct kv *kv;

    if (kv_open(&kv, &shape, n, false, &e)) report_fail("%s", e.text);
    *half = (size_t)n * kv_block_bytes(&shape) / 2;
    for (int i = 0; i < 2; i++) {
        void *to = i ? kv_layer_at(kv, 0)->v : kv_layer_at(kv, 0)->k;

        for (size_t k = 0; k < *half / dtype_bytes(b->kv); k++) {
            const float f = draw();

            if (b->kv == DTYPE_F32)
                ((float *)to)[k] = f;
            else
                ((uint16_t *)to)[k] = b->kv == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
        }
    }
    return kv;
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

/* Decoding is held to reading K and V once in order, prompts to the core's multiply-adds. */
static void bench_attn(const struct attn_bench *b)
{
    const bool decode = b->T == 1;
    const size_t n = (size_t)b->S * (size_t)b->T * (size_t)b->H * (size_t)b->HD;
    size_t half;
    struct kv *kv = filled_kv(b, &half);
    struct look_back cpu = {ops_cpu(),  room(n * sizeof(float)),
                            floats(n),  *kv_layer_at(kv, 0),
                            step_of(b), {b->H, b->HK, b->HD, 1 / sqrtf((float)b->HD), 0, 0}};
    struct look_back ref = cpu;
    struct limit_read bytes = {kv_layer_at(kv, 0)->k, 2 * half};
    struct rival r[] = {{.work = attend, .arg = &cpu},
                        {.work = attend, .arg = &ref},
                        {.work = decode ? limit_read : limit_fma, .arg = &bytes}};
    double work = 0;
    char name[96];

    for (int t = 0; t < cpu.r.T; t++) /* bytes of K and V, or flops */
        work += decode ? 2.0 * b->HK * b->HD * (cpu.r.pos[t] + 1) * (double)dtype_bytes(b->kv)
                       : 4.0 * b->H * b->HD * (cpu.r.pos[t] + 1);
    ref.ops = ops_ref();
    ref.o = room(n * sizeof(float));
    check_attn(&cpu, &ref);
    race(r, 3);
    snprintf(name, sizeof name, "attn %s %s S=%d context=%d H=%d HK=%d HD=%d",
             decode ? "decode" : "prefill", dtype_name(b->kv), b->S, b->context, b->H, b->HK,
             b->HD);
    report_figure(&(struct figure){.bench = "ops",
                                   .figure = name,
                                   .value = work / r[0].seconds * 1e-9,
                                   .unit = decode ? "GB/s" : "GFLOP/s",
                                   .against = "ops_ref",
                                   .ratio = r[1].seconds / r[0].seconds,
                                   .limit = (decode ? (double)bytes.n_bytes : LIMIT_FLOPS) /
                                            r[2].seconds * 1e-9});
    kv_close(&kv);
    free(cpu.o), free(ref.o), free((void *)(uintptr_t)cpu.q);
    free((void *)(uintptr_t)cpu.r.pos), free((void *)(uintptr_t)cpu.r.seq);
    free((void *)(uintptr_t)cpu.r.start), free((void *)(uintptr_t)cpu.r.blocks);
}

int main(void)
{
    static const enum dtype DTYPES[] = {DTYPE_BF16, DTYPE_F32};
    static const int SIZES[] = {512, 2048}, TS[] = {1, 16, 256};
    /* Heads of a model of half a billion weights, and of one of eight. */
    static const struct attn_bench ATTN[] = {
        {1, 512, 512, 16, 4, 64, DTYPE_F32}, {1, 512, 512, 16, 4, 64, DTYPE_F16},
        {32, 1, 600, 16, 4, 64, DTYPE_F32},  {32, 1, 600, 16, 4, 64, DTYPE_F16},
        {1, 1, 600, 16, 4, 64, DTYPE_F16},   {16, 1, 600, 32, 8, 128, DTYPE_F16},
    };

    for (int d = 0; d < 2; d++)
        for (int n = 0; n < 2; n++)
            for (int t = 0; t < 3; t++)
                bench_linear(DTYPES[d], SIZES[n], TS[t]);
    for (size_t i = 0; i < sizeof ATTN / sizeof ATTN[0]; i++)
        bench_attn(&ATTN[i]);
    return EXIT_SUCCESS;
}
