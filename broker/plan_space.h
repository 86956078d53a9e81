/* plan_space.h - all that a plan is made of: machines of a kind, the instances that each part of
 * their devices can run, and how fast each is on the rows from a length on.
 *
 * Lengths are classes: the distinct lengths of the workload's rows, in order.  An instance holds
 * the classes below its limit.  A threshold is a class at which some instance of the space ends, or
 * 0.
 *
 * Units    tokens, bytes, rows/s.
 * Threads  no shared state.
 * Owner    what space_open is given is borrowed until space_close.
 * Errors   ERR_EMPTY where no instance holds any row; ERR_ARG with the machine, the cell or the
 *          dtype that is out of range.
 */
#ifndef BROKER_PLAN_SPACE_H
#define BROKER_PLAN_SPACE_H

#include "broker/plan_mix.h"

#define SPACE_ACTIVE 24 /* thresholds that are looked at together */

struct space_option {
    int tp, limit;
    int asked, kv_asked; /* which of the model's dtypes it came from */
    enum dtype dtype, kv_dtype;
    int64_t kv_tokens;
    struct perf perf;
    enum model_source source;
    double mape;
    double speed[SPACE_ACTIVE]; /* at the active thresholds; filled by space_activate */
};

/* Some devices of a machine: so many of each type; bytes of a number, one a type. */
struct space_part {
    uint64_t devices;
    int state;  /* its place among all parts of the machine */
    int lowest; /* type */
    int first, n_options;
};

struct space_kind {
    int n_machines, machines[PLAN_MACHINES];
    int n_types, type[PLAN_DEVICES], n_of[PLAN_DEVICES]; /* type: a device of the first machine */
    int n_states;                                        /* parts, the empty one included */
    int first, n_parts;
};

struct space {
    const struct plan_cluster *cluster;
    const struct plan_workload *workload;
    const struct plan_model *model;
    const struct plan_profile *profiles;
    int n_profiles;
    int n_classes, *tokens;
    struct plan_mix *upto; /* [n_classes + 1]: of the classes below */
    int n_kinds;
    struct space_kind kinds[PLAN_MACHINES];
    struct space_part *parts;
    struct space_option *options;
    int n_parts, n_options, cap_parts, cap_options;
    int n_thresholds, *thresholds; /* ascending; the first is 0 */
    int n_active, active[SPACE_ACTIVE];
    double nearest, needed, there; /* of bytes, where nothing fits: there / needed is the largest */
    int nearest_machine, nearest_tp;
    enum dtype nearest_dtype;
};

int space_open(struct space **out, const struct plan_cluster *c, const struct plan_workload *w,
               const struct plan_model *m, const struct plan_profile *profiles, int n_profiles,
               struct errmsg *e) MUSTCHECK;
void space_close(struct space **s);

/* Makes a threshold active; its place among them.  Where there are SPACE_ACTIVE already one that is
 * not in `keep` (bit i: place i) makes room for it; -1: all are. */
int space_activate(struct space *s, int threshold, unsigned keep);

/* The part of a machine of this kind that an option is of. */
const struct space_part *space_part_of(const struct space *s, int kind, int option);

/* Rows per second of an option on the classes from `from` on that it holds. */
double space_speed(const struct space *s, const struct space_option *o, int from, double *batch);

/* Rows of the classes from `from` to below `to`. */
double space_rows(const struct space *s, int from, int to);

/* Are two devices alike for an instance? */
bool space_same_device(const struct plan_device *a, const struct plan_device *b);

#endif
