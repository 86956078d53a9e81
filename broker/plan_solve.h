/* plan_solve.h - the fastest choice of the space that a filter leaves, and the plan that it is.
 *
 * Units    shares of the workload per second.
 * Threads  no shared state.
 * Errors   ERR_EMPTY: the filter leaves nothing; no text.
 */
#ifndef BROKER_PLAN_SOLVE_H
#define BROKER_PLAN_SOLVE_H

#include "broker/plan_join.h"

struct solution {
    double value, bound; /* 1 / T of it; no choice has more than bound */
    int longest;         /* classes that it holds */
    int64_t looked_at;
    struct partition of[PLAN_MACHINES];
};

/* *work: as for join_machines. */
int solve(struct solution *out, struct space *s, const struct plan_filter *f, int64_t *work,
          struct errmsg *e) MUSTCHECK;

/* out->instances is the caller's; out->why is empty. */
int solution_plan(struct plan *out, const struct space *s, const struct solution *sol,
                  struct errmsg *e) MUSTCHECK;

#endif
