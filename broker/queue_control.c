/* queue_control.c - what a person or a deadline does to batches and jobs.
 *
 * Pausing, resuming or cancelling a batch changes one row; its jobs follow by their batch's state
 * and generation.  What must touch every row (retry, delete, a passed deadline) goes in pieces, so
 * that no group grows large.
 */
#include <string.h>

#include "broker/queue_db.h"

const char *const VERB_NAMES[VERB_N] = {"pause", "resume", "cancel", "retry", "delete"};

static const char CANCELLED_CODE[] = "batch_cancelled";
static const char EXPIRED_CODE[] = "batch_expired";
static const char EXPIRED_TEXT[] =
    "This request could not be executed before the completion window expired.";

int verb_parse(enum verb *out, const char *name)
{
    for (int i = 0; i < VERB_N; i++) {
        if (strcmp(name, VERB_NAMES[i])) continue;
        *out = (enum verb)i;
        return ERR_OK;
    }
    return ERR_ARG;
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* Up to CONTROL_PIECE job ids of a batch, behind `after` where the statement has an order. */
static int find_jobs(struct queue *q, enum statement which, int64_t batch_id, int64_t after,
                     const char *code, int64_t *ids, int *n, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, which, batch_id, after, CONTROL_PIECE);
    int step, rc = ERR_OK;

    if (which == ST_FAILED_FIND) bind_words(st, 4, code);
    *n = 0;
    while ((step = sqlite3_step(st)) == SQLITE_ROW)
        ids[(*n)++] = sqlite3_column_int64(st, 0);
    if (step != SQLITE_DONE) rc = queue_error(q, e);
    sqlite3_reset(st);
    return rc;
}

/* A job starts over: what has been computed or tried for it counts no more. */
static int start_over(struct queue *q, int64_t job_id, struct errmsg *e)
{
    struct job j;
    int rc = queue_get_job(q, job_id, &j, e);

    if (rc) return rc;
    j.generation++;
    j.attempts = j.suspect = 0;
    return queue_move_job(q, &j, JOB_READY, 0, e);
}

static int drop_job(struct queue *q, int64_t job_id, struct errmsg *e)
{
    static const enum statement DROPS[] = {ST_ATTEMPTS_DROP, ST_PROMPT_DROP, ST_JOB_DROP};
    struct delta *d;
    struct job j;
    int rc = queue_get_job(q, job_id, &j, e);

    if (rc || (rc = queue_delta(q, j.batch_id, &d, e))) return rc;
    if ((rc = queue_drop_result(q, job_id, d, e))) return rc;
    d->n[j.state]--;
    for (int i = 0; !rc && i < 3; i++)
        rc = queue_run(q, BOUND(q, DROPS[i], job_id), e);
    return rc;
}

/* --- a batch ---------------------------------------------------------------------------------- */

/* Changes the batch's own row; *rows: its jobs that were still to be done. */
static int set_batch(struct queue *q, int64_t batch_id, enum job_state state, int bump,
                     bool deleting, int64_t *rows, struct errmsg *e)
{
    int64_t v[2];
    int rc = queue_flush(q, e);

    if (!rc)
        rc = queue_first(q, BOUND(q, ST_BATCH_STATE, batch_id, state, bump, deleting), 2, v, e);
    if (!rc && rows) *rows = v[0] + (state == JOB_CANCELLED ? v[1] : 0);
    return rc;
}

static int pause_batch(struct queue *q, struct control *c, const struct delta *d, struct errmsg *e)
{
    enum job_state to = c->verb == VERB_PAUSE ? JOB_PAUSED : JOB_READY;

    if (d->state == JOB_CANCELLED)
        return err_set(e, ERR_STALE,
                       "batch '%s' is cancelled; retry it with code %s to go on with it", c->batch,
                       CANCELLED_CODE);
    if (d->state == to) return ERR_OK;
    return set_batch(q, c->batch_id, to, 0, false, &c->rows, e);
}

