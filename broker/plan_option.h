/* plan_option.h - one instance on some devices of a machine: does it fit, and what is its model?
 *
 * A group of unlike devices has the memory of its smallest rank and, of each constant of the model,
 * that of its slowest.
 *
 * Units    bytes, tokens; schema/perf.h.
 * Threads  no shared state.
 */
#ifndef BROKER_PLAN_OPTION_H
#define BROKER_PLAN_OPTION_H

#include "broker/plan_space.h"

#define OPTION_DTYPES    8
#define OPTION_KV_DTYPES 4

struct option_model {
    bool is_known;
    struct perf perf;
    enum model_source source;
    double mape;
};

struct option_maker {
    const struct space *s;
    const struct space_kind *kind;
    const struct plan_machine *machine;
    int machine_index;
    int tp, n_of[PLAN_DEVICES]; /* the part */
    struct option_model models[PLAN_DEVICES][OPTION_DTYPES][OPTION_KV_DTYPES][PLAN_DEVICES];
};

/* Bytes of all ranks together. */
struct option_room {
    double needed, there; /* for one token, at least */
};

/* Is all that the model says in range? */
int option_check(const struct plan_model *m, struct errmsg *e) MUSTCHECK;

void option_maker_begin(struct option_maker *mk, const struct space *s, const struct space_kind *k);
void option_maker_part(struct option_maker *mk, const int n_of[PLAN_DEVICES]);

/* In the model's dtype and KV dtype of these indexes; false: these devices do not compute it, the
 * TP degree does not divide it, or it is the same as an earlier one.  o->limit is not set. */
bool option_make(struct space_option *o, struct option_room *room, struct option_maker *mk,
                 int dtype, int kv);

#endif
