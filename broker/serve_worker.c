/* serve_worker.c - hello, want, results, heartbeat, bye. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "broker/serve.h"

#define METRIC_MS    2000
#define MOST_STEP_MS 1e9 /* eleven days */

/* --- hello ------------------------------------------------------------------------------------ */

static void hear_hello(struct server *s, struct wire_msg *m)
{
    struct instance_row *r;
    struct op *op;
    const msgpack_object *map;

    if (wire_int(&m->map, "vmin", 1) > WIRE_VERSION ||
        wire_int(&m->map, "vmax", 1) < WIRE_VERSION) {
        serve_refuse(s, m, "version", "no message version in common");
        return;
    }
    if (!(op = serve_op(s, OP_INSTANCE, m))) return;
    map = &op->msg.map;
    r = &op->instance;
    wire_copy(map, "uuid", r->uuid, sizeof r->uuid);
    wire_copy(map, "name", r->name, sizeof r->name);
    wire_copy(map, "host", r->host, sizeof r->host);
    wire_copy(map, "device", r->device, sizeof r->device);
    wire_copy(map, "model", r->model, sizeof r->model);
    wire_copy(map, "model_hash", r->model_hash, sizeof r->model_hash);
    wire_copy(map, "dtype", r->dtype, sizeof r->dtype);
    wire_copy(map, "kv_dtype", r->kv_dtype, sizeof r->kv_dtype);
    wire_copy(map, "engine", r->engine, sizeof r->engine);
    r->tp = wire_int(map, "tp", 1);
    r->threads = wire_int(map, "threads", 1);
    r->kv_tokens = wire_int(map, "kv_tokens", 0);
    r->max_model_len = wire_int(map, "max_model_len", 0);
    r->max_num_seqs = wire_int(map, "max_num_seqs", 1);
    if (!r->uuid[0] || r->kv_tokens <= 0 || r->max_model_len <= 0) {
        serve_refuse(s, &op->msg, "hello", "a hello needs uuid, kv_tokens and max_model_len");
        op_free(&op);
        return;
    }
    writer_put(s->writer, op);
}

/* The jobs that a worker still holds from before are its own again (Q3). */
static void take_back_held(struct server *s, struct instance *i, const msgpack_object *map,
                           int64_t now_ms)
{
    const msgpack_object_array *held = wire_array(map, "held");
    struct wire_text uuid = wire_str(map, "db_uuid");
    struct ready_state now;
    struct errmsg e;
    size_t n = 0;

    if (!held || uuid.len != strlen(writer_uuid(s->writer)) ||
        memcmp(uuid.at, writer_uuid(s->writer), uuid.len))
        return;
    for (uint32_t k = 0; k < held->size; k++) {
        const msgpack_object_array *a = wire_at_array(held, k);
        struct lease l = {.holder = i->instance_id, .deadline_ms = now_ms + s->o->lease_ms};

        if (!a || a->size < 2) continue;
        l.job_id = wire_at_int(a, 0, 0);
        l.generation = wire_at_int(a, 1, 0);
        if (l.job_id <= 0 || ready_look_up(s->ready, l.job_id, &now, &e)) continue;
        l.batch_id = now.batch_id;
        l.alone = now.suspect;
        if (!now.ready || now.generation != l.generation) {
            ended_say_stop(s, i, &l.job_id, 1, "not_wanted",
                           false); /* settled, cancelled or paused meanwhile */
            continue;
        }
        /* Leased to another meanwhile: both run it (L1). */
        if (lease_grant(s->leases, &l) && lease_copy(s->leases, &l)) continue;
        free(idmap_remove(&s->withheld, l.job_id));
        ready_remove(s->ready, l.job_id);
        grant_held(s, &l);
        n++;
    }
    if (n) log_info("lease", "%s still holds %zu jobs", i->row.name, n);
}

/* Hints that name this worker have served their purpose: it has just said what it holds. */
static void drop_hints_of(struct server *s, const char *uuid)
{
    size_t at = 0;
    char *owner;

    while ((owner = idmap_next(&s->withheld, &at))) {
        if (strcmp(owner, uuid)) continue;
        free(idmap_remove(&s->withheld, s->withheld.slots[at - 1].id));
        at--;
    }
    ready_stir(s->ready, 0, INT64_MAX); /* they were passed over */
    s->news++;
}

/* Another model under the same uuid, or another size: what was known of it is of no use. */
static bool is_another(const struct instance_row *a, const struct instance_row *b)
{
    return strcmp(a->model, b->model) || a->kv_tokens != b->kv_tokens ||
           a->max_model_len != b->max_model_len || a->max_num_seqs != b->max_num_seqs;
}

