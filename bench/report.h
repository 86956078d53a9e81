/* report.h - a benchmark's figures, one JSON line each on stdout.
 *
 *   bench, figure, value, unit, against, ratio, target, limit, machine, commit, date
 *
 * ratio is value over the rival's value; limit is the most that this machine could do, in value's
 * unit, so value / limit is the share.  What there is none of is null.
 *
 * Errors   a benchmark that cannot go on ends: report_fail writes why to stderr and exits.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stddef.h>

struct figure {
    const char *bench, *figure, *unit;
    const char *against;                /* what it is compared with in the same run, or NULL */
    double value, ratio, target, limit; /* the last three: 0 is none */
};
void report_figure(const struct figure *f);

/* A curve, one line: bench, course, unit, step_s, values, machine, commit, date; value i is of the
 * time i * step_s. */
struct course {
    const char *bench, *course, *unit;
    double step_s;
    const double *values;
    int n;
};
void report_course(const struct course *c);

/* What the lines call the machine from now on; without it they name the processor. */
void report_machine(const char *name);

double report_median(double *v, size_t n); /* of n >= 1 numbers; sorts them */

_Noreturn void report_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
