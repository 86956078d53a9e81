/* plan_machine.h - the partitions of one machine of a kind.
 *
 * A partition is a set of parts that share no device, each with one of its options; what is left
 * over runs nothing.  Its worth is a vector: of each active threshold the rows per second of its
 * instances, over the rows that there are.
 *
 * Units    shares of the workload per second.
 * Threads  no shared state.
 *
 * PM1  machine_best: no partition is worth more at these weights.
 * PM2  machine_near: each partition that is worth at most `slack` less at these weights is there,
 * or one that is worth at least as much at every threshold; unless *is_whole says otherwise.
 */
#ifndef BROKER_PLAN_MACHINE_H
#define BROKER_PLAN_MACHINE_H

#include "broker/plan_space.h"

/* Which options may be used; -1: any.  The dtypes are those of the model that have these indexes.
 */
struct plan_filter {
    int tp, dtype, kv_dtype;
    bool is_whole; /* one instance of all devices of the machine */
    int without;   /* a kind of machine that is not there */
};

/* Those that are looked at together. */
struct thresholds {
    int n, slot[SPACE_ACTIVE];     /* active ones of the space */
    double worth_of[SPACE_ACTIVE]; /* 1 / rows from there on */
};

struct partition {
    int n;
    int options[PLAN_DEVICES]; /* of the space; ascending by their part */
    double worth[SPACE_ACTIVE];
    double lost; /* at the weights, against the best */
};

struct machine; /* all machines of a kind, for one filter */

int machine_open(struct machine **out, const struct space *s, int kind, const struct plan_filter *f,
                 struct errmsg *e) MUSTCHECK;
void machine_close(struct machine **m);

/* The largest limit of its options; 0: it has none. */
int machine_longest(const struct machine *m);

/* Worths are at these from now on; of each part the options are left that no other one outdoes at
 * all of them. */
void machine_weed(struct machine *m, const struct thresholds *t);

double machine_best(struct machine *m, const double *weights, struct partition *out);

/* For the weights of the last machine_best; *out is the caller's, in ascending order of what is
 * lost. *left is the work that it may do, in choices of a part; is_whole becomes false when it is
 * all done. */
int machine_near(struct machine *m, double slack, int64_t *left, struct partition **out, int *n,
                 bool *is_whole, struct errmsg *e) MUSTCHECK;

int64_t machine_looked_at(const struct machine *m); /* choices of a part */

#endif
