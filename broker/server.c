/* server.c - the broker's loop. */
#include "broker/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/serve.h"

#define TICK_MS       200
#define DUE_MS        500
#define HINT_MS       1000
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
        else if (wire_is_workers(m.head.type))
            worker_message(s, &m, now_ms);
        else
            client_message(s, &m);
        wire_msg_fini(&m);
    }
}

static void take_written(struct server *s)
{
    struct op *op;

    while ((op = writer_take(s->writer))) {
        switch (op->kind) {
        case OP_BATCH:
        case OP_ROWS:
        case OP_CONTROL: client_written(s, op); break;
        case OP_DUE:
            if (op->rows > 0) s->news++;
            break;
        default: worker_written(s, op, clock_mono_ms());
        }
        op_free(&op);
    }
}

/* --- the timer -------------------------------------------------------------------------------- */

static void put_hint(struct server *s)
{
    size_t n = lease_count(s->leases), at = 0;
    struct op *op;
    const struct lease *l;

    if (!n && !s->hinted) return;
    if (!(op = op_new(OP_HINT))) return;
    op->hint_jobs = calloc(n ? n : 1, sizeof *op->hint_jobs);
    op->hint_uuids = calloc(n ? n : 1, sizeof *op->hint_uuids);
    while (op->hint_jobs && op->hint_uuids && (l = lease_next(s->leases, &at))) {
        const struct instance *i = instance_of_id(&s->instances, l->holder);
        char *uuid = i ? strdup(i->row.uuid) : NULL;

        if (!uuid) continue;
        op->hint_jobs[op->n_hint] = l->job_id;
        op->hint_uuids[op->n_hint++] = uuid;
    }
    s->hinted = op->n_hint;
    writer_put(s->writer, op);
}

static void drop_withheld(struct server *s)
{
    size_t at = 0;
    void *uuid;

    if (s->withheld.n) s->news++;
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

static void tick(struct server *s, int64_t now_ms)
{
    struct op *op;
    bool trouble;

    s->tick_ms = now_ms;
    trouble = writer_trouble(s->writer, &s->trouble);
    if (s->in_trouble && !trouble)
        serve_event(s, "error", "writer", "%s; it is on disk now", s->trouble.text);
    s->in_trouble = trouble;
    if (lease_reap(s->leases, 0, now_ms)) s->news++;
    find_lost(s, now_ms);
    if (now_ms >= s->withheld_until_ms) drop_withheld(s);
    if (s->in_trouble) return; /* what can wait does not pile up before a full disk */
    if (now_ms - s->hint_ms >= HINT_MS) {
        s->hint_ms = now_ms;
        put_hint(s);
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

/* The lock is ours, so a socket there is dead; anything else there is somebody's file, and ZeroMQ
 * would remove it too. */
static int clear_place(const char *path, struct errmsg *e)
{
    struct stat st;

    if (lstat(path, &st)) return ERR_OK;
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_IO, "%s: there already, and not a socket", path);
    unlink(path);
    return ERR_OK;
}

static int bind_socket(struct server *s, struct errmsg *e)
{
    int one = 1, linger = 200, none = 0, rc;
    int64_t most = WIRE_MAX_BYTES;

    if (s->o->bind)
        snprintf(s->address, sizeof s->address, "%s", s->o->bind);
    else if ((rc = dbfile_address(s->o->db, s->address, sizeof s->address, e)))
        return rc;
    if (!strncmp(s->address, "tcp://", 6) && strncmp(s->address, "tcp://127.", 10) &&
        strncmp(s->address, "tcp://localhost:", 16) && strncmp(s->address, "tcp://[::1]", 11))
        return err_set(e, ERR_ARG, "%s: refused beyond the loopback without keys", s->address);
    s->zmq = zmq_ctx_new();
    s->socket = s->zmq ? zmq_socket(s->zmq, ZMQ_ROUTER) : NULL;
    if (!s->socket) return err_set(e, ERR_NOMEM, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
    zmq_setsockopt(s->socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    zmq_setsockopt(s->socket, ZMQ_ROUTER_HANDOVER, &one, sizeof one);
    zmq_setsockopt(s->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(s->socket, ZMQ_SNDHWM, &none,
                   sizeof none); /* leases are bounded by what workers ask for */
    zmq_setsockopt(s->socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    if (!strncmp(s->address, "ipc://", 6) && (rc = clear_place(s->address + 6, e))) return rc;
    if (zmq_bind(s->socket, s->address))
        return err_set(e, ERR_IO, "%s: %s", s->address, zmq_strerror(zmq_errno()));
    s->bound = true;
    if (!strncmp(s->address, "ipc://", 6)) chmod(s->address + 6, 0600);
    return ERR_OK;
}

static int serve_until_stopped(struct server *s, struct errmsg *e)
{
    zmq_pollitem_t items[3] = {{s->socket, 0, ZMQ_POLLIN, 0},
                               {NULL, writer_fd(s->writer), ZMQ_POLLIN, 0},
                               {NULL, s->o->stop_fd, ZMQ_POLLIN, 0}};
    int n = s->o->stop_fd >= 0 ? 3 : 2;

    for (;;) {
        int64_t now_ms;

        if (zmq_poll(items, n, TICK_MS) < 0 && zmq_errno() != EINTR)
            return err_set(e, ERR_IO, "poll: %s", zmq_strerror(zmq_errno()));
        if (n == 3 && items[2].revents) return ERR_OK;
        take_written(s);
        take_messages(s);
        now_ms = clock_mono_ms();
        if (now_ms - s->tick_ms >= TICK_MS) tick(s, now_ms);
        grant_all(s, now_ms);
    }
}

int broker_run(const struct broker_opts *o, struct errmsg *e)
{
    struct server s = {.o = o, .news = 1};
    int lock = -1, rc = dbfile_lock(&lock, o->db, e);

    if (rc) return rc;
    if ((rc = writer_open(&s.writer, o->db, &o->file, e))) goto out;
    if ((rc = ready_open(&s.ready, o->db, e))) goto out;
    if ((rc = lease_table_open(&s.leases))) goto out;
    if ((rc = read_hint(&s, e))) goto out;
    if ((rc = bind_socket(&s, e))) goto out;
    log_info("broker", "serves db=%s address=%s epoch=%lld", o->db, s.address,
             (long long)writer_epoch(s.writer));
    if (o->on_ready) o->on_ready(o->ready_arg, s.address);
    rc = serve_until_stopped(&s, e);
out:
    while (s.instances.n)
        worker_lost(&s, s.instances.at[0], "broker ends");
    if (s.leases) put_hint(&s); /* an orderly end leaves nothing to be withheld */
    if (s.socket) zmq_close(s.socket);
    if (s.zmq) zmq_ctx_term(s.zmq);
    if (s.bound && !strncmp(s.address, "ipc://", 6)) unlink(s.address + 6);
    ready_close(&s.ready); /* before the writer, whose close then folds the log into the file */
    writer_close(&s.writer);
    lease_table_close(&s.leases);
    instance_table_fini(&s.instances);
    drop_withheld(&s);
    if (lock >= 0) close(lock);
    return rc;
}
