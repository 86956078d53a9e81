/* ready.h - the read-ahead of ready jobs: a bounded window in memory over what the database holds.
 *
 * Reads through its own read-only connection.  Each batch that may run now, and that somebody could
 * run, has a cursor in the order of the index job_ready (priority, prefix group, job id) and lists
 * of the rows behind it.  Rows come in by ready_read, a piece at a time; ready_tell hands out each
 * of them once, so that whoever decides (schedule.h) may know of it; ready_gone names those told of
 * that have left otherwise than by ready_take.
 *
 * Units    *_ms unix milliseconds, passed in; tokens by estimate.
 * Threads  the server's.
 * Errors   ERR_EMPTY: there is nothing; ERR_DB.
 *
 * W1  a job is in the window at most once, and never while is_known says that somebody has it.
 * W2  memory: READY_BYTES of bodies and READY_ROWS rows, READY_LEAST for each batch, whatever the
 *     database holds (Q6).
 * W3  of a batch that is paused, cancelled, before its time, past its deadline or outside its
 *     window nothing is there.
 * W4  rows are told with the smallest priority first, of equal ones the batches in turn, and only
 *     when every batch that has more behind it has rows here.
 */
#ifndef BROKER_READY_H
#define BROKER_READY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define READY_ROWS  16384
#define READY_LEAST 32
#define READY_CHUNK 512 /* rows that are read at once */
#define READY_BYTES (64 << 20)

struct ready_job {
    struct ready_job *next, *prev;
    int64_t job_id, batch_id, generation, attempts, priority, group;
    const char *model;     /* borrowed: what its batch asks for; "": any */
    int64_t prompt_tokens; /* expected */
    int64_t max_tokens;    /* of the answer, as the body limits it; 0: it does not */
    int64_t est_tokens;    /* expected: prompt and answer */
    int64_t need_tokens;   /* a KV capacity that was found to be needed, or 0 */
    bool suspect;          /* runs alone (Q8) */
    bool told;             /* by ready_tell */
    int endpoint;
    size_t body_len;
    char body[];
};

struct ready;

/* What the window must know of the rest. */
struct ready_world {
    void *arg;
    bool (*is_known)(void *arg, int64_t job_id);    /* has somebody got it? */
    int64_t (*n_held)(void *arg, int64_t batch_id); /* jobs that somebody has */
    /* Tokens: the longest sequence that an instance of this model ("": any) holds; 0: nobody has
     * it. */
    int64_t (*largest)(void *arg, const char *model);
};

int ready_open(struct ready **out, const char *path, const struct ready_world *w,
               struct errmsg *e) MUSTCHECK;
void ready_close(struct ready **r);

/* Looks which batches may run now; after every change of batches, and as time goes by.  *changed: a
 * batch has opened, or closed. */
int ready_refresh(struct ready *r, int64_t wall_ms, bool *changed, struct errmsg *e) MUSTCHECK;

/* Reads a piece of what batches lack; wanted: also of those that have half of what they should.
 * *more: there is another piece to be read. */
int ready_read(struct ready *r, bool wanted, bool *more, struct errmsg *e) MUSTCHECK;
/* The next row that is new here, borrowed; NULL: none is, or ready_read or ready_gone comes first.
 */
const struct ready_job *ready_tell(struct ready *r);
/* Whoever was told has forgotten: all of them are told again. */
void ready_untell(struct ready *r);
/* The next job that was told of and has left; 0: none. */
int64_t ready_gone(struct ready *r);
/* The fewest rows told of that a batch with more behind it has here. */
int64_t ready_depth(const struct ready *r);

/* Takes a job out; the caller frees it, or gives it back with ready_push.  NULL: it is not here. */
struct ready_job *ready_take(struct ready *r, int64_t job_id);
/* A job that somebody has, once more. */
int ready_fetch(struct ready *r, int64_t job_id, int64_t batch_id, struct ready_job **out,
                struct errmsg *e) MUSTCHECK;
/* The next suspect that this instance may run: its model, at most max_tokens of KV.  They are never
 * told of. */
int ready_pop_suspect(struct ready *r, const char *model, int64_t max_tokens,
                      struct ready_job **out, struct errmsg *e) MUSTCHECK;
bool ready_has_suspects(struct ready *r); /* is any job suspected that is still to be done? */
/* A job that was taken is here again; false: it is gone, and read again. */
bool ready_push(struct ready *r, struct ready_job *j);
void ready_remove(struct ready *r, int64_t job_id);
size_t ready_count(const struct ready *r);

/* A job that nobody works on any more is to be read again, soon. */
void ready_return(struct ready *r, int64_t batch_id, int64_t job_id);
/* There are new ready rows somewhere in the batch (0: in any); least_priority: the smallest of them
 * that is not the batch's own, INT64_MAX when there is none, INT64_MIN when that is not known. */
void ready_stir(struct ready *r, int64_t batch_id, int64_t least_priority);
/* What was read of the batch may be out of date: it is read again. */
void ready_drop(struct ready *r, int64_t batch_id);

/* Why rows of the batch may not be worked on now ("paused", "cancelled", "batch_expired", "window",
 * "deleted"); NULL: they may. */
const char *ready_why_not(const struct ready *r, int64_t batch_id);
/* The next batch, behind this one, with rows left and its deadline behind it; 0: none. */
int64_t ready_expired(const struct ready *r, int64_t batch_id);
/* Rows that lie behind the window, of batches that somebody could run now, as the last refresh saw
 * them; *tokens: expected of them in all. */
int64_t ready_backlog(const struct ready *r, int64_t *tokens);
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
