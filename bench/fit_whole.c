/* fit_whole.c - tables of whole models: Splitwise's of instances, Helix's of a layer times layers.
 *
 * Splitwise measured a prompt pass and the mean token after it, along three lines from one base:
 * the prompt's length, the batch, the answer's length.  Rows that took half as long again as prompt
 * and tokens together did not run as one batch (it did not fit), and are left out; so is the H100
 * with a power cap, which is no card of its own.
 *
 * Helix gives the tokens of a prompt pass and the sequences of a decode step, not their context.
 * What a sequence costs in the 30B rows is what the roofline says of reading 550 to 810 tokens of
 * KV, on all four cards: about the length of the Azure conversations that it was measured for.  So
 * the constants of the context are the roofline's, at the least of that, and the rest is k3.
 */
#include <math.h>
#include <string.h>

#include "bench/csv.h"
#include "bench/fit.h"
#include "bench/report.h"

#define SPLITWISE "perf/splitwise_perf_model.csv.gz"
#define HELIX     "perf/helix_layer_times.csv"

enum { PROMPT, DECODE };

#define BASE_PROMPT 512
#define BASE_BATCH  1
#define BASE_ANSWER 128
#define NOT_ONE     1.5

static double unless(double v, double base)
{
    return v == base ? NAN : v;
}

void fit_splitwise(struct fit_set *s)
{
    static const char *const HARDWARE[][2] = {{"a100-80gb", "A100-SXM-80GB"},
                                              {"h100-80gb", "H100-SXM-80GB"}};
    struct csv *t = csv_open(SPLITWISE);

    while (csv_next(t)) {
        double p = csv_number(t, "prompt_size"), b = csv_number(t, "batch_size");
        double answer = csv_number(t, "token_size"), prompt_ms = csv_number(t, "prompt_time");
        double token_ms = csv_number(t, "token_time"), all_ms = csv_number(t, "e2e_time");
        const double at[FIT_AXES] = {unless(p, BASE_PROMPT), unless(b, BASE_BATCH),
                                     unless(answer, BASE_ANSWER), NAN};
        struct fit_case *c = NULL;

        for (int i = 0; i < 2; i++)
            if (csv_is(t, "hardware", HARDWARE[i][0]))
                c = fit_set_case(s, SPLITWISE, HARDWARE[i][1], csv_text(t, "model"),
                                 csv_int(t, "tensor_parallel"));
        if (!c || all_ms > NOT_ONE * (prompt_ms + answer * token_ms)) continue;
        fit_case_add(c, PROMPT, (struct perf_sample){p * b, 0, b * p * (p + 1) / 2, 0, prompt_ms},
                     at);
        fit_case_add(c, DECODE, (struct perf_sample){0, b, 0, b * (p + (answer + 1) / 2), token_ms},
                     at);
    }
    csv_close(&t);
}

#define HELIX_CONTEXT  550
#define HELIX_LEAST_MS 1.0 /* times are whole ms, or tenths where they are small */

static const struct {
    const char *name, *card;
    int tp;
} HELIX_GPU[] = {
    {"a100", "A100-SXM-40GB", 1},  {"l4", "L4-24GB", 1},   {"l4x2", "L4-24GB", 2},
    {"t4", "T4-16GB", 1},          {"t4x2", "T4-16GB", 2}, {"t4x4", "T4-16GB", 4},
    {"v100", "V100-SXM2-32GB", 1},
};

static struct fit_case *helix_case(struct fit_set *s, const struct csv *t)
{
    for (size_t i = 0; i < sizeof HELIX_GPU / sizeof HELIX_GPU[0]; i++)
        if (csv_is(t, "gpu", HELIX_GPU[i].name))
            return fit_set_case(s, HELIX, HELIX_GPU[i].card, csv_text(t, "model"), HELIX_GPU[i].tp);
    report_fail("%s: no card called %s", HELIX, csv_text(t, "gpu"));
}

void fit_helix(struct fit_set *s)
{
    struct csv *t = csv_open(HELIX);

    while (csv_next(t)) {
        struct fit_case *c = helix_case(s, t);
        double tokens = csv_number(t, "batch_tokens"), layer_ms = csv_number(t, "ms_per_layer");
        const double at[FIT_AXES] = {tokens, NAN, NAN, NAN};
        struct perf_sample step = {.ms = layer_ms * c->shape->layers};
        bool is_prompt = csv_is(t, "phase", "prompt");

        if (layer_ms < HELIX_LEAST_MS) continue;
        if (c->n == 0) {
            c->terms = PERF_ALL & ~(unsigned)(PERF_K2 | PERF_K4);
            fit_case_plus_head(c);
        }
        if (is_prompt) {
            step.p = tokens;
            step.x = tokens * (HELIX_CONTEXT + 1) / 2.0;
        } else {
            step.n = tokens;
            step.m = tokens * HELIX_CONTEXT;
        }
        fit_case_add(c, is_prompt ? PROMPT : DECODE, step, at);
    }
    csv_close(&t);
}
