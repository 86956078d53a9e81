/* figures_end.c - the end of a batch, sizes of leases, instances that are lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/batching.h"
#include "bench/report.h"
#include "bench/scenario.h"
#include "bench/schedule_figures.h"

#define CONV "azure_llm_2023_conv.csv.gz"

/* --- the last twentieth ----------------------------------------------------------------------- */

struct rest {
    const struct scenario *s;
    struct jobs *jobs;
    double ideal_s;
};

/* Every instance is a kind of its own: a row that has begun goes on where it is. */
static void ideal_of_rest(void *arg, const struct cluster_row *rows, int64_t n)
{
    struct rest *t = arg;
    struct ideal_kind *kinds = calloc((size_t)t->s->n, sizeof *kinds);
    struct ideal_row *left = calloc((size_t)n, sizeof *left);
    struct schedule_job job;

    if (!kinds || !left) report_fail("%s: out of memory", t->s->name);
    for (int k = 0; k < t->s->n_kinds; k++) {
        int end = k + 1 < t->s->n_kinds ? t->s->first[k + 1] : t->s->n;

        for (int i = t->s->first[k]; i < end; i++) {
            kinds[i] = t->s->kinds[k];
            kinds[i].seconds = 1;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        const bool begun = rows[i].instance != SEQ_NONE;

        left[i] = (struct ideal_row){.n = 1, .where = begun ? rows[i].instance : IDEAL_NOWHERE};
        left[i].output = jobs_at(t->jobs, rows[i].job_id - 1, &job);
        left[i].prompt = job.prompt_tokens;
        left[i].has = rows[i].has;
        left[i].made = rows[i].made;
    }
    if (ideal_rest(&t->ideal_s, kinds, t->s->n, left, (size_t)n))
        report_fail("%s: no ideal of the rest", t->s->name);
    free(kinds);
    free(left);
}

/* When the slowest kind had its last result, before the end. */
static double slowest_ends_s(const struct scenario *s, const struct cluster_work *work,
                             double end_s)
{
    double last_s = 0;

    for (int i = s->first[s->n_kinds - 1]; i < s->n; i++)
        if (work[i].last_s > last_s) last_s = work[i].last_s;
    return end_s - last_s;
}

static void one_tail(struct scenario *s, enum schedule_policy policy, bool oracle)
{
    struct cluster_work *work = calloc((size_t)s->n, sizeof *work);
    const char *lengths = oracle ? "known" : "predicted";
    struct rest rest = {.s = s};
    struct cluster_result r;
    char what[128];
    struct errmsg e;

    s->jobs.oracle = oracle;
    if (!work || jobs_open(&rest.jobs, &s->jobs, &e)) report_fail("%s: cannot begin", s->name);
    s->o.rest = ideal_of_rest;
    s->o.arg = &rest;
    scenario_run_work(s, &(struct schedule_opts){.policy = policy}, &r, work);
    snprintf(what, sizeof what, "last 5 %% of the rows, %s, lengths %s", POLICY_NAMES[policy],
             lengths);
    scenario_figure(s, what, "s", r.end_s - r.tail_s, 1.1 * rest.ideal_s, rest.ideal_s);
    snprintf(what, sizeof what, "the slowest end before the last row, %s, lengths %s",
             POLICY_NAMES[policy], lengths);
    scenario_figure(s, what, "s", slowest_ends_s(s, work, r.end_s), 0, 0);
    jobs_close(&rest.jobs);
    free(work);
}

/* The slowest kind comes last. */
void figures_tail(int64_t rows)
{
    struct scenario s = {
        .name = "tail",
        .jobs = {.n = rows ? rows : 100000, .seed = 2, .trace = CONV, .max_tokens = 1000}};

    scenario_add_card(&s, "H100-SXM-80GB", &SCENARIO_LLAMA_7B, 2);
    scenario_add_card(&s, "A100-SXM-80GB", &SCENARIO_LLAMA_7B, 2);
    scenario_add_card(&s, "A40-48GB", &SCENARIO_LLAMA_7B, 4);
    scenario_add_card(&s, "L4-24GB", &SCENARIO_LLAMA_7B, 2);
    one_tail(&s, POLICY_SIZED, true);
    one_tail(&s, POLICY_SIZED, false);
    one_tail(&s, POLICY_PULL, false);
    scenario_fini(&s);
}

/* --- twenty instances, half of them slow ------------------------------------------------------ */

void figures_lease(int64_t rows)
{
    static const int64_t LEASES[] = {1, 100, 1000, 7500, 0};
    struct scenario s = scenario_twenty("20 instances", rows ? rows : 150000);
    double bound_s = scenario_bound_s(&s), least_s = 0;
    struct cluster_result r;

    s.o.ask_tokens = INT64_MAX / 4; /* a lease is as large as was asked for */
    for (size_t i = 0; i < sizeof LEASES / sizeof *LEASES; i++) {
        char what[96];

        scenario_run(&s, &(struct schedule_opts){.lease_rows = LEASES[i]}, &r);
        if (!i || (LEASES[i] && r.end_s < least_s)) least_s = r.end_s;
        if (LEASES[i])
            snprintf(what, sizeof what, "%lld jobs a lease", (long long)LEASES[i]);
        else
            snprintf(what, sizeof what, "leases left to the scheduler");
        scenario_figure(&s, what, "s", r.end_s, LEASES[i] ? 0 : least_s, bound_s);
    }
    scenario_fini(&s);
}

/* After a quarter of an hour one ends a minute, the fast ones first. */
void figures_drain(int64_t rows)
{
    struct scenario s = scenario_twenty("drain, one instance lost a minute", rows ? rows : 3000000);
    struct cluster_result r;
    double bound_s, most;

    for (int i = 0; i < s.n; i++)
        s.at[i].end_s = 900 + 60 * i;
    for (int k = 0; k < s.n_kinds; k++) {
        s.kinds[k].seconds = 0;
        for (int i = 0; i < 10; i++)
            s.kinds[k].seconds += s.at[s.first[k] + i].end_s;
    }
    s.o.stop_s = s.at[s.n - 1].end_s + 60;
    s.o.notice_s = 2;
    bound_s = scenario_bound_s(&s);
    most = (double)s.jobs.n / bound_s;
    scenario_run(&s, &(struct schedule_opts){.policy = POLICY_SIZED}, &r);
    if (r.done == s.jobs.n) report_fail("%s: too few rows", s.name);
    scenario_figure(&s, "rows done by the last end", "rows", (double)r.done, 0.95 * most, most);
    scenario_figure(&s, "rows lost", "rows", (double)r.lost, 0, 0);
    scenario_figure(&s, "rows begun again, of those in flight", "rows", (double)r.redone,
                    (double)(s.n * s.at[0].is.max_num_seqs), 0);
    scenario_figure(&s, "rows returned that had not begun", "rows", (double)r.returned, 0, 0);
    scenario_fini(&s);
}

/* --- ten thousand instances ------------------------------------------------------------------- */

#define MANY 10000

void figures_cost(int64_t rows)
{
    struct scenario s = {
        .name = "10,000 instances",
        .jobs = {.n = rows ? rows : 10000000, .seed = 4, .trace = CONV, .max_tokens = 1000}};
    struct cluster_result r;
    int64_t began_ns;

    scenario_add_card(&s, "H100-SXM-80GB", &SCENARIO_LLAMA_7B, MANY / 4);
    scenario_add_card(&s, "A100-SXM-80GB", &SCENARIO_LLAMA_7B, MANY / 4);
    scenario_add_card(&s, "A40-48GB", &SCENARIO_LLAMA_7B, MANY / 4);
    scenario_add_card(&s, "L4-24GB", &SCENARIO_LLAMA_7B, MANY / 4);
    s.o.no_cost = false;
    began_ns = clock_thread_ns();
    scenario_run(&s, &(struct schedule_opts){.policy = POLICY_SIZED}, &r);
    scenario_figure(&s, "deciding, a job", "us", r.decide_s * 1e6 / (double)r.done, 5, 0);
    scenario_figure(&s, "simulating all", "s of a core",
                    (double)(clock_thread_ns() - began_ns) / 1e9, 600, 0);
    scenario_fini(&s);
}
