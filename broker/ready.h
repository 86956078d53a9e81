/* ready.h - the read-ahead of ready jobs: a bounded window in memory over what the database holds.
 *
 * Reads through its own read-only connection.  Each batch that may run now has a cursor in the
 * order of the index job_ready (priority, prefix group, job id) and a short list of the rows behind
 * it; the next job is the head of the smallest priority, of batches with equal ones the batch that
 * has been given the least.
 *
 * Units    *_ms unix milliseconds, passed in.
 * Threads  the server's.
 * Errors   ERR_EMPTY: there is nothing; ERR_DB.
 *
 * W1  a job is in the window at most once, and never while is_known says that somebody has it.
 * W2  memory: READY_BYTES of bodies and READY_CHUNK rows a batch, whatever the database holds (Q6).
 * W3  of a batch that is paused, cancelled, before its time, past its deadline or outside its
 * window nothing is given. W4  between batches of one priority the work that was given differs by
 * at most one job, whatever the batches' sizes; a batch that comes later starts even.
 */
#ifndef BROKER_READY_H
#define BROKER_READY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define READY_CHUNK 512 /* rows of a batch that are read at once */
#define READY_BYTES (64 << 20)

struct ready_job {
    struct ready_job *next, *prev;
    int64_t job_id, batch_id, generation, attempts, priority;
    int64_t est_tokens;  /* expected: prompt and answer */
    int64_t need_tokens; /* a KV capacity that was found to be needed, or 0 */
    bool suspect;        /* runs alone (Q8) */
    int endpoint;
    size_t body_len;
    char body[];
};

struct ready;

int ready_open(struct ready **out, const char *path, bool (*is_known)(void *arg, int64_t job_id),
               void *arg, struct errmsg *e) MUSTCHECK;
void ready_close(struct ready **r);

/* Looks which batches may run now; after every change of batches, and as time goes by.  *changed: a
 * batch has opened, or closed. */
int ready_refresh(struct ready *r, int64_t wall_ms, bool *changed, struct errmsg *e) MUSTCHECK;

/* Takes the next job that this instance may run: its model, at most max_tokens of KV.  The caller
 * frees it, or gives it back with ready_push. */
int ready_pop(struct ready *r, const char *model, int64_t max_tokens, struct ready_job **out,
              struct errmsg *e) MUSTCHECK;
/* The same of the suspects, which ready_pop passes over. */
int ready_pop_suspect(struct ready *r, const char *model, int64_t max_tokens,
                      struct ready_job **out, struct errmsg *e) MUSTCHECK;
bool ready_has_suspects(struct ready *r); /* is any job suspected that is still to be done? */
void ready_push(struct ready *r, struct ready_job *j); /* to the front */
void ready_remove(struct ready *r, int64_t job_id);
size_t ready_count(const struct ready *r);

/* A job that nobody works on any more is to be read again, before others of its batch. */
void ready_return(struct ready *r, int64_t batch_id, int64_t job_id);
/* There are new ready rows somewhere in the batch (0: in any); least: the smallest priority of them
 * that is not the batch's own, INT64_MAX when there is none, INT64_MIN when that is not known. */
void ready_stir(struct ready *r, int64_t batch_id, int64_t least);
/* What was read of the batch may be out of date: it is read again. */
void ready_drop(struct ready *r, int64_t batch_id);

/* Why rows of the batch may not be worked on now ("paused", "cancelled", "batch_expired", "window",
 * "deleted"); NULL: they may. */
const char *ready_why_not(const struct ready *r, int64_t batch_id);
/* The next batch, behind this one, with rows left and its deadline behind it; 0: none. */
int64_t ready_expired(const struct ready *r, int64_t batch_id);
/* Ready rows as the last refresh saw them, of the batches that an instance of this model may run,
 * without the n_held of each. */
int64_t ready_backlog(const struct ready *r, const char *model,
                      int64_t (*n_held)(void *arg, int64_t batch_id), void *arg);
/* A job as it stands on disk: its batch, the generation that results carry, may it be worked on
 * now? ERR_EMPTY: there is none. */
struct ready_state {
    int64_t batch_id, generation;
    bool ready; /* now: neither in backoff nor in a batch that is paused */
    bool suspect;
};
int ready_look_up(struct ready *r, int64_t job_id, struct ready_state *out,
                  struct errmsg *e) MUSTCHECK;

/* Remembers that a job of this generation needs so many tokens of KV, for when it is read again. */
int ready_need(struct ready *r, int64_t job_id, int64_t batch_id, int64_t generation,
               int64_t tokens);
void ready_forget(struct ready *r, int64_t job_id); /* the job is settled */
/* The next batch, behind this one, with rows of such a need that are ready; 0: none.  *least: the
 * smallest; *model, borrowed: what the batch asks for. */
int64_t ready_next_needy(const struct ready *r, int64_t batch_id, const char **model,
                         int64_t *least);
/* Is nothing else of the batch ready, as the last refresh saw it? */
bool ready_only_needy(const struct ready *r, int64_t batch_id);
/* Takes the one of the smallest need; the caller frees it. */
int ready_pop_needy(struct ready *r, int64_t batch_id, struct ready_job **out,
                    struct errmsg *e) MUSTCHECK;

#endif
