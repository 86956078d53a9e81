/* queue_rows.c - what is submitted: batches and rows. */
#include <stdio.h>

#include "base/hash.h"
#include "broker/queue_db.h"

/* Made by the first batch that asks for it: whoever never does pays nothing for it. */
static const char REUSE_INDEX[] = "CREATE INDEX IF NOT EXISTS job_by_body ON job (body_hash)";

int queue_find_batch(struct queue *q, const char *name, int64_t *batch_id, struct errmsg *e)
{
    sqlite3_stmt *st = q->st[ST_BATCH_FIND];
    int rc;

    bind_words(st, 1, name);
    rc = queue_first(q, st, 1, batch_id, e);
    return rc == ERR_EMPTY ? err_set(e, rc, "there is no batch '%s'", name) : rc;
}

int queue_put_batch(struct queue *q, const struct batch_spec *b, int64_t now_ms, int64_t *batch_id,
                    bool *existed, struct errmsg *e)
{
    const int64_t v[] = {b->priority,    b->max_attempts, now_ms,       b->not_before_ms,
                         b->deadline_ms, b->window_from,  b->window_to, b->reuse};
    sqlite3_stmt *st = q->st[ST_BATCH_ADD];
    int rc = queue_find_batch(q, b->name, batch_id, e);

    *existed = !rc;
    if (rc != ERR_EMPTY) return rc;
    if (b->reuse && sqlite3_exec(q->db, REUSE_INDEX, NULL, NULL, NULL) != SQLITE_OK)
        return queue_error(q, e);
    bind_words(st, 1, b->name);
    bind_words(st, 2, b->model);
    for (int i = 0; i < 8; i++)
        sqlite3_bind_int64(st, 3 + i, v[i]);
    if ((rc = queue_run(q, st, e))) return rc;
    *batch_id = sqlite3_last_insert_rowid(q->db);
    return ERR_OK;
}

static void copy_words(sqlite3_stmt *st, int i, char out[256])
{
    snprintf(out, 256, "%s", (const char *)sqlite3_column_text(st, i));
}

int queue_get_batch(struct queue *q, int64_t batch_id, struct batch_spec *b, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_BATCH_SPEC, batch_id);
    int step = sqlite3_step(st), rc = ERR_OK;

    if (step == SQLITE_ROW) {
        *b = (struct batch_spec){.priority = sqlite3_column_int64(st, 2),
                                 .max_attempts = sqlite3_column_int64(st, 3),
                                 .not_before_ms = sqlite3_column_int64(st, 4),
                                 .deadline_ms = sqlite3_column_int64(st, 5),
                                 .window_from = sqlite3_column_int64(st, 6),
                                 .window_to = sqlite3_column_int64(st, 7),
                                 .reuse = sqlite3_column_int(st, 8)};
        copy_words(st, 0, b->name);
        copy_words(st, 1, b->model);
    } else if (step == SQLITE_DONE) {
        rc = err_set(e, ERR_EMPTY, "there is no batch %lld", (long long)batch_id);
    } else {
        rc = queue_error(q, e);
    }
    sqlite3_reset(st);
    return rc;
}

int queue_has_batch(struct queue *q, int64_t batch_id, struct errmsg *e)
{
    struct delta *d;
    int rc = queue_delta(q, batch_id, &d, e);

    if (rc) return rc;
    if (d->deleting) return err_set(e, ERR_STALE, "the batch is being deleted");
    if (d->state == JOB_CANCELLED)
        return err_set(
            e, ERR_STALE,
            "the batch is cancelled; retry it with code batch_cancelled to go on with it");
    return ERR_OK;
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

static int find_hashed(struct queue *q, int64_t batch_id, struct wire_text id, int64_t id_hash,
                       int64_t v[2], struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_JOB_BY_ID, batch_id, id_hash);

    bind_text(st, 3, id);
    return queue_first(q, st, 2, v, e);
}

int queue_find_row(struct queue *q, int64_t batch_id, struct wire_text id, int64_t v[2],
                   struct errmsg *e)
{
    return find_hashed(q, batch_id, id, hash_id(id), v, e);
}

/* The failure of a row that was refused at submit: attempt 0. */
static int put_refusal(struct queue *q, const struct job *j, const struct row *r, int64_t now_ms,
                       struct errmsg *e)
{
    struct failure f = {.job_id = j->job_id,
                        .generation = j->generation,
                        .final = true,
                        .code = r->code,
                        .message = r->message,
                        .param = r->param};

    return queue_add_attempt(q, j, 0, &f, now_ms, e);
}

static int64_t priority_of(const struct row *r, const struct delta *d)
{
    return r->has_priority ? r->priority : d->priority;
}

