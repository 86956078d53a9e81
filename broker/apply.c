/* apply.c - an op's meaning. */
#include "broker/apply.h"

#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

#define MAX_COUNT   ((int64_t)1 << 40) /* tokens or milliseconds of one row */
#define DAY_MINUTES 1440

bool apply_is_text(struct wire_text t)
{
    return utf8_is_valid(t.at, t.len);
}

bool apply_is_name(struct wire_text t, size_t cap)
{
    return t.len < cap && apply_is_text(t) && !memchr(t.at, '\0', t.len);
}

static int apply_batch(struct queue *q, struct op *op, struct errmsg *e)
{
    const msgpack_object *m = &op->msg.map;
    struct batch_spec b = {.priority = wire_int(m, "priority", 0),
                           .max_attempts = wire_int(m, "max_attempts", 3),
                           .not_before_ms = wire_int(m, "not_before_ms", 0),
                           .deadline_ms = wire_int(m, "deadline_ms", 0),
                           .window_from = wire_int(m, "window_from", -1),
                           .window_to = wire_int(m, "window_to", -1),
                           .reuse = wire_int(m, "reuse", 0)};
    int rc;

    wire_copy(m, "name", b.name, sizeof b.name);
    wire_copy(m, "model", b.model, sizeof b.model);
    if (!b.name[0] || !apply_is_name(wire_str(m, "name"), sizeof b.name) ||
        !apply_is_name(wire_str(m, "model"), sizeof b.model)) {
        op->rc = err_set(&op->err, ERR_ARG,
                         "a batch needs a name, and name and model are text of at most %zu bytes",
                         sizeof b.name - 1);
        return ERR_OK;
    }
    if (b.max_attempts < 1 || b.max_attempts > 1000) {
        op->rc = err_set(&op->err, ERR_ARG, "max_attempts is %lld, not 1 to 1000",
                         (long long)b.max_attempts);
        return ERR_OK;
    }
    if (b.window_from < -1 || b.window_to < -1 || b.window_from >= DAY_MINUTES ||
        b.window_to >= DAY_MINUTES || b.not_before_ms < 0 || b.deadline_ms < 0) {
        op->rc = err_set(&op->err, ERR_ARG,
                         "a time is before 1970, or the window %lld to %lld is not within a day",
                         (long long)b.window_from, (long long)b.window_to);
        return ERR_OK;
    }
    rc = queue_put_batch(q, &b, clock_wall_ms(), &op->batch_id, &op->existed, e);
    return rc || !op->existed ? rc : queue_get_batch(q, op->batch_id, &op->batch, e);
}

static struct row row_of(const msgpack_object_array *a)
{
    return (struct row){.custom_id = wire_at_str(a, 0),
                        .body = wire_at_str(a, 3),
                        .line = wire_at_int(a, 1, 0),
                        .endpoint = (int)wire_at_int(a, 2, 0),
                        .code = wire_at_str(a, 4),
                        .message = wire_at_str(a, 5),
                        .param = wire_at_str(a, 6),
                        .has_priority = a->size > 7 && a->ptr[7].type != MSGPACK_OBJECT_NIL,
                        .priority = wire_at_int(a, 7, 0),
                        .prefix_group = wire_at_int(a, 8, 0),
                        .fixed = wire_at_int(a, 9, 0)};
}

/* Is element i of the message a row?  If not, op says why. */
static bool check_row(struct op *op, const msgpack_object_array *rows, uint32_t i)
{
    const msgpack_object_array *a = wire_at_array(rows, i);
    struct row row, *r = &row;

    if (!a || a->size < 7) {
        op->rc = err_set(&op->err, ERR_FORMAT, "row %u of the message is not an array of 7", i);
        return false;
    }
    row = row_of(a);
    if (r->custom_id.len && apply_is_text(r->custom_id) && apply_is_text(r->body) &&
        apply_is_text(r->code) && apply_is_text(r->message) && apply_is_text(r->param))
        return true;
    op->rc = err_set(&op->err, ERR_FORMAT, "row %u of the message has no id or is not UTF-8", i);
    return false;
}

static int apply_rows(struct queue *q, struct op *op, struct errmsg *e)
{
    const msgpack_object_array *rows = wire_array(&op->msg.map, "rows");
    int64_t batch_id = wire_int(&op->msg.map, "batch", 0), now = clock_wall_ms();
    bool replace = wire_int(&op->msg.map, "replace", 0);
    int rc;

    memset(op->counts, 0, sizeof op->counts);
    op->batch_id = batch_id;
    op->least_priority = INT64_MAX;
    rc = queue_has_batch(q, batch_id, &op->err);
    if (rc == ERR_EMPTY || rc == ERR_STALE) {
        op->rc = rc;
        return ERR_OK;
    }
    if (rc) {
        *e = op->err;
        return rc;
    }
    /* All of them are looked at before one is put: a malformed message changes nothing. */
    for (uint32_t i = 0; rows && i < rows->size; i++)
        if (!check_row(op, rows, i)) return ERR_OK;
    for (uint32_t i = 0; rows && i < rows->size; i++) {
        struct row r = row_of(wire_at_array(rows, i));
        enum put put;

        if ((rc = queue_put_row(q, batch_id, &r, replace, now, &put, e))) return rc;
        op->counts[put]++;
        if (r.has_priority && r.priority < op->least_priority) op->least_priority = r.priority;
    }
    return ERR_OK;
}