static void hello_written(struct server *s, struct op *op, int64_t now_ms)
{
    struct instance *known = instance_of_id(&s->instances, op->instance_id); /* once more */
    const bool other = known && is_another(&known->row, &op->instance);
    struct instance *i = instance_join(&s->instances, &op->instance, op->instance_id, op->msg.peer,
                                       op->msg.peer_len, now_ms);
    struct wire_out o;
    struct lease *l;

    if (!i) {
        serve_refuse(s, &op->msg, "out_of_memory", "no room for one more instance");
        return;
    }
    if (other) grant_left(s, i); /* it joins as what it is now; its leases stay */
    memcpy(i->user, op->msg.user, sizeof i->user);
    i->pid = wire_int(&op->msg.map, "pid", 0);
    i->max_batched_tokens = wire_int(&op->msg.map, "max_num_batched_tokens", 0);
    i->prefix_caching = wire_int(&op->msg.map, "prefix_caching", 0);
    i->takes_back = wire_int(&op->msg.map, "unstarted", 0);
    grant_joined(s, i);
    for (size_t at = 0; (l = lease_next(s->leases, &at));)
        if (l->holder == i->instance_id) l->stopped = false;
    drop_hints_of(s, i->row.uuid); /* and who could run what is known anew */
    if (!known)
        serve_event(s, "info", "worker",
                    "joined name=%s instance=%lld device=%s model=%s kv_tokens=%lld", i->row.name,
                    (long long)i->instance_id, i->row.device, i->row.model,
                    (long long)i->row.kv_tokens);
    wire_begin(&o, 5);
    wire_put_str(&o, "db_uuid", writer_uuid(s->writer));
    wire_put_int(&o, "epoch", writer_epoch(s->writer));
    wire_put_int(&o, "instance", i->instance_id);
    wire_put_int(&o, "heartbeat_ms", s->o->heartbeat_ms);
    wire_put_int(&o, "version", WIRE_VERSION);
    serve_send(s, &op->msg, WIRE_WELCOME, &o);
    take_back_held(s, i, &op->msg.map, now_ms);
    ended_stop(s, 0, "");
}

/* Once when an instance leaves what was measured of it, and once when it comes back. */
static void tell_drift(struct server *s, struct instance *i, const struct profile_row *p,
                       double start_mape)
{
    if (p->drifted && !i->drifted)
        serve_event(s, "warn", "instance",
                    "%s has drifted: its steps last %.0f %% other than its profile says, which was "
                    "measured to %.1f %%; refitted to them it is %.1f %% off",
                    i->row.name, start_mape, p->held_out_mape, p->mape);
    if (!p->drifted && i->drifted)
        serve_event(s, "info", "instance", "%s is as its profile says again", i->row.name);
    i->drifted = p->drifted;
}

/* Could it be of a machine?  Sums and squares of these are to be numbers, too. */
static bool is_model(const struct perf *p)
{
    const double k[] = {p->k0, p->kw, p->k1, p->k2, p->k3, p->k4};

    for (size_t n = 0; n < sizeof k / sizeof k[0]; n++)
        if (!isfinite(k[n]) || k[n] < 0 || k[n] > MOST_STEP_MS) return false;
    return true;
}

/* The instance model of a worker, for the tables (and for the plans that are made from them). */
static void hear_profile(struct server *s, const struct wire_msg *m, struct instance *i)
{
    struct op *op = op_new(OP_PROFILE);
    struct profile_row *p;

    if (!op) return;
    p = &op->profile;
    p->instance_id = i->instance_id;
    p->kv_tokens = wire_int(&m->map, "kv_tokens", i->row.kv_tokens);
    p->mape = wire_float(&m->map, "mape", -1);
    wire_copy(&m->map, "source", p->source, sizeof p->source);
    p->perf = (struct perf){wire_float(&m->map, "k0", 0), wire_float(&m->map, "kw", 0),
                            wire_float(&m->map, "k1", 0), wire_float(&m->map, "k2", 0),
                            wire_float(&m->map, "k3", 0), wire_float(&m->map, "k4", 0)};
    if (!is_model(&p->perf)) {
        serve_refuse(s, m, "profile", "k0, kw and k1 to k4 are milliseconds, 0 to 1e9 each");
        op_free(&op);
        return;
    }
    p->held_out_mape = wire_float(&m->map, "held_out_mape", -1);
    p->samples = wire_int(&m->map, "samples", 0);
    p->shared = wire_int(&m->map, "shared", 0) != 0;
    p->drifted = wire_int(&m->map, "drift", 0) != 0;
    tell_drift(s, i, p, wire_float(&m->map, "start_mape", -1));
    grant_profiled(s, i, &p->perf);
    writer_put(s->writer, op);
}

