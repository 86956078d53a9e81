/* schedule_speed.c - what a job costs an instance, and when it will be through.
 *
 * An instance runs many jobs at once, so a job costs it what the job adds to the time of all its
 * steps.  Of s steps with tok tokens that time is
 *
 *   k0*s + max(kw*s, k1*tok) + k2*X + k3*N + k4*M      (schema/perf.h, summed over the steps)
 *
 * and there are at least as many steps as the KV memory, max_num_seqs and max_batched_tokens ask
 * for: o*(p + o/2) / kv_tokens, o / max_num_seqs and (p + o) / max_batched_tokens of each job.
 * Which of those bounds the instance, its usual jobs tell; where two come near each other both
 * count, so that jobs of the one kind are wanted as soon as the other bound is felt.  All of it is
 * linear in the four features of a job below, and the costs of what an instance does in a time add
 * up to that time.
 */
#include <math.h>

#include "broker/predict.h"
#include "broker/schedule_part.h"

#define FILLED       0.75 /* of what may run at once */
#define PACE_JOBS    32   /* to tell a pace */
#define PACE_KNOWN   2.0  /* a model is off by so much at most, */
#define PACE_UNKNOWN 1e3  /* and a guess by so much */
#define SEQS_UNKNOWN 64   /* at once, of an instance that does not say */
#define SHARPNESS    8.0  /* of a maximum: what is a tenth less counts half as much */
#define MEAN_OVER    96.0 /* jobs */
#define MEAN_IN_TAIL 64.0 /* there what an instance is given changes within seconds */
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

static struct features features_of(double p, double o)
{
    return (struct features){{p, p * p / 2, o, o * (p + o / 2)}};
}

void schedule_add_features(struct features *sum, const struct job *j)
{
    struct features f = features_of(j->prompt_tokens, j->output_tokens);

    for (int m = 0; m < 4; m++)
        sum->f[m] += f.f[m];
}

static double times(const struct features *a, const struct features *b)
{
    return a->f[0] * b->f[0] + a->f[1] * b->f[1] + a->f[2] * b->f[2] + a->f[3] * b->f[3];
}

static double cost_s(const struct features *cost, const struct job *j)
{
    struct features f = features_of(j->prompt_tokens, j->output_tokens);

    return times(cost, &f);
}

double schedule_cost_s(const struct member *i, const struct job *j)
{
    return cost_s(&i->cost, j);
}

/* Its part in the sums of all: by is 1, or -1 for what it was. */
static void count_rate(struct schedule *s, struct member *i, int by)
{
    double rate = by > 0 ? 1 / i->mean_s : i->rate;

    for (int m = 0; m < 4; m++)
        s->reference.f[m] += by * rate * rate * i->cost.f[m];
    s->rate += by * rate;
    i->rate = by > 0 ? rate : 0;
}

void schedule_untune(struct schedule *s, struct member *i)
{
    count_rate(s, i, -1);
}

static void add_times(struct features *to, const struct features *x, double by)
{
    for (int m = 0; m < 4; m++)
        to->f[m] += by * x->f[m];
}

/* Adds the n ways to count to the cost of a job, each by how near it is to the largest. */
static void add_largest(struct features *to, const struct features *way, int n,
                        const struct features *usual)
{
    double at[3], most = 0, sum = 0;

    for (int k = 0; k < n; k++)
        most = fmax(most, at[k] = times(&way[k], usual));
    for (int k = 0; k < n; k++)
        sum += at[k] = most > 0 ? pow(at[k] / most, SHARPNESS) : 1;
    for (int k = 0; k < n; k++)
        add_times(to, &way[k], at[k] / sum);
}

static struct features steps_of(const struct schedule_instance *is, const struct features *usual)
{
    double kv = is->kv_tokens > 0 ? 1 / (double)is->kv_tokens : 0;
    double seqs = 1 / (is->max_num_seqs > 0 ? (double)is->max_num_seqs : SEQS_UNKNOWN);
    double tokens = is->max_batched_tokens > 0 ? 1 / (double)is->max_batched_tokens : 0;
    struct features ways[3] = {{{0, 0, 0, kv}}, {{0, 0, seqs, 0}}, {{tokens, 0, tokens, 0}}};
    struct features steps = {{0}};

    add_largest(&steps, ways, 3, usual);
    return steps;
}

static double pace_of(const struct member *i)
{
    return i->pace.by > 0 ? i->pace.by : 1;
}

void schedule_tune(struct schedule *s, struct member *i)
{
    const struct perf *k = perf_of(i);
    struct features usual = i->n_mean ? i->usual : s->usual, steps, ways[2] = {{{0}}};

    if (!i->n_mean && !s->n_mean) usual = features_of(PREDICT_UNKNOWN, PREDICT_UNKNOWN);
    if (i->rate > 0) schedule_untune(s, i);
    steps = steps_of(&i->is, &usual);
    add_times(&ways[0], &steps, k->kw);
    ways[1].f[0] = ways[1].f[2] = k->k1;
    i->cost = (struct features){{0, k->k2, k->k3, k->k4}};
    add_times(&i->cost, &steps, k->k0);
    add_largest(&i->cost, ways, 2, &usual);
    for (int m = 0; m < 4; m++)
        i->cost.f[m] *= pace_of(i) / 1e3;
    i->mean_s = fmax(times(&i->cost, &usual), 1e-9);
    i->n_run = fmax(1, usual.f[2] / fmax(times(&steps, &usual), 1e-9));
    count_rate(s, i, 1);
}

