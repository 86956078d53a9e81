/* queue.h - the durable queue: everything that is ever written to the database.
 *
 * The words of the SQL are those of schema/001_init.sql.  Every change stands between queue_begin
 * and queue_commit; what has been committed survives kill -9 and power loss (synchronous=FULL).
 *
 * Units    *_ms unix milliseconds, passed in.
 * Threads  one thread owns a queue: the writer's.
 * Errors   ERR_STALE: the job moved on, nothing was changed; ERR_FULL: the disk is full; ERR_DB:
 * the rest.  After ERR_FULL or ERR_DB the group must be rolled back.
 *
 * Q1  a job has at most one result row; the first valid result wins (its generation is the job's),
 *     later ones are ERR_STALE.
 * Q2  nothing is acked before queue_commit returned 0; after a failed commit the connection is
 *     reopened.
 * Q4  the same id and body again changes nothing; the same id with another body is PUT_DIFFERS, or
 *     PUT_REPLACED when asked for; a row that was refused at submit gives way to its mended
 *     successor (PUT_MENDED).
 * Q5  with no old reader the log stays under 64 MiB.
 * Q7  a put-back uses up no attempt; an error of the job's own does.
 * Q8  a job in the last step of a worker that crashed is a suspect and runs alone from then on; one
 *     that ends a worker twice while alone fails, code poison.
 */
#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "broker/dbfile.h"
#include "schema/perf.h"
#include "schema/state.h"
#include "schema/wire.h"

struct queue;

int queue_open(struct queue **out, const char *path, const struct dbfile_opts *o, int64_t now_ms,
               struct errmsg *e) MUSTCHECK;
void queue_close(struct queue **q);
const char *queue_uuid(const struct queue *q);
int64_t queue_epoch(const struct queue *q); /* grows by one, durably, at each open */

int queue_begin(struct queue *q, struct errmsg *e) MUSTCHECK;
int queue_commit(struct queue *q, struct errmsg *e) MUSTCHECK;
void queue_rollback(struct queue *q);
void queue_checkpoint(struct queue *q); /* between commits: when the log has grown */
/* What the next reader would have to read of the log; more than a few groups: somebody keeps it. */
int64_t queue_log_bytes(const struct queue *q);

struct batch_spec {
    char name[256];
    char model[256];
    int64_t priority;
    int64_t max_attempts;
    int64_t not_before_ms, deadline_ms; /* 0: none */
    int64_t window_from, window_to;     /* minutes of the day; equal: any time */
    bool reuse;                         /* a row whose answer is known is not run again */
};
int queue_put_batch(struct queue *q, const struct batch_spec *b, int64_t now_ms, int64_t *batch_id,
                    bool *existed, struct errmsg *e) MUSTCHECK;
int queue_get_batch(struct queue *q, int64_t batch_id, struct batch_spec *b,
                    struct errmsg *e) MUSTCHECK;

struct row {
    struct wire_text custom_id, body; /* valid UTF-8 */
    int64_t line;
    int endpoint;
    struct wire_text code, message,
        param;         /* with a code the row is stored as failed, refused at submit */
    bool has_priority; /* of its own; otherwise the batch's */
    int64_t priority;
    int64_t prefix_group;
    bool fixed; /* the same tokens each time: its answer may be used again */
};
/* PUT_REUSED: it is new, and answered already. */
enum put { PUT_ADDED, PUT_SAME, PUT_DIFFERS, PUT_REPLACED, PUT_MENDED, PUT_REUSED, PUT_N };
/* ERR_EMPTY: no such batch; ERR_STALE: cancelled, or on its way out: rows may not be put into it.
 */
int queue_has_batch(struct queue *q, int64_t batch_id, struct errmsg *e) MUSTCHECK;
int queue_put_row(struct queue *q, int64_t batch_id, const struct row *r, bool replace,
                  int64_t now_ms, enum put *put, struct errmsg *e) MUSTCHECK;

struct answer {
    int64_t job_id, generation, instance_id;
    int64_t prompt_tokens, cached_tokens, output_tokens, queue_ms, prefill_ms, decode_ms, seed,
        batch_invariant;
    int64_t body_bytes; /* of the prompt; 0: not known */
    struct wire_text finish_reason, text, choices;
};
int queue_finish(struct queue *q, const struct answer *a, int64_t now_ms,
                 struct errmsg *e) MUSTCHECK;

struct failure {
    int64_t job_id, generation, instance_id; /* instance 0: nobody's */
    int64_t leased_ms;                       /* when its lease began; 0: not known */
    int64_t attempt; /* the one that it ends, from 1; 0: not known.  An older one is ERR_STALE */
    bool counts;     /* uses up an attempt */
    bool final;      /* no use to try again */
    struct wire_text code, message, param;
};
/* *to: JOB_READY (from *not_before_ms on) or JOB_FAILED. */
int queue_fail(struct queue *q, const struct failure *f, int64_t now_ms, enum job_state *to,
               int64_t *not_before_ms, struct errmsg *e) MUSTCHECK;

/* Notes an attempt that ended without a result or an error of the job's own (Q7); the job stays as
 * it is.  ERR_STALE: the job has moved on. */
int queue_put_back(struct queue *q, const struct failure *f, int64_t now_ms,
                   struct errmsg *e) MUSTCHECK;

/* Q8: the job was in the last step of a worker that crashed; alone: no other was.  *to is
 * JOB_FAILED for one that has done so twice while alone. */
