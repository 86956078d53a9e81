/* queue_db.h - the queue's inside, shared by its four files; nobody else includes it.
 *
 * queue.c         the connection, groups, a job and its moves
 * queue_rows.c    what is submitted: batches and rows
 * queue_settle.c  what becomes of a job: answers, failures, retries
 * queue_record.c  what is noted beside: instances, metrics, events, the lease hint
 * queue_sql.c     every statement, and how one is run
 *
 * Errors  as in queue.h; a function that reads one row gives ERR_EMPTY when there is none.
 */
#ifndef BROKER_QUEUE_DB_H
#define BROKER_QUEUE_DB_H

#include "broker/queue.h"

#define QUEUE_MAX_DELTAS 32

enum statement {
    ST_BATCH_FIND,
    ST_BATCH_HAS,
    ST_BATCH_ADD,
    ST_BATCH_COUNT,
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
    ST_RETRY_FIND,
    ST_DUE,
    ST_INSTANCE_ADD,
    ST_INSTANCE_GONE,
    ST_METRIC_ADD,
    ST_EVENT_ADD,
    ST_HINT_CLEAR,
    ST_HINT_ADD,
    ST_REFUSED,
    ST_COUNT
};

extern const char *const QUEUE_SQL[ST_COUNT];

/* What a group changes in one batch's counters; written once, before the commit. */
struct delta {
    int64_t batch_id;
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
    int wal_pages;  /* in the log after the last commit */
    int seen_pages; /* of them, at the last checkpoint */
    struct delta deltas[QUEUE_MAX_DELTAS];
    int n_deltas;
};

/* A job as it stands. */
struct job {
    int64_t job_id, batch_id, generation, attempts, max_attempts;
    enum job_state state;
};

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

/* The counters' changes of a batch in this group. */
int queue_delta(struct queue *q, int64_t batch_id, struct delta **out, struct errmsg *e);
int queue_get_job(struct queue *q, int64_t job_id, struct job *j, struct errmsg *e);

/* The one function that moves a job; every counter follows from it. */
int queue_move_job(struct queue *q, struct job *j, enum job_state to, int64_t not_before_ms,
                   struct errmsg *e);

/* Notes an attempt that gave no result; n under 0: the next number. */
int queue_add_attempt(struct queue *q, const struct job *j, int64_t n, const struct failure *f,
                      int64_t now_ms, struct errmsg *e);

#endif
