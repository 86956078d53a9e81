/* scenario.h - rows and instances that a figure is about: run by each policy, and what no scheduler
 * can beat.
 *
 * Units    seconds of the simulation; struct perf in ms.
 * Threads  one.
 * Errors   a scenario that cannot be run ends the program (report_fail).
 */
#ifndef BENCH_SCENARIO_H
#define BENCH_SCENARIO_H

#include "bench/cluster.h"
#include "bench/ideal.h"
#include "schema/roofline.h"

#define SCENARIO_KINDS 16

struct scenario {
    const char *name;
    struct jobs_opts jobs;
    struct cluster_opts o; /* its schedule is the policy's */
    struct cluster_instance *at;
    int n;
    struct ideal_kind kinds[SCENARIO_KINDS]; /* as the bound sees them */
    const char *kind_names[SCENARIO_KINDS];
    int first[SCENARIO_KINDS]; /* instance of each kind */
    int n_kinds;
};

/* A kind of instances: the model on the card, or a cut of its layers. */
struct scenario_model {
    const char *name; /* as broker/cards.h's tables name it */
    struct model_shape shape;
    int layers; /* of them; the cut */
};
extern const struct scenario_model SCENARIO_LLAMA_30B, SCENARIO_LLAMA_7B;

/* Adds n instances with the KV memory that the card has beside the weights. */
void scenario_add_card(struct scenario *s, const char *card, const struct scenario_model *m, int n);
void scenario_add(struct scenario *s, const char *name, const struct schedule_instance *is, int n);
/* The cards of Vidur's table: two H100, two A100, four A40. */
void scenario_add_vidur(struct scenario *s);
/* Ten A10 and ten older cards of half their speed; a claim of a few hundred tokens is read, and the
 * verdict is a few tokens. */
struct scenario scenario_twenty(const char *name, int64_t rows);
void scenario_fini(struct scenario *s);

/* A run; r is of the rows done. */
void scenario_run(const struct scenario *s, const struct schedule_opts *o,
                  struct cluster_result *r);
/* The same; work is of each instance. */
void scenario_run_work(const struct scenario *s, const struct schedule_opts *o,
                       struct cluster_result *r, struct cluster_work *work);
/* The rows as the bounds take them, those alike counted together; freed by the caller. */
struct ideal_row *scenario_rows(const struct scenario *s, size_t *n);
double scenario_bound_s(const struct scenario *s); /* the fluid bound */

/* Ours, and one line against each other policy, with the fluid bound as limit.  Returns ours. */
double scenario_compare(const struct scenario *s, double share);

void scenario_figure(const struct scenario *s, const char *what, const char *unit, double value,
                     double target, double limit);

#endif
