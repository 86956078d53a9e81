/* gpu_rates.c - what the device does at most, and its attention kernel: the ops table, no engine.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/gpu.h"
#include "bench/numbers.h"
#include "bench/report.h"

#define PIECE               ((size_t)8 << 20) /* of made-up numbers, put again and again */
#define COPY_WIDTH          4096
#define SHARE_DECODE_KERNEL 0.85

/* A stream of its own with a table of bf16. */
struct bench_stream {
    struct gpu *g;
    const struct ops *ops;
    struct stream *s;
};

static void wait(struct bench_stream *b)
{
    struct errmsg e;

    if (b->g->device->wait(b->s, &e)) report_fail("%s", e.text);
}

static void stream_open(struct bench_stream *b, struct gpu *g, const struct step_limits *l)
{
    const struct device_opts o = {.index = 0};
    struct errmsg e;

    *b = (struct bench_stream){.g = g, .ops = g->device->ops(DTYPE_BF16)};
    if (!b->ops) report_fail("%s does not compute in bf16", g->facts.name);
    if (g->device->open(&b->s, &o, &e)) report_fail("%s", e.text);
    if (b->ops->prepare(b->s, l)) wait(b), report_fail("prepare failed");
}

static void *take(struct bench_stream *b, size_t bytes)
{
    struct errmsg e;
    void *p = b->g->device->take(b->s, bytes, &e);

    if (!p) report_fail("%s", e.text);
    return p;
}

/* Full of bf16 numbers in [-1, 1) * scale. */
static void *take_numbers(struct bench_stream *b, size_t n, float scale)
{
    const size_t bytes = 2 * n, piece = bytes < PIECE ? bytes : PIECE;
    uint16_t *numbers = numbers_room(piece);
    char *p = take(b, bytes);

    for (size_t i = 0; i < piece / 2; i++)
        numbers[i] = f32_to_bf16(scale * numbers_draw());
    for (size_t at = 0; at < bytes; at += piece)
        if (b->g->device->put(b->s, p + at, numbers, bytes - at < piece ? bytes - at : piece))
            report_fail("put failed");
    wait(b);
    free(numbers);
    return p;
}

/* Seconds of one call: the median of rounds of many, behind one that nobody counts. */
static double time_calls(struct bench_stream *b, int (*call)(void *arg), void *arg)
{
    const int calls = b->g->sizes.calls;
    double sample[GPU_ROUNDS];

    if (call(arg)) wait(b), report_fail("a call failed");
    wait(b);
    for (int r = 0; r < GPU_ROUNDS; r++) {
        const int64_t start_ns = clock_mono_ns();

        for (int i = 0; i < calls; i++)
            if (call(arg)) wait(b), report_fail("a call failed");
        wait(b);
        sample[r] = (double)(clock_mono_ns() - start_ns) * 1e-9 / calls;
    }
    return report_median(sample, GPU_ROUNDS);
}

/* --- the device's limits ---------------------------------------------------------------------- */

struct copy {
    struct bench_stream b;
    struct weight from, to;
};

static int call_copy(void *arg)
{
    struct copy *c = arg;

    return c->b.ops->convert(&c->to, &c->from, c->b.s);
}

static double rate_copy(struct gpu *g)
{
    const int rows = (int)(g->sizes.copy_bytes / 2 / COPY_WIDTH);
    const struct step_limits l = {
        .max_tokens = 16, .max_seqs = 1, .max_blocks = 1, .max_width = COPY_WIDTH};
    struct copy c;
    double s;

    stream_open(&c.b, g, &l);
    c.from = (struct weight){.dtype = DTYPE_BF16, .N = rows, .K = COPY_WIDTH};
    c.to = c.from;
    c.from.data = take_numbers(&c.b, (size_t)rows * COPY_WIDTH, 1);
    c.to.data = take(&c.b, (size_t)rows * COPY_WIDTH * 2);
    s = time_calls(&c.b, call_copy, &c);
    g->device->close(&c.b.s);
    return 2.0 * rows * COPY_WIDTH * 2 / s;
}

struct square {
    struct bench_stream b;
    struct weight w;
    struct product p;
    void *x;
    int n;
};

static int call_square(void *arg)
{
    struct square *q = arg;

    return q->b.ops->linear(&q->p, 1, q->x, q->n, q->b.s);
}

