/* serve_client.c - batch, rows, retry, ping. */
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

    wire_begin(&o, 3);
    wire_put_int(&o, "batch", op->batch_id);
    wire_put_int(&o, "existed", op->existed);
    wire_put_str(&o, "db_uuid", writer_uuid(s->writer));
    serve_send(s, &op->msg, WIRE_BATCH_OK, &o);
}

static void answer_rows(struct server *s, struct op *op)
{
    static const char *const NAMES[PUT_N] = {"added", "same", "differs", "replaced", "mended"};
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
    wire_put_int(&o, "rows", op->rows);
    serve_send(s, &op->msg, WIRE_CONTROL_OK, &o);
}

void client_written(struct server *s, struct op *op)
{
    s->news++;
    if (op->rc) {
        serve_refuse(s, &op->msg, err_name(op->rc), op->err.text);
        return;
    }
    if (op->kind == OP_BATCH)
        answer_batch(s, op);
    else if (op->kind == OP_ROWS)
        answer_rows(s, op);
    else
        answer_control(s, op);
}
