/* queue_settle.c - what becomes of a job: answers, failures, put-backs, crashes. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "broker/queue_db.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   60000
#define LONGEST_MS       (BACKOFF_MAX_MS * 5 / 4)
#define SUSPECT_GUILTY   3 /* suspected, and twice the end of a worker while alone (Q8) */

int queue_finish(struct queue *q, const struct answer *a, int64_t now_ms, struct errmsg *e)
{
    struct delta *d;
    struct job j;
    sqlite3_stmt *st;
    int rc = queue_get_job(q, a->job_id, &j, e);

    if (rc == ERR_EMPTY) return ERR_STALE;
    if (rc) return rc;
    if (job_token(&j) != a->generation || !job_state_allows(j.state, JOB_DONE))
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
    if (job_token(&j) != f->generation || j.state != JOB_READY) return ERR_STALE;
    if (f->attempt && f->attempt != j.attempts + 1) return ERR_STALE; /* counted already */
    if (f->counts) j.attempts++;
    if ((rc = queue_add_attempt(q, &j, -1, f, now_ms, e))) return rc;
    *to = f->final || (f->counts && j.attempts >= j.max_attempts) ? JOB_FAILED : JOB_READY;
    *not_before_ms = *to == JOB_READY && f->counts ? now_ms + backoff_ms(j.job_id, j.attempts) : 0;
    return queue_move_job(q, &j, *to, *not_before_ms, e);
}

int queue_put_back(struct queue *q, const struct failure *f, int64_t now_ms, struct errmsg *e)
{
    struct job j;
    int rc = queue_get_job(q, f->job_id, &j, e);

    if (rc == ERR_EMPTY) return ERR_STALE;
    if (rc) return rc;
    /* Of a settled job the last attempt is the one that settled it: nothing goes behind it. */
    if (j.state == JOB_DONE || j.state == JOB_FAILED) return ERR_STALE;
    return queue_add_attempt(q, &j, -1, f, now_ms, e);
}

int queue_suspect(struct queue *q, const struct failure *f, bool alone, int64_t now_ms,
                  enum job_state *to, struct errmsg *e)
{
    static const char POISON[] = "poison";
    struct failure end = *f;
    char why[256];
    struct job j;
    int rc = queue_get_job(q, f->job_id, &j, e);

    *to = JOB_READY;
    if (rc == ERR_EMPTY) return ERR_STALE;
    if (rc) return rc;
    if (job_token(&j) != f->generation || j.state != JOB_READY) return ERR_STALE;
    if (!j.suspect) j.suspect = 1;
    if (alone) j.suspect++;
    if (j.suspect >= SUSPECT_GUILTY) {
        *to = JOB_FAILED;
        end.code = (struct wire_text){POISON, sizeof POISON - 1};
        snprintf(why, sizeof why, "it ended its worker twice while it ran alone: %.*s",
                 (int)f->message.len, f->message.at);
        end.message = (struct wire_text){why, strlen(why)};
    }
    if ((rc = queue_add_attempt(q, &j, -1, &end, now_ms, e))) return rc;
    return queue_move_job(q, &j, *to, 0, e);
}

int queue_due(struct queue *q, int64_t now_ms, int64_t *n, struct errmsg *e)
{
    int rc = queue_run(q, BOUND(q, ST_DUE, now_ms, now_ms + LONGEST_MS), e);

    *n = sqlite3_changes64(q->db);
    return rc;
}
