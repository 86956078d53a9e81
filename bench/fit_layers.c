/* fit_layers.c - tables of a model's operators: their sum, times the model's layers.
 *
 * What a table gives at some token counts is read off in between along a straight line. All-reduces
 * are aiconfigurator's, of the same card; a card of which there are none has the roofline's.  Steps
 * whose KV tokens do not fit the card are left out: a layer alone was measured where the model
 * never runs.
 *
 *   Vidur          no attention, no output matrix: the roofline's
 *   LLMServingSim  mixed batches, all operators.  Beside a prompt its attention reads the context
 * of decoding sequences half as fast as without one: k4 is near the former, and steps of decode
 * alone are up to 22 % off.  An older set in which the context of a decode step is the batch's, and
 * of a prompt is with the chunk itself; where it has no decode attention, k4 is the roofline's
 */
#include <math.h>
#include <string.h>

#include "bench/csv.h"
#include "bench/curves.h"
#include "bench/fit.h"
#include "bench/report.h"

#define VIDUR        "perf/vidur_mlp_ms.csv.gz"
#define DENSE        "perf/servingsim_dense.csv.gz"
#define PER_SEQUENCE "perf/servingsim_per_sequence.csv.gz"
#define ATTENTION    "perf/servingsim_attention.csv.gz"
#define V0_LAYERS    "perf/servingsim_v0_layers.csv.gz"
#define V0_ATTENTION "perf/servingsim_v0_attention.csv.gz"
#define COLLECTIVES  "perf/aic_collectives.csv.gz"

enum { PROMPT, DECODE };

#define US 1000.0 /* in a ms */
#define NS 1e6

/* All-reduces as CUDA graphs run them: "card tp" over numbers; of versions the last. */
static struct curves *sums_open(void)
{
    struct curves *c = curves_open();
    struct csv *t = csv_open(COLLECTIVES);

    while (csv_next(t))
        if (csv_is(t, "backend", "vllm_graph"))
            curves_add(c, csv_number(t, "message_elements"), csv_number(t, "latency_ms"), "%s %d",
                       csv_text(t, "gpu"), csv_int(t, "num_gpus"));
    csv_close(&t);
    return c;
}

static bool has_sums(const struct curves *sums, const struct fit_case *c)
{
    return c->tp == 1 || curves_has(sums, "%s %d", c->card->name, c->tp);
}

/* Two a layer; 0 where the card has none. */
static double sums_ms(struct curves *sums, const struct fit_case *c, double tokens)
{
    if (c->tp == 1 || !has_sums(sums, c)) return 0;
    return 2 * c->shape->layers *
           curves_at(sums, tokens * c->shape->hidden, "%s %d", c->card->name, c->tp);
}

static double vidur_layer_ms(const struct csv *t)
{
    static const char *const OPS[] = {"input_layernorm",
                                      "attn_pre_proj",
                                      "attn_rope",
                                      "attn_post_proj",
                                      "post_attention_layernorm",
                                      "mlp_up_proj",
                                      "mlp_act",
                                      "mlp_down_proj",
                                      "add"};
    double ms = 0;

    for (size_t i = 0; i < sizeof OPS / sizeof OPS[0]; i++)
        ms += csv_number(t, OPS[i]);
    return ms;
}

static const char *vidur_card(const struct csv *t)
{
    static const char *const CARDS[][2] = {
        {"a100", "A100-SXM-80GB"}, {"h100", "H100-SXM-80GB"}, {"a40", "A40-48GB"}};

    for (int i = 0; i < 3; i++)
        if (csv_is(t, "gpu", CARDS[i][0])) return CARDS[i][1];
    report_fail("%s: no card called %s", VIDUR, csv_text(t, "gpu"));
}

void fit_vidur(struct fit_set *s)
{
    struct curves *sums = sums_open();
    struct csv *t = csv_open(VIDUR);

    while (csv_next(t)) {
        struct fit_case *c =
            fit_set_case(s, VIDUR, vidur_card(t), csv_text(t, "model"), csv_int(t, "tp"));
        double tokens = csv_number(t, "tokens");
        const double at[FIT_AXES] = {tokens, NAN, NAN, NAN};
        double ms = csv_number(t, "emb") + c->shape->layers * vidur_layer_ms(t);

        if (c->n == 0) {
            c->terms = PERF_K0 | PERF_KW | PERF_K1;
            fit_case_plus_head(c);
            if (!has_sums(sums, c)) fit_case_plus_ranks(c);
        }
        fit_case_add(c, PROMPT,
                     (struct perf_sample){tokens, 0, 0, 0, ms + sums_ms(sums, c, tokens)}, at);
    }
    csv_close(&t);
    curves_close(&sums);
}

