/* plan_speed.c - rows per second of an instance under continuous batching, as a fluid.
 *
 * Let R be the rows that end, and so begin, in a step.  A row of prompt P and answer O takes one
 * step that reads its prompt and gives its first token, and O - 1 steps that give one token each.
 * Of the prompt a share s lies in the prefix cache already.  By Little's law what a step holds on
 * average is R times what a row holds, summed over its steps:
 *
 *   sequences      R E[O]
 *   decoding   n = R E[O - 1]
 *   prefill    p = R E[(1-s) P]
 *   contexts   x = R E[sum of j over its tokens, j from sP + 1 to P]
 *                = R E[((1 - s^2) P^2 + (1-s) P) / 2]
 *   KV read    m = R E[sum of P + j, j from 1 to O - 1] = R E[(O-1) P + O (O-1) / 2]
 *   KV held        R E[sum of (1-s) P + j, j from 0 to O - 1] = R E[(1-s) O P + O (O-1) / 2]
 *
 * The KV that is held is less than all there is, because a row waits until its prompt has room, and
 * then grows: half of a prompt, the longer ones counted more often, and an answer stand empty.
 * That is E[P^2] / 2 E[P] + E[O] tokens, and one row is always held.
 *
 * The step lasts t(R) by perf.h, and the speed is R / t(R).  As all of t is constant or in
 * proportion to R but for the knee, whose E[max] is convex and at least in proportion, a larger R
 * is never slower; so R is the largest that max_num_seqs, the KV tokens and the tokens of a step
 * allow.
 *
 * The knee: max(kw, k1 (p + n)) of the means is less than the mean of the max, because prompts
 * arrive whole, not in drops.  With room = kw/k1 - n tokens left below the knee and c = (budget -
 * n) / E[(1-s) P] prompts that a step can take, the prompts of a step are taken as binomial of c
 * trials and mean R: for c = 1 a step has one or none, for many it is Poisson.  Then
 *
 *   E[max(room, p)] = E[p] + sum over j < room/P of Pr(j) (room - j P)
 */
#include <math.h>

#include "broker/plan_mix.h"

void plan_mix_add(struct plan_mix *m, const struct plan_cell *c)
{
    double n = (double)c->rows, p = c->prompt, o = c->output > 0 ? c->output : 1;

    m->rows += n;
    m->p += n * p;
    m->o += n * o;
    m->pp += n * p * p;
    m->po += n * p * o;
    m->oo += n * o * o;
}

struct plan_mix plan_mix_less(const struct plan_mix *all, const struct plan_mix *less)
{
    return (struct plan_mix){all->rows - less->rows, all->p - less->p,   all->o - less->o,
                             all->pp - less->pp,     all->po - less->po, all->oo - less->oo};
}

/* The part of `room` tokens that prompts leave empty, on average: c trials, mean R, P tokens each.
 */
static double empty_tokens(double room, double R, double P, double c)
{
    double q, pr, sum = 0;

    if (room <= 0) return 0;
    if (P <= 0 || R <= 0) return room;
    if (c < 1) c = 1;
    q = R / c < 1 ? R / c : 1;
    pr = pow(1 - q, c);
    for (int j = 0; j * P < room && j < c + 1 && pr > 0; j++) {
        sum += pr * (room - j * P);
        pr *= (c - j) / (j + 1) * q / (1 - q);
    }
    return sum;
}

double plan_mix_speed(const struct plan_mix *m, const struct plan_batcher *b, double *batch)
{
    const double s = b->shared_prompt, own = 1 - s;
    const double step_tokens = b->max_batched_tokens > 0 ? b->max_batched_tokens : PLAN_STEP_TOKENS;
    double P, O, pp, po, oo, held, empty, R, n, p, ms, room;

    if (batch) *batch = 0;
    if (m->rows <= 0) return 0;
    P = m->p / m->rows, O = m->o / m->rows;
    pp = m->pp / m->rows, po = m->po / m->rows, oo = m->oo / m->rows;
    held = own * po + (oo - O) / 2 + own * P;

    R = b->max_num_seqs / O;
    empty = O + (P > 0 ? own * pp / (2 * P) : 0);
    R = fmin(R, fmax(((double)b->kv_tokens - empty) / held, 1 / O));
    R = fmin(R, step_tokens / (own * P + O - 1));
    n = R * (O - 1);
    p = R * own * P;
    ms = perf_step_ms(b->perf, p, n, R * ((1 - s * s) * pp + own * P) / 2,
                      R * (po - P + (oo - O) / 2));
    if (b->perf->k1 > 0) {
        room = b->perf->kw / b->perf->k1 - n;
        ms += b->perf->k1 * (empty_tokens(room, R, own * P, (step_tokens - n) / fmax(own * P, 1)) -
                             fmax(0, room - p));
    }
    if (batch) *batch = R * O;
    return ms > 0 ? 1000 * R / ms : INFINITY;
}

double plan_speed(const struct plan_batcher *b, const struct plan_workload *w, int from, int to,
                  double *batch)
{
    struct plan_mix m = {0};

    for (int i = 0; i < w->n_cells; i++) {
        int tokens = plan_cell_tokens(&w->cells[i]);

        if (tokens >= from && tokens <= to) plan_mix_add(&m, &w->cells[i]);
    }
    return plan_mix_speed(&m, b, batch);
}
