/* bench_ops.c - decode attention of ops_cpu on one thread, against ops_ref.
 *
 * Each result is held to the reference within its header's tolerance before anything is timed.
 * attn: 8*HD*HK bytes for each (sequence, position), held to reading as many bytes in order.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/limit.h"
#include "bench/race.h"
#include "bench/report.h"
#include "kernels/attn.h"

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
    for (int S = 1; S <= 16; S *= 16) {
        bench_attn(S, 4, 2, 64);   /* the example model */
        bench_attn(S, 32, 8, 128); /* a model of 8 billion weights */
    }
    return EXIT_SUCCESS;
}
