/* ready.h - the read-ahead of ready jobs: a bounded window in memory over what the database holds.
 *
 * Reads through its own read-only connection, in the order of the index job_ready (priority, prefix
 * group, job id), batches of one priority in turns.  A job is in the window at most once and never
 * while it is leased.
 *
 * Threads    the server's.
 * Memory     at most READY_BYTES of bodies and READY_ROWS rows, whatever the database holds (Q6).
 * Errors     ERR_DB.
 */
#ifndef BROKER_READY_H
#define BROKER_READY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define READY_ROWS  8192
#define READY_BYTES (64 << 20)

struct ready_job {
    struct ready_job *next;
    int64_t job_id, batch_id, generation, attempts;
    int64_t need_tokens; /* a KV capacity that was found to be needed, or 0 */
    int endpoint;
    char model[256]; /* that the batch asks for, or "" */
    size_t body_len;
    char body[];
};

struct ready;

int ready_open(struct ready **out, const char *path, struct errmsg *e) MUSTCHECK;
void ready_close(struct ready **r);

/* Reads more jobs that an instance of this model may take, a quarter of the window at most; those
 * known to need more than max_tokens only when there are no others, so that they cannot fill it.
 * is_known says which jobs to pass over (leased ones).  *n is how many came in. */
int ready_fill(struct ready *r, const char *model, int64_t max_tokens,
               bool (*is_known)(void *arg, int64_t job_id), void *arg, int *n,
               struct errmsg *e) MUSTCHECK;

/* Takes the first job of the window that this instance may run: its model, at most max_tokens of
 * KV.  NULL: none. The caller frees it, or gives it back with ready_push. */
struct ready_job *ready_pop(struct ready *r, const char *model, int64_t max_tokens);
void ready_push(struct ready *r, struct ready_job *j); /* to the front */
void ready_remove(struct ready *r, int64_t job_id);
size_t ready_count(const struct ready *r);

/* Is there a job that ready_pop would give? */
bool ready_has(const struct ready *r, const char *model, int64_t max_tokens);
bool ready_is_full(const struct ready *r);
bool ready_is_low(const struct ready *r); /* time to read ahead */
void ready_clear(struct ready *r);        /* all are still ready in the database */

/* Remembers that a job of this generation needs so many tokens of KV, for when it is read again. */
int ready_need(struct ready *r, int64_t job_id, int64_t batch_id, int64_t generation,
               int64_t tokens);
void ready_forget(struct ready *r, int64_t job_id); /* the job is settled */
/* The next job of the window with such a need, from the start when last is NULL; borrowed. */
const struct ready_job *ready_needy(const struct ready *r, const struct ready_job *last);
/* Are all ready rows of the batch known to need more than max_tokens? */
bool ready_only_larger(struct ready *r, int64_t batch_id, int64_t max_tokens);

/* Ready rows in the database as the last commit left them, all batches that run; -1 when it cannot
 * be read. */
int64_t ready_backlog(struct ready *r);
/* Mean tokens of an answer, and body bytes for each prompt token, of what a batch has done; dflt
 * while it has none. */
void ready_rates(struct ready *r, int64_t batch_id, double *answer_tokens, double *bytes_per_token);

#endif