/* --- results ---------------------------------------------------------------------------------- */

/* A result for a job nobody holds (its lease expired, or the broker is new): it must not be granted
 * while the result is on its way to the disk. */
static void hold_late(struct server *s, const struct instance *i, int64_t job_id)
{
    struct lease held = {.job_id = job_id, .holder = i->instance_id, .settling = true};
    struct ready_state now;
    struct errmsg e;

    if (ready_look_up(s->ready, job_id, &now, &e)) return;
    held.batch_id = now.batch_id; /* to read the row again when the result is refused */
    if (!lease_grant(s->leases, &held)) ready_remove(s->ready, job_id);
}

static bool runs(const struct lease *l, int64_t now_ms)
{
    return l && !l->settling && now_ms < l->deadline_ms; /* L2 */
}

/* What the broker knows of one result before it is written; a lease that the result ends stops
 * expiring (L4). */
static void judge(struct server *s, const struct instance *i, const msgpack_object *m,
                  struct settled *v, int64_t now_ms)
{
    struct lease *mine;

    v->job_id = wire_int(m, "job", 0);
    v->kind = (enum wire_kind)wire_int(m, "kind", WIRE_PUT_BACK);
    if (v->job_id <= 0) return;
    mine = lease_of(s->leases, v->job_id, i->instance_id);
    if (!mine) {
        if (v->kind == WIRE_DONE && !lease_find(s->leases, v->job_id)) hold_late(s, i, v->job_id);
        return;
    }
    /* Q1.  One that is sent again while the first is on its way to the disk is the same one. */
    v->counts = runs(mine, now_ms) && !runs(lease_beside(s->leases, mine), now_ms);
    v->body_bytes = mine->body_bytes;
    v->leased_ms = mine->leased_ms;
    if (mine->settling) return;
    lease_settle(s->leases, mine);
    if (v->kind == WIRE_DONE)
        grant_done(s, i->instance_id, v->job_id, m);
    else
        grant_back(s, i->instance_id, v->job_id, false);
}

static void hear_results(struct server *s, struct wire_msg *m, struct instance *i, int64_t now_ms)
{
    const msgpack_object_array *results = wire_array(&m->map, "results");
    struct wire_text uuid = wire_str(&m->map, "db_uuid");
    struct op *op;

    if (uuid.len != strlen(writer_uuid(s->writer)) ||
        memcmp(uuid.at, writer_uuid(s->writer), uuid.len) || !results) {
        s->refused++;
        serve_refuse(s, m, "other_database", "these results belong to another database");
        return;
    }
    /* Sent again and again while the disk is full, they would pile up: the first ones wait. */
    if (s->in_trouble && s->unwritten) return;
    if (!(op = serve_op(s, OP_RESULTS, m))) return;
    results = wire_array(&op->msg.map, "results");
    op->instance_id = i->instance_id;
    op->settled = calloc(results->size ? results->size : 1, sizeof *op->settled);
    if (!op->settled) {
        op_free(&op); /* not acked: the worker sends them again */
        return;
    }
    op->n_settled = results->size;
    s->unwritten += op->n_settled;
    for (uint32_t k = 0; k < results->size; k++)
        judge(s, i, &results->ptr[k], &op->settled[k], now_ms);
    writer_put(s->writer, op);
}

/* A put-back says why; one that does not fit here is remembered with what it needs. */
static void put_back(struct server *s, const msgpack_object *m, const struct lease *l)
{
    struct wire_text why = wire_str(m, "code");
    int64_t need = wire_int(m, "need_tokens", 0);

    if (why.len == 12 && !memcmp(why.at, "does_not_fit", 12) && need > 0) {
        if (ready_need(s->ready, l->job_id, l->batch_id, l->generation, need))
            log_warn("lease", "out of memory");
    }
    log_info("lease", "put back job=%lld why=%.*s", (long long)l->job_id, (int)why.len, why.at);
}

/* The job has its result: whoever else runs it may stop. */
static void end_elsewhere(struct server *s, int64_t job_id)
{
    struct lease *l;
    int64_t holder;

    while ((l = lease_find(s->leases, job_id))) {
        const struct instance *i = instance_of_id(&s->instances, l->holder);

        if (i && !l->stopped && !l->settling)
            ended_say_stop(s, i, &job_id, 1, "done_elsewhere", false);
        holder = l->holder;
        lease_end(s->leases, job_id, holder);
        grant_back(s, holder, job_id, false);
    }
}

