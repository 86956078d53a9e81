/* serve_ended.c - leases that end without a result: lost, expired, stopped, crashed. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "broker/serve.h"

#define STOPS 1024 /* of one round */

/* Leases on their way out, in the op that notes them. */
struct ending {
    struct op *op; /* NULL: no memory for it */
    size_t cap;
};

static bool make_room(struct op *op, size_t *cap)
{
    struct settled *bigger;

    if (op->n_settled < *cap) return true;
    bigger = realloc(op->settled, (*cap ? *cap * 2 : 64) * sizeof *bigger);
    if (!bigger) return false;
    op->settled = bigger;
    *cap = *cap ? *cap * 2 : 64;
    return true;
}

static void note_end(void *arg, const struct lease *l)
{
    struct ending *x = arg;

    if (!x->op || !make_room(x->op, &x->cap)) return;
    x->op->settled[x->op->n_settled++] = (struct settled){.job_id = l->job_id,
                                                          .batch_id = l->batch_id,
                                                          .generation = l->generation,
                                                          .holder = l->holder,
                                                          .leased_ms = l->leased_ms};
}

void ended_return(struct server *s, int64_t job_id, int64_t batch_id)
{
    if (!lease_find(s->leases, job_id)) ready_return(s->ready, batch_id, job_id);
}

size_t ended_reap(struct server *s, int64_t holder, int64_t now_ms, const char *code)
{
    struct ending x = {.op = op_new(OP_ENDED)};
    const size_t n = lease_reap(s->leases, holder, now_ms, note_end, &x);
    const size_t noted = x.op ? x.op->n_settled : 0;

    for (size_t k = 0; k < noted; k++) {
        const struct settled *v = &x.op->settled[k];

        ended_return(s, v->job_id, v->batch_id);
        grant_back(s, v->holder, v->job_id, false);
    }
    if (noted < n) {
        ready_stir(s->ready, 0, INT64_MAX); /* the others are found by looking */
        s->out_of_step = true;
    }
    if (n) s->news++;
    if (noted && code && !s->in_trouble) {
        snprintf(x.op->code, sizeof x.op->code, "%s", code);
        writer_put(s->writer, x.op);
    } else if (x.op) {
        op_free(&x.op);
    }
    return n;
}

/* --- stopped ---------------------------------------------------------------------------------- */

static const char *why_stop(const struct server *s, struct lease *l, int64_t job_id,
                            const char *why)
{
    if (l->settling || l->stopped) return NULL;
    if (l->job_id == job_id) return why;
    return l->batch_id ? ready_why_not(s->ready, l->batch_id) : NULL;
}

void ended_say_stop(struct server *s, const struct instance *i, const int64_t *jobs, size_t n,
                    const char *why, bool unstarted)
{
    struct wire_out o;

    wire_begin(&o, 2 + unstarted);
    wire_put_str(&o, "why", why);
    if (unstarted) wire_put_int(&o, "unstarted", 1);
    wire_put_array(&o, "jobs", n);
    for (size_t k = 0; k < n; k++)
        wire_add_int(&o, jobs[k]);
    if (wire_send(s->socket, i->peer, i->peer_len, WIRE_CANCEL, 0, &o))
        log_info("lease", "cannot stop %zu jobs of %s: it is gone", n, i->row.name);
    wire_fini(&o);
}

struct stop {
    int64_t holder, job_id;
    const char *why;
};

static int by_holder(const void *a, const void *b)
{
    const struct stop *x = a, *y = b;

    if (x->holder != y->holder) return x->holder < y->holder ? -1 : 1;
    return strcmp(x->why, y->why);
}

/* One message to each instance for each reason. */
static void say_stops(struct server *s, struct stop *stops, size_t n)
{
    int64_t jobs[STOPS];
    size_t n_jobs = 0;

    qsort(stops, n, sizeof *stops, by_holder);
    for (size_t k = 0; k < n; k++) {
        const struct instance *i;

        jobs[n_jobs++] = stops[k].job_id;
        if (k + 1 < n && !by_holder(&stops[k], &stops[k + 1])) continue;
        i = instance_of_id(&s->instances, stops[k].holder);
        if (i) ended_say_stop(s, i, jobs, n_jobs, stops[k].why, false);
        n_jobs = 0;
    }
}