/* "card model tp layer" over tokens; its name without the layer is the case's. */
static struct curves *layers_open(const char *table, const char *over, const char *time,
                                  double per_ms)
{
    struct curves *c = curves_open();
    struct csv *t = csv_open(table);

    while (csv_next(t))
        curves_add(c, csv_number(t, over), csv_number(t, time) / per_ms, "%s %s %d %s",
                   csv_text(t, "gpu"), csv_text(t, "model"), csv_int(t, "tp"),
                   csv_text(t, "layer"));
    csv_close(&t);
    return c;
}

struct operators {
    const char *name;
    int per_layer; /* 0: once a step */
};

/* All operators at so many tokens; those that the model does not have are not in the table. */
static double operators_ms(struct curves *layers, const struct operators *ops, size_t n_ops,
                           const char *gpu, const struct fit_case *c, double tokens)
{
    double ms = 0;

    for (size_t i = 0; i < n_ops; i++) {
        int times = ops[i].per_layer ? ops[i].per_layer * c->shape->layers : 1;

        if (curves_has(layers, "%s %s %d %s", gpu, c->model, c->tp, ops[i].name))
            ms +=
                times * curves_at(layers, tokens, "%s %s %d %s", gpu, c->model, c->tp, ops[i].name);
    }
    return ms;
}

static const char *serving_card(const char *gpu)
{
    static const char *const CARDS[][2] = {{"RTX4090", "RTX-4090-24GB"},
                                           {"RTXPRO6000", "RTX-PRO-6000-96GB"},
                                           {"RTX3090", "RTX-3090-24GB"},
                                           {"A6000", "RTX-A6000-48GB"},
                                           {"H100", "H100-SXM-80GB"}};

    for (int i = 0; i < 5; i++)
        if (!strcmp(gpu, CARDS[i][0])) return CARDS[i][1];
    report_fail("LLMServingSim: no card called %s", gpu);
}

#define N_OF(a) (sizeof(a) / sizeof(a)[0])

void fit_serving(struct fit_set *s)
{
    static const struct operators OPS[] = {
        {"embedding", 0}, {"final_layernorm", 0}, {"layernorm", 2}, {"qkv_proj", 1},
        {"qk_norm", 1},   {"rotary_emb", 1},      {"o_proj", 1},    {"gate_up_proj", 1},
        {"act_fn", 1},    {"down_proj", 1}};
    static const struct operators ENDS[] = {{"lm_head", 0}, {"sampler", 0}};
    struct curves *layers = layers_open(DENSE, "tokens", "time_us", US);
    struct curves *ends = layers_open(PER_SEQUENCE, "sequences", "time_us", US);
    struct curves *sums = sums_open();
    struct csv *t = csv_open(ATTENTION);

    while (csv_next(t)) {
        const char *gpu = csv_text(t, "gpu");
        struct fit_case *c =
            fit_set_case(s, ATTENTION, serving_card(gpu), csv_text(t, "model"), csv_int(t, "tp"));
        double p = csv_number(t, "prefill_chunk"), before = csv_number(t, "kv_prefill");
        double n = csv_number(t, "n_decode"), each = csv_number(t, "kv_decode");
        const double at[FIT_AXES] = {p, before, n, each};
        struct perf_sample step = {p, n, p * (before + (p + 1) / 2), n * each, 0};

        if (before + p + n * each > fit_case_kv_tokens(c)) continue;
        step.ms = operators_ms(layers, OPS, N_OF(OPS), gpu, c, p + n) +
                  operators_ms(ends, ENDS, N_OF(ENDS), gpu, c, n + (p > 0)) +
                  sums_ms(sums, c, p + n) + c->shape->layers * csv_number(t, "time_us") / US;
        fit_case_add(c, PROMPT, step, at);
    }
    csv_close(&t);
    curves_close(&layers);
    curves_close(&ends);
    curves_close(&sums);
}

