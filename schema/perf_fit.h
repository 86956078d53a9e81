/* perf_fit.h - the instance model, fitted to steps that were measured.
 *
 * The knee kw/k1 is found by enumeration: for one knee T the formula is linear in its constants,
 *
 *   t = k0 + k1*max(T, p+n) + k2*x + k3*n + k4*m        kw = k1*T
 *
 * so each T is a weighted non-negative least-squares problem of five columns, solved exactly over
 * all subsets of them (a column that would be negative is left out).  Every token count of a sample
 * is tried as T, and every gap between two of them (perf_sums.h).  Weights are 1/t^2: relative
 * errors are what counts, as for the MAPE.  The knee with the least sum wins, the smaller of equal
 * ones.
 *
 * Live steps go into sums that forget: a step weighs half after PERF_LIVE_HALF more of them.  The
 * model that a fit started from stands in the sums as so many steps, so that what live steps do not
 * show (a prompt pass, in a batch of long answers) stays as it was measured.
 *
 * Units    schema/perf.h.
 * Threads  no shared state.
 * Errors   ERR_ARG: fewer samples than constants that are asked for, or a number that is not
 * finite, or below 0; with the sample. Source   non-negative least squares: Lawson and Hanson,
 * Solving Least Squares Problems, ch. 23.
 *
 * F1  every constant is at least 0 and finite, so P1 holds for what was fitted.
 * F2  samples that the formula gives exactly give its constants back, where they tell them apart.
 * F3  constants that are not asked for are as given.
 */
#ifndef SCHEMA_PERF_FIT_H
#define SCHEMA_PERF_FIT_H

#include <stdbool.h>

#include "base/err.h"
#include "schema/perf.h"

struct perf_sample {
    double p, n, x, m; /* as in perf.h */
    double ms;         /* over 0 */
};

enum {
    PERF_K0 = 1,
    PERF_KW = 2, /* the knee; only with PERF_K1 */
    PERF_K1 = 4,
    PERF_K2 = 8,
    PERF_K3 = 16,
    PERF_K4 = 32,
    PERF_ALL = 63
};

/* Constants in `terms` are fitted, the others kept as *k has them. */
int perf_fit(struct perf *k, unsigned terms, const struct perf_sample *s, int n,
             struct errmsg *e) MUSTCHECK;

/* Mean of |formula - ms| / ms, in percent; 0 of none. */
double perf_mape(const struct perf *k, const struct perf_sample *s, int n);

#define PERF_LIVE_HALF  2000 /* steps */
#define PERF_LIVE_DRIFT 25.0 /* percent: the mean error over which an instance has drifted */

struct perf_live; /* of one instance */

/* start is the model of the profile; its weight that of PERF_LIVE_HALF / 4 steps over the grid that
 * it was measured on. */
int perf_live_open(struct perf_live **out, const struct perf *start) MUSTCHECK;
void perf_live_close(struct perf_live **l);
void perf_live_add(struct perf_live *l, const struct perf_sample *s); /* a fixed few hundred ns */
/* The model as of now.  *mape: of the steps so far against `start`, forgetting; negative: fewer
 * than 50 steps.  *refit_mape: the same against what is returned. */
void perf_live_get(const struct perf_live *l, struct perf *out, double *mape, double *refit_mape);
/* Has the instance left its profile behind (mape over PERF_LIVE_DRIFT, by more than the refit
 * explains away)?  Holds until it is below half of that again. */
bool perf_live_drifted(struct perf_live *l);

#endif
