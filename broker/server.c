/* server.c - the broker's loop. */
#include "broker/server.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/serve.h"

#define TICK_MS       200
#define DUE_MS        500
#define GAP_MS        1000 /* between two looks: more than work explains */
#define TRIM_LEASES   1024
#define HINT_MS       1000
#define THIN_MS       10000 /* between two looks at what has aged */
#define THIN_MORE_MS  500   /* the same while there is more to do */
#define WITHHOLD_MS   10000
#define TELL_EVERY_MS 60000
#define BURST         256 /* messages taken between two looks at everything else */

/* --- for the files that answer ---------------------------------------------------------------- */

void serve_send(struct server *s, const struct wire_msg *to, enum wire_type type,
                struct wire_out *o)
{
    if (wire_send(s->socket, to->peer, to->peer_len, type, to->head.request_id, o))
        log_info("wire", "cannot send %s: the other side is gone", wire_type_name(type));
    wire_fini(o);
}

void serve_refuse(struct server *s, const struct wire_msg *to, const char *code, const char *why)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_str(&o, "code", code);
    wire_put_str(&o, "message", why);
    serve_send(s, to, WIRE_REFUSED, &o);
}

struct op *serve_op(struct server *s, enum op_kind kind, struct wire_msg *m)
{
    struct op *op = op_new(kind);

    if (!op) {
        serve_refuse(s, m, "out_of_memory", "the broker is out of memory");
        return NULL;
    }
    op->msg = *m;
    op->has_msg = true;
    memset(m, 0, sizeof *m);
    return op;
}

void serve_event(struct server *s, const char *level, const char *unit, const char *fmt, ...)
{
    struct op *op = op_new(OP_EVENT);
    va_list ap;

    if (!op) return;
    snprintf(op->level, sizeof op->level, "%s", level);
    snprintf(op->unit, sizeof op->unit, "%s", unit);
    va_start(ap, fmt);
    vsnprintf(op->own_text, sizeof op->own_text, fmt, ap);
    va_end(ap);
    log_info(unit, "%s", op->own_text);
    writer_put(s->writer, op);
}

/* --- messages --------------------------------------------------------------------------------- */

static void count_refused(struct server *s, const char *why, int64_t now_ms)
{
    s->refused++;
    if (s->refused_told_ms && now_ms - s->refused_told_ms < TELL_EVERY_MS) return;
    s->refused_told_ms = now_ms;
    log_warn("wire", "refused: %s (%lld so far)", why, (long long)s->refused);
    serve_event(s, "warn", "wire", "refused: %s (%lld so far)", why, (long long)s->refused);
}

/* The key behind a message may have been revoked since its link was made. */
static bool is_allowed(struct server *s, const struct wire_msg *m, int64_t now_ms)
{
    enum role role = listener_role(&s->listener, m->user);
    char why[128];

    if (role_may(role, m->head.type)) return true;
    if (role == ROLE_NONE)
        snprintf(why, sizeof why, "the key was revoked");
    else
        snprintf(why, sizeof why, "a key of role %s may not say %s", role_name(role),
                 wire_type_name(m->head.type));
    count_refused(s, why, now_ms);
    serve_refuse(s, m, "not_allowed", why);
    return false;
}

static void take_messages(struct server *s)
{
    for (int k = 0; k < BURST; k++) {
        int64_t now_ms = clock_mono_ms();
        struct wire_msg m;
        struct errmsg e;
        int rc = wire_recv(s->socket, true, &m, &e);

        if (rc == ERR_EMPTY) return;
        if (rc)
            count_refused(s, e.text, now_ms);
        else if (!is_allowed(s, &m, now_ms))
            ;
        else if (wire_is_workers(m.head.type))
            worker_message(s, &m, now_ms);
        else if (m.head.type == WIRE_NODE || m.head.type == WIRE_PLAN)
            plan_message(s, &m, now_ms);
        else
            client_message(s, &m);
        wire_msg_fini(&m);
    }
}

/* A piece of what a deadline has ended; the next one follows. */
static void expired(struct server *s, struct op *op)
{
    op->again = op->rows > 0;
    if (op->again) return;
    s->expiring = 0;
    s->news++;
}

