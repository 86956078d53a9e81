/* perf_sums.h - sums over measured steps, from which the instance model is solved.
 *
 * Steps are parted at a knee: `low` holds those whose tokens p+n are at most `below`, `high` those
 * with at least `above`.  For a knee between the two the formula is linear in its constants,
 *
 *   t = kw*[low] + k1*(p+n)*[high] + k0 + k2*x + k3*n + k4*m
 *
 * and the sums of the products of its six columns are all that least squares needs to know.  Where
 * the best kw/k1 lies outside of [below, above], the best inside lies on its edge (the problem is
 * convex), with kw = T*k1: so edges and gaps together hold the best of all knees.
 *
 * Units    schema/perf.h.
 * Threads  no state.
 */
#ifndef SCHEMA_PERF_SUMS_H
#define SCHEMA_PERF_SUMS_H

#include <stdbool.h>

#include "schema/perf_fit.h"

#define PERF_SUMS_N 6

struct perf_sums {
    double of[PERF_SUMS_N][PERF_SUMS_N]; /* weight * z_i * z_j, i <= j; z = 1, p+n, x, n, m, ms */
};
/* A step weighs weight / ms^2. */
void perf_sums_add(struct perf_sums *a, const struct perf_sample *s, double weight);
void perf_sums_join(struct perf_sums *a, const struct perf_sums *b, double weight); /* a += */

struct perf_best {
    struct perf k;
    double error; /* weighted squares */
    bool is_found;
};
/* Tries the knees of [below, above]; those within the gap only where it is one (below < above;
 * above may be infinite).  The first of equal fits stays.  terms and given as for perf_fit. */
void perf_best_try(struct perf_best *best, const struct perf_sums *low,
                   const struct perf_sums *high, double below, double above, unsigned terms,
                   const struct perf *given);

#endif
