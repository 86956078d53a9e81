/* needs.h - rows that were found to need more KV memory than some instance has.
 *
 * A need is remembered with the job's generation; while its row is ready and nobody has it, it is
 * queued, the smallest need of a batch first.  Bodies are not kept.
 *
 * Units    tokens.
 * Threads  the server's.
 * Errors   ERR_NOMEM.
 * Memory   some sixty bytes for each such row.
 *
 * N1  a job is queued at most once.
 */
#ifndef BROKER_NEEDS_H
#define BROKER_NEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/idmap.h"

struct needs {
    struct idmap jobs;    /* job id -> struct need, owned */
    struct idmap batches; /* batch id -> struct need_heap, owned */
};

void needs_fini(struct needs *n);

int needs_put(struct needs *n, int64_t job_id, int64_t batch_id, int64_t generation,
              int64_t tokens);
/* 0: none is known of this generation; a job that was replaced may need less. */
int64_t needs_of(const struct needs *n, int64_t job_id, int64_t generation);
/* The job is settled, or its batch is gone. */
void needs_forget(struct needs *n, int64_t job_id);
void needs_forget_batch(struct needs *n, int64_t batch_id);

/* The row is ready: it waits here for an instance that is roomy enough. */
int needs_queue(struct needs *n, int64_t job_id);
/* Nothing of the batch is queued any more: its rows are read again. */
void needs_unqueue(struct needs *n, int64_t batch_id);
/* Takes the smallest of a batch's queue when it is at most max_tokens. */
bool needs_pop(struct needs *n, int64_t batch_id, int64_t max_tokens, int64_t *job_id);
size_t needs_queued(const struct needs *n, int64_t batch_id);
int64_t needs_least(const struct needs *n, int64_t batch_id); /* 0: none is queued */

#endif