static double rate_square(struct gpu *g, enum dtype d)
{
    const int n = g->sizes.square;
    const struct step_limits l = {.max_tokens = n, .max_seqs = 1, .max_blocks = 1, .max_width = n};
    struct square q = {.n = n};
    struct weight from = {.dtype = DTYPE_BF16, .N = n, .K = n};
    double s;

    stream_open(&q.b, g, &l);
    from.data = take_numbers(&q.b, (size_t)n * (size_t)n, 0.02f);
    q.w = from;
    if (d != DTYPE_BF16) {
        q.w = (struct weight){.dtype = d, .N = n, .K = n};
        q.w.data = take(&q.b, (size_t)n * (size_t)n);
        q.w.scales = take(&q.b, (size_t)n * sizeof(float));
        if (q.b.ops->convert(&q.w, &from, q.b.s)) wait(&q.b), report_fail("convert failed");
    }
    q.x = take_numbers(&q.b, (size_t)n * (size_t)n, 1);
    q.p = (struct product){.y = take(&q.b, (size_t)n * (size_t)n * 2), .w = &q.w};
    if (q.b.ops->tune && q.b.ops->tune(&q.p, 1, q.b.s)) wait(&q.b), report_fail("tune failed");
    s = time_calls(&q.b, call_square, &q);
    g->device->close(&q.b.s);
    return 2.0 * n * n * n / s;
}

void gpu_figures_rates(struct gpu *g)
{
    if (g->rates.copy > 0) return;
    g->rates.copy = rate_copy(g);
    gpu_say("copy on the device", g->rates.copy / 1e9, "GB/s", 0, 0);
    g->rates.bf16 = rate_square(g, DTYPE_BF16);
    gpu_say("matrix product bf16", g->rates.bf16 / 1e12, "TFLOP/s", 0, 0);
    if (g->facts.arch < 89) return;
    g->rates.fp8 = rate_square(g, DTYPE_FP8);
    gpu_say("matrix product fp8, x rounded to it", g->rates.fp8 / 1e12, "TFLOP/s", 0, 0);
}

/* --- attention -------------------------------------------------------------------------------- */

struct attention {
    struct bench_stream b;
    struct kv_layer kv;
    struct attn_shape shape;
    struct ragged on;
    void *q, *o;
};

static int call_attention(void *arg)
{
    struct attention *a = arg;

    return a->b.ops->attn(a->o, a->q, &a->kv, &a->on, &a->shape, a->b.s);
}

/* Each sequence decodes its last token; no two share a block. */
static void attention_begin(struct attention *a, int S, int context)
{
    const int max_blocks = (context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    int32_t *n = numbers_room((size_t)(5 * S + 1 + S * max_blocks) * sizeof *n);
    int32_t *ids = n, *pos = n + S, *seq = n + 2 * S, *rows = n + 3 * S, *start = n + 4 * S,
            *blocks = n + 5 * S + 1;
    const struct ragged r = {S, S, S, ids, pos, seq, start, blocks, max_blocks, rows, NULL};

    for (int i = 0; i <= S; i++)
        start[i] = i;
    for (int i = 0; i < S; i++) {
        ids[i] = 0, pos[i] = context - 1, seq[i] = rows[i] = i;
        for (int k = 0; k < max_blocks; k++) /* far apart, as they are behind a long run */
            blocks[i * max_blocks + k] = k * S + i;
    }
    if (a->b.ops->begin(&a->on, &r, a->b.s)) wait(&a->b), report_fail("begin failed");
    wait(&a->b);
    free(n);
}

static double time_attention(struct gpu *g, int S, int context, double *bytes)
{
    const struct random_model *m = &g->sizes.model;
    const int max_blocks = (context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    const int Q = m->heads * m->head_dim;
    const struct step_limits l = {
        .max_tokens = S, .max_seqs = S, .max_blocks = max_blocks, .max_width = Q, .attn_width = Q};
    const size_t kv = (size_t)S * (size_t)max_blocks * KV_BLOCK_TOKENS * (size_t)m->kv_heads *
                      (size_t)m->head_dim;
    struct attention a = {
        .shape = {.H = m->heads, .HK = m->kv_heads, .HD = m->head_dim, .scale = 0.1f}};
    double s;

    stream_open(&a.b, g, &l);
    a.kv = (struct kv_layer){.dtype = DTYPE_BF16};
    a.kv.k = take_numbers(&a.b, kv, 1);
    a.kv.v = take_numbers(&a.b, kv, 1);
    a.q = take_numbers(&a.b, (size_t)S * (size_t)Q, 1);
    a.o = take(&a.b, (size_t)S * (size_t)Q * 2);
    attention_begin(&a, S, context);
    s = time_calls(&a.b, call_attention, &a);
    g->device->close(&a.b.s);
    *bytes = 2.0 * 2 * S * context * m->kv_heads * m->head_dim;
    return s;
}

void gpu_figures_attention(struct gpu *g)
{
    char name[128];

    gpu_figures_rates(g);
    for (int i = 0; i < 2; i++) {
        double bytes;
        const double s = time_attention(g, g->sizes.batches[1], g->sizes.contexts[i], &bytes);

        snprintf(name, sizeof name, "attention decode kernel batch=%d context=%d",
                 g->sizes.batches[1], g->sizes.contexts[i]);
        gpu_say(name, bytes / s / 1e9, "GB/s", i ? SHARE_DECODE_KERNEL * g->rates.copy / 1e9 : 0,
                g->rates.copy / 1e9);
    }
}
