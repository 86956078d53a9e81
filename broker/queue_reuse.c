/* queue_reuse.c - a new row whose answer is known: same body, same model, the same tokens each
 * time. */
#include "broker/queue_db.h"

int queue_reuse(struct queue *q, struct job *j, const struct row *r, int64_t body_hash,
                int64_t now_ms, bool *done, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_REUSE_FIND, body_hash, r->endpoint, j->batch_id);
    int64_t from;
    int rc;

    *done = false;
    bind_text(st, 4, r->body); /* hashes can agree by chance */
    rc = queue_first(q, st, 1, &from, e);
    if (rc) return rc == ERR_EMPTY ? ERR_OK : rc;
    if ((rc = queue_run(q, BOUND(q, ST_REUSE_COPY, j->job_id, from, now_ms), e))) return rc;
    *done = true;
    return queue_move_job(q, j, JOB_DONE, 0, e);
}