static void result_written(struct server *s, const struct op *op, const struct settled *v,
                           const msgpack_object *m)
{
    const struct lease *l = lease_of(s->leases, v->job_id, op->instance_id);
    const struct lease *mine = l && l->settling ? l : NULL; /* not one that was granted since */
    const int64_t batch_id = mine ? mine->batch_id : 0;
    const bool done = v->kind == WIRE_DONE && !v->rc;

    if (v->rc == ERR_STALE) s->refused++;
    if (mine && v->kind == WIRE_PUT_BACK) put_back(s, m, mine);
    if (mine) lease_end(s->leases, v->job_id, op->instance_id);
    if (v->kind == WIRE_DONE) ready_remove(s->ready, v->job_id);
    if (done) end_elsewhere(s, v->job_id);
    if (done) ready_forget(s->ready, v->job_id);
    if (done) return;
    if (mine) ended_return(s, v->job_id, batch_id);
    s->news++;
}

static void results_written(struct server *s, struct op *op)
{
    const msgpack_object_array *results = wire_array(&op->msg.map, "results");
    struct wire_out o;

    s->unwritten -= op->n_settled;
    wire_begin(&o, 1);
    wire_put_array(&o, "jobs", op->n_settled);
    for (size_t k = 0; k < op->n_settled; k++) {
        struct settled *v = &op->settled[k];

        if (op->at_fault) v->rc = ERR_STALE; /* refused for good: sending it again would not help */
        wire_add_int(&o, v->job_id);
        result_written(s, op, v, &results->ptr[k]);
    }
    if (fault_here("ack"))
        wire_fini(&o);
    else
        serve_send(s, &op->msg, WIRE_RESULTS_ACK, &o);
}

/* --- heartbeat -------------------------------------------------------------------------------- */

/* Does the row say more than the one before?  An instance without work has one that says so, and
 * then none until it works again. */
static bool is_news(const struct instance *i, const struct metric_row *d)
{
    const struct metric_row *w = &i->written;

    return d->steps > 0 || !w->instance_id || d->running != w->running ||
           d->waiting != w->waiting || d->leased_rows != w->leased_rows;
}

static void put_metric(struct server *s, struct instance *i, int64_t now_ms)
{
    struct metric_row *d;
    struct op *op;
    size_t rows;

    /* What cannot be written now is counted in the next row. */
    if (now_ms <= i->metric_ms || s->in_trouble || !(op = op_new(OP_METRIC))) return;
    d = &op->metric;
    *d = i->now;
    d->leased_tokens = lease_tokens(s->leases, i->instance_id, &rows);
    d->leased_rows = (int64_t)rows;
    d->instance_id = i->instance_id;
    d->span_ms = now_ms - i->metric_ms;
    d->rows -= i->last.rows;
    d->prompt_tokens -= i->last.prompt_tokens;
    d->output_tokens -= i->last.output_tokens;
    d->cached_tokens -= i->last.cached_tokens;
    d->steps -= i->last.steps;
    d->step_ms -= i->last.step_ms;
    i->last = i->now;
    i->metric_ms = now_ms;
    if (is_news(i, d)) {
        i->written = *d;
        writer_put(s->writer, op);
    } else {
        op_free(&op);
    }
}

/* A counter that can be summed. */
static int64_t counter(const msgpack_object *map, const char *key)
{
    int64_t v = wire_int(map, key, 0);

    return v < 0 || v > (int64_t)1 << 50 ? 0 : v;
}

/* Processes beside the worker's on its device; -1: not told. */
static int64_t others(const msgpack_object *map)
{
    const int64_t n = wire_int(map, "others", -1);

    return n < 0 || n > 1 << 20 ? -1 : n;
}

/* Its process beats, its engine stands still: others do its work, and it gets no more. */
static void stall(struct server *s, struct instance *i)
{
    size_t n;

    i->stalled = true;
    i->asked_rows = -1; /* the scheduler hears of it, even if all that was asked for was granted */
    grant_nothing(s, i);
    decide_unsend(s, i);
    n = ended_reap(s, i->instance_id, INT64_MAX, "stalled");
    serve_event(s, "warn", "worker", "stalled name=%s: no step for %lld ms, %zu jobs back to ready",
                i->row.name, (long long)s->o->stall_ms, n);
}

