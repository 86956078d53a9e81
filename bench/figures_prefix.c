/* figures_prefix.c - rows that begin alike: how much of their prompts is found in KV memory,
 * against the best that any placement could find. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/report.h"
#include "bench/scenario.h"
#include "bench/schedule_figures.h"

#define TRACE       "mooncake_conversation.jsonl.xz"
#define SHARE       0.95
#define BEGINNINGS  40
#define TOKENS      1024 /* of each */
#define OWN_TOKENS  256
#define ANSWER      128
#define LONG_TOKENS 131072 /* the longest prompt of the trace fits */
#define MOST        64     /* instances */

static const enum schedule_policy POLICIES[] = {POLICY_SIZED, POLICY_PULL, POLICY_LEAST_TOKENS,
                                                POLICY_ROUND_ROBIN};
#define N_POLICIES (sizeof POLICIES / sizeof *POLICIES)

/* The share of the prompts' tokens that was found; *seconds: of the run. */
static double run(const struct scenario *s, enum schedule_policy policy, double *seconds)
{
    struct cluster_work work[MOST];
    struct cluster_result r;
    double cached = 0, begun = 0;

    scenario_run_work(
        s, &(struct schedule_opts){.policy = policy, .no_affinity = policy != POLICY_SIZED}, &r,
        work);
    for (int i = 0; i < s->n; i++) {
        cached += (double)work[i].cached_tokens;
        begun += (double)work[i].begun_tokens;
    }
    *seconds = r.end_s;
    return cached / begun;
}

static void compare(struct scenario *s, struct chains *c)
{
    const double best = (double)chains_best(c) / (double)chains_prompt_tokens(c);
    double rate[N_POLICIES], seconds[N_POLICIES];
    char what[160];

    chains_sort(c);
    s->jobs = (struct jobs_opts){.chains = c};
    for (int i = 0; i < s->n; i++)
        s->at[i].is.prefix_caching = true;
    for (size_t i = 0; i < N_POLICIES; i++)
        rate[i] = run(s, POLICIES[i], &seconds[i]);
    scenario_figure(s, "found of the prompts, sized", "%", 100 * rate[0], 100 * SHARE * best,
                    100 * best);
    for (size_t i = 1; i < N_POLICIES; i++) {
        snprintf(what, sizeof what, "%s: found of the prompts, %s", s->name,
                 POLICY_NAMES[POLICIES[i]]);
        report_figure(&(struct figure){.bench = "schedule",
                                       .figure = what,
                                       .unit = "%",
                                       .value = 100 * rate[i],
                                       .limit = 100 * best});
        snprintf(what, sizeof what, "%s: sized", s->name);
        report_figure(&(struct figure){.bench = "schedule",
                                       .figure = what,
                                       .unit = "rows/s",
                                       .against = POLICY_NAMES[POLICIES[i]],
                                       .value = (double)chains_count(c) / seconds[0],
                                       .ratio = seconds[i] / seconds[0]});
    }
}

static void forty(int64_t rows)
{
    struct scenario s = {.name = "H100 A100 A40, 40 shared prefixes"};
    struct chains *c;
    struct errmsg e;

    if (chains_draw(&c, rows ? rows : 10000, BEGINNINGS, TOKENS, OWN_TOKENS, ANSWER, &e))
        report_fail("%s: %s", s.name, e.text);
    scenario_add_vidur(&s);
    compare(&s, c);
    scenario_fini(&s);
    chains_close(&c);
}

/* All rows of the trace, as one batch: prompts as long as these want more KV memory than the model
 * of the tables leaves them, so it is that of a model with grouped KV heads, four to one. */
static void trace(void)
{
    struct scenario s = {.name = "H100 A100 A40, Mooncake's conversations"};
    char path[1024];
    struct chains *c;
    struct errmsg e;

    snprintf(path, sizeof path, "%s/traces/%s", jobs_data(), TRACE);
    if (chains_read(&c, path, &e)) report_fail("%s: %s", s.name, e.text);
    scenario_add_vidur(&s);
    for (int i = 0; i < s.n; i++) {
        s.at[i].is.kv_tokens *= 4;
        s.at[i].is.max_model_len = LONG_TOKENS;
    }
    compare(&s, c);
    scenario_fini(&s);
    chains_close(&c);
}

void figures_prefix(int64_t rows)
{
    forty(rows);
    trace();
}
