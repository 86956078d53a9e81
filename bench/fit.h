/* fit.h - published measurements as samples of whole steps, and the instance models of them.
 *
 * A case is one card, one model and one TP degree of one table.  Its rows are steps, and each row
 * says where on the table's grid it lies (token counts, batches, lengths).  Of each axis every
 * third value and the largest are held out: all rows that have one of them are not fitted, and the
 * error is that of the fitted model on exactly those.
 *
 * Constants that a table does not tell apart are the roofline's, and what it leaves out of a step
 * is added to the fitted model (`plus`); either makes the model "mixed".
 *
 * Units    schema/perf.h.
 * Errors   the program ends (report_fail).
 */
#ifndef BENCH_FIT_H
#define BENCH_FIT_H

#include "broker/cards.h"
#include "schema/perf_fit.h"

#define FIT_AXES 4
#define FIT_PHASES                                                                                 \
    2 /* axes are counted for each: prompt passes and decode steps, or all as one                  \
       */

struct fit_row {
    struct perf_sample s;
    int phase;
    double at[FIT_AXES]; /* NAN: not on this axis */
    bool is_held;
};

struct fit_case {
    const struct card *card;
    char model[64];
    const char *table;
    int tp;
    const struct model_shape *shape;
    struct perf roofline; /* of this case */
    unsigned terms;       /* that the table tells */
    struct perf plus;
    struct fit_row *rows;
    int n, room;
};

struct fit_set {
    struct fit_case *of;
    int n, room;
};
void fit_set_close(struct fit_set *s);

/* The case, new where there is none yet: terms are PERF_ALL, plus is nothing. */
struct fit_case *fit_set_case(struct fit_set *s, const char *table, const char *card,
                              const char *model, int tp);
/* at: FIT_AXES of them */
void fit_case_add(struct fit_case *c, int phase, struct perf_sample s, const double *at);
double fit_case_kv_tokens(const struct fit_case *c); /* that the card has room for; 0: none */
/* What the output matrix adds to each step, by the roofline; and what the sums over ranks do. */
void fit_case_plus_head(struct fit_case *c);
void fit_case_plus_ranks(struct fit_case *c);

struct fit_result {
    enum model_source source;
    struct perf perf;
    double mape; /* percent, on n_held rows */
    int n_fitted, n_held;
};
struct fit_result fit_case_result(struct fit_case *c);

/* Each adds its cases; below shared/data/perf.  fit_whole.c: steps of whole models. */
void fit_splitwise(struct fit_set *s);
void fit_helix(struct fit_set *s);
/* fit_layers.c: a model's operators, times its layers. */
void fit_vidur(struct fit_set *s);
void fit_serving(struct fit_set *s);
void fit_serving_v0(struct fit_set *s);
/* fit_kernels.c: matrix products and attention on a grid of shapes. */
void fit_kernels(struct fit_set *s);

#endif
