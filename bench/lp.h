/* lp.h - a small linear program, by the simplex method on a dense tableau.
 *
 *   maximise c.x   where A x <= b, x >= 0, and every b >= 0
 *
 * so x = 0 is a corner to start from.  Equal right-hand sides are told apart by a tiny growing
 * excess: the answer may break a constraint by LP_SLACK times the largest b.
 *
 * Threads  no state.
 * Errors   ERR_NOMEM; ERR_ARG: without a bound.
 * Source   Dantzig's rule; Chvatal, Linear Programming, ch. 2, 3.
 */
#ifndef BENCH_LP_H
#define BENCH_LP_H

#include "base/err.h"

#define LP_SLACK 1e-9

/* a[rows][cols]; x[cols] and *value are of the best corner. */
int lp_maximise(int rows, int cols, const double *a, const double *b, const double *c, double *x,
                double *value) MUSTCHECK;

#endif