static void hear_heartbeat(struct server *s, struct wire_msg *m, struct instance *i, int64_t now_ms)
{
    const msgpack_object *map = &m->map;
    const msgpack_object_array *held = wire_array(map, "held");
    struct wire_text state = wire_str(map, "state");
    int64_t steps = counter(map, "steps");
    int64_t beats = wire_int(map, "beats", steps);
    bool busy = state.len == 4 && !memcmp(state.at, "busy", 4);

    if (!busy || beats != i->beats) {
        i->moved_ms = now_ms;
        i->stalled = false;
    }
    i->beats = beats;
    grant_beat(s, i, wire_int(map, "unbegun", -1));
    i->now = (struct metric_row){.rows = counter(map, "rows"),
                                 .prompt_tokens = counter(map, "prompt_tokens"),
                                 .output_tokens = counter(map, "output_tokens"),
                                 .steps = steps,
                                 .step_ms = counter(map, "step_ms"),
                                 .running = counter(map, "running"),
                                 .waiting = counter(map, "waiting"),
                                 .kv_blocks = counter(map, "kv_blocks"),
                                 .kv_free = counter(map, "kv_free"),
                                 .cached_tokens = counter(map, "cached_tokens"),
                                 .queued_tokens = counter(map, "queued_tokens"),
                                 .memory_bytes = counter(map, "memory_bytes"),
                                 .power_mw = counter(map, "power_mw"),
                                 .clock_mhz = counter(map, "clock_mhz"),
                                 .others = others(map)};
    if (!i->counted) { /* a worker's counters are older than its link: they start from here */
        i->counted = true;
        i->last = i->now;
        i->metric_ms = now_ms;
    }
    if (now_ms - i->metric_ms >= METRIC_MS || !busy) put_metric(s, i, now_ms);
    if (!i->stalled && s->o->stall_ms > 0 && now_ms - i->moved_ms > s->o->stall_ms) stall(s, i);
    if (i->stalled) return;
    for (uint32_t k = 0; held && k < held->size; k++)
        (void)lease_renew(s->leases, wire_at_int(held, k, 0), i->instance_id, now_ms,
                          s->o->lease_ms); /* L3 */
}

/* --- coming and going ------------------------------------------------------------------------- */

void worker_lost(struct server *s, struct instance *i, const char *why)
{
    struct op *op = op_new(OP_GONE);
    size_t n;

    put_metric(s, i, i->heard_ms);
    grant_nothing(s, i);
    decide_unsend(s, i);
    n = ended_reap(s, i->instance_id, INT64_MAX, s->ending ? NULL : why);
    serve_event(s, strcmp(why, "lost") ? "info" : "warn", "worker",
                "%s name=%s, %zu jobs back to ready", why, i->row.name, n);
    if (op) {
        op->instance_id = i->instance_id;
        writer_put(s->writer, op);
    }
    grant_left(s, i);
    instance_leave(&s->instances, i);
    s->news++; /* who could run what is known anew */
}

void worker_message(struct server *s, struct wire_msg *m, int64_t now_ms)
{
    struct instance *i = instance_of_peer(&s->instances, m->peer, m->peer_len);
    struct wire_out o;

    if (m->head.type == WIRE_HELLO) {
        hear_hello(s, m);
        return;
    }
    if (m->head.type == WIRE_CRASHED) {
        ended_crashed(s, m);
        return;
    }
    if (!i) {
        wire_begin(&o, 0);
        serve_send(s, m, WIRE_REHELLO, &o);
        return;
    }
    i->heard_ms = now_ms;
    switch (m->head.type) {
    case WIRE_WANT: grant_wanted(s, i, &m->map); break;
    case WIRE_RESULTS: hear_results(s, m, i, now_ms); break;
    case WIRE_PROFILE: hear_profile(s, m, i); break;
    case WIRE_HEARTBEAT: hear_heartbeat(s, m, i, now_ms); break;
    case WIRE_BYE: worker_lost(s, i, "left"); break;
    default: break; /* lease_ack: that it was heard is what counts */
    }
}

void worker_written(struct server *s, struct op *op, int64_t now_ms)
{
    if (op->kind == OP_INSTANCE)
        hello_written(s, op, now_ms);
    else if (op->kind == OP_RESULTS)
        results_written(s, op);
    else if (op->kind == OP_FAIL) {
        const struct lease *l = lease_of(s->leases, op->failure.job_id, 0);
        const int64_t batch_id = l ? l->batch_id : 0;

        ready_remove(s->ready, op->failure.job_id);
        ready_forget(s->ready, op->failure.job_id);
        lease_end(s->leases, op->failure.job_id, 0);
        if (l) ended_return(s, op->failure.job_id, batch_id);
        s->news++; /* the row again, when it was replaced meanwhile */
    }
}
