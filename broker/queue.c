/* queue.c - the durable queue: everything that is ever written to the database. */
#include "broker/queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/log.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   60000
#define CHECKPOINT_PAGES 1000 /* 8 MB of log */
#define MAX_DELTAS       32

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

static const char *const SQL[ST_COUNT] = {
    [ST_BATCH_FIND] = "SELECT batch_id FROM batch WHERE name=?1",
    [ST_BATCH_HAS] = "SELECT batch_id FROM batch WHERE batch_id=?1",
    [ST_BATCH_ADD] =
        "INSERT INTO batch(name,model,priority,max_attempts,created_ms) VALUES(?1,?2,?3,?4,?5)",
    [ST_BATCH_COUNT] =
        "UPDATE batch SET n_ready=n_ready+?2, n_done=n_done+?3, n_failed=n_failed+?4, "
        "n_paused=n_paused+?5,"
        " n_cancelled=n_cancelled+?6, prompt_tokens=prompt_tokens+?7, "
        "cached_tokens=cached_tokens+?8,"
        " output_tokens=output_tokens+?9, body_bytes=body_bytes+?10,"
        " first_done_ms=CASE WHEN ?11>0 THEN ifnull(first_done_ms,?11) ELSE first_done_ms END,"
        " last_done_ms=CASE WHEN ?11>0 THEN ?11 ELSE last_done_ms END WHERE batch_id=?1",
    [ST_JOB_BY_ID] = "SELECT j.job_id, j.body_hash FROM job j JOIN prompt p USING (job_id)"
                     " WHERE j.batch_id=?1 AND j.id_hash=?2 AND p.custom_id=?3",
    [ST_JOB_ADD] =
        "INSERT INTO job(batch_id,state,priority,endpoint,line,id_hash,body_hash,created_ms)"
        " VALUES(?1,?2,(SELECT priority FROM batch WHERE batch_id=?1),?3,?4,?5,?6,?7)",
    [ST_PROMPT_ADD] = "INSERT INTO prompt(job_id,custom_id,body) VALUES(?1,?2,?3)",
    [ST_JOB_GET] = "SELECT j.batch_id, j.state, j.generation, j.attempts, b.max_attempts, b.state"
                   " FROM job j JOIN batch b USING (batch_id) WHERE j.job_id=?1",
    [ST_JOB_MOVE] =
        "UPDATE job SET state=?2, generation=?3, attempts=?4, not_before_ms=?5 WHERE job_id=?1",
    [ST_JOB_REPLACE] =
        "UPDATE job SET endpoint=?2, line=?3, id_hash=?4, body_hash=?5 WHERE job_id=?1",
    [ST_PROMPT_REPLACE] = "UPDATE prompt SET custom_id=?2, body=?3 WHERE job_id=?1",
    [ST_RESULT_ADD] =
        "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,cached_tokens,"
        "output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,batch_invariant,text,choices)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
    [ST_RESULT_DROP] =
        "DELETE FROM result WHERE job_id=?1 RETURNING prompt_tokens, cached_tokens, output_tokens",
    [ST_ATTEMPT_ADD] =
        "INSERT INTO attempt(job_id,n,generation,instance_id,ended_ms,counts,code,message,param)"
        " VALUES(?1,CASE WHEN ?2<0 THEN (SELECT ifnull(max(n),0)+1 FROM attempt WHERE job_id=?1) "
        "ELSE ?2 END,"
        " ?3,?4,?5,?6,?7,?8,?9)",
    [ST_ATTEMPT_DROP] = "DELETE FROM attempt WHERE job_id=?1 AND n=0",
    [ST_RETRY_FIND] = "SELECT j.job_id FROM job j WHERE j.batch_id=?1 AND j.state=2"
                      " AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.job_id=j.job_id AND a.n=0)"
                      " AND (?2='' OR (SELECT a.code FROM attempt a WHERE a.job_id=j.job_id ORDER "
                      "BY a.n DESC LIMIT 1)=?2)",
    [ST_DUE] = "UPDATE job SET not_before_ms=0 WHERE state=0 AND not_before_ms BETWEEN 1 AND ?1",
    [ST_INSTANCE_ADD] =
        "INSERT INTO "
        "instance(uuid,name,host,device,model,model_hash,dtype,kv_dtype,tp,threads,kv_tokens,max_"
        "model_len,"
        "max_num_seqs,engine,state,joined_ms,seen_ms) "
        "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,'here',?15,?15)"
        " ON CONFLICT(uuid) DO UPDATE SET state='here', seen_ms=?15 RETURNING instance_id",
    [ST_INSTANCE_GONE] = "UPDATE instance SET state='gone', seen_ms=?2 WHERE instance_id=?1",
    [ST_METRIC_ADD] = "INSERT OR REPLACE INTO "
                      "instance_metric(instance_id,at_ms,span_ms,rows,prompt_tokens,output_tokens,"
                      "steps,step_ms,running,waiting,kv_blocks,kv_free) "
                      "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
    [ST_EVENT_ADD] = "INSERT INTO event(at_ms,level,unit,text) VALUES(?1,?2,?3,?4)",
    [ST_HINT_CLEAR] = "DELETE FROM lease_hint",
    [ST_HINT_ADD] = "INSERT OR REPLACE INTO lease_hint(job_id,instance_uuid) VALUES(?1,?2)",
    [ST_REFUSED] = "SELECT 1 FROM attempt WHERE job_id=?1 AND n=0",
};

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
    int wal_pages; /* in the log after the last commit */
    struct delta deltas[MAX_DELTAS];
    int n_deltas;
};

