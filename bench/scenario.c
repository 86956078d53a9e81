/* scenario.c - rows and instances that a figure is about. */
#include "bench/scenario.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"
#include "broker/cards.h"

#define UTILISATION   0.9
#define WORK_BYTES    1e9
#define MAX_MODEL_LEN 16384
#define MAX_SEQS      256
#define MAX_BATCHED   512  /* the worker's default */
#define FIXED_SHARE   0.06 /* of a step: it is long enough */
#define BUDGET_STEP   32   /* tokens */

/* The two models that the tables of mixed cards are of.  The first has a tenth of its card's
 * memory or less to spare on the small ones, so a cut of it is run: so many of its layers. */
const struct scenario_model SCENARIO_LLAMA_30B = {"llama1_30b",
                                                  {.layers = 60,
                                                   .hidden = 6656,
                                                   .ffn = 17920,
                                                   .q_heads = 52,
                                                   .kv_heads = 52,
                                                   .head_dim = 128,
                                                   .vocab = 32000,
                                                   .max_len = MAX_MODEL_LEN,
                                                   .quant_block = 1,
                                                   .weight_bits = 16,
                                                   .kv_bits = 16},
                                                  10};
const struct scenario_model SCENARIO_LLAMA_7B = {"meta-llama/Llama-2-7b-hf",
                                                 {.layers = 32,
                                                  .hidden = 4096,
                                                  .ffn = 11008,
                                                  .q_heads = 32,
                                                  .kv_heads = 32,
                                                  .head_dim = 128,
                                                  .vocab = 32000,
                                                  .max_len = MAX_MODEL_LEN,
                                                  .quant_block = 1,
                                                  .weight_bits = 16,
                                                  .kv_bits = 16},
                                                 32};

/* --- instances -------------------------------------------------------------------------------- */

void scenario_add(struct scenario *s, const char *name, const struct schedule_instance *is, int n)
{
    struct cluster_instance *at = realloc(s->at, (size_t)(s->n + n) * sizeof *at);
    int k = s->n_kinds++;

    if (!at || k == SCENARIO_KINDS) report_fail("%s: too many instances", s->name);
    s->at = at;
    s->kind_names[k] = name;
    s->first[k] = s->n;
    s->kinds[k] = (struct ideal_kind){.perf = is->perf,
                                      .kv_tokens = (double)is->kv_tokens,
                                      .max_model_len = (double)is->max_model_len,
                                      .max_num_seqs = (double)is->max_num_seqs,
                                      .max_batched_tokens = (double)is->max_batched_tokens,
                                      .seconds = n};
    for (int i = 0; i < n; i++)
        s->at[s->n++] = (struct cluster_instance){.is = *is};
}

/* Tokens a step, as a plan would have them: up to the knee they are free; beyond it longer steps
 * only spread what is fixed, and shorter ones mix prompts with answers, so that no step is without
 * either. */
static int64_t budget_of(const struct perf *k)
{
    double tokens = k->k1 > 0 ? fmax(k->kw, k->k0 / FIXED_SHARE) / k->k1 : MAX_BATCHED;

    return (int64_t)fmin(MAX_BATCHED, BUDGET_STEP * ceil(tokens / BUDGET_STEP));
}

void scenario_add_card(struct scenario *s, const char *card, const struct scenario_model *m, int n)
{
    const struct card *c = card_find(card);
    struct schedule_instance is = {
        .model = 1, .max_model_len = MAX_MODEL_LEN, .max_num_seqs = MAX_SEQS};
    struct model_shape cut = m->shape;
    struct perf_rank rank = {.work_bytes = WORK_BYTES};
    enum model_source source;
    double mape;

    if (!c) report_fail("%s: no card %s", s->name, card);
    source = card_model(&is.perf, &mape, c, m->name, &m->shape,
                        c->flops_bf16 > 0 ? DTYPE_BF16 : DTYPE_F16, 1);
    cut.layers = m->layers;
    is.perf = perf_scaled(&is.perf, (double)m->layers / m->shape.layers);
    rank.bytes = c->bytes;
    rank.weight_bytes = model_shape_weight_bytes(&cut);
    is.kv_tokens = perf_kv_tokens(&rank, 1, UTILISATION, model_shape_kv_bytes(&cut), cut.kv_heads);
    fprintf(stderr, "%s: %d x %s, %s (%s), %lld KV tokens\n", s->name, n, c->name, m->name,
            SOURCE_NAMES[source], (long long)is.kv_tokens);
    is.max_batched_tokens = budget_of(&is.perf);
    scenario_add(s, card, &is, n);
}

void scenario_add_vidur(struct scenario *s)
{
    scenario_add_card(s, "H100-SXM-80GB", &SCENARIO_LLAMA_7B, 2);
    scenario_add_card(s, "A100-SXM-80GB", &SCENARIO_LLAMA_7B, 2);
    scenario_add_card(s, "A40-48GB", &SCENARIO_LLAMA_7B, 4);
}

struct scenario scenario_twenty(const char *name, int64_t rows)
{
    struct scenario s = {
        .name = name,
        .jobs = {.n = rows, .seed = 3, .prompt = {150, 450}, .answer = {4, 60}, .max_tokens = 60}};
    struct schedule_instance is;