/* Can these numbers be added up for ever?  One that cannot would stop the writer for good. */
static bool is_countable(const struct answer *a)
{
    const int64_t v[] = {a->prompt_tokens, a->cached_tokens, a->output_tokens,
                         a->queue_ms,      a->prefill_ms,    a->decode_ms};

    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        if (v[i] < 0 || v[i] > MAX_COUNT) return false;
    return true;
}

static int settle_answer(struct queue *q, struct op *op, struct settled *s, const msgpack_object *m,
                         struct errmsg *e)
{
    struct answer a = {.job_id = s->job_id,
                       .generation = wire_int(m, "generation", -1),
                       .instance_id = op->instance_id,
                       .prompt_tokens = wire_int(m, "prompt_tokens", 0),
                       .cached_tokens = wire_int(m, "cached_tokens", 0),
                       .output_tokens = wire_int(m, "output_tokens", 0),
                       .queue_ms = wire_int(m, "queue_ms", 0),
                       .prefill_ms = wire_int(m, "prefill_ms", 0),
                       .decode_ms = wire_int(m, "decode_ms", 0),
                       .seed = wire_int(m, "seed", 0),
                       .batch_invariant = wire_int(m, "batch_invariant", 0),
                       .body_bytes = s->body_bytes,
                       .finish_reason = wire_str(m, "finish_reason"),
                       .text = wire_str(m, "text"),
                       .choices = wire_str(m, "choices")};

    s->to = JOB_DONE;
    if (!apply_is_text(a.text) || !apply_is_text(a.choices) || !apply_is_text(a.finish_reason) ||
        !is_countable(&a))
        return ERR_STALE; /* a worker repairs text before it sends it */
    return queue_finish(q, &a, clock_wall_ms(), e);
}

static int settle_failure(struct queue *q, struct op *op, struct settled *s,
                          const msgpack_object *m, struct errmsg *e)
{
    struct failure f = {.job_id = s->job_id,
                        .generation = wire_int(m, "generation", -1),
                        .instance_id = op->instance_id,
                        .leased_ms = s->leased_ms,
                        .attempt = wire_int(m, "attempt", 0),
                        .counts = true,
                        .final = wire_int(m, "final", 0),
                        .code = wire_str(m, "code"),
                        .message = wire_str(m, "message"),
                        .param = wire_str(m, "param")};

    if (!apply_is_text(f.code) || !apply_is_text(f.message) || !apply_is_text(f.param))
        return ERR_STALE;
    if (!s->counts) return ERR_STALE; /* Q1: no live lease, or another copy still runs */
    return queue_fail(q, &f, clock_wall_ms(), &s->to, &s->not_before_ms, e);
}

/* Nothing went wrong: the job was taken back before it began, or another one had its result first.
 */
static bool is_a_move(struct wire_text code)
{
    static const char TAKEN[] = "taken_back", DONE[] = "done_elsewhere";

    return (code.len == sizeof TAKEN - 1 && !memcmp(code.at, TAKEN, code.len)) ||
           (code.len == sizeof DONE - 1 && !memcmp(code.at, DONE, code.len));
}

/* Its attempt is noted; on disk nothing else changes (Q7). */
static int settle_put_back(struct queue *q, struct op *op, struct settled *s,
                           const msgpack_object *m, struct errmsg *e)
{
    struct failure f = {.job_id = s->job_id,
                        .generation = wire_int(m, "generation", -1),
                        .instance_id = op->instance_id,
                        .leased_ms = s->leased_ms,
                        .code = wire_str(m, "code"),
                        .message = {"", 0}};
    int rc;

    if (!f.code.len || !apply_is_name(f.code, 64) || is_a_move(f.code)) return ERR_OK;
    rc = queue_put_back(q, &f, clock_wall_ms(), e);
    return rc == ERR_STALE ? ERR_OK : rc;
}

static int apply_results(struct queue *q, struct op *op, struct errmsg *e)
{
    const msgpack_object_array *results = wire_array(&op->msg.map, "results");

    for (size_t i = 0; i < op->n_settled; i++) {
        const msgpack_object *m = &results->ptr[i];
        struct settled *s = &op->settled[i];

        if (s->kind == WIRE_DONE)
            s->rc = settle_answer(q, op, s, m, e);
        else if (s->kind == WIRE_ERROR)
            s->rc = settle_failure(q, op, s, m, e);
        else
            s->rc = settle_put_back(q, op, s, m, e);
        if (s->rc && s->rc != ERR_STALE) return s->rc;
    }
    return ERR_OK;
}