static void take_handshakes(struct server *s)
{
    struct errmsg why;
    int64_t n = s->listener.zap ? zap_answer(s->listener.zap, clock_wall_ms(), &why) : 0;

    while (n-- > 0)
        count_refused(s, why.text, clock_mono_ms());
}

static void take_written(struct server *s)
{
    struct op *op;

    while ((op = writer_take(s->writer))) {
        switch (op->kind) {
        case OP_BATCH:
        case OP_ROWS:
        case OP_CONTROL: client_written(s, op); break;
        case OP_NODE:
        case OP_NODE_GONE:
        case OP_PLAN: plan_message_written(s, op); break;
        case OP_CRASHED: ended_written(s, op); break;
        case OP_EXPIRE: expired(s, op); break;
        case OP_DUE:
            if (op->rows > 0) ready_stir(s->ready, 0, INT64_MIN); /* they may be urgent */
            if (op->rows > 0) s->news++;
            break;
        case OP_THIN: s->thin_at_ms = clock_mono_ms() + (op->more ? THIN_MORE_MS : THIN_MS); break;
        default: worker_written(s, op, clock_mono_ms());
        }
        if (op->again) {
            op->again = false;
            writer_put(s->writer, op);
        } else {
            op_free(&op);
        }
    }
}

/* --- the timer -------------------------------------------------------------------------------- */

/* The uuids of all instances, side by side, for as long as the op lives. */
static bool copy_uuids(const struct server *s, struct op *op)
{
    const size_t n = s->instances.n;

    op->hint_text = calloc(n ? n : 1, sizeof s->instances.at[0]->row.uuid);
    for (size_t k = 0; op->hint_text && k < n; k++) {
        struct instance *i = s->instances.at[k];

        i->hint_uuid = op->hint_text + k * sizeof i->row.uuid;
        memcpy(op->hint_text + k * sizeof i->row.uuid, i->row.uuid, sizeof i->row.uuid);
    }
    return op->hint_text;
}

static void put_hint(struct server *s)
{
    size_t n = lease_count(s->leases), at = 0;
    struct op *op;
    const struct lease *l;

    if (!n && !s->hinted) return;
    if (!(op = op_new(OP_HINT))) return;
    op->hint_jobs = calloc(n ? n : 1, sizeof *op->hint_jobs);
    op->hint_uuids = calloc(n ? n : 1, sizeof *op->hint_uuids);
    if (!op->hint_jobs || !op->hint_uuids || !copy_uuids(s, op)) {
        op_free(&op); /* the hint of before stays */
        return;
    }
    while ((l = lease_next(s->leases, &at))) {
        const struct instance *i = instance_of_id(&s->instances, l->holder);

        if (!i || l->settling || l->copy) continue;
        op->hint_jobs[op->n_hint] = l->job_id;
        op->hint_uuids[op->n_hint++] = i->hint_uuid;
    }
    s->hinted = op->n_hint;
    writer_put(s->writer, op);
}

static void drop_withheld(struct server *s)
{
    size_t at = 0;
    void *uuid;

    if (s->withheld.n) {
        ready_stir(s->ready, 0, INT64_MAX); /* they were passed over */
        s->news++;
    }
    while ((uuid = idmap_next(&s->withheld, &at)))
        free(uuid);
    idmap_fini(&s->withheld);
}

static void find_lost(struct server *s, int64_t now_ms)
{
    for (size_t k = 0; k < s->instances.n;) {
        struct instance *i = s->instances.at[k];

        if (now_ms - i->heard_ms > s->o->lost_ms)
            worker_lost(s, i, "lost"); /* I2; moves another into k */
        else
            k++;
    }
}

/* The first batch with a passed deadline and rows left; one at a time. */
static void expire(struct server *s)
{
    int64_t batch_id = s->expiring ? 0 : ready_expired(s->ready, 0);
    struct op *op = batch_id ? op_new(OP_EXPIRE) : NULL;

    if (!op) return;
    op->batch_id = s->expiring = batch_id;
    serve_event(s, "warn", "batch", "batch %lld: its deadline has passed", (long long)batch_id);
    writer_put(s->writer, op);
}

