/* chart.h - numbers over time as inline SVG.
 *
 * A function of its arguments; colours come from the page's style (.s0 to .s7).  Names are escaped.
 *
 * Units   *_ms unix milliseconds, shown in local time.
 * Errors  ERR_NOMEM.
 */
#ifndef CLIENTS_CHART_H
#define CLIENTS_CHART_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define CHART_COLOURS 8

struct chart_series {
    const char *name;
    const double *y; /* [n_steps] */
};

/* Areas, one on top of the other, from from_ms on in steps of step_ms. */
int chart_areas(struct buf *out, const struct chart_series *series, int n_series, int n_steps,
                int64_t from_ms, int64_t step_ms, const char *unit) MUSTCHECK;

struct chart_bar {
    const char *name;
    int64_t from_ms, to_ms;
    int colour; /* under CHART_COLOURS */
};

/* One bar a line, over a common time. */
int chart_bars(struct buf *out, const struct chart_bar *bars, int n, int64_t from_ms,
               int64_t to_ms) MUSTCHECK;

#endif
