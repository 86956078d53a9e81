/* curves.h - measured points by name, read off in between.
 *
 * Between two points the straight line through them; so beyond the last two, and before the first
 * the first.
 *
 * Errors   the program ends (report_fail): no memory, a name that nothing was added to.
 */
#ifndef BENCH_CURVES_H
#define BENCH_CURVES_H

#include <stdbool.h>

struct curves;

struct curves *curves_open(void);
void curves_close(struct curves **c);

/* Names are made as by printf.  Of two points at one x the later counts. */
void curves_add(struct curves *c, double x, double y, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
double curves_at(struct curves *c, double x, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
bool curves_has(const struct curves *c, const char *name, ...)
    __attribute__((format(printf, 2, 3)));

#endif
