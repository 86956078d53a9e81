/* gpu_steps.c - steps of the engine: decoding, prefill, the gap between two, what it costs that a
 * row does not depend on its batch.
 */
#include <stdio.h>

#include "base/clock.h"
#include "bench/gpu.h"
#include "bench/gpu_gap.h"
#include "bench/report.h"

#define WARM_STEPS    4 /* behind the last prefill: graphs are recorded, kernels loaded */
#define SHARE_DECODE  0.75
#define SHARE_PREFILL 0.65
#define GAP_PERCENT   5

struct decode {
    double s; /* of one step, the median */
    double gap_percent;
    double context; /* tokens of a sequence, in the middle of what was timed */
};

/* Steps until each of batch rows decodes. */
static void fill(struct gpu *g, struct engine *en, int batch, int context)
{
    struct engine_stats now;
    int64_t want;

    engine_stats(en, &now);
    want = now.prefill_tokens + (int64_t)batch * context;
    gpu_engine_add(g, en, batch, context, WARM_STEPS + g->sizes.steps + 2);
    do {
        if (!gpu_engine_step(en)) report_fail("%d rows of %d ended early", batch, context);
        engine_stats(en, &now);
    } while (now.prefill_tokens < want);
    for (int i = 0; i < WARM_STEPS; i++)
        gpu_engine_step(en);
}

static struct decode time_decode(struct gpu *g, struct engine *en, int batch, int context)
{
    const int steps = g->sizes.steps;
    int64_t start_ns, ns;
    struct engine_stats before, after;

    fill(g, en, batch, context);
    engine_stats(en, &before);
    gpu_gap_clear();
    start_ns = clock_mono_ns();
    for (int i = 0; i < steps; i++)
        gpu_engine_step(en);
    ns = clock_mono_ns() - start_ns;
    engine_stats(en, &after);
    if (after.decode_tokens - before.decode_tokens != (int64_t)steps * batch)
        report_fail("%d steps of %d rows gave %lld tokens", steps, batch,
                    (long long)(after.decode_tokens - before.decode_tokens));
    while (gpu_engine_step(en))
        ;
    gpu_engine_take(en);
    return (struct decode){.s = (double)ns * 1e-9 / steps,
                           .gap_percent = 100 * gpu_gap_seconds() / ((double)ns * 1e-9),
                           .context = context + WARM_STEPS + steps / 2.0};
}

/* What a step reads: all weights but the embedding's, and K and V of all tokens. */
static double bytes_needed(const struct gpu *g, int batch, double context)
{
    return 2 * (gpu_layer_weights(g) + gpu_head_weights(g)) +
           batch * context * gpu_kv_bytes(g, DTYPE_BF16);
}

static void say_decode(struct gpu *g, int batch, int context, const struct decode *d)
{
    const double rate = bytes_needed(g, batch, d->context) / d->s / 1e9;
    char name[128];

    snprintf(name, sizeof name, "decode step batch=%d context=%d", batch, context);
    gpu_say(name, rate, "GB/s", SHARE_DECODE * g->rates.copy / 1e9, g->rates.copy / 1e9);
    snprintf(name, sizeof name, "decode step batch=%d context=%d, time", batch, context);
    gpu_say(name, d->s * 1e3, "ms", 0, 0);
    if (batch != g->sizes.batches[1]) return;
    snprintf(name, sizeof name, "gap between steps batch=%d context=%d", batch, context);
    gpu_say(name, d->gap_percent, "%", GAP_PERCENT, 0);
}

/* Flops of a prompt: products of all tokens, the head of one, and each token's look back. */
static double prefill_flops(const struct gpu *g, double n)
{
    const struct random_model *m = &g->sizes.model;

    return 2 * n * gpu_layer_weights(g) + 2 * gpu_head_weights(g) +
           2 * n * (n + 1) * m->layers * m->heads * m->head_dim;
}

static void figure_prefill(struct gpu *g, struct engine *en)
{
    double sample[GPU_ROUNDS], rate;
    char name[128];

    for (int r = -1; r < GPU_ROUNDS; r++) {
        int64_t start_ns;

        gpu_engine_add(g, en, 1, g->sizes.prefill, 1);
        start_ns = clock_mono_ns();
        while (gpu_engine_step(en))
            ;
        if (r >= 0) sample[r] = (double)(clock_mono_ns() - start_ns) * 1e-9;
        gpu_engine_take(en);
    }
    rate = prefill_flops(g, g->sizes.prefill) / report_median(sample, GPU_ROUNDS) / 1e12;
    snprintf(name, sizeof name, "prefill of %d tokens", g->sizes.prefill);
    gpu_say(name, rate, "TFLOP/s", SHARE_PREFILL * g->rates.bf16 / 1e12, g->rates.bf16 / 1e12);
}

static void figure_invariant(struct gpu *g, double s)
{
    const int batch = g->sizes.batches[1], context = g->sizes.contexts[0];
    struct engine *en =
        gpu_engine_open(g, &(struct gpu_engine){.kv_dtype = DTYPE_BF16, .batch_invariant = true});
    const struct decode d = time_decode(g, en, batch, context);
    char name[128];

    engine_close(&en);
    snprintf(name, sizeof name, "price of --batch-invariant, decode step batch=%d context=%d",
             batch, context);
    gpu_say(name, 100 * (d.s / s - 1), "% of the step's time", 0, 0);
}

void gpu_figures_steps(struct gpu *g)
{
    const struct gpu_sizes *z = &g->sizes;
    struct engine *en;
    double variant_s = 0;

    gpu_figures_rates(g);
    en = gpu_engine_open(
        g, &(struct gpu_engine){.kv_dtype = DTYPE_BF16, .device = gpu_gap_watch(g->device)});
    for (int c = 0; c < 2; c++)
        for (int b = 0; b < 2; b++) {
            const struct decode d = time_decode(g, en, z->batches[b], z->contexts[c]);

            say_decode(g, z->batches[b], z->contexts[c], &d);
            if (b && !c) variant_s = d.s;
        }
    figure_prefill(g, en);
    engine_close(&en);
    figure_invariant(g, variant_s);
}