    scenario_add_card(&s, "A10-24GB", &SCENARIO_LLAMA_7B, 10);
    is = s.at[0].is;
    is.perf = perf_scaled(&is.perf, 2);
    scenario_add(&s, "half as fast", &is, 10);
    return s;
}

void scenario_fini(struct scenario *s)
{
    free(s->at);
    *s = (struct scenario){0};
}

/* --- runs ------------------------------------------------------------------------------------- */

void scenario_run_work(const struct scenario *s, const struct schedule_opts *o,
                       struct cluster_result *r, struct cluster_work *work)
{
    struct cluster_opts opts = s->o;
    struct cluster *c = NULL;
    struct jobs *jobs;
    struct errmsg e;

    opts.schedule = *o;
    if (jobs_open(&jobs, &s->jobs, &e) || cluster_open(&c, &opts, s->at, s->n, jobs, &e) ||
        cluster_run(c, r, &e))
        report_fail("%s, %s: %s", s->name, POLICY_NAMES[o->policy], e.text);
    for (int i = 0; work && i < s->n; i++)
        cluster_work(c, i, &work[i]);
    fprintf(stderr,
            "%s, %s: %lld rows in %.1f s, %lld leases, %lld copies, %lld taken back, %lld doubles, "
            "last from %d, 95 %% at %.1f s\n",
            s->name, POLICY_NAMES[o->policy], (long long)r->done, r->end_s, (long long)r->leases,
            (long long)r->copies, (long long)r->taken_back, (long long)r->doubles, r->last,
            r->tail_s);
    cluster_close(&c);
    jobs_close(&jobs);
}

void scenario_run(const struct scenario *s, const struct schedule_opts *o, struct cluster_result *r)
{
    scenario_run_work(s, o, r, NULL);
}

static int compare_rows(const void *a, const void *b)
{
    const struct ideal_row *x = a, *y = b;

    if (x->prompt != y->prompt) return x->prompt < y->prompt ? -1 : 1;
    return (x->output > y->output) - (x->output < y->output);
}

struct ideal_row *scenario_rows(const struct scenario *s, size_t *n)
{
    struct ideal_row *rows;
    struct schedule_job job;
    struct jobs *jobs;
    struct errmsg e;
    int64_t count;

    if (jobs_open(&jobs, &s->jobs, &e)) report_fail("%s: %s", s->name, e.text);
    count = jobs_count(jobs);
    rows = calloc((size_t)count, sizeof *rows);
    if (!rows) report_fail("%s: out of memory", s->name);
    for (int64_t i = 0; i < count; i++) {
        rows[i] = (struct ideal_row){.n = 1, .where = IDEAL_NOWHERE};
        rows[i].output = jobs_at(jobs, i, &job);
        rows[i].prompt = job.prompt_tokens;
    }
    qsort(rows, (size_t)count, sizeof *rows, compare_rows);
    *n = 0;
    for (int64_t i = 0; i < count; i++) {
        if (*n && !compare_rows(&rows[*n - 1], &rows[i]))
            rows[*n - 1].n++;
        else
            rows[(*n)++] = rows[i];
    }
    jobs_close(&jobs);
    return rows;
}

double scenario_bound_s(const struct scenario *s)
{
    double seconds = 0, gap = 0;
    size_t n;
    struct ideal_row *rows = scenario_rows(s, &n);

    if (ideal_time(&seconds, &gap, s->kinds, s->n_kinds, rows, n))
        report_fail("%s: no fluid bound", s->name);
    fprintf(stderr, "%s: fluid bound %.1f s, gap %.2g, %zu sorts of rows\n", s->name, seconds, gap,
            n);
    free(rows);
    return seconds;
}

/* --- figures ---------------------------------------------------------------------------------- */

void scenario_figure(const struct scenario *s, const char *what, const char *unit, double value,
                     double target, double limit)
{
    char name[160];

    snprintf(name, sizeof name, "%s: %s", s->name, what);
    report_figure(&(struct figure){.bench = "schedule",
                                   .figure = name,
                                   .unit = unit,
                                   .value = value,
                                   .target = target,
                                   .limit = limit});
}

double scenario_compare(const struct scenario *s, double share)
{
    double bound_s = scenario_bound_s(s), ours = 0;

    for (int p = 0; p < POLICY_N; p++) {
        const struct schedule_opts o = {.policy = (enum schedule_policy)p};
        struct cluster_result r;
        double rate, most;
        char what[160];

        scenario_run(s, &o, &r);
        rate = (double)r.done / r.end_s;
        most = (double)r.done / bound_s;
        if (p == POLICY_SIZED) {
            ours = r.end_s;
            scenario_figure(s, "sized", "rows/s", rate, share * most, most);
            continue;
        }
        snprintf(what, sizeof what, "%s: sized", s->name);
        report_figure(&(struct figure){.bench = "schedule",
                                       .figure = what,
                                       .unit = "rows/s",
                                       .against = p == POLICY_LOAD ? "load (a reconstruction)"
                                                                   : POLICY_NAMES[p],
                                       .value = (double)r.done / ours,
                                       .ratio = r.end_s / ours,
                                       .target = share * most,
                                       .limit = most});
    }
    return ours;
}