static int add_row(struct queue *q, struct delta *d, const struct row *r, int64_t id_hash,
                   int64_t body_hash, int64_t now_ms, enum put *put, struct errmsg *e)
{
    struct job j = {.batch_id = d->batch_id, .state = r->code.len ? JOB_FAILED : JOB_READY};
    sqlite3_stmt *st;
    bool done = false;
    int rc;

    if ((rc = queue_run(q,
                        BOUND(q, ST_JOB_ADD, d->batch_id, j.state, priority_of(r, d), r->endpoint,
                              r->line, id_hash, body_hash, now_ms, r->prefix_group),
                        e)))
        return rc;
    j.job_id = sqlite3_last_insert_rowid(q->db);
    d->n[j.state]++;
    st = BOUND(q, ST_PROMPT_ADD, j.job_id);
    bind_text(st, 2, r->custom_id);
    bind_text(st, 3, r->body);
    if ((rc = queue_run(q, st, e))) return rc;
    if (r->code.len) return put_refusal(q, &j, r, now_ms, e);
    if (!d->reuse || !r->fixed) return ERR_OK;
    rc = queue_reuse(q, &j, r, body_hash, now_ms, &done, e);
    if (!rc && done) *put = PUT_REUSED;
    return rc;
}

int queue_drop_result(struct queue *q, int64_t job_id, struct delta *d, struct errmsg *e)
{
    int64_t v[4];
    int rc = queue_first(q, BOUND(q, ST_RESULT_DROP, job_id), 4, v, e);

    if (rc) return rc == ERR_EMPTY ? ERR_OK : rc;
    if (v[3]) return ERR_OK; /* an answer that was used again was never counted */
    d->prompt_tokens -= v[0];
    d->cached_tokens -= v[1];
    d->output_tokens -= v[2];
    return ERR_OK;
}

/* A row of the same id, or the refused one of the same line, takes the new body and starts over. */
static int replace_row(struct queue *q, int64_t job_id, const struct row *r, int64_t id_hash,
                       int64_t body_hash, int64_t now_ms, struct errmsg *e)
{
    sqlite3_stmt *st;
    struct delta *d;
    struct job j;
    int rc;

    if ((rc = queue_get_job(q, job_id, &j, e))) return rc;
    if ((rc = queue_delta(q, j.batch_id, &d, e))) return rc;
    if ((rc = queue_run(q,
                        BOUND(q, ST_JOB_REPLACE, job_id, r->endpoint, r->line, id_hash, body_hash,
                              priority_of(r, d), r->prefix_group),
                        e)))
        return rc;
    st = BOUND(q, ST_PROMPT_REPLACE, job_id);
    bind_text(st, 2, r->custom_id);
    bind_text(st, 3, r->body);
    if ((rc = queue_run(q, st, e))) return rc;
    if ((rc = queue_run(q, BOUND(q, ST_ATTEMPT_DROP, job_id), e))) return rc;
    if ((rc = queue_drop_result(q, job_id, d, e))) return rc;
    j.generation++;
    j.attempts = j.suspect = 0;
    if ((rc = queue_move_job(q, &j, JOB_READY, 0, e))) return rc;
    if (!r->code.len) return ERR_OK;
    if ((rc = put_refusal(q, &j, r, now_ms, e))) return rc;
    return queue_move_job(q, &j, JOB_FAILED, 0, e);
}

int queue_was_refused(struct queue *q, int64_t job_id, bool *yes, struct errmsg *e)
{
    int64_t v[1];
    int rc = queue_first(q, BOUND(q, ST_REFUSED, job_id), 1, v, e);

    *yes = !rc;
    return rc == ERR_EMPTY ? ERR_OK : rc;
}

/* Q4: a line that could not be read was keyed by its number; now that it can, it keeps its place.
 * ERR_EMPTY: this is no such line. */
static int find_refused_line(struct queue *q, const struct delta *d, const struct row *r,
                             int64_t v[2], struct errmsg *e)
{
    char line_id[32];
    bool refused = false;
    int n, rc;

    if (r->code.len || d->n_failed + d->n[JOB_FAILED] <= 0) return ERR_EMPTY;
    n = snprintf(line_id, sizeof line_id, "line-%lld", (long long)r->line);
    rc = queue_find_row(q, d->batch_id, (struct wire_text){line_id, (size_t)n}, v, e);
    if (!rc) rc = queue_was_refused(q, v[0], &refused, e);
    if (!rc && !refused) rc = ERR_EMPTY; /* somebody's own id that looks like ours */
    return rc;
}

int queue_put_row(struct queue *q, int64_t batch_id, const struct row *r, bool replace,
                  int64_t now_ms, enum put *put, struct errmsg *e)
{
    const int64_t id_hash = hash_id(r->custom_id), body_hash = hash_body(r);
    struct delta *d;
    bool refused = false;
    int64_t v[2];
    int rc;

    if ((rc = queue_delta(q, batch_id, &d, e))) return rc;
    rc = find_hashed(q, batch_id, r->custom_id, id_hash, v, e);
    if (rc == ERR_EMPTY) {
        rc = find_refused_line(q, d, r, v, e);
        refused = !rc;
    } else if (!rc) {
        *put = PUT_SAME;
        if (v[1] == body_hash) return ERR_OK;
        if ((rc = queue_was_refused(q, v[0], &refused, e))) return rc;
        *put = PUT_DIFFERS;
        if (!refused && !replace) return ERR_OK;
    }
    if (rc == ERR_EMPTY) {
        *put = PUT_ADDED;
        return add_row(q, d, r, id_hash, body_hash, now_ms, put, e);
    }
    if (rc) return rc;
    *put = refused && !r->code.len ? PUT_MENDED : PUT_REPLACED;
    return replace_row(q, v[0], r, id_hash, body_hash, now_ms, e);
}
