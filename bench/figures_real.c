/* figures_real.c - the same rows and instances in the simulation, and by the real broker with
 * workers that compute nothing (`--device sim:`). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"
#include "bench/scenario.h"
#include "bench/schedule_figures.h"
#include "bench/trial.h"

#define CONV          "azure_llm_2023_conv.csv.gz"
#define CODE          "azure_llm_2023_code.csv.gz"
#define ROWS          4000
#define SECONDS       60.0 /* a run is to take: models are scaled so that it does */
#define APART         0.03
#define BYTES_A_TOKEN 4
#define LIMIT         3 /* times as long as simulated is too long */

/* A prompt of so many tokens as worker/sim.c counts them; no two begin alike. */
static void write_row(FILE *out, int64_t row, int32_t prompt, int32_t answer)
{
    const int bytes = (prompt - 1) * BYTES_A_TOKEN;

    fprintf(out, "{\"custom_id\":\"%lld\",\"prompt\":\"%-*.*lld\",\"max_tokens\":%d}\n",
            (long long)row, bytes > 0 ? bytes : 1, bytes > 7 ? 7 : 1, (long long)row, answer);
}

static void write_rows(const struct scenario *s, const char *path)
{
    FILE *out = fopen(path, "we");
    struct schedule_job job;
    struct jobs *jobs;
    struct errmsg e;

    if (!out || jobs_open(&jobs, &s->jobs, &e)) report_fail("%s: %s", path, strerror(errno));
    for (int64_t i = 0; i < jobs_count(jobs); i++) {
        const int32_t answer = jobs_at(jobs, i, &job);

        write_row(out, i, job.prompt_tokens, answer);
    }
    jobs_close(&jobs);
    if (fclose(out)) report_fail("%s: %s", path, strerror(errno));
}

static void write_sim(const struct scenario *s, int kind, const char *path)
{
    const struct schedule_instance *is = &s->at[s->first[kind]].is;
    FILE *out = fopen(path, "we");

    if (!out) report_fail("%s: %s", path, strerror(errno));
    fprintf(out,
            "{\"name\":\"%s\",\"model\":\"sim\",\"k0\":%.17g,\"kw\":%.17g,\"k1\":%.17g,"
            "\"k2\":%.17g,\"k3\":%.17g,\"k4\":%.17g,\"kv_tokens\":%lld,\"max_model_len\":%lld,"
            "\"max_num_seqs\":%lld,\"max_num_batched_tokens\":%lld,\"bytes_per_token\":%d,"
            "\"output_tokens\":\"max_tokens\",\"instances\":%.0f}\n",
            s->kind_names[kind], is->perf.k0, is->perf.kw, is->perf.k1, is->perf.k2, is->perf.k3,
            is->perf.k4, (long long)is->kv_tokens, (long long)is->max_model_len,
            (long long)is->max_num_seqs, (long long)is->max_batched_tokens, BYTES_A_TOKEN,
            s->kinds[kind].seconds);
    if (fclose(out)) report_fail("%s: %s", path, strerror(errno));
}

static void scale(struct scenario *s, double by)
{
    for (int i = 0; i < s->n; i++)
        s->at[i].is.perf = perf_scaled(&s->at[i].is.perf, by);
}

static double simulate(const struct scenario *s)
{
    struct cluster_result r;

    scenario_run(s, &(struct schedule_opts){.policy = POLICY_SIZED}, &r);
    return r.end_s;
}

static double run(struct bed *b, const struct scenario *s, const char *input, double limit_s)
{
    char files[SCENARIO_KINDS][PATH_MAX], devices[SCENARIO_KINDS][PATH_MAX + 8], name[32];
    struct trial t = {.policy = POLICY_NAMES[POLICY_SIZED],
                      .input = input,
                      .is_there_first = true,
                      .rows = s->jobs.n,
                      .instances = s->n,
                      .n_workers = s->n_kinds,
                      .limit_s = limit_s};
    struct trial_result r;

    for (int k = 0; k < s->n_kinds; k++) {
        snprintf(name, sizeof name, "kind%d.json", k);
        bed_path(b, name, files[k]);
        write_sim(s, k, files[k]);
        snprintf(devices[k], sizeof devices[k], "sim:%s", files[k]);
        t.workers[k][0] = "--device";
        t.workers[k][1] = devices[k];
    }
    trial_run(b, &t, &r);
    return r.seconds;
}

static void compare(struct bed *b, struct scenario *s)
{
    char input[PATH_MAX], what[96];
    double simulated, real;

    bed_path(b, "rows.jsonl", input);
    write_rows(s, input);
    scale(s, SECONDS / simulate(s));
    simulated = simulate(s);
    real = run(b, s, input, LIMIT * simulated + SECONDS);
    snprintf(what, sizeof what, "%s: by the real broker", s->name);
    report_figure(&(struct figure){.bench = "schedule",
                                   .figure = what,
                                   .unit = "s",
                                   .against = "simulation",
                                   .value = real,
                                   .ratio = real / simulated,
                                   .target = (1 + APART) * simulated});
    scenario_fini(s);
}

static struct scenario real_scenario(const char *name, const char *trace, int64_t rows)
{
    return (struct scenario){.name = name,
                             .jobs = {.n = rows ? rows : ROWS,
                                      .seed = 1,
                                      .trace = trace,
                                      .max_tokens = 1000,
                                      .states_answer = true}};
}

void figures_real(const char *beside, int64_t rows)
{
    struct scenario helix = real_scenario("A100 L4 T4 V100, conversation", CONV, rows),
                    vidur = real_scenario("H100 A100 A40, code", CODE, rows);
    struct bed b;

    scenario_add_card(&helix, "A100-SXM-40GB", &SCENARIO_LLAMA_30B, 1);
    scenario_add_card(&helix, "L4-24GB", &SCENARIO_LLAMA_30B, 2);
    scenario_add_card(&helix, "T4-16GB", &SCENARIO_LLAMA_30B, 2);
    scenario_add_card(&helix, "V100-SXM2-32GB", &SCENARIO_LLAMA_30B, 1);
    scenario_add_vidur(&vidur);
    report_machine("");
    bed_open(&b, beside);
    compare(&b, &helix);
    compare(&b, &vidur);
    bed_close(&b);
}
