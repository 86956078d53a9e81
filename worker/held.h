/* held.h - the jobs that the broker has leased to us and has not settled, and their results.
 *
 * Units      tokens, as expected; *_ms as passed in.
 * Threads    the link's.
 * Ownership  a result handed in belongs to the table until its job is settled.
 *
 * HE1  a result is freed only when its job is settled, or was forgotten (K1).
 * HE2  a forgotten job is not named any more, and keeps its place until its result has come.
 */
#ifndef WORKER_HELD_H
#define WORKER_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/idmap.h"
#include "worker/job.h"

struct held {
    int64_t job_id, generation;
    int64_t tokens;        /* expected */
    struct result *result; /* NULL while it runs; owned */
    bool forgotten;        /* of another database */
};

struct held_table {
    struct idmap jobs;
    int64_t tokens;                       /* expected of those that run */
    size_t n_running;                     /* without a result */
    size_t n_forgotten;                   /* of them */
    struct result *unsent, **unsent_tail; /* a chain of held ones, in order; see held_sent */
};

void held_fini(struct held_table *t);

/* ERR_EXISTS: a job of this id is held already. */
int held_add(struct held_table *t, const struct job *j, int64_t tokens) MUSTCHECK;
bool held_runs(const struct held_table *t, int64_t job_id);

/* A job's end: the result is queued to be sent; it is freed when nobody waits for it. */
void held_result(struct held_table *t, struct result *r);
/* Settled by the broker; no effect on a job that still runs.  True when it was finished, not put
 * back. */
bool held_settle(struct held_table *t, int64_t job_id);

/* Queues the results that were sent and not settled for so long once more. */
void held_again(struct held_table *t, int64_t now_ms, int64_t after_ms);
/* Those of the chain before end were sent. */
void held_sent(struct held_table *t, const struct result *end, int64_t now_ms);

/* Drops every result; `end` is called for each job that runs. */
void held_forget(struct held_table *t, void (*end)(void *arg, int64_t job_id), void *arg);

/* Each job that is not forgotten once, held_count of them: start with *at = 0. */
size_t held_count(const struct held_table *t);
const struct held *held_next(const struct held_table *t, size_t *at);

#endif
