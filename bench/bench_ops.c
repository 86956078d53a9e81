/* bench_ops.c - attention of ops_cpu on one thread, against ops_ref.
 *
 * Each result is held to the reference within its header's tolerance before anything is timed:
 * 4*HD flops for each (token, head, position that it sees); for decoding the bytes of K and V, held
 * to reading as many in order.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/limit.h"
#include "bench/numbers.h"
#include "bench/race.h"
#include "bench/report.h"
#include "kernels/attn.h"
#include "worker/kv.h"

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
    int32_t *v = numbers_room((size_t)n * sizeof *v);

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
        const int k = (int)((double)(numbers_draw() + 1) / 2 * i), other = blocks[i];

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
    struct stream *s = NULL; /* stays: KV memory is its */
    const struct kv_home home = {.device = device_cpu(), .streams = &s, .n = 1};
    struct errmsg e;
    struct kv *kv;

    if (home.device->open(&s, &(struct device_opts){.threads = 1}, &e) ||
        kv_open(&kv, &shape, &home, n, false, &e))
        report_fail("%s", e.text);
    *half = (size_t)n * kv_block_bytes(&shape) / 2;
    for (int i = 0; i < 2; i++) {
        void *to = i ? kv_layer_at(kv, 0)->v : kv_layer_at(kv, 0)->k;

        for (size_t k = 0; k < *half / dtype_bytes(b->kv); k++) {
            const float f = numbers_draw();

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
    struct look_back cpu = {
        ops_cpu(),         numbers_room(n * sizeof(float)),
        numbers_floats(n), *kv_layer_at(kv, 0),
        step_of(b),        {b->H, b->HK, b->HD, 0, 1 / sqrtf((float)b->HD), 0, 0}};
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
    ref.o = numbers_room(n * sizeof(float));
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
    /* Heads of a model of half a billion weights, and of one of eight. */
    static const struct attn_bench ATTN[] = {
        {1, 512, 512, 16, 4, 64, DTYPE_F32}, {1, 512, 512, 16, 4, 64, DTYPE_F16},
        {32, 1, 600, 16, 4, 64, DTYPE_F32},  {32, 1, 600, 16, 4, 64, DTYPE_F16},
        {1, 1, 600, 16, 4, 64, DTYPE_F16},   {16, 1, 600, 32, 8, 128, DTYPE_F16},
    };

    for (size_t i = 0; i < sizeof ATTN / sizeof ATTN[0]; i++)
        bench_attn(&ATTN[i]);
    return EXIT_SUCCESS;
}
