/* bench_engine.c - tokens/s of the engine on one thread: prefill and decode, at some batch sizes.
 *
 *   bench_engine [MODEL]     examples/tidy when there is none
 *
 * All prompts are prefilled in one step, then each step decodes one token of each sequence.  The
 * tokens of a row are the same at each batch size (E1), and those of ops_ref but for near ties;
 * the first is checked before anything is printed.
 *
 * The limit is that of a step: the larger of its bytes (weights once, and the KV of each sequence's
 * context) over the core's reading speed and its flops over the core's multiply-adds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/limit.h"
#include "bench/race.h"
#include "bench/report.h"
#include "worker/engine.h"

#define PROMPT    64 /* tokens */
#define ANSWER    64
#define MAX_BATCH 64
#define RUNS      5 /* of each batch size, in turns; the first is the warm-up */
#define KV_BYTES  ((size_t)4 << 30)

enum phase { PREFILL, DECODE, N_PHASES };

/* Tokens/s of one contender, a batch size on a table of ops. */
struct contender {
    const struct ops *ops;
    int batch;
    double sample[N_PHASES][RUNS - 1], per_s[N_PHASES];
    int32_t ids[ANSWER]; /* of the first row */
};

static void add_rows(struct engine *en, int n, int vocab)
{
    const struct sampling greedy = {.max_tokens = ANSWER, .top_p = 1, .ignore_eos = true};
    int32_t ids[PROMPT];
    struct errmsg e;

    for (int i = 0; i < n; i++) {
        for (int k = 0; k < PROMPT; k++)
            ids[k] = (i * 131 + k * 17 + k * k * 7 + 3) % (vocab - 1) + 1;
        if (engine_add(en, ids, PROMPT, &greedy, (void *)(intptr_t)i, &e))
            report_fail("%s", e.text);
    }
}

static void take_rows(struct engine *en, struct contender *c)
{
    struct outcome o;

    for (int i = 0; i < c->batch; i++) {
        if (!engine_take(en, &o)) report_fail("%d of %d rows came out", i, c->batch);
        if (o.n_ids != ANSWER) report_fail("a row has %d tokens of %d", o.n_ids, ANSWER);
        if (!o.owner) memcpy(c->ids, o.ids, sizeof c->ids);
        free(o.ids);
        buf_fini(&o.text);
    }
}

/* Steps until all tokens of the phase are there; the seconds that took. */
static double steps(struct engine *en, int n)
{
    const int64_t start_ns = clock_thread_ns();
    struct errmsg e;

    for (int i = 0; i < n; i++)
        if (engine_step(en, &e)) report_fail("step %d: %s", i, e.text);
    return (double)(clock_thread_ns() - start_ns) * 1e-9;
}

static void run_once(struct contender *c, const struct model *m, int run)
{
    struct engine *en;
    struct errmsg e;
    const struct engine_opts o = {.model = m,
                                  .ops = c->ops,
                                  .threads = 1,
                                  .kv_bytes = KV_BYTES,
                                  .max_num_seqs = c->batch,
                                  .max_batched_tokens = c->batch * PROMPT,
                                  .max_model_len = PROMPT + ANSWER,
                                  .kv_dtype = DTYPE_F32};
    double prefill_s, decode_s;

    if (engine_open(&en, &o, &e)) report_fail("%s", e.text);
    add_rows(en, c->batch, m->config.vocab_size);
    prefill_s = steps(en, 1); /* and the first token of each row */
    decode_s = steps(en, ANSWER - 1);
    take_rows(en, c);
    engine_close(&en);
    if (!run) return;
    c->sample[PREFILL][run - 1] = c->batch * PROMPT / prefill_s;
    c->sample[DECODE][run - 1] = c->batch * (ANSWER - 1) / decode_s;
}

/* --- the limit -------------------------------------------------------------------------------- */

/* What a step must do, whatever computes it. */
struct need {
    double weight_bytes, kv_bytes; /* KV: of one position, all layers */
    double weights, last;          /* multiply-adds for each token; more for each sequence's last */
    double attn;                   /* and for each position it looks back at */
};

