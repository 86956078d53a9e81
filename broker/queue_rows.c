/* queue_rows.c - what is submitted: batches and rows. */
#include <stdio.h>

#include "base/hash.h"
#include "broker/queue_db.h"

int queue_put_batch(struct queue *q, const struct batch_spec *b, int64_t now_ms, int64_t *batch_id,
                    bool *existed, struct errmsg *e)
{
    sqlite3_stmt *st = q->st[ST_BATCH_FIND];
    int rc;

    bind_words(st, 1, b->name);
    rc = queue_first(q, st, 1, batch_id, e);
    *existed = !rc;
    if (rc != ERR_EMPTY) return rc;
    st = q->st[ST_BATCH_ADD];
    bind_words(st, 1, b->name);
    bind_words(st, 2, b->model);
    sqlite3_bind_int64(st, 3, b->priority);
    sqlite3_bind_int64(st, 4, b->max_attempts);
    sqlite3_bind_int64(st, 5, now_ms);
    if ((rc = queue_run(q, st, e))) return rc;
    *batch_id = sqlite3_last_insert_rowid(q->db);
    return ERR_OK;
}

int queue_has_batch(struct queue *q, int64_t batch_id, struct errmsg *e)
{
    int64_t v[1];
    int rc = queue_first(q, BOUND(q, ST_BATCH_HAS, batch_id), 1, v, e);

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
    return queue_first(q, st, 2, v, e);
}

/* The failure of a row that was refused at submit: attempt 0. */
static int put_refusal(struct queue *q, const struct job *j, const struct row *r, int64_t now_ms,
                       struct errmsg *e)
{
    struct failure f = {j->job_id, j->generation, 0, false, true, r->code, r->message, r->param};

    return queue_add_attempt(q, j, 0, &f, now_ms, e);
}

static int add_row(struct queue *q, int64_t batch_id, const struct row *r, int64_t now_ms,
                   struct errmsg *e)
{
    enum job_state state = r->code.len ? JOB_FAILED : JOB_READY;
    struct job j = {.batch_id = batch_id, .state = state};
    struct delta *d;
    sqlite3_stmt *st;
    int rc;

    if ((rc = queue_delta(q, batch_id, &d, e))) return rc;
    if ((rc = queue_run(q,
                        BOUND(q, ST_JOB_ADD, batch_id, state, r->endpoint, r->line,
                              hash_id(r->custom_id), hash_body(r), now_ms),
                        e)))
        return rc;
    j.job_id = sqlite3_last_insert_rowid(q->db);
    d->n[state]++;
    st = BOUND(q, ST_PROMPT_ADD, j.job_id);
    bind_text(st, 2, r->custom_id);
    bind_text(st, 3, r->body);
    if ((rc = queue_run(q, st, e))) return rc;
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

    if ((rc = queue_get_job(q, job_id, &j, e))) return rc;
    if ((rc = queue_run(q,
                        BOUND(q, ST_JOB_REPLACE, job_id, r->endpoint, r->line,
                              hash_id(r->custom_id), hash_body(r)),
                        e)))
        return rc;
    st = BOUND(q, ST_PROMPT_REPLACE, job_id);
    bind_text(st, 2, r->custom_id);
    bind_text(st, 3, r->body);
    if ((rc = queue_run(q, st, e))) return rc;
    if ((rc = queue_run(q, BOUND(q, ST_ATTEMPT_DROP, job_id), e))) return rc;
    if ((rc = queue_delta(q, j.batch_id, &d, e))) return rc;
    rc = queue_first(q, BOUND(q, ST_RESULT_DROP, job_id), 3, tokens, e);
    if (!rc) {
        d->prompt_tokens -= tokens[0];
        d->cached_tokens -= tokens[1];
        d->output_tokens -= tokens[2];
    } else if (rc != ERR_EMPTY) {
        return rc;
    }
    j.generation++;
    j.attempts = 0;
    if ((rc = queue_move_job(q, &j, JOB_READY, 0, e))) return rc;
    if (!r->code.len) return ERR_OK;
    if ((rc = put_refusal(q, &j, r, now_ms, e))) return rc;
    return queue_move_job(q, &j, JOB_FAILED, 0, e);
}

/* Was the row refused when it was submitted?  Then it never had a body that could run. */
static int was_refused(struct queue *q, int64_t job_id, bool *yes, struct errmsg *e)
{
    int64_t v[1];
    int rc = queue_first(q, BOUND(q, ST_REFUSED, job_id), 1, v, e);

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