/* Keys that were made or revoked since; who worked with a revoked one is out at once. */
static void look_at_keys(struct server *s)
{
    if (!s->listener.zap) return;
    zap_refresh(s->listener.zap, clock_wall_ms());
    for (size_t k = 0; k < s->instances.n;) {
        struct instance *i = s->instances.at[k];

        if (listener_role(&s->listener, i->user) == ROLE_NONE)
            worker_lost(s, i, "key revoked"); /* moves another into k */
        else
            k++;
    }
}

/* After much work what it took goes back to the system, once. */
static void trim(struct server *s)
{
    const size_t n = lease_count(s->leases);

    if (n > s->most_leases) s->most_leases = n;
    if (n || s->most_leases < TRIM_LEASES) return;
    s->most_leases = 0;
    malloc_trim(0);
}

static void tick(struct server *s, int64_t now_ms)
{
    struct op *op;
    bool trouble;

    s->tick_ms = now_ms;
    trouble = writer_trouble(s->writer, &s->trouble);
    if (s->in_trouble && !trouble)
        serve_event(s, "error", "writer", "%s; it is on disk now", s->trouble.text);
    s->in_trouble = trouble;
    s->blocked |= trouble;
    grant_tick(s);
    (void)ended_reap(s, 0, now_ms, "lease_expired");
    find_lost(s, now_ms);
    plan_tick(s, now_ms);
    look_at_keys(s);
    if (now_ms >= s->withheld_until_ms) drop_withheld(s);
    s->looked_at = -1;         /* hours pass: batches open and close */
    if (s->in_trouble) return; /* what can wait does not pile up before a full disk */
    expire(s);
    trim(s);
    if (now_ms - s->hint_ms >= HINT_MS) {
        s->hint_ms = now_ms;
        put_hint(s);
    }
    if (now_ms >= s->thin_at_ms && (op = op_new(OP_THIN))) {
        s->thin_at_ms = INT64_MAX; /* until this one is done */
        writer_put(s->writer, op);
    }
    if (now_ms - s->due_ms >= DUE_MS && (op = op_new(OP_DUE))) {
        s->due_ms = now_ms;
        writer_put(s->writer, op);
    }
}

/* --- start and end ---------------------------------------------------------------------------- */

/* Q3: the leases of the run before are withheld until their worker says hello, or for ten seconds.
 */
static int read_hint(struct server *s, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    sqlite3 *db;
    int rc = dbfile_open_read(&db, s->o->db, e);

    if (rc) return rc;
    if (sqlite3_prepare_v2(db, "SELECT job_id, instance_uuid FROM lease_hint", -1, &st, NULL) !=
        SQLITE_OK)
        rc = dbfile_error(db, e, "lease hint");
    while (!rc && sqlite3_step(st) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 1);
        char *uuid = text ? strdup(text) : NULL;

        if (!uuid || idmap_put(&s->withheld, sqlite3_column_int64(st, 0), uuid)) {
            free(uuid);
            rc = err_set(e, ERR_NOMEM, "out of memory");
        }
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    s->withheld_until_ms = clock_mono_ms() + WITHHOLD_MS;
    return rc;
}

