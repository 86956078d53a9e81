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
 */
#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "broker/dbfile.h"
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
};
int queue_put_batch(struct queue *q, const struct batch_spec *b, int64_t now_ms, int64_t *batch_id,
                    bool *existed, struct errmsg *e) MUSTCHECK;

struct row {
    struct wire_text custom_id, body; /* valid UTF-8 */
    int64_t line;
    int endpoint;
    struct wire_text code, message,
        param; /* with a code the row is stored as failed, refused at submit */
};
enum put { PUT_ADDED, PUT_SAME, PUT_DIFFERS, PUT_REPLACED, PUT_MENDED, PUT_N };
/* ERR_EMPTY: no such batch; rows may not be put into it. */
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
    bool counts;                             /* uses up an attempt */
    bool final;                              /* no use to try again */
    struct wire_text code, message, param;
};
/* *to: JOB_READY (from *not_before_ms on) or JOB_FAILED. */
int queue_fail(struct queue *q, const struct failure *f, int64_t now_ms, enum job_state *to,
               int64_t *not_before_ms, struct errmsg *e) MUSTCHECK;

/* Failed rows of a batch go back to ready with fresh attempts; code "" is every code.  ERR_EMPTY:
 * no such batch. */
int queue_retry(struct queue *q, const char *batch, const char *code, int64_t *n,
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
        waiting, kv_blocks, kv_free;
};
int queue_put_metric(struct queue *q, const struct metric_row *m, int64_t now_ms,
                     struct errmsg *e) MUSTCHECK;
int queue_put_event(struct queue *q, const char *level, const char *unit, const char *text,
                    int64_t now_ms, struct errmsg *e) MUSTCHECK;

/* Replaces the lease hint: n jobs and the uuid of the instance that holds each. */
int queue_put_hint(struct queue *q, const int64_t *jobs, const char *const *uuids, size_t n,
                   struct errmsg *e) MUSTCHECK;

#endif