/* A job as it stands. */
struct job {
    int64_t job_id, batch_id, generation, attempts, max_attempts;
    enum job_state state, batch_state;
};

/* --- statements ------------------------------------------------------------------------------- */

static int db_error(struct queue *q, struct errmsg *e)
{
    return dbfile_error(q->db, e, "queue");
}

static void bind_text(sqlite3_stmt *st, int i, struct wire_text t)
{
    sqlite3_bind_text64(st, i, t.at, t.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_words(sqlite3_stmt *st, int i, const char *s)
{
    sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

/* The statement with the given integers bound from ?1 on. */
static sqlite3_stmt *bound(struct queue *q, enum statement which, int n, const int64_t *v)
{
    sqlite3_stmt *st = q->st[which];

    for (int i = 0; i < n; i++)
        sqlite3_bind_int64(st, i + 1, v[i]);
    return st;
}
#define BOUND(q, which, ...)                                                                       \
    bound(q, which, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                     \
          (int64_t[]){__VA_ARGS__})

/* Runs a statement that gives no rows. */
static int run(struct queue *q, sqlite3_stmt *st, struct errmsg *e)
{
    int rc = sqlite3_step(st) == SQLITE_DONE ? ERR_OK : db_error(q, e);

    sqlite3_reset(st);
    return rc;
}

/* Steps to the first row and hands out up to n integers; ERR_EMPTY when there is no row.  Resets.
 */
static int first(struct queue *q, sqlite3_stmt *st, int n, int64_t *out, struct errmsg *e)
{
    int rc = ERR_EMPTY;

    switch (sqlite3_step(st)) {
    case SQLITE_ROW:
        for (int i = 0; i < n; i++)
            out[i] = sqlite3_column_int64(st, i);
        /* A writing statement with RETURNING has done its work only when it was stepped to its end.
         */
        switch (sqlite3_step(st)) {
        case SQLITE_ROW:
        case SQLITE_DONE: rc = ERR_OK; break;
        default: rc = db_error(q, e);
        }
        break;
    case SQLITE_DONE: break;
    default: rc = db_error(q, e);
    }
    sqlite3_reset(st);
    return rc;
}

/* --- open and close --------------------------------------------------------------------------- */

static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct queue *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

static int read_meta(struct queue *q, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(q->db,
                           "SELECT (SELECT value FROM meta WHERE key='db_uuid'),"
                           "(SELECT value FROM meta WHERE key='epoch')",
                           -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW || sqlite3_column_type(st, 0) != SQLITE_TEXT) {
        rc = err_set(e, ERR_FORMAT, "%s: the meta table has no db_uuid", q->path);
    } else if (q->uuid[0] && strcmp(q->uuid, (const char *)sqlite3_column_text(st, 0))) {
        /* Reopened after an error: what waits to be written belongs to the file of before. */
        rc = err_set(e, ERR_FORMAT, "%s: another database has taken the file's place", q->path);
    } else {
        snprintf(q->uuid, sizeof q->uuid, "%s", (const char *)sqlite3_column_text(st, 0));
        q->epoch = sqlite3_column_int64(st, 1);
    }
    sqlite3_finalize(st);
    return rc;
}

static int connect_db(struct queue *q, struct errmsg *e)
{
    int rc = dbfile_open_write(&q->db, q->path, &q->opts, e);

    if (rc) return rc;
    for (int i = 0; i < ST_COUNT; i++)
        if (sqlite3_prepare_v3(q->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &q->st[i], NULL) !=
            SQLITE_OK)
            return db_error(q, e);
    sqlite3_wal_hook(q->db, on_commit, q);
    return read_meta(q, e);
}

static void disconnect_db(struct queue *q)
{
    for (int i = 0; i < ST_COUNT; i++) {
        sqlite3_finalize(q->st[i]);
        q->st[i] = NULL;
    }
    sqlite3_close(q->db);
    q->db = NULL;
}

static int next_epoch(struct queue *q, int64_t now_ms, struct errmsg *e)
{
    char sql[256];

    q->epoch++;
    snprintf(sql, sizeof sql,
             "UPDATE meta SET value=%lld WHERE key='epoch';"
             "UPDATE instance SET state='gone', seen_ms=%lld WHERE state='here'",
             (long long)q->epoch, (long long)now_ms);
    return sqlite3_exec(q->db, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : db_error(q, e);
}

int queue_open(struct queue **out, const char *path, const struct dbfile_opts *o, int64_t now_ms,
               struct errmsg *e)
{
    struct queue *q = calloc(1, sizeof *q);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!q) {
        err_set(e, rc, "out of memory");
        goto out;
    }
    rc = ERR_ARG;
    if ((size_t)snprintf(q->path, sizeof q->path, "%s", path) >= sizeof q->path) {
        err_set(e, rc, "database path is longer than %zu bytes", sizeof q->path);
        goto out;
    }
    q->opts = *o;
    if ((rc = connect_db(q, e))) goto out;
    if ((rc = next_epoch(q, now_ms, e))) goto out;
    *out = q;
    q = NULL;
out:
    queue_close(&q);
    return rc;
}

void queue_close(struct queue **q)
{
    if (!*q) return;
    if ((*q)->db) sqlite3_wal_checkpoint_v2((*q)->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    disconnect_db(*q);
    free(*q);
    *q = NULL;
}

const char *queue_uuid(const struct queue *q)
{
    return q->uuid;
}

int64_t queue_epoch(const struct queue *q)
{
    return q->epoch;
}

/* --- groups ----------------------------------------------------------------------------------- */

static int flush_deltas(struct queue *q, struct errmsg *e)
{
    for (int i = 0; i < q->n_deltas; i++) {
        struct delta *d = &q->deltas[i];
        int rc =
            run(q,
                BOUND(q, ST_BATCH_COUNT, d->batch_id, d->n[JOB_READY], d->n[JOB_DONE],
                      d->n[JOB_FAILED], d->n[JOB_PAUSED], d->n[JOB_CANCELLED], d->prompt_tokens,
                      d->cached_tokens, d->output_tokens, d->body_bytes, d->done_ms),
                e);

        if (rc) return rc;
    }
    q->n_deltas = 0;
    return ERR_OK;
}

static int delta_of(struct queue *q, int64_t batch_id, struct delta **out, struct errmsg *e)
{
    int rc;

    for (int i = 0; i < q->n_deltas; i++) {
        if (q->deltas[i].batch_id == batch_id) {
            *out = &q->deltas[i];
            return ERR_OK;
        }
    }
    if (q->n_deltas == MAX_DELTAS && (rc = flush_deltas(q, e))) return rc;
    *out = &q->deltas[q->n_deltas++];
    memset(*out, 0, sizeof **out);
    (*out)->batch_id = batch_id;
    return ERR_OK;
}

int queue_begin(struct queue *q, struct errmsg *e)
{
    int rc;

    if (!q->db && (rc = connect_db(q, e))) {
        disconnect_db(q);
        return rc;
    }
    q->n_deltas = 0;
    return sqlite3_exec(q->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK ? ERR_OK
                                                                                 : db_error(q, e);
}

int queue_commit(struct queue *q, struct errmsg *e)
{
    int rc = flush_deltas(q, e);

    if (rc) return rc;
    if (fault_here("commit"))
        return err_set(e, ERR_DB, "queue: commit failed by a fault that was asked for");
    if (sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
        fault_here("committed");
        return ERR_OK;
    }
    rc = db_error(q, e);
    /* Q2: after a failed fsync the pages in the cache cannot be trusted to be on disk: start over
     * from the file. */
    if (rc != ERR_FULL) disconnect_db(q);
    return rc;
}

void queue_rollback(struct queue *q)
{
    q->n_deltas = 0;
    if (q->db) sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
}

void queue_checkpoint(struct queue *q)
{
    if (!q->db || q->wal_pages < CHECKPOINT_PAGES) return;
    sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    q->wal_pages = 0;
}

/* --- jobs ------------------------------------------------------------------------------------- */

static int get_job(struct queue *q, int64_t job_id, struct job *j, struct errmsg *e)
{
    int64_t v[6];
    int rc = first(q, BOUND(q, ST_JOB_GET, job_id), 6, v, e);

    if (rc) return rc;
    *j = (struct job){job_id, v[0], v[2], v[3], v[4], (enum job_state)v[1], (enum job_state)v[5]};
    return ERR_OK;
}

/* The one function that moves a job; every counter follows from it. */
static int move_job(struct queue *q, struct job *j, enum job_state to, int64_t not_before_ms,
                    struct errmsg *e)
{
    struct delta *d;
    int rc;

    assert(job_state_allows(j->state, to));
    if ((rc = delta_of(q, j->batch_id, &d, e))) return rc;
    d->n[j->state]--;
    d->n[to]++;
    log_debug("queue", "%s -> %s job=%lld attempt=%lld", job_state_name(j->state),
              job_state_name(to), (long long)j->job_id, (long long)j->attempts);
    j->state = to;
    return run(q, BOUND(q, ST_JOB_MOVE, j->job_id, to, j->generation, j->attempts, not_before_ms),
               e);
}

static int add_attempt(struct queue *q, const struct job *j, int64_t n, const struct failure *f,
                       int64_t now_ms, struct errmsg *e)
{
    sqlite3_stmt *st =
        BOUND(q, ST_ATTEMPT_ADD, j->job_id, n, j->generation, f->instance_id, now_ms, f->counts);

    if (!f->instance_id) sqlite3_bind_null(st, 4);
    bind_text(st, 7, f->code);
    bind_text(st, 8, f->message);
    if (f->param.len)
        bind_text(st, 9, f->param);
    else
        sqlite3_bind_null(st, 9);
    return run(q, st, e);
}

int queue_put_batch(struct queue *q, const struct batch_spec *b, int64_t now_ms, int64_t *batch_id,
                    bool *existed, struct errmsg *e)
{
    sqlite3_stmt *st = q->st[ST_BATCH_FIND];
    int rc;

    bind_words(st, 1, b->name);
    rc = first(q, st, 1, batch_id, e);
    *existed = !rc;
    if (rc != ERR_EMPTY) return rc;
    st = q->st[ST_BATCH_ADD];
    bind_words(st, 1, b->name);
    bind_words(st, 2, b->model);
    sqlite3_bind_int64(st, 3, b->priority);
    sqlite3_bind_int64(st, 4, b->max_attempts);
    sqlite3_bind_int64(st, 5, now_ms);
    if ((rc = run(q, st, e))) return rc;
    *batch_id = sqlite3_last_insert_rowid(q->db);
    return ERR_OK;
}

int queue_has_batch(struct queue *q, int64_t batch_id, struct errmsg *e)
{
    int64_t v[1];
    int rc = first(q, BOUND(q, ST_BATCH_HAS, batch_id), 1, v, e);

    return rc == ERR_EMPTY ? err_set(e, rc, "there is no batch %lld", (long long)batch_id) : rc;
}

/* The reason of a refusal is part of it: when a limit is raised, the same body is no longer the
 * same row. */
static int64_t hash_body(const struct row *r)
{
    uint64_t why = r->code.len ? hash64(r->code.at, r->code.len) : 0;

    return (int64_t)(hash64(r->body.at, r->body.len) + (uint64_t)r->endpoint + why);
}

static int64_t hash_id(struct wire_text id)
{
    return (int64_t)hash64(id.at, id.len);
}

/* Job id and body hash of a row with this id in the batch, or ERR_EMPTY. */
static int find_row(struct queue *q, int64_t batch_id, struct wire_text id, int64_t v[2],
                    struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_JOB_BY_ID, batch_id, hash_id(id));

    bind_text(st, 3, id);
    return first(q, st, 2, v, e);
}

/* The failure of a row that was refused at submit: attempt 0. */
static int put_refusal(struct queue *q, const struct job *j, const struct row *r, int64_t now_ms,
                       struct errmsg *e)
{
    struct failure f = {j->job_id, j->generation, 0, false, true, r->code, r->message, r->param};

    return add_attempt(q, j, 0, &f, now_ms, e);
}

static int add_row(struct queue *q, int64_t batch_id, const struct row *r, int64_t now_ms,
                   struct errmsg *e)
{
    enum job_state state = r->code.len ? JOB_FAILED : JOB_READY;
    struct job j = {.batch_id = batch_id, .state = state};
    struct delta *d;
    sqlite3_stmt *st;
    int rc;

    if ((rc = delta_of(q, batch_id, &d, e))) return rc;
    if ((rc = run(q,
                  BOUND(q, ST_JOB_ADD, batch_id, state, r->endpoint, r->line, hash_id(r->custom_id),
                        hash_body(r), now_ms),
                  e)))
        return rc;
    j.job_id = sqlite3_last_insert_rowid(q->db);
    d->n[state]++;
    st = BOUND(q, ST_PROMPT_ADD, j.job_id);
    bind_text(st, 2, r->custom_id);
    bind_text(st, 3, r->body);
    if ((rc = run(q, st, e))) return rc;
    return r->code.len ? put_refusal(q, &j, r, now_ms, e) : ERR_OK;
}

/* A row of the same id, or the refused one of the same line, takes the new body and starts over. */
static int replace_row(struct queue *q, int64_t job_id, const struct row *r, int64_t now_ms,
                       struct errmsg *e)
{
    sqlite3_stmt *st;
    struct delta *d;
    struct job j;
    int64_t tokens[3];
    int rc;

    if ((rc = get_job(q, job_id, &j, e))) return rc;
    if ((rc = run(q,
                  BOUND(q, ST_JOB_REPLACE, job_id, r->endpoint, r->line, hash_id(r->custom_id),
                        hash_body(r)),
                  e)))
        return rc;
    st = BOUND(q, ST_PROMPT_REPLACE, job_id);
    bind_text(st, 2, r->custom_id);
    bind_text(st, 3, r->body);
    if ((rc = run(q, st, e))) return rc;
    if ((rc = run(q, BOUND(q, ST_ATTEMPT_DROP, job_id), e))) return rc;
    if ((rc = delta_of(q, j.batch_id, &d, e))) return rc;
    rc = first(q, BOUND(q, ST_RESULT_DROP, job_id), 3, tokens, e);
    if (!rc) {
        d->prompt_tokens -= tokens[0];
        d->cached_tokens -= tokens[1];
        d->output_tokens -= tokens[2];
    } else if (rc != ERR_EMPTY) {
        return rc;
    }
    j.generation++;
    j.attempts = 0;
    if ((rc = move_job(q, &j, JOB_READY, 0, e))) return rc;
    if (!r->code.len) return ERR_OK;
    if ((rc = put_refusal(q, &j, r, now_ms, e))) return rc;
    return move_job(q, &j, JOB_FAILED, 0, e);
}

/* Was the row refused when it was submitted?  Then it never had a body that could run. */
static int was_refused(struct queue *q, int64_t job_id, bool *yes, struct errmsg *e)
{
    int64_t v[1];
    int rc = first(q, BOUND(q, ST_REFUSED, job_id), 1, v, e);

    *yes = !rc;
    return rc == ERR_EMPTY ? ERR_OK : rc;
}

int queue_put_row(struct queue *q, int64_t batch_id, const struct row *r, bool replace,
                  int64_t now_ms, enum put *put, struct errmsg *e)
{
    char line_id[32];
    int64_t v[2];
    bool refused = false;
    int rc = find_row(q, batch_id, r->custom_id, v, e);

    if (rc == ERR_EMPTY && !r->code.len) {
        /* Q4: a line that could not be read was keyed by its number; now that it can, it keeps its
         * place. */
        int n = snprintf(line_id, sizeof line_id, "line-%lld", (long long)r->line);

        rc = find_row(q, batch_id, (struct wire_text){line_id, (size_t)n}, v, e);
        if (!rc && (rc = was_refused(q, v[0], &refused, e))) return rc;
        if (!rc && !refused) rc = ERR_EMPTY; /* somebody's own id that looks like ours */
    } else if (!rc) {
        *put = PUT_SAME;
        if (v[1] == hash_body(r)) return ERR_OK;
        if ((rc = was_refused(q, v[0], &refused, e))) return rc;
        *put = PUT_DIFFERS;
        if (!refused && !replace) return ERR_OK;
    }
    if (rc == ERR_EMPTY) {
        *put = PUT_ADDED;
        return add_row(q, batch_id, r, now_ms, e);
    }
    if (rc) return rc;
    *put = refused && !r->code.len ? PUT_MENDED : PUT_REPLACED;
    return replace_row(q, v[0], r, now_ms, e);
}

int queue_finish(struct queue *q, const struct answer *a, int64_t now_ms, struct errmsg *e)
{
    struct delta *d;
    struct job j;
    sqlite3_stmt *st;
    int rc = get_job(q, a->job_id, &j, e);

    if (rc == ERR_EMPTY) return ERR_STALE;
    if (rc) return rc;
    if (j.generation != a->generation || !job_state_allows(j.state, JOB_DONE))
        return ERR_STALE; /* Q1 */
    st = BOUND(q, ST_RESULT_ADD, a->job_id, a->instance_id, j.attempts + 1);
    bind_text(st, 4, a->finish_reason);
    for (int i = 0; i < 9; i++)
        sqlite3_bind_int64(st, 5 + i,
                           (int64_t[]){a->prompt_tokens, a->cached_tokens, a->output_tokens,
                                       a->queue_ms, a->prefill_ms, a->decode_ms, now_ms, a->seed,
                                       a->batch_invariant}[i]);
    bind_text(st, 14, a->text);
    bind_text(st, 15, a->choices);
    if ((rc = run(q, st, e))) return rc;
    if ((rc = move_job(q, &j, JOB_DONE, 0, e))) return rc;
    if ((rc = delta_of(q, j.batch_id, &d, e))) return rc;
    d->prompt_tokens += a->prompt_tokens;
    d->cached_tokens += a->cached_tokens;
    d->output_tokens += a->output_tokens;
    d->body_bytes += a->body_bytes;
    d->done_ms = now_ms;
    return ERR_OK;
}

/* 1 s, 2 s, 4 s ... 60 s, each spread by a quarter either way, the same for the same job and
 * attempt. */
static int64_t backoff_ms(int64_t job_id, int64_t attempts)
{
    int64_t key[2] = {job_id, attempts}, ms = BACKOFF_FIRST_MS;

    for (int64_t i = 1; i < attempts && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > BACKOFF_MAX_MS) ms = BACKOFF_MAX_MS;
    return ms * 3 / 4 + (int64_t)(hash64(key, sizeof key) % (uint64_t)(ms / 2 + 1));
}

int queue_fail(struct queue *q, const struct failure *f, int64_t now_ms, enum job_state *to,
               int64_t *not_before_ms, struct errmsg *e)
{
    struct job j;
    int rc = get_job(q, f->job_id, &j, e);

    if (rc == ERR_EMPTY) return ERR_STALE;
    if (rc) return rc;
    if (j.generation != f->generation || j.state != JOB_READY) return ERR_STALE;
    if (f->counts) j.attempts++;
    if ((rc = add_attempt(q, &j, -1, f, now_ms, e))) return rc;
    *to = f->final || (f->counts && j.attempts >= j.max_attempts) ? JOB_FAILED : JOB_READY;
    *not_before_ms = *to == JOB_READY && f->counts ? now_ms + backoff_ms(j.job_id, j.attempts) : 0;
    return move_job(q, &j, *to, *not_before_ms, e);
}

int queue_retry(struct queue *q, const char *batch, const char *code, int64_t *n, struct errmsg *e)
{
    sqlite3_stmt *st = q->st[ST_BATCH_FIND], *find = q->st[ST_RETRY_FIND];
    int64_t batch_id;
    int rc, step;

    *n = 0;
    bind_words(st, 1, batch);
    if ((rc = first(q, st, 1, &batch_id, e)))
        return rc == ERR_EMPTY ? err_set(e, rc, "there is no batch '%s'", batch) : rc;
    sqlite3_bind_int64(find, 1, batch_id);
    bind_words(find, 2, code);
    /* Rows that leave state 2 leave the index the statement walks, so each step finds the next one.
     */
    while ((step = sqlite3_step(find)) == SQLITE_ROW) {
        struct job j;

        if ((rc = get_job(q, sqlite3_column_int64(find, 0), &j, e))) break;
        j.generation++;
        j.attempts = 0;
        if ((rc = move_job(q, &j, JOB_READY, 0, e))) break;
        (*n)++;
    }
    if (!rc && step != SQLITE_DONE) rc = db_error(q, e);
    sqlite3_reset(find);
    return rc;
}

int queue_due(struct queue *q, int64_t now_ms, int64_t *n, struct errmsg *e)
{
    int rc = run(q, BOUND(q, ST_DUE, now_ms), e);

    *n = sqlite3_changes64(q->db);
    return rc;
}

/* --- instances and events --------------------------------------------------------------------- */

int queue_put_instance(struct queue *q, const struct instance_row *i, int64_t now_ms,
                       int64_t *instance_id, struct errmsg *e)
{
    sqlite3_stmt *st = q->st[ST_INSTANCE_ADD];
    const char *const words[] = {i->uuid,  i->name,       i->host,  i->device,
                                 i->model, i->model_hash, i->dtype, i->kv_dtype};
    const int64_t numbers[] = {i->tp, i->threads, i->kv_tokens, i->max_model_len, i->max_num_seqs};

    for (int k = 0; k < 8; k++)
        bind_words(st, 1 + k, words[k]);
    for (int k = 0; k < 5; k++)
        sqlite3_bind_int64(st, 9 + k, numbers[k]);
    bind_words(st, 14, i->engine);
    sqlite3_bind_int64(st, 15, now_ms);
    return first(q, st, 1, instance_id, e);
}

int queue_instance_gone(struct queue *q, int64_t instance_id, int64_t now_ms, struct errmsg *e)
{
    return run(q, BOUND(q, ST_INSTANCE_GONE, instance_id, now_ms), e);
}

int queue_put_metric(struct queue *q, const struct metric_row *m, int64_t now_ms, struct errmsg *e)
{
    return run(q,
               BOUND(q, ST_METRIC_ADD, m->instance_id, now_ms, m->span_ms, m->rows,
                     m->prompt_tokens, m->output_tokens, m->steps, m->step_ms, m->running,
                     m->waiting, m->kv_blocks, m->kv_free),
               e);
}

int queue_put_event(struct queue *q, const char *level, const char *unit, const char *text,
                    int64_t now_ms, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_EVENT_ADD, now_ms);

    bind_words(st, 2, level);
    bind_words(st, 3, unit);
    bind_words(st, 4, text);
    return run(q, st, e);
}

int queue_put_hint(struct queue *q, const int64_t *jobs, const char *const *uuids, size_t n,
                   struct errmsg *e)
{
    int rc = run(q, q->st[ST_HINT_CLEAR], e);

    for (size_t i = 0; !rc && i < n; i++) {
        sqlite3_stmt *st = BOUND(q, ST_HINT_ADD, jobs[i]);

        bind_words(st, 2, uuids[i]);
        rc = run(q, st, e);
    }
    return rc;
}
