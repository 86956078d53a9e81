/* fit_kernels.c - aiconfigurator's tables of kernels, put together to models of Llama 3.1's shape.
 *
 * Matrix products are on one grid of m, n and k; a shape between grid points is read off along
 * straight lines, in m, and in n and k by their shares.  Gate and up are one product, query, key
 * and value are one; the vocabulary of 128,256 is the line through 16,384 and 65,536, continued.
 * Attention is on the grid as it is.  What the tables lack (norms, rotation, activation) counts as
 * the bytes that it moves at the card's speed of reading, and as no less than the smallest product.
 * Prompt passes of at most TOKENS_MAX, decode steps of at most BATCH_MAX; steps whose KV tokens do
 * not fit the card are left out.  Of several versions of the kernels the last is taken.
 */
#include <math.h>
#include <string.h>

#include "bench/csv.h"
#include "bench/curves.h"
#include "bench/fit.h"

#define GEMM        "perf/aic_gemm_bf16.csv.gz"
#define PREFILL     "perf/aic_prefill_attention_bf16.csv.gz"
#define DECODES     "perf/aic_decode_attention_bf16.csv.gz"
#define COLLECTIVES "perf/aic_collectives.csv.gz"

#define TOKENS_MAX 8192
#define BATCH_MAX  512
#define BYTES      2.0 /* bf16 */

enum { PROMPT, DECODE };

static const struct {
    const char *card, *version;
} CARDS[] = {
    {"A100-SXM-80GB", "0.14.0"},  {"H100-SXM-80GB", "0.19.0"}, {"H200-SXM-141GB", "0.14.1"},
    {"B200-SXM-180GB", "0.19.0"}, {"L40S-48GB", "0.14.0"},     {"RTX-PRO-6000-96GB", "0.19.0"},
};
#define N_CARDS (sizeof CARDS / sizeof CARDS[0])

static const struct {
    const char *model;
    int tp[3];
} MODELS[] = {
    {"meta-llama/Llama-3.1-8B", {1, 2, 4}},
    {"meta-llama/Llama-3.1-70B", {2, 4, 8}},
};

struct kernels {
    struct fit_set *s;
    struct curves *products, *sums;
};

static bool is_taken(const struct csv *t, const char *version)
{
    for (size_t i = 0; i < N_CARDS; i++)
        if (csv_is(t, "gpu", CARDS[i].card) && csv_is(t, version, CARDS[i].version)) return true;
    return false;
}

static struct curves *products_open(void)
{
    struct curves *c = curves_open();
    struct csv *t = csv_open(GEMM);

    while (csv_next(t))
        if (is_taken(t, "vllm_version"))
            curves_add(c, csv_number(t, "m"), csv_number(t, "latency_ms"), "%s %d %d",
                       csv_text(t, "gpu"), csv_int(t, "n"), csv_int(t, "k"));
    csv_close(&t);
    return c;
}

static struct curves *sums_open(void)
{
    struct curves *c = curves_open();
    struct csv *t = csv_open(COLLECTIVES);

    while (csv_next(t))
        if (csv_is(t, "backend", "vllm_graph") && is_taken(t, "version"))
            curves_add(c, csv_number(t, "message_elements"), csv_number(t, "latency_ms"), "%s %d",
                       csv_text(t, "gpu"), csv_int(t, "num_gpus"));
    csv_close(&t);
    return c;
}

/* n and k of the products. */
static const int GRID[] = {32,   64,   128,  256,  512,  768,  1024,  1536,  2048,  2560, 3072,
                           3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288, 16384, 65536};
#define N_GRID (sizeof GRID / sizeof GRID[0])

/* The two grid values around v, and the second one's share. */
static double bracket(int v, int around[2])
{
    size_t i = 1;

    while (i + 1 < N_GRID && GRID[i] < v)
        i++;
    around[0] = GRID[i - 1];
    around[1] = GRID[i];
    return (double)(v - around[0]) / (around[1] - around[0]);
}

