/* overview.h - batches, instances and events as lines for people, read from the queue file.
 *
 * Each appends to out; on_line is a plain line for a log, a table otherwise.  width is the
 * terminal's, 0 for none.
 *
 * Errors  ERR_DB and its kin with the text; ERR_NOMEM.
 */
#ifndef CLIENTS_OVERVIEW_H
#define CLIENTS_OVERVIEW_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* A table, what runs now first; at most `most` lines, *n batches. */
int overview_batches(sqlite3 *db, int width, int most, struct buf *out, int *n,
                     struct errmsg *e) MUSTCHECK;
/* A table of those that are here, or of all that ever were; *n of them. */
int overview_instances(sqlite3 *db, bool all, int width, struct buf *out, int *n,
                       struct errmsg *e) MUSTCHECK;
/* The sums over all: rows left, instances here, their speed and power. */
int overview_head(sqlite3 *db, struct buf *out, struct errmsg *e) MUSTCHECK;
/* The newest events, the last one below; at most `most` lines, cut to width. */
int overview_events(sqlite3 *db, int width, int most, struct buf *out, struct errmsg *e) MUSTCHECK;
/* A plain line for each batch that is not finished and each instance that is here, `at` in front.
 */
int overview_plain(sqlite3 *db, const char *at, struct buf *out, struct errmsg *e) MUSTCHECK;

#endif
