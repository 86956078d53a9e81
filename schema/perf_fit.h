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
 * show (a prompt pass, in a batch of long answers) stays as it was measured.  Knees are tried at
 * powers of sqrt(2), and where the start has its own.
 *
 * When the last PERF_LIVE_RECENT steps say something else than the sums, and agree among each
 * other, then the device has changed: what came before is forgotten at once, and the start's model
 * stands in as many times slower as those steps are.
 *
 * Units    schema/perf.h.
 * Threads  no shared state.
 * Errors   ERR_ARG: fewer samples than constants that are asked for, or a number that is not
 *          finite, or below 0; with the sample.
 * Source   non-negative least squares: Lawson and Hanson, Solving Least Squares Problems, ch. 23.
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

/* As perf_fit, for the least MAPE instead of the least squares: steps that are far off (a machine
 * that did something else meanwhile) count less.  Squares, each weighted by 1/error, again and
 * again. */
int perf_fit_mape(struct perf *k, unsigned terms, const struct perf_sample *s, int n,
                  struct errmsg *e) MUSTCHECK;

/* Mean of |formula - ms| / ms, in percent; 0 of none. */
double perf_mape(const struct perf *k, const struct perf_sample *s, int n);

#define PERF_LIVE_HALF   2000 /* steps */
#define PERF_LIVE_RECENT 256  /* steps that the errors are means of */
#define PERF_LIVE_LEAST  50   /* fewer steps have no mean */
#define PERF_LIVE_CHECK  50   /* steps between two looks for a drift */
#define PERF_LIVE_DRIFT  25.0 /* percent: the mean error over which an instance has drifted */

struct perf_live; /* of one instance */

/* start is the model of the profile; its weight that of PERF_LIVE_HALF / 4 steps, over a grid of
 * prompt passes, decode steps and mixed ones. */
int perf_live_open(struct perf_live **out, const struct perf *start) MUSTCHECK;
void perf_live_close(struct perf_live **l);
/* Tens of ns, and two fits every PERF_LIVE_CHECK steps while it has drifted.  What is not a
 * sample (a time of 0) is left out. */
void perf_live_add(struct perf_live *l, const struct perf_sample *s);
/* The model as of now, a fit: less than a ms.  *mape: of the recent steps against `start`;
 * negative: fewer than PERF_LIVE_LEAST of them.  *refit_mape: the same against what is returned. */
void perf_live_get(const struct perf_live *l, struct perf *out, double *mape, double *refit_mape);
/* Has the instance left its profile behind: is the error over PERF_LIVE_DRIFT, and would another
 * model halve that (steps that only scatter are no drift)?  Holds until the error is below half of
 * PERF_LIVE_DRIFT. */
bool perf_live_drifted(const struct perf_live *l);

#endif
