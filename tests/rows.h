/* rows.h - a queue file for the suites: rows in, the counters checked by a recount.
 *
 * Each call that writes is a group of its own.  The test fails where a call fails.
 */
#ifndef TESTS_ROWS_H
#define TESTS_ROWS_H

#include <sqlite3.h>
#include <stdint.h>

#include "broker/queue.h"

#define ROWS_NOW 1800000000000 /* unix ms: the suites' now */

struct wire_text rows_text(const char *s); /* borrowed */

struct queue *rows_open(const char *path);
int64_t rows_batch(struct queue *q, const char *name, const char *model, int64_t priority);
int64_t rows_instance(struct queue *q, const char *uuid);

/* n rows whose ids are prefix0, prefix1, ... and whose bodies are their ids; the first one's job.
 */
int64_t rows_add(struct queue *q, int64_t batch_id, const char *prefix, int n);

/* A file at path with one batch of n rows, closed. */
void rows_file(const char *path, const char *batch, int n);

/* Is the file whole, does every counter of every batch equal a recount of the rows, has each done
 * job its one result?  NULL, or the rule that is broken. */
const char *rows_wrong(sqlite3 *db);
void rows_recount(const char *path);

#endif
