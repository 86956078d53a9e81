/* plan_join.h - a partition for each machine of a cluster, so that the smallest component of the
 * sum of their worths is largest.
 *
 * Units    shares of the workload per second.
 * Threads  no shared state.
 *
 * PJ1  value <= the largest there is <= bound, and they are equal but for rounding unless the work
 *      was cut off.
 * PJ2  the same input gives the same partitions.
 */
#ifndef BROKER_PLAN_JOIN_H
#define BROKER_PLAN_JOIN_H

#include "broker/plan_machine.h"

struct join {
    double value, bound;
    struct partition of[PLAN_MACHINES]; /* of each machine of the cluster */
    int64_t looked_at;
};

/* machines[k]: of kind k.  *work goes down by what is done, in choices of a part of a machine; at 0
 * it is cut off.  is_whole: not only the bound and a good choice. */
int join_machines(struct join *out, const struct space *s, struct machine *const *machines,
                  const struct thresholds *t, bool is_whole, int64_t *work,
                  struct errmsg *e) MUSTCHECK;

#endif
