/* ideal_part.h - what the files of ideal.h share. */
#ifndef BENCH_IDEAL_PART_H
#define BENCH_IDEAL_PART_H

#include "bench/ideal.h"

#define IDEAL_FACETS 6 /* linear functions that an instance's time is no less than */

/* What one row adds to an instance's sums, at least: the letters of schema/perf.h. */
struct ideal_cost {
    double steps, held; /* in which it is, and KV tokens that it holds in them */
    double tok, x, n, m;
};
struct ideal_cost ideal_cost(const struct ideal_kind *k, const struct ideal_row *r, bool is_there);
bool ideal_fits(const struct ideal_kind *k, const struct ideal_row *r);

struct ideal_problem {
    const struct ideal_kind *k;
    const struct ideal_row *r;
    int n_kinds, n_weights; /* kinds times facets */
    size_t n_rows;
    float *a;      /* [rows][kinds][facets]; a first facet of infinity: not there */
    double *cuts;  /* [ROUNDS][n_weights] */
    double *scale; /* [n_weights] seconds of the kind */
    int n_cuts;
    /* NULL, or [rows][kinds] seconds: a row runs only where it can end within `within`. */
    const double *soonest;
    double within;
};
int ideal_problem_open(struct ideal_problem *p, const struct ideal_kind *k, int n_kinds,
                       const struct ideal_row *r, size_t n_rows) MUSTCHECK;
void ideal_problem_close(struct ideal_problem *p); /* after a failure, too */
/* The bound, and the program's own T at most; ERR_ARG: a row has no place. */
int ideal_problem_solve(struct ideal_problem *p, double *seconds, double *top) MUSTCHECK;

#endif