static struct need needs(const struct model *m)
{
    const struct model_config *c = &m->config;
    const double D = c->hidden_size, L = c->n_layers, HD = c->head_dim, V = c->vocab_size;
    const double heads = HD * (2 * c->n_heads + 2 * c->n_kv_heads); /* q and o, k and v */
    const double feed = 3 * D * c->intermediate_size; /* of the last layer for few tokens only */
    const struct engine_opts o = {.model = m,
                                  .ops = ops_cpu(),
                                  .threads = 1,
                                  .kv_bytes = KV_BYTES,
                                  .max_num_seqs = 1,
                                  .max_batched_tokens = 1};
    struct need n = {.kv_bytes = L * 2 * c->n_kv_heads * HD * 4,
                     .weights = L * D * heads + (L - 1) * feed,
                     .last = feed + D * V,
                     .attn = L * 2 * c->n_heads * HD};
    struct engine_stats st;
    struct engine *en;
    struct errmsg e;

    if (engine_open(&en, &o, &e)) report_fail("%s", e.text);
    engine_stats(en, &st);
    engine_close(&en);
    n.weight_bytes = (double)st.weight_bytes;
    /* Of an embedding that is not the head as well a step reads a few rows only. */
    if (!c->tied) n.weight_bytes *= 1 - D * V / (n.weights + n.last + D * V);
    return n;
}

/* Multiply-adds/s of the core, and bytes/s when it reads n_bytes again and again. */
static void measure_core(size_t n_bytes, double *flops, double *bytes)
{
    struct limit_read data = {calloc(1, n_bytes), n_bytes};
    struct rival r[] = {{.work = limit_fma}, {.work = limit_read, .arg = &data}};

    if (!data.data) report_fail("no memory for %zu bytes", n_bytes);
    memset((void *)(uintptr_t)data.data, 1, n_bytes); /* calloc's pages are one page of zeros */
    race(r, 2);
    *flops = LIMIT_FLOPS / r[0].seconds;
    *bytes = (double)n_bytes / r[1].seconds;
    free((void *)(uintptr_t)data.data);
}

/* Tokens/s at which a phase would run into the core's limits. */
static double limit_of(const struct need *n, enum phase p, int batch)
{
    const double tokens = p == PREFILL ? batch * PROMPT : batch;
    const double context = p == PREFILL ? PROMPT / 2.0 : PROMPT + ANSWER / 2.0;
    const double end = p == PREFILL ? PROMPT : context; /* a prompt's KV is read once at least */
    const double read = n->weight_bytes + batch * end * n->kv_bytes;
    const double add = 2 * (tokens * (n->weights + context * n->attn) + batch * n->last);
    double flops, bytes;

    measure_core((size_t)read & ~(size_t)63, &flops, &bytes);
    return tokens / (read / bytes > add / flops ? read / bytes : add / flops);
}

/* --- the figures ------------------------------------------------------------------------------ */

static void print(const struct contender *c, const struct contender *rival, const char *against,
                  enum phase p, double limit)
{
    char name[64];

    snprintf(name, sizeof name, "%s batch=%d prompt=%d answer=%d",
             p == PREFILL ? "prefill" : "decode", c->batch, PROMPT, ANSWER);
    report_figure(&(struct figure){.bench = "engine",
                                   .figure = name,
                                   .value = c->per_s[p],
                                   .unit = "tokens/s",
                                   .against = against,
                                   .ratio = c->per_s[p] / rival->per_s[p],
                                   .limit = limit});
}

int main(int argc, char **argv)
{
    struct contender c[] = {{.ops = ops_ref(), .batch = 1},
                            {.ops = ops_cpu(), .batch = 1},
                            {.ops = ops_cpu(), .batch = 8},
                            {.ops = ops_cpu(), .batch = MAX_BATCH}};
    enum { N = sizeof c / sizeof c[0] };
    struct model *m;
    struct errmsg e;
    struct need n;

    if (model_open(&m, argc > 1 ? argv[1] : "examples/tidy", &e)) report_fail("%s", e.text);
    n = needs(m);
    for (int run = 0; run < RUNS; run++)
        for (int i = 0; i < N; i++)
            run_once(&c[i], m, run);
    for (int i = 2; i < N; i++)
        if (memcmp(c[i].ids, c[1].ids, sizeof c[1].ids) != 0)
            report_fail("a row's tokens at batch %d are not those at batch 1", c[i].batch);
    for (int p = 0; p < N_PHASES; p++) {
        for (int i = 0; i < N; i++)
            c[i].per_s[p] = report_median(c[i].sample[p], RUNS - 1);
        for (int i = 1; i < N; i++)
            print(&c[i], i == 1 ? &c[0] : &c[1], i == 1 ? "ops_ref" : "batch=1", (enum phase)p,
                  limit_of(&n, (enum phase)p, c[i].batch));
    }
    model_close(&m);
    return EXIT_SUCCESS;
}