static int cancel_batch(struct queue *q, struct control *c, const struct delta *d, struct errmsg *e)
{
    if (d->state == JOB_CANCELLED) return ERR_OK;
    return set_batch(q, c->batch_id, JOB_CANCELLED, 1, false, &c->rows, e);
}

/* Cancelled rows: the batch's state, and those that were cancelled one by one. */
static int revive_batch(struct queue *q, struct control *c, const struct delta *d, struct errmsg *e)
{
    int64_t ids[CONTROL_PIECE];
    int n, rc = ERR_OK;

    if (d->state == JOB_CANCELLED && c->cursor) return ERR_OK; /* cancelled again meanwhile */
    if (d->state == JOB_CANCELLED) rc = set_batch(q, c->batch_id, JOB_READY, 0, false, &c->rows, e);
    if (!rc) rc = find_jobs(q, ST_CANCELLED_FIND, c->batch_id, 0, "", ids, &n, e);
    for (int i = 0; !rc && i < n; i++)
        rc = start_over(q, ids[i], e);
    if (rc) return rc;
    c->rows += n;
    c->cursor = 1; /* no first piece any more */
    c->more = n == CONTROL_PIECE;
    return ERR_OK;
}

static int retry_batch(struct queue *q, struct control *c, const struct delta *d, int64_t now_ms,
                       struct errmsg *e)
{
    int64_t ids[CONTROL_PIECE];
    int n, rc;

    if ((rc = queue_run(q, BOUND(q, ST_BATCH_NO_DEADLINE, c->batch_id, now_ms), e))) return rc;
    if (!strcmp(c->code, CANCELLED_CODE)) return revive_batch(q, c, d, e);
    if (d->state == JOB_CANCELLED)
        return err_set(e, ERR_STALE,
                       "batch '%s' is cancelled; retry it with code %s to go on with it", c->batch,
                       CANCELLED_CODE);
    rc = find_jobs(q, ST_FAILED_FIND, c->batch_id, c->cursor, c->code, ids, &n, e);
    for (int i = 0; !rc && i < n; i++)
        rc = start_over(q, ids[i], e);
    if (rc) return rc;
    if (n) c->cursor = ids[n - 1];
    c->rows += n;
    c->more = n == CONTROL_PIECE;
    return ERR_OK;
}

static int delete_batch(struct queue *q, struct control *c, const struct delta *d, struct errmsg *e)
{
    int64_t ids[CONTROL_PIECE];
    int n, rc = ERR_OK;

    /* On disk first: a broker that ends in between goes on with it. */
    if (!d->deleting) rc = set_batch(q, c->batch_id, JOB_CANCELLED, 1, true, NULL, e);
    if (!rc) rc = find_jobs(q, ST_ANY_FIND, c->batch_id, 0, "", ids, &n, e);
    for (int i = 0; !rc && i < n; i++)
        rc = drop_job(q, ids[i], e);
    if (rc) return rc;
    c->rows += n;
    c->more = n == CONTROL_PIECE;
    if ((rc = queue_flush(q, e))) return rc;
    if (!c->more && (rc = queue_run(q, BOUND(q, ST_BATCH_DROP, c->batch_id), e))) return rc;
    if (sqlite3_exec(q->db, "PRAGMA incremental_vacuum(1000)", NULL, NULL, NULL) != SQLITE_OK)
        return queue_error(q, e);
    return ERR_OK;
}

/* --- one job ---------------------------------------------------------------------------------- */

