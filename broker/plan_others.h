/* plan_others.h - the best plans of other kinds, and why each of them loses.
 *
 * Threads  no shared state.
 */
#ifndef BROKER_PLAN_OTHERS_H
#define BROKER_PLAN_OTHERS_H

#include "broker/plan_solve.h"

extern const struct plan_filter PLAN_ANY;

/* Fills a->others for the best plan, which a has. */
int plan_others(struct plan_answer *a, struct space *s, struct errmsg *e) MUSTCHECK;

#endif
