/* apply_plan.c - what is said of machines and plans. */
#include <math.h>

#include "base/clock.h"
#include "broker/apply.h"
#include "broker/nodes.h"

#define MAX_COUNT ((int64_t)1 << 50)

/* A number that can be written and added up. */
static bool is_measure(double v)
{
    return isfinite(v) && v >= 0 && v <= (double)MAX_COUNT;
}

static bool is_count(int64_t v)
{
    return v >= 0 && v <= MAX_COUNT;
}

int apply_node(struct queue *q, struct op *op, struct errmsg *e)
{
    const msgpack_object *m = &op->msg.map;
    struct node_row n = {.devices = wire_str(m, "devices"),
                         .cores = wire_int(m, "cores", 0),
                         .memory_bytes = wire_int(m, "memory_bytes", 0),
                         .usd_per_hour = wire_float(m, "usd_per_hour", 0)};

    wire_copy(m, "name", n.name, sizeof n.name);
    wire_copy(m, "host", n.host, sizeof n.host);
    if (!apply_is_name(wire_str(m, "host"), sizeof n.host) || !apply_is_text(n.devices) ||
        !is_count(n.cores) || !is_count(n.memory_bytes) || !is_measure(n.usd_per_hour)) {
        op->rc =
            err_set(&op->err, ERR_FORMAT,
                    "of a node the host has at most %zu bytes, and cores, memory and price are "
                    "numbers of at least 0",
                    sizeof n.host - 1);
        return ERR_OK;
    }
    return queue_put_node(q, &n, clock_wall_ms(), e);
}

static struct plan_instance_row instance_of(const msgpack_object *m)
{
    return (struct plan_instance_row){.node = wire_str(m, "node"),
                                      .devices = wire_str(m, "devices"),
                                      .dtype = wire_str(m, "dtype"),
                                      .kv_dtype = wire_str(m, "kv_dtype"),
                                      .source = wire_str(m, "source"),
                                      .tp = wire_int(m, "tp", 0),
                                      .kv_tokens = wire_int(m, "kv_tokens", 0),
                                      .rows_per_s = wire_float(m, "rows_per_s", 0),
                                      .mape = wire_float(m, "mape", -1)};
}

static bool is_instance(const msgpack_object *m)
{
    struct plan_instance_row i;

    if (m->type != MSGPACK_OBJECT_MAP) return false;
    i = instance_of(m);
    return i.node.len && i.devices.len && apply_is_name(i.node, NODES_NAME) &&
           apply_is_name(i.devices, NODES_NAME) && apply_is_name(i.dtype, NODES_WORD) &&
           apply_is_name(i.kv_dtype, NODES_WORD) && apply_is_text(i.source) && i.tp >= 1 &&
           is_count(i.tp) && is_count(i.kv_tokens) && is_measure(i.rows_per_s) &&
           (i.mape < 0 || is_measure(i.mape));
}

/* If the message is no plan, op says why. */
static bool check_plan(struct op *op, const struct plan_row *p, const msgpack_object_array *all)
{
    if (!all || all->size > NODES_INSTANCES || !apply_is_name(p->model, NODES_MODEL) ||
        !apply_is_name(p->batch, NODES_MODEL) || !apply_is_text(p->detail) || !is_count(p->rows) ||
        !is_measure(p->seconds) || !is_measure(p->usd)) {
        op->rc = err_set(&op->err, ERR_FORMAT,
                         "a plan has a model, a batch, numbers of at least 0, and at most %d "
                         "instances",
                         NODES_INSTANCES);
        return false;
    }
    for (uint32_t i = 0; i < all->size; i++)
        if (!is_instance(&all->ptr[i])) {
            op->rc = err_set(&op->err, ERR_FORMAT,
                             "instance %u of the plan lacks its node, devices, dtypes or source, "
                             "or a number of it is none",
                             i + 1);
            return false;
        }
    return true;
}

int apply_plan(struct queue *q, struct op *op, struct errmsg *e)
{
    const msgpack_object *m = &op->msg.map;
    const msgpack_object_array *all = wire_array(m, "instances");
    const struct plan_row p = {.model = wire_str(m, "model"),
                               .batch = wire_str(m, "batch"),
                               .detail = wire_str(m, "detail"),
                               .rows = wire_int(m, "rows", 0),
                               .seconds = wire_float(m, "seconds", 0),
                               .usd = wire_float(m, "usd", 0)};
    int rc;

    op->plan_id = 0;
    if (!check_plan(op, &p, all)) return ERR_OK;
    if (!all->size) return queue_end_plan(q, e);
    rc = queue_put_plan(q, &p, clock_wall_ms(), &op->plan_id, e);
    for (uint32_t i = 0; i < all->size && !rc; i++) {
        const struct plan_instance_row one = instance_of(&all->ptr[i]);

        rc = queue_put_plan_instance(q, op->plan_id, (int64_t)i + 1, &one, e);
    }
    return rc;
}
