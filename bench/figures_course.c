/* figures_course.c - curves over the time of a run: tokens/s, the last rows, instances that are
 * lost one after the other. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/report.h"
#include "bench/scenario.h"
#include "bench/schedule_figures.h"

#define CONV     "azure_llm_2023_conv.csv.gz"
#define POINTS   60
#define LAST     0.05  /* of the rows */
#define LAST_S   60.0  /* of the end that is shown */
#define DRAIN_S  900.0 /* until the first instance ends */
#define MINUTE_S 60.0

/* Every row of a run: when it was done, and its tokens. */
struct done {
    double *at_s;
    int32_t *tokens;
    int64_t n;
};

static void note(void *arg, const struct cluster_note *n)
{
    struct done *d = arg;

    d->at_s[d->n] = n->now_s;
    d->tokens[d->n++] = n->prompt + n->answer;
}

static void run(struct scenario *s, const struct schedule_opts *o, struct done *d,
                struct cluster_result *r)
{
    *d = (struct done){malloc((size_t)s->jobs.n * sizeof *d->at_s),
                       malloc((size_t)s->jobs.n * sizeof *d->tokens), 0};
    if (!d->at_s || !d->tokens) report_fail("%s: out of memory", s->name);
    s->o.note = note;
    s->o.arg = d;
    scenario_run(s, o, r);
}

static void done_fini(struct done *d)
{
    free(d->at_s);
    free(d->tokens);
}

static void print(const struct scenario *s, const char *what, const char *unit, double step_s,
                  const double *values, int n)
{
    char name[160];

    snprintf(name, sizeof name, "%s: %s", s->name, what);
    report_course(&(struct course){"schedule", name, unit, step_s, values, n});
}

/* Rows done by the end of each step, from 0 at the start. */
static void count_done(const struct done *d, double step_s, double *values, int n)
{
    int64_t at = 0;

    for (int i = 0; i < n; i++) {
        while (at < d->n && d->at_s[at] <= i * step_s)
            at++;
        values[i] = (double)at;
    }
}

/* --- tokens/s --------------------------------------------------------------------------------- */

/* Of the rows that were done in each step of the run of the slowest policy. */
static void print_rate(const struct scenario *s, enum schedule_policy policy, const struct done *d,
                       double step_s)
{
    double values[POINTS + 1] = {0};

    for (int64_t i = 0; i < d->n; i++) {
        const int at = 1 + (int)(d->at_s[i] / step_s);

        values[at < POINTS ? at : POINTS] += d->tokens[i] / step_s;
    }
    print(s, POLICY_NAMES[policy], "tokens/s", step_s, values, POINTS + 1);
}

static void rates(int64_t rows)
{
    static const enum schedule_policy POLICIES[] = {POLICY_ROUND_ROBIN, POLICY_WEIGHTED,
                                                    POLICY_PULL, POLICY_SIZED};
    struct scenario s = {
        .name = "tokens over time, H100 A100 A40",
        .jobs = {.n = rows ? rows : 40000, .seed = 1, .trace = CONV, .max_tokens = 1000}};
    struct cluster_result r;
    double step_s = 0;

    scenario_add_vidur(&s);
    for (size_t i = 0; i < sizeof POLICIES / sizeof *POLICIES; i++) {
        struct done d;

        run(&s, &(struct schedule_opts){.policy = POLICIES[i]}, &d, &r);
        if (r.end_s > step_s * POINTS) step_s = ceil(r.end_s / POINTS);
        print_rate(&s, POLICIES[i], &d, step_s);
        done_fini(&d);
    }
    scenario_fini(&s);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Rows that are not done, from when a twentieth of them was left. */
static void print_last(const struct scenario *s, const char *what, const struct done *d)
{
    const int64_t first = (int64_t)((1 - LAST) * (double)d->n);
    const double step_s = LAST_S / POINTS;
    double values[POINTS + 1];
    int64_t at = first;

    for (int i = 0; i <= POINTS; i++) {
        while (at < d->n && d->at_s[at] <= d->at_s[first] + i * step_s)
            at++;
        values[i] = (double)(d->n - at);
    }
    print(s, what, "rows left", step_s, values, POINTS + 1);
}

static void lasts(int64_t rows)
{
    static const struct {
        const char *name;
        struct schedule_opts o;
    } RUNS[] = {{"pull", {.policy = POLICY_PULL}},
                {"sized, nothing special at the end", {.no_tail = true, .no_copies = true}},
                {"sized, without second runs", {.no_copies = true}},
                {"sized", {.policy = POLICY_SIZED}}};
    struct scenario s = {
        .name = "the last rows, H100 A100 A40",
        .jobs = {.n = rows ? rows : 20000, .seed = 2, .trace = CONV, .max_tokens = 1000}};
    struct cluster_result r;

    scenario_add_vidur(&s);
    for (size_t i = 0; i < sizeof RUNS / sizeof *RUNS; i++) {
        struct done d;

        run(&s, &RUNS[i].o, &d, &r);
        print_last(&s, RUNS[i].name, &d);
        done_fini(&d);
    }
    scenario_fini(&s);
}

/* --- instances are lost ----------------------------------------------------------------------- */

/* The most that can be done by then: instance i is there until its end. */
static double most_by(struct scenario *s, const struct ideal_row *rows, size_t n, double at_s)
{
    double seconds;

    if (at_s <= 0) return 0;
    for (int k = 0; k < s->n_kinds; k++) {
        const int end = k + 1 < s->n_kinds ? s->first[k + 1] : s->n;

        s->kinds[k].seconds = 0;
        for (int i = s->first[k]; i < end; i++)
            s->kinds[k].seconds += fmin(at_s, s->at[i].end_s);
    }
    if (ideal_time(&seconds, NULL, s->kinds, s->n_kinds, rows, n))
        report_fail("%s: no bound", s->name);
    return (double)s->jobs.n / seconds;
}

static void drain(int64_t rows)
{
    struct scenario s = scenario_twenty("one instance lost a minute", rows ? rows : 1000000);
    double values[POINTS + 1], end_s, step_s;
    struct ideal_row *sorts;
    struct cluster_result r;
    struct done d;
    size_t n;

    for (int i = 0; i < s.n; i++)
        s.at[i].end_s = DRAIN_S + MINUTE_S * i;
    end_s = s.at[s.n - 1].end_s;
    step_s = end_s / POINTS;
    s.o.stop_s = end_s + MINUTE_S;
    s.o.notice_s = 2;
    sorts = scenario_rows(&s, &n);
    for (int i = 0; i <= POINTS; i++)
        values[i] = most_by(&s, sorts, n, i * step_s);
    print(&s, "fluid bound", "rows done", step_s, values, POINTS + 1);
    run(&s, &(struct schedule_opts){.policy = POLICY_SIZED}, &d, &r);
    count_done(&d, step_s, values, POINTS + 1);
    print(&s, "sized", "rows done", step_s, values, POINTS + 1);
    done_fini(&d);
    free(sorts);
    scenario_fini(&s);
}

void figures_course(int64_t rows)
{
    rates(rows);
    lasts(rows);
    drain(rows);
}
