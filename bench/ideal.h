/* ideal.h - what no scheduler can beat: bounds that are computed from the rows and the instances.
 *
 * Nothing here is the scheduler's: not its code, not its formulas, not its predictions.  The bounds
 * know every answer's length beforehand.
 *
 * The fluid bound.  Take any schedule that runs the rows.  Of instance k let it be s steps, and
 * over those steps the sums: tok tokens, X, N, M as schema/perf.h has x, n, m.  Then
 *
 *   its time  =  sum of k0 + max(kw, k1*tokens) + k2*x + k3*n + k4*m
 *             >= k0*s + max(kw*s, k1*tok) + k2*X + k3*N + k4*M          (a sum of maxima is no
 * less) s         >= (KV tokens held, summed over the steps) / kv_tokens s         >= (sequences
 * running, summed over the steps) / max_num_seqs s         >= tok / max(max_num_batched_tokens,
 * max_num_seqs)
 *
 * for in no step are there more than those.  What a row adds to each sum is at least what it adds
 * when it runs without being put back, its prompt in as few steps as the budget allows: the sums
 * are linear in which rows an instance runs.  So instance k's time is at least the largest of six
 * linear functions a(k,j) of its rows, and the least T of the linear program
 *
 *   minimise T   where   a(k,j) . x(k) <= seconds(k) * T for all k, j;  sum over k of x(k,r) = n(r)
 *
 * which may even cut a row in pieces, is no later than the end of any schedule.  By duality, for
 * any weights w(k,j) >= 0 with sum of w(k,j)*seconds(k) = 1
 *
 *   T >= sum over r of n(r) * min over k of (sum over j of w(k,j) * a(k,j,r))
 *
 * What is returned is the right-hand side, computed row by row at weights that cutting planes
 * found: a bound whatever they found; how far it is from the program's own T is in `gap`.
 *
 * Units    seconds, tokens; struct perf in ms.
 * Threads  no state.
 * Errors   ERR_NOMEM; ERR_ARG: a row that no instance holds, or no instance.
 *
 * I1  no schedule of the rows on the instances ends before the bound.
 * I2  more rows, fewer instances or slower ones never make a bound smaller.
 */
#ifndef BENCH_IDEAL_H
#define BENCH_IDEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "schema/perf.h"

struct ideal_kind { /* instances that are alike */
    struct perf perf;
    double kv_tokens, max_model_len, max_num_seqs, max_batched_tokens; /* 0: no limit */
    double seconds; /* of all of them: how many there are, or for how long they are there in all */
};

#define IDEAL_NOWHERE (-1)

struct ideal_row {
    double n; /* rows like this one; may be a fraction */
    int prompt, output;
    int cached; /* of the prompt's tokens, those that another row has left in any instance's KV */
    int where;  /* it has begun on this kind, which must be one instance; or IDEAL_NOWHERE */
    int has, made; /* there: tokens of it in KV, and tokens of the answer that it has made */
};

/* seconds: the least time (T; with `seconds` of the kinds as spans of time: the least factor that
 * they must be stretched by; 1 / T of the rows, in proportion, is then the most that can be done).
 * *gap, if not NULL: by which share the program's own T is larger, at most. */
int ideal_time(double *seconds, double *gap, const struct ideal_kind *k, int n_kinds,
               const struct ideal_row *r, size_t n_rows) MUSTCHECK;

/* The least time for the rest of a job.  Every kind is one instance.  A row that has begun is in
 * every step of its instance until it has its answer, there or elsewhere: so an instance's next
 * steps last at least as long as such rows make them, and a row ends no sooner on it than after as
 * many of them as it has steps.  T is the least time that is no less than the fluid bound of the
 * rows, each only where it can end within T. */
int ideal_rest(double *seconds, const struct ideal_kind *k, int n_kinds, const struct ideal_row *r,
               size_t n_rows) MUSTCHECK;

/* The same rows in equal shares for each of the instances (one in each kind), as an ideal turn
 * would give them: the largest of their own bounds. */
int ideal_even(double *seconds, const struct ideal_kind *k, int n_kinds, const struct ideal_row *r,
               size_t n_rows) MUSTCHECK;

/* Seconds of a row that has an instance of this kind for itself; negative: it does not fit. */
double ideal_alone(const struct ideal_kind *k, const struct ideal_row *r, bool is_there);

#endif
