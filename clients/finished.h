/* finished.h - a batch's finished rows out of the queue file, one after the other.
 *
 * Reads in ranges of job ids, each its own short read, so that the log can be checkpointed
 * meanwhile (Q5): a range ends after FINISHED_RANGE ids or FINISHED_MS.
 *
 * Threads    one.
 * Ownership  a row's texts are borrowed until the next call.
 * Errors     as of dbfile_error.
 *
 * F1  each finished row of the batch comes once; a row that finishes meanwhile may come or not.
 */
#ifndef CLIENTS_FINISHED_H
#define CLIENTS_FINISHED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "clients/output.h"

#define FINISHED_RANGE 65536
#define FINISHED_MS    500

struct finished;

/* unordered: as they finished, not as they came in.  ERR_EMPTY: there is no such batch. */
int finished_open(struct finished **out, const char *db, const char *batch, bool unordered,
                  struct errmsg *e) MUSTCHECK;
void finished_close(struct finished **f);

int64_t finished_left(const struct finished *f); /* rows that were not finished at the start */

int finished_next(struct finished *f, struct output_row *row,
                  struct errmsg *e) MUSTCHECK; /* ERR_EMPTY: that was all */

#endif