static int control_job(struct queue *q, struct control *c, struct errmsg *e)
{
    static const enum job_state TO[VERB_N] = {JOB_PAUSED, JOB_READY, JOB_CANCELLED, JOB_READY,
                                              JOB_READY};
    static const unsigned FROM[VERB_N] = {1u << JOB_READY, 1u << JOB_PAUSED,
                                          1u << JOB_READY | 1u << JOB_PAUSED,
                                          1u << JOB_FAILED | 1u << JOB_CANCELLED, ~0u};
    bool refused = false;
    struct job j;
    int64_t v[2];
    int rc = queue_find_row(q, c->batch_id, c->custom_id, v, e);

    if (rc == ERR_EMPTY)
        return err_set(e, rc, "batch '%s' has no row '%.*s'", c->batch, (int)c->custom_id.len,
                       c->custom_id.at);
    if (rc || (rc = queue_get_job(q, v[0], &j, e))) return rc;
    c->job_id = j.job_id;
    if (j.state == TO[c->verb] && c->verb != VERB_DELETE) return ERR_OK;
    if (!(FROM[c->verb] & 1u << j.state))
        return err_set(e, ERR_STALE, "row '%.*s' of batch '%s' is %s", (int)c->custom_id.len,
                       c->custom_id.at, c->batch, job_state_name(j.state));
    c->rows = 1;
    if (c->verb == VERB_DELETE) return drop_job(q, j.job_id, e);
    if (c->verb == VERB_RETRY) {
        if ((rc = queue_was_refused(q, j.job_id, &refused, e))) return rc;
        if (refused)
            return err_set(e, ERR_STALE,
                           "row '%.*s' was refused for what it says: submit it mended",
                           (int)c->custom_id.len, c->custom_id.at);
        return start_over(q, j.job_id, e);
    }
    if (c->verb == VERB_CANCEL) j.generation++;
    return queue_move_job(q, &j, TO[c->verb], 0, e);
}

int queue_control(struct queue *q, struct control *c, int64_t now_ms, struct errmsg *e)
{
    struct delta *d;
    int rc = ERR_OK;

    if (!c->more && (rc = queue_find_batch(q, c->batch, &c->batch_id, e))) return rc;
    c->more = false;
    if ((rc = queue_delta(q, c->batch_id, &d, e))) return rc;
    if (d->deleting && c->verb != VERB_DELETE)
        return err_set(e, ERR_STALE, "batch '%s' is being deleted", c->batch);
    if (c->custom_id.len) return control_job(q, c, e);
    switch (c->verb) {
    case VERB_PAUSE:
    case VERB_RESUME: return pause_batch(q, c, d, e);
    case VERB_CANCEL: return cancel_batch(q, c, d, e);
    case VERB_RETRY: return retry_batch(q, c, d, now_ms, e);
    default: return delete_batch(q, c, d, e);
    }
}

/* --- a deadline ------------------------------------------------------------------------------- */

int queue_expire(struct queue *q, int64_t batch_id, int64_t now_ms, int64_t *n, struct errmsg *e)
{
    struct failure f = {.final = true,
                        .code = {EXPIRED_CODE, sizeof EXPIRED_CODE - 1},
                        .message = {EXPIRED_TEXT, sizeof EXPIRED_TEXT - 1}};
    int64_t ids[CONTROL_PIECE];
    struct batch_spec spec;
    int found, rc;

    *n = 0;
    if ((rc = queue_get_batch(q, batch_id, &spec, e))) return rc == ERR_EMPTY ? ERR_OK : rc;
    if (!spec.deadline_ms || spec.deadline_ms > now_ms) return ERR_OK; /* a retry has lifted it */
    rc = find_jobs(q, ST_READY_FIND, batch_id, 0, "", ids, &found, e);
    if (!rc && !found) rc = find_jobs(q, ST_REST_FIND, batch_id, 0, "", ids, &found, e);
    for (int i = 0; !rc && i < found; i++) {
        struct job j;

        if ((rc = queue_get_job(q, ids[i], &j, e))) break;
        /* A paused row fails like the others: through ready, the only way there. */
        if (j.state == JOB_PAUSED && (rc = queue_move_job(q, &j, JOB_READY, 0, e))) break;
        if ((rc = queue_add_attempt(q, &j, -1, &f, now_ms, e))) break;
        rc = queue_move_job(q, &j, JOB_FAILED, 0, e);
    }
    if (!rc) *n = found;
    return rc;
}
