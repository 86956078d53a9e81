/* plan_mix.h - rows of several lengths as one mean row, and how fast an instance finishes them.
 *
 * Threads  no shared state.
 * Source   Little's law; the derivation is in plan_speed.c.
 */
#ifndef BROKER_PLAN_MIX_H
#define BROKER_PLAN_MIX_H

#include "broker/plan.h"

/* Sums over rows: of their number, prompts, answers, and products of these. */
struct plan_mix {
    double rows, p, o, pp, po, oo;
};

void plan_mix_add(struct plan_mix *m, const struct plan_cell *c);
/* Of what is in `all` and not in `less`. */
struct plan_mix plan_mix_less(const struct plan_mix *all, const struct plan_mix *less);

/* Rows per second; 0 of no rows.  *batch (may be NULL): sequences at once. */
double plan_mix_speed(const struct plan_mix *m, const struct plan_batcher *b, double *batch);

/* Tokens of a row while it is held. */
static inline int plan_cell_tokens(const struct plan_cell *c)
{
    return c->prompt + c->output;
}

#endif
