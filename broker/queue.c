/* queue.c - the queue's connection, its groups, and the one way in which a job moves. */
#include "broker/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "broker/queue_db.h"

#define CHECKPOINT_PAGES 1000 /* 8 MB of log */
#define RESTART_PAGES    3000 /* from here on the readers are waited for, so that it starts over */
#define RESTART_MS       100  /* for so long */
#define NEAR_PAGES       5000 /* 40 MB: here for so long */
#define NEAR_MS          2000

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
    const char *uuid;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(q->db,
                           "SELECT (SELECT value FROM meta WHERE key='db_uuid'),"
                           "(SELECT value FROM meta WHERE key='epoch')",
                           -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW || sqlite3_column_type(st, 0) != SQLITE_TEXT) {
        rc = err_set(e, ERR_FORMAT, "%s: the meta table has no db_uuid", q->path);
    } else if (!(uuid = (const char *)sqlite3_column_text(st, 0))) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    } else if (q->uuid[0] && strcmp(q->uuid, uuid)) {
        /* Reopened after an error: what waits to be written belongs to the file of before. */
        rc = err_set(e, ERR_FORMAT, "%s: another database has taken the file's place", q->path);
    } else {
        snprintf(q->uuid, sizeof q->uuid, "%s", uuid);
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
        if (sqlite3_prepare_v3(q->db, QUEUE_SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &q->st[i],
                               NULL) != SQLITE_OK)
            return queue_error(q, e);
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
    return sqlite3_exec(q->db, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : queue_error(q, e);
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

int queue_flush(struct queue *q, struct errmsg *e)
{
    for (int i = 0; i < q->n_deltas; i++) {
        struct delta *d = &q->deltas[i];
        int rc = queue_run(q,
                           BOUND(q, ST_BATCH_COUNT, d->batch_id, d->n[JOB_READY], d->n[JOB_DONE],
                                 d->n[JOB_FAILED], d->n[JOB_PAUSED], d->n[JOB_CANCELLED],
                                 d->prompt_tokens, d->cached_tokens, d->output_tokens,
                                 d->body_bytes, d->done_ms),
                           e);

        if (rc) return rc;
    }
    q->n_deltas = 0;
    return ERR_OK;
}

int queue_delta(struct queue *q, int64_t batch_id, struct delta **out, struct errmsg *e)
{
    int64_t v[7];
    int rc;

    for (int i = 0; i < q->n_deltas; i++) {
        if (q->deltas[i].batch_id == batch_id) {
            *out = &q->deltas[i];
            return ERR_OK;
        }
    }
    if (q->n_deltas == QUEUE_MAX_DELTAS && (rc = queue_flush(q, e))) return rc;
    rc = queue_first(q, BOUND(q, ST_BATCH_GET, batch_id), 7, v, e);
    if (rc == ERR_EMPTY) return err_set(e, rc, "there is no batch %lld", (long long)batch_id);
    if (rc) return rc;
    *out = &q->deltas[q->n_deltas++];
    **out = (struct delta){.batch_id = batch_id,
                           .max_attempts = v[0],
                           .generation = v[1],
                           .priority = v[2],
                           .n_failed = v[3],
                           .state = (enum job_state)v[4],
                           .reuse = v[5],
                           .deleting = v[6]};
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
    return queue_run(q, q->st[ST_BEGIN], e);
}

int queue_commit(struct queue *q, struct errmsg *e)
{
    int rc;

    /* After some errors SQLite rolls back by itself; what came then would stand alone. */
    if (sqlite3_get_autocommit(q->db))
        return err_set(e, ERR_DB, "queue: the group was rolled back");
    if ((rc = queue_flush(q, e))) return rc;
    if (fault_here("commit"))
        return err_set(e, ERR_DB, "queue: commit failed by a fault that was asked for");
    rc = queue_run(q, q->st[ST_COMMIT], e);
    if (!rc) {
        fault_here("committed");
        return ERR_OK;
    }
    /* Q2: after a failed fsync the pages in the cache cannot be trusted to be on disk: start over
     * from the file. */
    if (rc != ERR_FULL) disconnect_db(q);
    return rc;
}

void queue_rollback(struct queue *q)
{
    q->n_deltas = 0;
    memset(q->thin, 0, sizeof q->thin); /* what was thinned in this group is back */
    if (q->db) sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Q5.  Readers that come one after the other would keep the log from ever starting over: they are
 * held off for a moment, not refused; one that stays is left alone until the log has grown again.
 */
static void restart_log(struct queue *q)
{
    /* Near the limit (Q5) longer than any of our own readers reads; once, if somebody's stays. */
    const bool is_near = q->wal_pages >= NEAR_PAGES && !q->has_old_reader;

    sqlite3_busy_timeout(q->db, is_near ? NEAR_MS : RESTART_MS);
    if (sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL) ==
        SQLITE_OK) {
        q->wal_pages = q->seen_pages = 0;
        q->has_old_reader = false;
    } else if (is_near) {
        q->has_old_reader = true;
    }
    sqlite3_busy_timeout(q->db, DBFILE_BUSY_MS);
}

void queue_checkpoint(struct queue *q)
{
    if (q->wal_pages < q->seen_pages) q->seen_pages = 0; /* it started over */
    if (!q->db || q->wal_pages - q->seen_pages < CHECKPOINT_PAGES) return;
    sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    q->seen_pages = q->wal_pages;
    if (q->wal_pages >= RESTART_PAGES) restart_log(q);
}

int64_t queue_log_bytes(const struct queue *q)
{
    return (int64_t)q->wal_pages * DBFILE_PAGE_BYTES;
}

/* --- jobs ------------------------------------------------------------------------------------- */

int queue_get_job(struct queue *q, int64_t job_id, struct job *j, struct errmsg *e)
{
    struct delta *d;
    int64_t v[5];
    int rc = queue_first(q, BOUND(q, ST_JOB_GET, job_id), 5, v, e);

    if (rc || (rc = queue_delta(q, v[0], &d, e))) return rc;
    if (v[1] < 0 || v[1] >= JOB_NSTATES)
        return err_set(e, ERR_FORMAT, "queue: damaged: job %lld is in state %lld",
                       (long long)job_id, (long long)v[1]);
    *j = (struct job){.job_id = job_id,
                      .batch_id = v[0],
                      .state = (enum job_state)v[1],
                      .generation = v[2],
                      .attempts = v[3],
                      .suspect = v[4],
                      .max_attempts = d->max_attempts,
                      .batch_generation = d->generation};
    return ERR_OK;
}

/* The one function that moves a job; every counter follows from it. */
int queue_move_job(struct queue *q, struct job *j, enum job_state to, int64_t not_before_ms,
                   struct errmsg *e)
{
    struct delta *d;
    int rc;

    if (!job_state_allows(j->state, to)) /* its callers asked: only a damaged index leads here */
        return err_set(e, ERR_FORMAT, "queue: damaged: job %lld cannot go from %s to %s",
                       (long long)j->job_id, job_state_name(j->state), job_state_name(to));
    if ((rc = queue_delta(q, j->batch_id, &d, e))) return rc;
    d->n[j->state]--;
    d->n[to]++;
    log_debug("queue", "%s -> %s job=%lld attempt=%lld", job_state_name(j->state),
              job_state_name(to), (long long)j->job_id, (long long)j->attempts);
    j->state = to;
    return queue_run(
        q,
        BOUND(q, ST_JOB_MOVE, j->job_id, to, j->generation, j->attempts, not_before_ms, j->suspect),
        e);
}

int queue_add_attempt(struct queue *q, const struct job *j, int64_t n, const struct failure *f,
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
    if (f->leased_ms)
        sqlite3_bind_int64(st, 10, f->leased_ms);
    else
        sqlite3_bind_null(st, 10);
    return queue_run(q, st, e);
}