/* Batches that were being deleted when the run before ended. */
static int go_on_deleting(struct server *s, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    sqlite3 *db;
    int rc = dbfile_open_read(&db, s->o->db, e);

    if (rc) return rc;
    if (sqlite3_prepare_v2(db, "SELECT batch_id, name FROM batch WHERE deleting=1", -1, &st,
                           NULL) != SQLITE_OK)
        rc = dbfile_error(db, e, "batches");
    while (!rc && sqlite3_step(st) == SQLITE_ROW) {
        struct op *op = op_new(OP_CONTROL);

        if (!op) {
            rc = err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        op->asked = (struct control){
            .verb = VERB_DELETE, .batch_id = sqlite3_column_int64(st, 0), .more = true};
        snprintf(op->asked.batch, sizeof op->asked.batch, "%s",
                 (const char *)sqlite3_column_text(st, 1));
        writer_put(s->writer, op);
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    return rc;
}

/* This process was stopped for a while, or starved: whoever was silent meanwhile could not be
 * heard, and has the time again. */
static void forgive(struct server *s, int64_t gap_ms)
{
    if (gap_ms < GAP_MS) return;
    log_warn("broker", "nothing ran here for %lld ms", (long long)gap_ms);
    for (size_t k = 0; k < s->instances.n; k++) {
        s->instances.at[k]->heard_ms += gap_ms;
        s->instances.at[k]->moved_ms += gap_ms;
    }
    lease_shift(s->leases, gap_ms);
    nodes_shift(&s->nodes, gap_ms);
    s->withheld_until_ms += gap_ms;
}

static int serve_until_stopped(struct server *s, struct errmsg *e)
{
    zmq_pollitem_t items[5] = {{s->socket, 0, ZMQ_POLLIN, 0},
                               {NULL, writer_fd(s->writer), ZMQ_POLLIN, 0}};
    int n = 2, stop = 0;
    int64_t before_ms = clock_mono_ms();
    bool more = false;

    if (s->listener.zap) {
        items[n++] = (zmq_pollitem_t){zap_socket(s->listener.zap), 0, ZMQ_POLLIN, 0};
        items[n++] = (zmq_pollitem_t){zap_monitor(s->listener.zap), 0, ZMQ_POLLIN, 0};
    }
    if (s->o->stop_fd >= 0) {
        stop = n;
        items[n++] = (zmq_pollitem_t){NULL, s->o->stop_fd, ZMQ_POLLIN, 0};
    }

    for (;;) {
        int64_t now_ms;

        if (zmq_poll(items, n, more ? 0 : TICK_MS) < 0 && zmq_errno() != EINTR)
            return err_set(e, ERR_IO, "poll: %s", zmq_strerror(zmq_errno()));
        if (stop && items[stop].revents) return ERR_OK;
        take_written(s);
        take_handshakes(s);
        now_ms = clock_mono_ms();
        forgive(s, now_ms - before_ms);
        before_ms = now_ms;
        take_messages(s);
        if (now_ms - s->tick_ms >= TICK_MS) tick(s, now_ms);
        more = grant_next(s);
    }
}

int broker_run(const struct broker_opts *o, struct errmsg *e)
{
    struct server s = {.o = o, .news = 1, .has_suspects = true};
    const struct ready_world world = grant_world(&s);
    int lock = -1, rc = dbfile_lock(&lock, o->db, e);

    if (rc) return rc;
    if ((rc = writer_open(&s.writer, o->db, &o->file, e))) goto out;
    if ((rc = lease_table_open(&s.leases))) goto out;
    if ((rc = ready_open(&s.ready, o->db, &world, e))) goto out;
    if ((rc = grant_open(&s, e))) goto out;
    if ((rc = read_hint(&s, e))) goto out;
    if ((rc = go_on_deleting(&s, e))) goto out;
    if ((rc = plan_begin(&s, e))) goto out;
    if ((rc = listener_open(&s.listener, o->db, o->bind, o->keys, e))) goto out;
    s.socket = s.listener.socket;
    log_info("broker", "serves db=%s address=%s epoch=%lld", o->db, s.listener.address,
             (long long)writer_epoch(s.writer));
    if (o->on_ready) o->on_ready(o->ready_arg, s.listener.address);
    rc = serve_until_stopped(&s, e);
out:
    s.ending = true;
    while (s.instances.n)
        worker_lost(&s, s.instances.at[0], "broker ends");
    if (s.writer) plan_end(&s);
    if (s.leases) put_hint(&s); /* an orderly end leaves nothing to be withheld */
    listener_close(&s.listener);
    drop_withheld(&s); /* which stirs the window */
    grant_close(&s);
    ready_close(&s.ready); /* before the writer, whose close then folds the log into the file */
    writer_close(&s.writer);
    lease_table_close(&s.leases);
    instance_table_fini(&s.instances);
    if (lock >= 0) close(lock);
    return rc;
}