int queue_suspect(struct queue *q, const struct failure *f, bool alone, int64_t now_ms,
                  enum job_state *to, struct errmsg *e) MUSTCHECK;

/* What a person does to a batch, or to one job of it. */
enum verb { VERB_PAUSE, VERB_RESUME, VERB_CANCEL, VERB_RETRY, VERB_DELETE, VERB_N };
extern const char *const VERB_NAMES[VERB_N];
int verb_parse(enum verb *out, const char *name) MUSTCHECK; /* "pause"; ERR_ARG */
struct control {
    enum verb verb;
    char batch[256], code[64];  /* code, for VERB_RETRY: only rows that failed with it; "": all */
    struct wire_text custom_id; /* empty: all of the batch */
    /* Out, and in again while more is set: long ones are done in pieces, a group each. */
    int64_t batch_id, job_id, rows, cursor;
    bool more;
};
#define CONTROL_PIECE 2000 /* rows of a piece */
/* ERR_EMPTY: no such batch or job; ERR_STALE: it is in no state for that; both with a text. */
int queue_control(struct queue *q, struct control *c, int64_t now_ms, struct errmsg *e) MUSTCHECK;

/* What is left of a batch whose deadline has passed fails, a piece at a time; *n of them now, 0:
 * all have, or the deadline was lifted meanwhile. */
int queue_expire(struct queue *q, int64_t batch_id, int64_t now_ms, int64_t *n,
                 struct errmsg *e) MUSTCHECK;

/* Delayed rows whose time has come become ready at once; *n of them. */
int queue_due(struct queue *q, int64_t now_ms, int64_t *n, struct errmsg *e) MUSTCHECK;

struct instance_row {
    char uuid[64], name[64], host[64], device[64], model[256], model_hash[40], dtype[16],
        kv_dtype[16], engine[64];
    int64_t tp, threads, kv_tokens, max_model_len, max_num_seqs;
};
int queue_put_instance(struct queue *q, const struct instance_row *i, int64_t now_ms,
                       int64_t *instance_id, struct errmsg *e) MUSTCHECK;
int queue_instance_gone(struct queue *q, int64_t instance_id, int64_t now_ms,
                        struct errmsg *e) MUSTCHECK;

struct metric_row {
    int64_t instance_id, span_ms, rows, prompt_tokens, output_tokens, steps, step_ms, running,
        waiting, kv_blocks, kv_free, cached_tokens, leased_rows, leased_tokens, queued_tokens;
    int64_t memory_bytes, power_mw, clock_mhz; /* 0: not known */
    int64_t others;                            /* processes on the device; -1: not known */
};
int queue_put_metric(struct queue *q, const struct metric_row *m, int64_t now_ms,
                     struct errmsg *e) MUSTCHECK;

/* An instance model as its worker sent it (schema/perf.h); the latest one is kept. */
struct profile_row {
    int64_t instance_id, kv_tokens;
    char source[16]; /* measured, roofline, file */
    struct perf perf;
    double mape, held_out_mape; /* percent; under 0: not known */
    int64_t samples;            /* 0: not known */
    bool shared, drifted;
};
int queue_put_profile(struct queue *q, const struct profile_row *p, int64_t now_ms,
                      struct errmsg *e) MUSTCHECK;
/* What has aged is thinned, a few thousand rows at a time: metrics to one a minute after an hour
 * and one for ten minutes after a day, events to the newest EVENTS_KEPT.  *n rows went; *more: call
 * again soon. */
#define EVENTS_KEPT 100000
int queue_thin(struct queue *q, int64_t now_ms, int64_t *n, bool *more, struct errmsg *e) MUSTCHECK;
int queue_put_event(struct queue *q, const char *level, const char *unit, const char *text,
                    int64_t now_ms, struct errmsg *e) MUSTCHECK;

/* A machine that offers its devices; of a name that is there already the row is made anew. */
struct node_row {
    char name[64], host[64];
    struct wire_text devices; /* JSON, an array; what is none is put as [] */
    int64_t cores, memory_bytes;
    double usd_per_hour; /* 0: not known */
};
int queue_put_node(struct queue *q, const struct node_row *n, int64_t now_ms,
                   struct errmsg *e) MUSTCHECK;
/* name "": all of them. */
int queue_node_gone(struct queue *q, const char *name, int64_t now_ms, struct errmsg *e) MUSTCHECK;

/* What was active becomes past.  An instance is the plan's n-th, from 1. */
struct plan_row {
    struct wire_text model, batch, detail; /* detail: JSON; what is none is put as {} */
    int64_t rows;
    double seconds, usd; /* usd 0: not known */
};
struct plan_instance_row {
    struct wire_text node, devices, dtype, kv_dtype, source;
    int64_t tp, kv_tokens;
    double rows_per_s, mape; /* mape under 0: not known */
};
int queue_end_plan(struct queue *q, struct errmsg *e) MUSTCHECK;
int queue_put_plan(struct queue *q, const struct plan_row *p, int64_t now_ms, int64_t *plan_id,
                   struct errmsg *e) MUSTCHECK;
int queue_put_plan_instance(struct queue *q, int64_t plan_id, int64_t n,
                            const struct plan_instance_row *i, struct errmsg *e) MUSTCHECK;

/* Replaces the lease hint: n jobs and the uuid of the instance that holds each. */
int queue_put_hint(struct queue *q, const int64_t *jobs, const char *const *uuids, size_t n,
                   struct errmsg *e) MUSTCHECK;

#endif
