/* report_charts.h - a report's pictures: throughput over time, and who was here when.
 *
 * Errors  ERR_EMPTY: there is no such batch; ERR_DB and its kin with the text; ERR_NOMEM.
 */
#ifndef CLIENTS_REPORT_CHARTS_H
#define CLIENTS_REPORT_CHARTS_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* The time that a report is about, unix milliseconds. */
struct report_span {
    int64_t from_ms, to_ms;
};

/* From the batch's making (NULL: of the first one) to its last answer, or to now while it has rows
 * left. */
int report_find_span(sqlite3 *db, const char *batch, int64_t now_ms, struct report_span *out,
                     struct errmsg *e) MUSTCHECK;
int report_charts(sqlite3 *db, const struct report_span *span, struct buf *out,
                  struct errmsg *e) MUSTCHECK;

#endif