static void mean_add(struct features *mean, int64_t n, double most, const struct features *x)
{
    for (int m = 0; m < 4; m++)
        mean->f[m] += (x->f[m] - mean->f[m]) / fmin((double)n, most);
}

void schedule_count_job(struct schedule *s, struct member *i, const struct job *j)
{
    struct features f = features_of(j->prompt_tokens, j->output_tokens);
    const double most = s->in_tail ? MEAN_IN_TAIL : MEAN_OVER;

    mean_add(&s->usual, ++s->n_mean, most, &f);
    mean_add(&i->usual, ++i->n_mean, most, &f);
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

/* While others' prompts are worked on between its tokens. */
static double busy_step_s(const struct member *i)
{
    return schedule_residence_s(i) / fmax(i->n_mean ? i->usual.f[2] : PREDICT_UNKNOWN, 1);
}

/* While all decode. */
double schedule_step_s(const struct member *i, const struct job *j)
{
    const struct perf *k = perf_of(i);
    double n = fmin((double)i->n_rows + 1, i->n_run);
    double context = (double)j->prompt_tokens + (double)j->output_tokens / 2;

    return (k->k0 + fmax(k->kw, k->k1 * n) + n * (k->k3 + k->k4 * context)) * pace_of(i) / 1e3;
}

double schedule_made(const struct member *i, double seconds)
{
    return seconds / busy_step_s(i);
}

/* As long as there is more to begin it goes on as usual, then faster. */
double schedule_latency_s(const struct schedule *s, const struct member *i, const struct job *j)
{
    const struct perf *k = perf_of(i);
    double p = j->prompt_tokens, prefill = (k->k1 * p + k->k2 * p * p / 2) * pace_of(i) / 1e3;
    double quiet = schedule_step_s(i, j), busy = fmax(quiet, busy_step_s(i));
    double busy_s = s->rate > 0 ? (double)(s->n_pooled + s->backlog_rows) / s->rate : 0;
    double tokens = fmin(j->output_tokens, busy_s / busy);

    return tokens * busy + (j->output_tokens - tokens) * quiet + prefill;
}

double schedule_residence_s(const struct member *i)
{
    return i->n_run * i->mean_s;
}

double schedule_rate_of(const struct member *i, const struct features *sum, double n)
{
    return n / fmax(times(&i->cost, sum), 1e-9);
}

double schedule_stay_s(const struct member *i, const struct features *sum, double n)
{
    return sum->f[2] / n * busy_step_s(i);
}

/* How much less of its time a job takes here than elsewhere, each in usual jobs. */
static double advantage(const struct schedule *s, const struct member *i, const struct job *j)
{
    double here = cost_s(&i->cost, j) * i->rate;

    return here > 0 ? cost_s(&s->reference, j) / s->rate / here : 0;
}

/* In the tail the longest of those that end in time; before it what others are worse at; for
 * everybody else the oldest. */
double schedule_suits(const struct schedule *s, const struct member *i, const struct job *j,
                      double price)
{
    if (s->o.policy != POLICY_SIZED) return 0;
    if (s->in_tail) return schedule_ends_in_time(s, i, j) ? schedule_latency_s(s, i, j) : -1;
    if (s->o.no_affinity || s->rate <= 0) return 0;
    return floor(advantage(s, i, j) * price * ALIKE);
}

/* While less runs than could, its time is not what its jobs cost. */
static bool is_filled(const struct member *i)
{
    return (double)i->n_rows >= FILLED * i->n_run ||
           (i->is.kv_tokens > 0 && (double)i->tokens >= FILLED * (double)i->is.kv_tokens);
}

/* The first ones say nothing: all that ran with them was not done yet. */
void schedule_measure(struct schedule *s, struct member *i, const struct job *j,
                      int32_t output_tokens)
{
    struct features f = features_of(j->prompt_tokens, output_tokens);
    struct pace *p = &i->pace;
    bool is_new = perf_of(i) == &UNKNOWN;
    double most = is_new ? PACE_UNKNOWN : PACE_KNOWN, by;

    if (!is_filled(i) || (double)p->n_done++ < 2 * i->n_run || !p->n) {
        if (!is_filled(i)) p->n_done = 0;
        p->since_s = s->now_s;
        p->cost_s = 0;
        p->n = 1;
        return;
    }
    p->cost_s += times(&i->cost, &f) / pace_of(i);
    if (++p->n < PACE_JOBS || s->now_s - p->since_s < schedule_residence_s(i)) return;
    by = fmin(most, fmax(1 / most, (s->now_s - p->since_s) / fmax(p->cost_s, 1e-9)));
    p->by = p->by > 0 ? p->by + (by - p->by) / 4 : by;
    p->n = 0;
    schedule_tune(s, i);
}
