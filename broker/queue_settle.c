/* queue_settle.c - what becomes of a job: answers, failures, retries. */
#include "base/hash.h"
#include "broker/queue_db.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   60000

int queue_finish(struct queue *q, const struct answer *a, int64_t now_ms, struct errmsg *e)
{
    struct delta *d;
    struct job j;
    sqlite3_stmt *st;
    int rc = queue_get_job(q, a->job_id, &j, e);

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
    if ((rc = queue_run(q, st, e))) return rc;
    if ((rc = queue_move_job(q, &j, JOB_DONE, 0, e))) return rc;
    if ((rc = queue_delta(q, j.batch_id, &d, e))) return rc;
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
    int rc = queue_get_job(q, f->job_id, &j, e);

    if (rc == ERR_EMPTY) return ERR_STALE;
    if (rc) return rc;
    if (j.generation != f->generation || j.state != JOB_READY) return ERR_STALE;
    if (f->counts) j.attempts++;
    if ((rc = queue_add_attempt(q, &j, -1, f, now_ms, e))) return rc;
    *to = f->final || (f->counts && j.attempts >= j.max_attempts) ? JOB_FAILED : JOB_READY;
    *not_before_ms = *to == JOB_READY && f->counts ? now_ms + backoff_ms(j.job_id, j.attempts) : 0;
    return queue_move_job(q, &j, *to, *not_before_ms, e);
}

int queue_retry(struct queue *q, const char *batch, const char *code, int64_t *n, struct errmsg *e)
{
    sqlite3_stmt *st = q->st[ST_BATCH_FIND], *find = q->st[ST_RETRY_FIND];
    int64_t batch_id;
    int rc, step;

    *n = 0;
    bind_words(st, 1, batch);
    if ((rc = queue_first(q, st, 1, &batch_id, e)))
        return rc == ERR_EMPTY ? err_set(e, rc, "there is no batch '%s'", batch) : rc;
    sqlite3_bind_int64(find, 1, batch_id);
    bind_words(find, 2, code);
    /* Rows that leave state 2 leave the index the statement walks, so each step finds the next one.
     */
    while ((step = sqlite3_step(find)) == SQLITE_ROW) {
        struct job j;

        if ((rc = queue_get_job(q, sqlite3_column_int64(find, 0), &j, e))) break;
        j.generation++;
        j.attempts = 0;
        if ((rc = queue_move_job(q, &j, JOB_READY, 0, e))) break;
        (*n)++;
    }
    if (!rc && step != SQLITE_DONE) rc = queue_error(q, e);
    sqlite3_reset(find);
    return rc;
}

int queue_due(struct queue *q, int64_t now_ms, int64_t *n, struct errmsg *e)
{
    int rc = queue_run(q, BOUND(q, ST_DUE, now_ms), e);

    *n = sqlite3_changes64(q->db);
    return rc;
}