/* Is the message a control that can be carried out?  Fills op->control. */
static int read_control(struct op *op)
{
    const msgpack_object *m = &op->msg.map;
    char verb[16];

    wire_copy(m, "verb", verb, sizeof verb);
    wire_copy(m, "batch", op->control.batch, sizeof op->control.batch);
    wire_copy(m, "code", op->control.code, sizeof op->control.code);
    op->control.custom_id = wire_str(m, "job");
    if (verb_parse(&op->control.verb, verb))
        return err_set(&op->err, ERR_ARG, "there is no verb '%s'", verb);
    if (!apply_is_name(wire_str(m, "batch"), sizeof op->control.batch) ||
        !apply_is_name(wire_str(m, "code"), sizeof op->control.code) ||
        !apply_is_text(op->control.custom_id))
        return err_set(&op->err, ERR_ARG,
                       "a batch's name, a row's id or a code is too long, or not text");
    return ERR_OK;
}

static int apply_control(struct queue *q, struct op *op, struct errmsg *e)
{
    int rc;

    op->control = op->asked; /* this may be the second time: the group before was rolled back */
    if (op->has_msg && !op->asked.more && (op->rc = read_control(op))) return ERR_OK;
    rc = queue_control(q, &op->control, clock_wall_ms(), &op->err);
    if (rc == ERR_EMPTY || rc == ERR_STALE) {
        op->control.more = false;
        op->rc = rc;
        return ERR_OK;
    }
    if (rc) *e = op->err;
    return rc;
}

/* Leases that ended without a result: the attempts are noted. */
static int apply_ended(struct queue *q, struct op *op, struct errmsg *e)
{
    int rc = ERR_OK;

    for (size_t i = 0; i < op->n_settled && (!rc || rc == ERR_STALE); i++) {
        const struct settled *s = &op->settled[i];
        struct failure f = {.job_id = s->job_id,
                            .generation = s->generation,
                            .instance_id = s->holder,
                            .leased_ms = s->leased_ms,
                            .code = {op->code, strlen(op->code)},
                            .message = {op->own_text, strlen(op->own_text)}};

        rc = queue_put_back(q, &f, clock_wall_ms(), e);
    }
    return rc == ERR_STALE ? ERR_OK : rc;
}

/* Q8 */
static int apply_crashed(struct queue *q, struct op *op, struct errmsg *e)
{
    for (size_t i = 0; i < op->n_settled; i++) {
        struct settled *s = &op->settled[i];
        struct failure f = {.job_id = s->job_id,
                            .generation = s->generation,
                            .instance_id = op->instance_id,
                            .leased_ms = s->leased_ms,
                            .code = {op->code, strlen(op->code)},
                            .message = {op->own_text, strlen(op->own_text)}};

        s->rc = queue_suspect(q, &f, op->alone, clock_wall_ms(), &s->to, e);
        if (s->rc && s->rc != ERR_STALE) return s->rc;
    }
    return ERR_OK;
}

static int apply_fail(struct queue *q, struct op *op, struct errmsg *e)
{
    struct settled *s = op->settled;

    op->failure.message = (struct wire_text){op->own_text, strlen(op->own_text)};
    s->rc = queue_fail(q, &op->failure, clock_wall_ms(), &s->to, &s->not_before_ms, e);
    return s->rc == ERR_STALE ? ERR_OK : s->rc;
}

int apply_op(struct queue *q, struct op *op, struct errmsg *e)
{
    op->rc = ERR_OK;
    switch (op->kind) {
    case OP_BATCH: return apply_batch(q, op, e);
    case OP_ROWS: return apply_rows(q, op, e);
    case OP_RESULTS: return apply_results(q, op, e);
    case OP_CONTROL: return apply_control(q, op, e);
    case OP_EXPIRE: return queue_expire(q, op->batch_id, clock_wall_ms(), &op->rows, e);
    case OP_ENDED: return apply_ended(q, op, e);
    case OP_CRASHED: return apply_crashed(q, op, e);
    case OP_INSTANCE:
        return queue_put_instance(q, &op->instance, clock_wall_ms(), &op->instance_id, e);
    case OP_GONE: return queue_instance_gone(q, op->instance_id, clock_wall_ms(), e);
    case OP_METRIC: return queue_put_metric(q, &op->metric, clock_wall_ms(), e);
    case OP_PROFILE: return queue_put_profile(q, &op->profile, clock_wall_ms(), e);
    case OP_FAIL: return apply_fail(q, op, e);
    case OP_DUE: return queue_due(q, clock_wall_ms(), &op->rows, e);
    case OP_THIN: return queue_thin(q, clock_wall_ms(), &op->rows, &op->more, e);
    case OP_EVENT: return queue_put_event(q, op->level, op->unit, op->own_text, clock_wall_ms(), e);
    case OP_NODE: return apply_node(q, op, e);
    case OP_NODE_GONE: return queue_node_gone(q, op->code, clock_wall_ms(), e);
    case OP_PLAN: return apply_plan(q, op, e);
    case OP_HINT: return queue_put_hint(q, op->hint_jobs, op->hint_uuids, op->n_hint, e);
    }
    return err_set(e, ERR_ARG, "op %d", op->kind);
}