static double product_ms(struct kernels *k, const struct fit_case *c, double m, int n, int width)
{
    int ns[2], ks[2];
    double n_share = bracket(n, ns), k_share = bracket(width, ks), ms = 0;

    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            double share = (i ? n_share : 1 - n_share) * (j ? k_share : 1 - k_share);

            if (share != 0)
                ms += share * curves_at(k->products, m, "%s %d %d", c->card->name, ns[i], ks[j]);
        }
    return ms;
}

static int kv_heads(const struct fit_case *c)
{
    return c->shape->kv_heads > c->tp ? c->shape->kv_heads / c->tp : 1;
}

/* Two norms with their additions, rotation, activation. */
static double others_ms(struct kernels *k, const struct fit_case *c, double tokens)
{
    const struct model_shape *m = c->shape;
    const double row[] = {4.0 * m->hidden, 4.0 * m->hidden, 3.0 * m->ffn / c->tp,
                          2.0 * (m->q_heads / c->tp + kv_heads(c)) * m->head_dim};
    double least = curves_at(k->products, 1, "%s 32 32", c->card->name), ms = 0;
    double bytes_ms = c->card->bytes_per_s * c->card->bytes_share / 1000;

    for (int i = 0; i < 4; i++)
        ms += fmax(least, tokens * row[i] * BYTES / bytes_ms);
    return ms;
}

/* A step without its attention: so many tokens, from which so many sequences go on. */
static double step_ms(struct kernels *k, const struct fit_case *c, double tokens, double sequences)
{
    const struct model_shape *m = c->shape;
    int heads = m->q_heads / c->tp, ffn = m->ffn / c->tp;
    double ms = product_ms(k, c, tokens, (heads + 2 * kv_heads(c)) * m->head_dim, m->hidden) +
                product_ms(k, c, tokens, m->hidden, heads * m->head_dim) +
                product_ms(k, c, tokens, 2 * ffn, m->hidden) +
                product_ms(k, c, tokens, m->hidden, ffn) + others_ms(k, c, tokens);

    if (c->tp > 1) ms += 2 * curves_at(k->sums, tokens * m->hidden, "%s %d", c->card->name, c->tp);
    return m->layers * ms + product_ms(k, c, sequences, m->vocab / c->tp, m->hidden);
}

/* One row of attention: a step of the case whose ranks have those heads. */
static void add(struct kernels *k, struct fit_case *c, const struct csv *t, bool is_prompt)
{
    double n = csv_number(t, "batch"), ms = csv_number(t, "latency_ms") * c->shape->layers;
    double each = csv_number(t, is_prompt ? "prompt_tokens" : "context_tokens");
    const double at[FIT_AXES] = {n, each, NAN, NAN};
    struct perf_sample step = {.n = n, .m = n * each};

    if (csv_int(t, "num_heads") != c->shape->q_heads / c->tp ||
        csv_int(t, "num_kv_heads") != kv_heads(c) || n * each > fit_case_kv_tokens(c))
        return;
    if (is_prompt ? n * each > TOKENS_MAX : n > BATCH_MAX) return;
    if (is_prompt) step = (struct perf_sample){.p = n * each, .x = n * each * (each + 1) / 2};
    step.ms = step_ms(k, c, is_prompt ? n * each : n, n) + ms;
    fit_case_add(c, is_prompt ? PROMPT : DECODE, step, at);
}

static void read_attention(struct kernels *k, const char *table, bool is_prompt)
{
    struct csv *t = csv_open(table);

    while (csv_next(t)) {
        const char *card = csv_text(t, "gpu");

        for (size_t i = 0; i < 2 && is_taken(t, "vllm_version"); i++)
            for (int j = 0; j < 3; j++) {
                int tp = MODELS[i].tp[j];

                if (tp == 1 || curves_has(k->sums, "%s %d", card, tp))
                    add(k, fit_set_case(k->s, GEMM, card, MODELS[i].model, tp), t, is_prompt);
            }
    }
    csv_close(&t);
}

void fit_kernels(struct fit_set *s)
{
    struct kernels k = {s, products_open(), sums_open()};

    read_attention(&k, PREFILL, true);
    read_attention(&k, DECODES, false);
    curves_close(&k.products);
    curves_close(&k.sums);
}
