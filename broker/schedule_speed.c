/* schedule_speed.c - what a job costs an instance, and when it will be through.
 *
 * An instance runs many jobs at once, so a job costs it the share of each step that is the job's:
 * its own tokens, and of the step's fixed part (k0 + weights) what it takes of whatever bounds how
 * many run at once, KV memory or max_num_seqs.  So the costs of the jobs that an instance does in a
 * time add up to about that time.
 */
#include <math.h>

#include "broker/predict.h"
#include "broker/schedule_part.h"

#define SEQS_UNKNOWN 64   /* at once, of an instance that does not say */
#define MEAN_OVER    64.0 /* jobs */
#define ALIKE                                                                                      \
    25.0 /* jobs that suit an instance alike within one of so many parts are taken in order */

/* Of an instance that has no model yet: a guess that is the same for all. */
static const struct perf UNKNOWN = {.k0 = 2, .kw = 10, .k1 = 0.05, .k3 = 0.01, .k4 = 0.0001};

int32_t schedule_output(const struct schedule *s, const struct job *j)
{
    if (j->known_tokens >= 0) return j->known_tokens;
    return (int32_t)lround(
        predict_ask(s->predict, j->lane->batch, j->prompt_tokens, j->max_tokens).mean);
}

static const struct perf *perf_of(const struct member *i)
{
    const struct perf *k = &i->is.perf;

    return k->k0 + k->kw + k->k1 + k->k3 > 0 ? k : &UNKNOWN;
}

static double cost_s(const struct cost *c, double p, double o)
{
    return c->k[0] * p + c->k[1] * p * p + c->k[2] * o + c->k[3] * o * (p + o / 2);
}

double schedule_cost_s(const struct member *i, const struct job *j)
{
    return cost_s(&i->cost, j->prompt_tokens, j->output_tokens);
}

/* Its part in the sums of all: by is 1, or -1 for what it was. */
static void count_rate(struct schedule *s, struct member *i, int by)
{
    double rate = by > 0 ? 1 / i->mean_s : i->rate;

    for (int m = 0; m < 4; m++)
        s->reference.k[m] += by * rate * rate * i->cost.k[m];
    s->rate += by * rate;
    i->rate = by > 0 ? rate : 0;
}

void schedule_untune(struct schedule *s, struct member *i)
{
    count_rate(s, i, -1);
}

/* The knee: below it the weights' reading hides a token, beyond it each costs k1. */
void schedule_tune(struct schedule *s, struct member *i)
{
    const struct perf *k = perf_of(i);
    double p = i->n_mean ? i->mean_prompt : s->mean_prompt;
    double o = i->n_mean ? i->mean_output : s->mean_output;
    double seqs = i->is.max_num_seqs > 0 ? (double)i->is.max_num_seqs : SEQS_UNKNOWN;
    double room = i->is.kv_tokens > 0 ? (double)i->is.kv_tokens : INFINITY;
    double n, each, tokens;
    bool kv_bound;

    if (!s->n_mean && !i->n_mean) p = o = PREDICT_UNKNOWN;
    if (i->rate > 0) schedule_untune(s, i);
    o = fmax(o, 1);
    each = p + o / 2;
    kv_bound = room / each < seqs;
    n = fmax(1, fmin(seqs, room / each));
    tokens = n * (1 + p / o); /* in a step, answers and prompts */
    i->n_run = n;
    i->fixed_ms = k->k0 + fmax(k->kw, k->k1 * n);
    i->cost.k[0] =
        k->k1 * tokens > k->kw ? k->k1 - fmax(0, k->kw - k->k1 * n) / (p * n / o + 1) : 0;
    i->cost.k[1] = k->k2 / 2;
    i->cost.k[2] = k->k3 + (kv_bound ? 0 : i->fixed_ms / n);
    i->cost.k[3] = k->k4 + (kv_bound ? i->fixed_ms / room : 0);
    for (int m = 0; m < 4; m++)
        i->cost.k[m] /= 1e3;
    i->mean_s = fmax(cost_s(&i->cost, p, o), 1e-9);
    count_rate(s, i, 1);
}

static void mean_add(double *mean, int64_t n, double x)
{
    *mean += (x - *mean) / fmin((double)n, MEAN_OVER);
}

void schedule_count_job(struct schedule *s, struct member *i, const struct job *j)
{
    mean_add(&s->mean_prompt, ++s->n_mean, j->prompt_tokens);
    mean_add(&s->mean_output, s->n_mean, j->output_tokens);
    mean_add(&i->mean_prompt, ++i->n_mean, j->prompt_tokens);
    mean_add(&i->mean_output, i->n_mean, j->output_tokens);
    if (i->n_mean < 4 || i->n_mean % 16 == 0) schedule_tune(s, i);
}

/* What was granted since its last word fills the free places first. */
int64_t schedule_unbegun(const struct member *i)
{
    int64_t before = i->n_rows - i->since, free_places = (int64_t)i->n_run - before;
    int64_t n = i->told + i->since;

    if (!i->told && free_places > 0) n = i->since > free_places ? i->since - free_places : 0;
    return n < i->n_rows ? n : i->n_rows;
}

double schedule_unbegun_s(const struct member *i)
{
    return i->n_rows ? (double)schedule_unbegun(i) * i->seconds / (double)i->n_rows : 0;
}

double schedule_latency_s(const struct member *i, const struct job *j)
{
    const struct perf *k = perf_of(i);
    double p = j->prompt_tokens, o = j->output_tokens;
    double n = fmin((double)i->n_rows + 1, i->n_run);
    double step = k->k0 + fmax(k->kw, k->k1 * n) + n * (k->k3 + k->k4 * (p + o / 2));

    return (o * step + k->k1 * p + k->k2 * p * p / 2) / 1e3;
}

double schedule_residence_s(const struct member *i)
{
    return i->n_run * i->mean_s;
}

/* How much less of its time a job takes here than elsewhere, each in mean jobs. */
static double advantage(const struct schedule *s, const struct member *i, const struct job *j)
{
    double p = j->prompt_tokens, o = j->output_tokens;
    double there = cost_s(&s->reference, p, o) / s->rate, here = cost_s(&i->cost, p, o) * i->rate;

    return here > 0 ? there / here : 0;
}

/* In the tail the longest of those that end in time; before it what others are worse at; for
 * everybody else the oldest. */
double schedule_suits(const struct schedule *s, const struct member *i, const struct job *j)
{
    if (s->o.policy != POLICY_SIZED) return 0;
    if (s->in_tail) return schedule_ends_in_time(s, i, j) ? schedule_latency_s(i, j) : -1;
    if (s->o.no_affinity || s->rate <= 0) return 0;
    return floor(advantage(s, i, j) * ALIKE);
}