static const struct operators V0_OPS[] = {
    {"embedding", 0}, {"final_layernorm", 0}, {"input_layernorm", 1},
    {"q_proj", 1},    {"k_proj", 1},          {"v_proj", 1},
    {"rope", 1},      {"o_proj", 1},          {"post_layernorm", 1},
    {"gate_proj", 1}, {"up_proj", 1},         {"act_fn", 1},
    {"down_proj", 1}};
static const struct operators V0_HEAD[] = {{"lm_head", 0}};
static const struct operators V0_ATTN[] = {{"attn", 1}};

struct v0 {
    struct fit_set *s;
    struct curves *layers, *sums;
};

/* Without attention: of so many tokens, from which so many sequences go on. */
static double v0_ms(struct v0 *v, const char *gpu, const struct fit_case *c, double tokens,
                    double sequences)
{
    return operators_ms(v->layers, V0_OPS, N_OF(V0_OPS), gpu, c, tokens) +
           operators_ms(v->layers, V0_HEAD, 1, gpu, c, sequences) + sums_ms(v->sums, c, tokens);
}

static struct fit_case *v0_case(struct v0 *v, const struct csv *t, unsigned terms)
{
    struct fit_case *c = fit_set_case(v->s, V0_LAYERS, serving_card(csv_text(t, "gpu")),
                                      csv_text(t, "model"), csv_int(t, "tp"));

    if (c->n > 0) return c;
    c->terms = terms;
    c->plus = (struct perf){0};
    if (!has_sums(v->sums, c)) fit_case_plus_ranks(c);
    return c;
}

static void v0_attention(struct v0 *v)
{
    struct csv *t = csv_open(V0_ATTENTION);

    while (csv_next(t)) {
        const char *gpu = csv_text(t, "gpu");
        struct fit_case *c = v0_case(v, t, PERF_ALL);
        double n = csv_number(t, "batch"), p = csv_number(t, "prefill_chunk");
        double kv = csv_number(t, "kv_cache"), ms = c->shape->layers * csv_number(t, "median_ms");
        bool is_prompt = csv_is(t, "phase", "prefill");
        const double at[FIT_AXES] = {is_prompt ? p : n, kv, NAN, NAN};
        struct perf_sample step = {.n = n, .m = kv};

        if (kv > fit_case_kv_tokens(c)) continue;
        if (kv < n) continue; /* some sequences have no token, and the kernel returns at once */
        if (is_prompt) step = (struct perf_sample){.p = p, .x = p * (kv - p + (p + 1) / 2)};
        step.ms = v0_ms(v, gpu, c, is_prompt ? p : n, n) + ms;
        fit_case_add(c, is_prompt ? PROMPT : DECODE, step, at);
    }
    csv_close(&t);
}

void fit_serving_v0(struct fit_set *s)
{
    struct v0 v = {s, layers_open(V0_LAYERS, "tokens", "latency_ns", NS), sums_open()};
    struct csv *t;

    v0_attention(&v);
    t = csv_open(V0_LAYERS);
    while (csv_next(t)) {
        const char *gpu = csv_text(t, "gpu");
        struct fit_case *c = v0_case(&v, t, PERF_ALL & ~(unsigned)PERF_K4);
        double tokens = csv_number(t, "tokens");
        const double at[FIT_AXES] = {tokens, NAN, NAN, NAN};
        struct perf_sample step = {.p = tokens, .x = tokens * (tokens + 1) / 2};

        if (!csv_is(t, "layer", "q_proj")) continue; /* one of them, for the token counts */
        step.ms = v0_ms(&v, gpu, c, tokens, 1) + operators_ms(v.layers, V0_ATTN, 1, gpu, c, tokens);
        fit_case_add(c, PROMPT, step, at);
        if (c->terms & PERF_K4) continue; /* it has decode steps with their attention */
        step = (struct perf_sample){.n = tokens, .ms = v0_ms(&v, gpu, c, tokens, tokens)};
        fit_case_add(c, DECODE, step, at);
    }
    csv_close(&t);
    curves_close(&v.layers);
    curves_close(&v.sums);
}
