/* queue_db.h - the queue's inside, shared by its files; nobody else includes it.
 *
 * queue.c         the connection, groups, a job and its moves
 * queue_rows.c    what is submitted: batches and rows
 * queue_reuse.c   a new row whose answer is known
 * queue_settle.c  what becomes of a job: answers, failures, put-backs, crashes
 * queue_control.c what a person or a deadline does to batches and jobs
 * queue_record.c  what is noted beside: instances, profiles, events, the lease hint
 * queue_plan.c    nodes and plans
 * queue_metric.c  instances' metrics, thinned with age
 * queue_sql.c     every statement, and how one is run
 *
 * Errors  as in queue.h; a function that reads one row gives ERR_EMPTY when there is none.
 */
#ifndef BROKER_QUEUE_DB_H
#define BROKER_QUEUE_DB_H

#include "broker/queue.h"

#define QUEUE_MAX_DELTAS 32

enum statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_BATCH_FIND,
    ST_BATCH_GET,
    ST_BATCH_SPEC,
    ST_BATCH_ADD,
    ST_BATCH_COUNT,
    ST_BATCH_STATE,
    ST_BATCH_NO_DEADLINE,
    ST_BATCH_DROP,
    ST_JOB_BY_ID,
    ST_JOB_ADD,
    ST_PROMPT_ADD,
    ST_JOB_GET,
    ST_JOB_MOVE,
    ST_JOB_REPLACE,
    ST_PROMPT_REPLACE,
    ST_RESULT_ADD,
    ST_RESULT_DROP,
    ST_ATTEMPT_ADD,
    ST_ATTEMPT_DROP,
    ST_FAILED_FIND,
    ST_READY_FIND,
    ST_REST_FIND,
    ST_CANCELLED_FIND,
    ST_ANY_FIND,
    ST_ATTEMPTS_DROP,
    ST_PROMPT_DROP,
    ST_JOB_DROP,
    ST_DUE,
    ST_REUSE_FIND,
    ST_REUSE_COPY,
    ST_INSTANCE_ADD,
    ST_INSTANCE_GONE,
    ST_METRIC_ADD,
    ST_PROFILE_ADD,
    ST_METRIC_FIRST,
    ST_METRIC_CELL,
    ST_METRIC_MERGE,
    ST_METRIC_DROP,
    ST_EVENT_ADD,
    ST_EVENT_DROP,
    ST_HINT_CLEAR,
    ST_HINT_ADD,
    ST_REFUSED,
    ST_NODE_ADD,
    ST_NODE_GONE,
    ST_NODES_GONE,
    ST_PLAN_END,
    ST_PLAN_ADD,
    ST_PLAN_INSTANCE_ADD,
    ST_COUNT
};

extern const char *const QUEUE_SQL[ST_COUNT];

/* What a group knows of a batch, and changes in its counters; written once, before the commit. */
struct delta {
    int64_t batch_id;
    /* As it was when the group first touched it: */
    int64_t max_attempts, generation, priority, n_failed;
    enum job_state state;
    bool reuse, deleting;
    /* What the group adds: */
    int64_t n[JOB_NSTATES];
    int64_t prompt_tokens, cached_tokens, output_tokens, body_bytes, done_ms;
};

struct queue {
    sqlite3 *db;
    sqlite3_stmt *st[ST_COUNT];
    char path[4096];
    struct dbfile_opts opts;
    char uuid[40];
    int64_t epoch;
    int wal_pages;       /* in the log after the last commit */
    int seen_pages;      /* of them, at the last checkpoint */
    bool has_old_reader; /* one stayed when the log was near its limit */
    struct delta deltas[QUEUE_MAX_DELTAS];
    int n_deltas;
    struct thin_level {
        int64_t at_ms;       /* the cell at hand; everything before it is thin */
        int64_t instance_id; /* in it, up to this one */
    } thin[2];
};

/* A job as it stands. */
struct job {
    int64_t job_id, batch_id, generation, attempts, suspect;
    int64_t max_attempts, batch_generation; /* its batch's */
    enum job_state state;
};

/* The generation that leases and results carry. */
static inline int64_t job_token(const struct job *j)
{
    return j->generation + j->batch_generation;
}

/* --- statements --- */

int queue_error(struct queue *q, struct errmsg *e); /* SQLite's last error */

static inline void bind_text(sqlite3_stmt *st, int i, struct wire_text t)
{
    sqlite3_bind_text64(st, i, t.at, t.len, SQLITE_STATIC, SQLITE_UTF8);
}

static inline void bind_words(sqlite3_stmt *st, int i, const char *s)
{
    sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

/* The statement with the given integers bound from ?1 on. */
sqlite3_stmt *queue_bound(struct queue *q, enum statement which, int n, const int64_t *v);
#define BOUND(q, which, ...)                                                                       \
    queue_bound(q, which, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),               \
                (int64_t[]){__VA_ARGS__})

/* Runs a statement that gives no rows. */
int queue_run(struct queue *q, sqlite3_stmt *st, struct errmsg *e);

/* Steps to the first row and hands out up to n integers; ERR_EMPTY when there is no row. */
int queue_first(struct queue *q, sqlite3_stmt *st, int n, int64_t *out, struct errmsg *e);

/* --- a group and a job --- */

/* The batch in this group; borrowed until the next call for another batch.  ERR_EMPTY: no such
 * batch. */
int queue_delta(struct queue *q, int64_t batch_id, struct delta **out, struct errmsg *e);
/* Writes what the group has counted so far; before a batch's own row is changed. */
int queue_flush(struct queue *q, struct errmsg *e);
/* ERR_EMPTY with a text when there is no batch of that name. */
int queue_find_batch(struct queue *q, const char *name, int64_t *batch_id, struct errmsg *e);
/* Job id and body hash of the row with this id in the batch; ERR_EMPTY without a text. */
int queue_find_row(struct queue *q, int64_t batch_id, struct wire_text id, int64_t v[2],
                   struct errmsg *e);
/* Was the row refused when it was submitted?  Then it never had a body that could run. */
int queue_was_refused(struct queue *q, int64_t job_id, bool *yes, struct errmsg *e);
/* Drops a result, and its tokens from the batch's counters; nothing when there is none. */
int queue_drop_result(struct queue *q, int64_t job_id, struct delta *d, struct errmsg *e);
/* Answers the new job from an earlier one's, if there is one; *done says so. */
int queue_reuse(struct queue *q, struct job *j, const struct row *r, int64_t body_hash,
                int64_t now_ms, bool *done, struct errmsg *e);
int queue_get_job(struct queue *q, int64_t job_id, struct job *j, struct errmsg *e);

/* The one function that moves a job; every counter follows from it. */
int queue_move_job(struct queue *q, struct job *j, enum job_state to, int64_t not_before_ms,
                   struct errmsg *e);

/* Notes an attempt that gave no result; n under 0: the next number; leased_ms 0: not known. */
int queue_add_attempt(struct queue *q, const struct job *j, int64_t n, const struct failure *f,
                      int64_t now_ms, struct errmsg *e);

#endif
