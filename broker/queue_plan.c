/* queue_plan.c - nodes and plans. */
#include "broker/queue_db.h"

int queue_put_node(struct queue *q, const struct node_row *n, int64_t now_ms, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_NODE_ADD, now_ms, n->cores, n->memory_bytes);

    bind_words(st, 4, n->name);
    bind_words(st, 5, n->host);
    bind_text(st, 6, n->devices);
    sqlite3_bind_double(st, 7, n->usd_per_hour);
    return queue_run(q, st, e);
}

int queue_node_gone(struct queue *q, const char *name, int64_t now_ms, struct errmsg *e)
{
    sqlite3_stmt *st = *name ? BOUND(q, ST_NODE_GONE, now_ms) : q->st[ST_NODES_GONE];

    if (*name) bind_words(st, 2, name);
    return queue_run(q, st, e);
}

int queue_end_plan(struct queue *q, struct errmsg *e)
{
    return queue_run(q, q->st[ST_PLAN_END], e);
}

int queue_put_plan(struct queue *q, const struct plan_row *p, int64_t now_ms, int64_t *plan_id,
                   struct errmsg *e)
{
    sqlite3_stmt *st;
    int rc = queue_end_plan(q, e);

    if (rc) return rc;
    st = BOUND(q, ST_PLAN_ADD, now_ms, p->rows);
    bind_text(st, 3, p->model);
    bind_text(st, 4, p->batch);
    bind_text(st, 5, p->detail);
    sqlite3_bind_double(st, 6, p->seconds);
    sqlite3_bind_double(st, 7, p->usd);
    return queue_first(q, st, 1, plan_id, e);
}

int queue_put_plan_instance(struct queue *q, int64_t plan_id, int64_t n,
                            const struct plan_instance_row *i, struct errmsg *e)
{
    sqlite3_stmt *st = BOUND(q, ST_PLAN_INSTANCE_ADD, plan_id, n, i->tp, i->kv_tokens);
    const struct wire_text words[] = {i->node, i->devices, i->dtype, i->kv_dtype, i->source};

    for (int k = 0; k < 5; k++)
        bind_text(st, 5 + k, words[k]);
    sqlite3_bind_double(st, 10, i->rows_per_s);
    sqlite3_bind_double(st, 11, i->mape);
    return queue_run(q, st, e);
}
