/* queue_record.c - what is noted beside the jobs: instances, profiles, events, the lease hint. */
#include "broker/queue_db.h"

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
    return queue_first(q, st, 1, instance_id, e);
}

int queue_instance_gone(struct queue *q, int64_t instance_id, int64_t now_ms, struct errmsg *e)
{
    return queue_run(q, BOUND(q, ST_INSTANCE_GONE, instance_id, now_ms), e);
}

/* Under 0 is not known. */
static void bind_known(sqlite3_stmt *st, int i, double v)
{
    if (v >= 0)
        sqlite3_bind_double(st, i, v);
    else
        sqlite3_bind_null(st, i);
}

int queue_put_profile(struct queue *q, const struct profile_row *p, int64_t now_ms,
                      struct errmsg *e)
{
    const struct perf *f = &p->perf;
    const double k[] = {f->k0, f->kw, f->k1, f->k2, f->k3, f->k4};
    sqlite3_stmt *st = BOUND(q, ST_PROFILE_ADD, p->instance_id, now_ms, p->kv_tokens);

    bind_words(st, 4, p->source);
    for (int i = 0; i < 6; i++)
        sqlite3_bind_double(st, 5 + i, k[i]);
    bind_known(st, 11, p->mape);
    bind_known(st, 12, p->held_out_mape);
    sqlite3_bind_int64(st, 13, p->samples);
    sqlite3_bind_int(st, 14, p->shared);
    sqlite3_bind_int(st, 15, p->drifted);
    return queue_run(q, st, e);
}

int queue_put_event(struct queue *q, const char *level, const char *unit, const char *text,
                    int64_t now_ms, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_EVENT_ADD, now_ms);

    bind_words(st, 2, level);
    bind_words(st, 3, unit);
    bind_words(st, 4, text);
    return queue_run(q, st, e);
}

int queue_put_hint(struct queue *q, const int64_t *jobs, const char *const *uuids, size_t n,
                   struct errmsg *e)
{
    int rc = queue_run(q, q->st[ST_HINT_CLEAR], e);

    for (size_t i = 0; !rc && i < n; i++) {
        sqlite3_stmt *st = BOUND(q, ST_HINT_ADD, jobs[i]);

        bind_words(st, 2, uuids[i]);
        rc = queue_run(q, st, e);
    }
    return rc;
}