void ended_stop(struct server *s, int64_t job_id, const char *why)
{
    struct stop stops[STOPS];
    struct lease *l;
    size_t n = 0, at = 0;

    if (!lease_count(s->leases)) return;
    decide_send(s); /* a lease comes before its end */
    while ((l = lease_next(s->leases, &at))) {
        const char *now = why_stop(s, l, job_id, why);

        if (!now) continue;
        l->stopped = true; /* until it says hello again, when the message may have been lost */
        stops[n++] = (struct stop){l->holder, l->job_id, now};
        if (n == STOPS) say_stops(s, stops, n);
        if (n == STOPS) n = 0;
    }
    say_stops(s, stops, n);
}

/* --- crashed ---------------------------------------------------------------------------------- */

static struct instance *instance_of_uuid(const struct server *s, struct wire_text uuid)
{
    for (size_t k = 0; k < s->instances.n; k++) {
        struct instance *i = s->instances.at[k];

        if (strlen(i->row.uuid) == uuid.len && !memcmp(i->row.uuid, uuid.at, uuid.len)) return i;
    }
    return NULL;
}

/* Nobody gets the job while its guilt is on its way to the disk. */
static void hold(struct server *s, const struct instance *i, struct settled *v)
{
    struct lease *mine = i ? lease_of(s->leases, v->job_id, i->instance_id) : NULL;
    struct lease held = {.job_id = v->job_id, .generation = v->generation, .settling = true};
    struct ready_state now;
    struct errmsg e;

    free(idmap_remove(&s->withheld, v->job_id));
    if (mine) {
        v->leased_ms = mine->leased_ms;
        lease_settle(s->leases, mine);
        grant_back(s, i->instance_id, v->job_id, false);
    } else if (!lease_find(s->leases, v->job_id) && !ready_look_up(s->ready, v->job_id, &now, &e)) {
        held.batch_id = now.batch_id; /* to read the row again when it had moved on */
        if (!lease_grant(s->leases, &held)) ready_remove(s->ready, v->job_id);
    }
}

void ended_crashed(struct server *s, struct wire_msg *m)
{
    struct op *op = serve_op(s, OP_CRASHED, m);
    const msgpack_object_array *jobs = op ? wire_array(&op->msg.map, "jobs") : NULL;
    struct instance *i;

    if (!op) return;
    i = instance_of_uuid(s, wire_str(&op->msg.map, "uuid"));
    wire_copy(&op->msg.map, "why", op->own_text, sizeof op->own_text);
    snprintf(op->code, sizeof op->code, "worker_crashed");
    op->instance_id = i ? i->instance_id : 0;
    op->settled = calloc(jobs && jobs->size ? jobs->size : 1, sizeof *op->settled);
    for (uint32_t k = 0; op->settled && jobs && k < jobs->size; k++) {
        const msgpack_object_array *a = wire_at_array(jobs, k);
        struct settled *v = &op->settled[op->n_settled];

        v->job_id = a ? wire_at_int(a, 0, 0) : 0;
        v->generation = a ? wire_at_int(a, 1, 0) : 0;
        if (v->job_id <= 0) continue;
        hold(s, i, v);
        op->n_settled++;
    }
    op->alone = op->n_settled == 1 && wire_int(&op->msg.map, "others", 0) == 0;
    if (i && wire_int(&op->msg.map, "signal", 0)) worker_lost(s, i, "crashed");
    serve_event(s, "warn", "worker", "crashed: %s, with %zu rows in its last step", op->own_text,
                op->n_settled);
    writer_put(s->writer, op);
}

static void crash_written(struct server *s, struct op *op)
{
    struct wire_out o;

    for (size_t k = 0; k < op->n_settled; k++) {
        const int64_t job_id = op->settled[k].job_id;
        const struct lease *l = lease_of(s->leases, job_id, op->instance_id);
        int64_t batch_id;

        if (!l) l = lease_of(s->leases, job_id, 0);
        if (!l || !l->settling) continue;
        batch_id = l->batch_id;
        lease_end(s->leases, job_id, l->holder);
        ended_return(s, job_id, batch_id);       /* it may have moved on: no suspect */
        ended_stop(s, job_id, "worker_crashed"); /* Q8: a copy of it, which is not alone */
    }
    s->has_suspects = true;
    s->news++;
    wire_begin(&o, 1);
    wire_put_int(&o, "suspects", (int64_t)op->n_settled);
    serve_send(s, &op->msg, WIRE_CRASHED_OK, &o);
}

void ended_written(struct server *s, struct op *op)
{
    if (op->kind == OP_CRASHED) crash_written(s, op);
}
