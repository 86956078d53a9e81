/* serve_client.c - batch, rows, control, ping. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/serve.h"

static void answer_ping(struct server *s, const struct wire_msg *m)
{
    struct wire_out o;

    wire_begin(&o, 10);
    wire_put_str(&o, "trouble", s->in_trouble ? s->trouble.text : "");
    wire_put_str(&o, "db_uuid", writer_uuid(s->writer));
    wire_put_str(&o, "db", s->o->db);
    wire_put_str(&o, "version", NIGHTMILL_VERSION);
    wire_put_int(&o, "pid", getpid());
    wire_put_int(&o, "epoch", writer_epoch(s->writer));
    wire_put_int(&o, "workers", (int64_t)s->instances.n);
    wire_put_int(&o, "leases", (int64_t)lease_count(s->leases));
    wire_put_int(&o, "window", (int64_t)ready_count(s->ready));
    wire_put_int(&o, "refused", s->refused);
    serve_send(s, m, WIRE_PONG, &o);
}

void client_message(struct server *s, struct wire_msg *m)
{
    static const struct {
        enum wire_type type;
        enum op_kind kind;
    } WRITES[] = {{WIRE_BATCH, OP_BATCH}, {WIRE_ROWS, OP_ROWS}, {WIRE_CONTROL, OP_CONTROL}};
    struct op *op;

    if (m->head.type == WIRE_PING) {
        answer_ping(s, m);
        return;
    }
    for (size_t i = 0; i < sizeof WRITES / sizeof WRITES[0]; i++) {
        if (m->head.type != WRITES[i].type) continue;
        if ((op = serve_op(s, WRITES[i].kind, m))) writer_put(s->writer, op);
        return;
    }
    serve_refuse(s, m, "unknown_message", wire_type_name(m->head.type));
}

static void answer_batch(struct server *s, struct op *op)
{
    struct wire_out o;

    wire_begin(&o, op->existed ? 11 : 3);
    wire_put_int(&o, "batch", op->batch_id);
    wire_put_int(&o, "existed", op->existed);
    wire_put_str(&o, "db_uuid", writer_uuid(s->writer));
    if (op->existed) {
        wire_put_str(&o, "model", op->batch.model);
        wire_put_int(&o, "priority", op->batch.priority);
        wire_put_int(&o, "max_attempts", op->batch.max_attempts);
        wire_put_int(&o, "not_before_ms", op->batch.not_before_ms);
        wire_put_int(&o, "deadline_ms", op->batch.deadline_ms);
        wire_put_int(&o, "window_from", op->batch.window_from);
        wire_put_int(&o, "window_to", op->batch.window_to);
        wire_put_int(&o, "reuse", op->batch.reuse);
    }
    serve_send(s, &op->msg, WIRE_BATCH_OK, &o);
}

static void answer_rows(struct server *s, struct op *op)
{
    static const char *const NAMES[PUT_N] = {"added",    "same",   "differs",
                                             "replaced", "mended", "reused"};
    struct wire_out o;

    wire_begin(&o, PUT_N);
    for (int i = 0; i < PUT_N; i++)
        wire_put_int(&o, NAMES[i], op->counts[i]);
    serve_send(s, &op->msg, WIRE_ROWS_OK, &o);
}

static void answer_control(struct server *s, struct op *op)
{
    struct wire_out o;

    wire_begin(&o, 1);
    wire_put_int(&o, "rows", op->control.rows);
    serve_send(s, &op->msg, WIRE_CONTROL_OK, &o);
}

/* The window follows what is on disk now. */
static void rows_changed(struct server *s, const struct op *op)
{
    if (op->counts[PUT_REPLACED] + op->counts[PUT_MENDED])
        ready_drop(s->ready, op->batch_id);
    else if (op->counts[PUT_ADDED])
        ready_stir(s->ready, op->batch_id, op->least_priority);
}

static void control_changed(struct server *s, struct op *op)
{
    static const char *const WHY[VERB_N] = {"paused", "", "cancelled", "", "deleted"};
    const struct control *c = &op->control;

    if (c->job_id) {
        ready_remove(s->ready, c->job_id);
        ready_forget(s->ready, c->job_id);
        if (WHY[c->verb][0]) ended_stop(s, c->job_id, WHY[c->verb]);
    }
    if (c->verb == VERB_RESUME || c->verb == VERB_RETRY)
        ready_stir(s->ready, c->batch_id, INT64_MIN); /* they may be urgent */
    else if (!c->job_id)
        ready_drop(s->ready, c->batch_id);
    op->asked = *c;
    op->again = c->more;
    if (!op->again)
        serve_event(s, "info", "batch", "%s batch %s: %lld rows", VERB_NAMES[c->verb], c->batch,
                    (long long)c->rows);
}

void client_written(struct server *s, struct op *op)
{
    s->news++;
    if (!op->rc && op->kind == OP_ROWS) rows_changed(s, op);
    if (!op->rc && op->kind == OP_CONTROL) control_changed(s, op);
    if (op->again || !op->has_msg) return;
    if (op->rc)
        serve_refuse(s, &op->msg, err_name(op->rc), op->err.text);
    else if (op->kind == OP_BATCH)
        answer_batch(s, op);
    else if (op->kind == OP_ROWS)
        answer_rows(s, op);
    else
        answer_control(s, op);
}
