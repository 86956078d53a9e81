/* serve_plan.c - node and plan: who offers devices, and what each is to run. */
#include <string.h>

#include "base/log.h"
#include "broker/apply.h"
#include "broker/serve.h"

/* Its part of the active plan. */
static void answer_node(struct server *s, const struct wire_msg *to, const char *name)
{
    const struct nodes *t = &s->nodes;
    struct wire_out o;
    size_t n = 0;

    for (size_t i = 0; i < t->n_instances; i++)
        n += !strcmp(t->instances[i].node, name);
    wire_begin(&o, 4);
    wire_put_int(&o, "plan", t->plan_id);
    wire_put_str(&o, "model", t->model);
    wire_put_int(&o, "beat_ms", s->o->heartbeat_ms);
    wire_put_array(&o, "instances", n);
    for (size_t i = 0; i < t->n_instances; i++) {
        const struct node_instance *one = &t->instances[i];

        if (strcmp(one->node, name)) continue;
        wire_add_map(&o, 5);
        wire_put_int(&o, "n", one->n);
        wire_put_str(&o, "devices", one->devices);
        wire_put_int(&o, "tp", one->tp);
        wire_put_str(&o, "dtype", one->dtype);
        wire_put_str(&o, "kv_dtype", one->kv_dtype);
    }
    serve_send(s, to, WIRE_NODE_PLAN, &o);
}

static void note_gone(struct server *s, const char *name)
{
    struct op *op = op_new(OP_NODE_GONE);

    if (!op) return;
    memcpy(op->code, name, strlen(name) + 1);
    writer_put(s->writer, op);
}

static void hear_node(struct server *s, struct wire_msg *m, int64_t now_ms)
{
    char name[NODES_NAME], uuid[64], taken[NODES_NAME + 32];
    bool joined;
    struct op *op;
    int rc;

    wire_copy(&m->map, "name", name, sizeof name);
    wire_copy(&m->map, "uuid", uuid, sizeof uuid);
    if (!*name || !*uuid || !apply_is_name(wire_str(&m->map, "name"), sizeof name) ||
        !apply_is_name(wire_str(&m->map, "uuid"), sizeof uuid)) {
        serve_refuse(s, m, "bad_node", "a node has a name and a uuid, text of at most 63 bytes");
        return;
    }
    if (wire_int(&m->map, "ending", 0)) {
        if (nodes_leave(&s->nodes, name, uuid)) {
            serve_event(s, "info", "node", "left name=%s", name);
            note_gone(s, name);
        }
        answer_node(s, m, name);
        return;
    }
    rc = nodes_hear(&s->nodes, name, uuid, now_ms, s->o->lost_ms, &joined);
    snprintf(taken, sizeof taken, "another process is node %s", name);
    if (rc == ERR_EXISTS)
        serve_refuse(s, m, "node_exists", taken);
    else if (rc)
        serve_refuse(s, m, "too_many_nodes", "there is no room for one more node");
    else if (!joined)
        answer_node(s, m, name);
    else if ((op = serve_op(s, OP_NODE, m)))
        writer_put(s->writer, op);
}

void plan_message(struct server *s, struct wire_msg *m, int64_t now_ms)
{
    struct op *op;

    if (m->head.type == WIRE_NODE)
        hear_node(s, m, now_ms);
    else if ((op = serve_op(s, OP_PLAN, m)))
        writer_put(s->writer, op);
}

static void plan_written(struct server *s, struct op *op)
{
    struct wire_out o;
    struct errmsg e;

    if (nodes_read_plan(&s->nodes, s->o->db, &e)) log_error("plan", "%s", e.text);
    if (op->plan_id)
        serve_event(s, "info", "plan", "plan %lld is active: %zu instance%s",
                    (long long)op->plan_id, s->nodes.n_instances,
                    s->nodes.n_instances == 1 ? "" : "s");
    else
        serve_event(s, "info", "plan", "no plan is active");
    wire_begin(&o, 1);
    wire_put_int(&o, "plan", op->plan_id);
    serve_send(s, &op->msg, WIRE_PLAN_OK, &o);
}

/* A node is answered when its row is on disk. */
static void node_written(struct server *s, struct op *op)
{
    char name[NODES_NAME];

    wire_copy(&op->msg.map, "name", name, sizeof name);
    serve_event(s, "info", "node", "joined name=%s", name);
    answer_node(s, &op->msg, name);
}

void plan_message_written(struct server *s, struct op *op)
{
    char name[NODES_NAME], uuid[64];

    if (!op->has_msg) return;
    if (!op->rc && !op->at_fault) {
        if (op->kind == OP_PLAN)
            plan_written(s, op);
        else
            node_written(s, op);
        return;
    }
    if (op->kind == OP_NODE) { /* it may try again */
        wire_copy(&op->msg.map, "name", name, sizeof name);
        wire_copy(&op->msg.map, "uuid", uuid, sizeof uuid);
        (void)nodes_leave(&s->nodes, name, uuid);
    }
    serve_refuse(s, &op->msg, err_name(op->rc), op->err.text);
}

void plan_tick(struct server *s, int64_t now_ms)
{
    struct node lost;

    while (nodes_lost(&s->nodes, now_ms, s->o->lost_ms, &lost)) {
        serve_event(s, "warn", "node", "lost name=%s", lost.name);
        note_gone(s, lost.name);
    }
}

int plan_begin(struct server *s, struct errmsg *e)
{
    note_gone(s, ""); /* whoever is there says so soon */
    return nodes_read_plan(&s->nodes, s->o->db, e);
}

void plan_end(struct server *s)
{
    if (s->nodes.n) note_gone(s, "");
    nodes_fini(&s->nodes);
}
