/* figures_mixed.c - instances that are not alike: two of them, and mixed cards. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/report.h"
#include "bench/scenario.h"
#include "bench/schedule_figures.h"

#define CONV "azure_llm_2023_conv.csv.gz"
#define CODE "azure_llm_2023_code.csv.gz"

/* Two instances whose speeds differ by these are where an even split costs so much that an ideal
 * scheduler is 122.5 and 33.6 % faster: (1 + r) / 2. */
static const double RATIOS[] = {3.45, 1.67};

static void one_pair(double ratio, int64_t rows)
{
    char name[64];
    struct scenario s = {
        .name = name,
        .jobs = {.n = rows ? rows : 20000, .seed = 1, .trace = CONV, .max_tokens = 1000}};
    struct schedule_instance is;
    struct cluster_result ours, turns;
    struct ideal_row *sorts;
    double bound_s, even_s;
    size_t n;

    snprintf(name, sizeof name, "two instances, %.2f apart", ratio);
    scenario_add_card(&s, "A100-SXM-80GB", &SCENARIO_LLAMA_7B, 1);
    s.at[0].is.kv_tokens = INT64_MAX / 4;
    s.kinds[0].kv_tokens = 0;
    is = s.at[0].is;
    is.perf = perf_scaled(&is.perf, ratio);
    scenario_add(&s, "slow", &is, 1);
    s.kinds[1].kv_tokens = 0;
    bound_s = scenario_bound_s(&s);
    sorts = scenario_rows(&s, &n);
    if (ideal_even(&even_s, s.kinds, s.n_kinds, sorts, n)) report_fail("%s: no ideal turn", name);
    scenario_run(&s, &(struct schedule_opts){.policy = POLICY_SIZED}, &ours);
    scenario_run(&s, &(struct schedule_opts){.policy = POLICY_ROUND_ROBIN}, &turns);
    scenario_figure(&s, "over round robin", "x", turns.end_s / ours.end_s, 0.98 * even_s / bound_s,
                    even_s / bound_s);
    scenario_figure(&s, "sized", "rows/s", (double)ours.done / ours.end_s,
                    0.98 * (double)ours.done / bound_s, (double)ours.done / bound_s);
    scenario_fini(&s);
    free(sorts);
}

void figures_pair(int64_t rows)
{
    for (size_t i = 0; i < sizeof RATIOS / sizeof *RATIOS; i++)
        one_pair(RATIOS[i], rows);
}

static void add_helix(struct scenario *s)
{
    scenario_add_card(s, "A100-SXM-40GB", &SCENARIO_LLAMA_30B, 2);
    scenario_add_card(s, "L4-24GB", &SCENARIO_LLAMA_30B, 4);
    scenario_add_card(s, "T4-16GB", &SCENARIO_LLAMA_30B, 4);
    scenario_add_card(s, "V100-SXM2-32GB", &SCENARIO_LLAMA_30B, 2);
}

static struct scenario mixed(const char *name, const char *trace, int64_t rows)
{
    return (struct scenario){
        .name = name,
        .jobs = {.n = rows ? rows : 200000, .seed = 1, .trace = trace, .max_tokens = 1000}};
}

static void compare(struct scenario s, void (*add)(struct scenario *s))
{
    add(&s);
    s.jobs.oracle = true; /* as the bound knows them */
    scenario_compare(&s, 0.97);
    scenario_fini(&s);
}

void figures_mixed(int64_t rows)
{
    compare(mixed("A100 L4 T4 V100, conversation", CONV, rows), add_helix);
    compare(mixed("A100 L4 T4 V100, code", CODE, rows), add_helix);
    compare(mixed("H100 A100 A40, conversation", CONV, rows), scenario_add_vidur);
    compare(mixed("H100 A100 A40, code", CODE, rows), scenario_add_vidur);
}

static void one_unknown(struct scenario s, void (*add)(struct scenario *s))
{
    struct cluster_result known, predicted;

    add(&s);
    scenario_run(&s, &(struct schedule_opts){.policy = POLICY_SIZED}, &predicted);
    s.jobs.oracle = true;
    scenario_run(&s, &(struct schedule_opts){.policy = POLICY_SIZED}, &known);
    report_figure(&(struct figure){.bench = "schedule",
                                   .figure = s.name,
                                   .unit = "s",
                                   .against = "lengths known beforehand",
                                   .value = predicted.end_s,
                                   .ratio = predicted.end_s / known.end_s,
                                   .target = 1.03 * known.end_s});
    scenario_fini(&s);
}

void figures_unknown(int64_t rows)
{
    one_unknown(mixed("lengths predicted: A100 L4 T4 V100, conversation", CONV, rows), add_helix);
    one_unknown(mixed("lengths predicted: A100 L4 T4 V100, code", CODE, rows), add_helix);
    one_unknown(mixed("lengths predicted: H100 A100 A40, conversation", CONV, rows),
                scenario_add_vidur);
    one_unknown(mixed("lengths predicted: H100 A100 A40, code", CODE, rows), scenario_add_vidur);
}
