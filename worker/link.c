/* link.c - the worker's side of the conversation with the broker. */
#include "worker/link.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "schema/key.h"
#include "schema/wire.h"
#include "worker/held.h"
#include "worker/meter.h"

#define SOON_MS        50 /* to look again at what no descriptor tells of */
#define HELLO_EVERY_MS 500
#define ALONE_MS       10000 /* without a welcome: worth telling */
#define TELL_EVERY_MS  10000 /* a hello that is refused is said again and again */
#define RESEND_MS      5000  /* a result without an ack */
#define ASK_AGAIN_MS   2000  /* a want, or its answer, may be lost */
#define ROWS_EACH      64    /* rows held for each that runs at once */
#define KV_EACH        4     /* tokens held for each that fits the KV memory */
#define MATERIAL       16    /* a part of what may be held: more room is worth telling */
#define FAREWELL_MS    3000  /* for the last acks after a drain */
#define EST_ANSWER     64    /* tokens, for rows whose answer is still to come */
#define EST_BYTES      4     /* body bytes for each token */

struct link {
    const struct link_opts *o;
    struct runner *runner;
    void *own_zmq; /* NULL: the caller's context is used */
    void *socket;
    struct meter meter;
    int others; /* processes on the device, at the last reading */
    struct held_table held;
    struct link_profile profile; /* as of now, where o->profile is */
    struct refit refit;
    int64_t wanted_rows, wanted_tokens; /* said, and not leased since */
    bool welcome, draining;
    bool hello_due; /* it could not be sent */
    bool was_busy;  /* in the last heartbeat */
    char db_uuid[40];
    int64_t epoch;
    int64_t hello_ms, heartbeat_ms, heartbeat_every_ms, farewell_ms, wanted_ms, resend_ms;
    int64_t refused_ms; /* when a refusal was told last */
    int64_t alone_ms;   /* when it was welcome last, or said that it is not */
};

/* Frees o; false when it could not be sent. */
static bool send_out(struct link *l, enum wire_type type, struct wire_out *o)
{
    int rc = wire_send(l->socket, NULL, 0, type, 0, o);

    if (rc) log_debug("link", "cannot send %s now", wire_type_name(type));
    wire_fini(o);
    return !rc;
}

/* --- what is said ----------------------------------------------------------------------------- */

static void say_hello(struct link *l, int64_t now_ms)
{
    const struct link_hello *h = &l->o->hello;
    const struct held *x;
    struct wire_out o;
    size_t at = 0;

    l->welcome = false;
    wire_begin(&o, 22);
    wire_put_str(&o, "uuid", h->uuid);
    wire_put_str(&o, "name", h->name);
    wire_put_str(&o, "host", h->host);
    wire_put_str(&o, "device", h->device);
    wire_put_str(&o, "model", h->model);
    wire_put_str(&o, "model_hash", h->model_hash);
    wire_put_str(&o, "dtype", h->dtype);
    wire_put_str(&o, "kv_dtype", h->kv_dtype);
    wire_put_str(&o, "engine", h->engine);
    wire_put_int(&o, "tp", h->tp);
    wire_put_int(&o, "threads", h->threads);
    wire_put_int(&o, "kv_tokens", h->kv_tokens);
    wire_put_int(&o, "max_model_len", h->max_model_len);
    wire_put_int(&o, "max_num_seqs", h->max_num_seqs);
    wire_put_int(&o, "max_num_batched_tokens", h->max_batched_tokens);
    wire_put_int(&o, "prefix_caching", h->prefix_caching);
    wire_put_int(&o, "unstarted", 1);
    wire_put_int(&o, "pid", getpid());
    wire_put_int(&o, "vmin", WIRE_VERSION);
    wire_put_int(&o, "vmax", WIRE_VERSION);
    wire_put_str(&o, "db_uuid", l->db_uuid);
    wire_put_array(&o, "held", held_count(&l->held));
    while ((x = held_next(&l->held, &at))) {
        wire_add_array(&o, 2);
        wire_add_int(&o, x->job_id);
        wire_add_int(&o, x->generation);
    }
    l->hello_due = !send_out(l, WIRE_HELLO, &o); /* nobody is there yet */
    if (!l->hello_due) l->hello_ms = now_ms;
}

/* What the machine tells; what it does not is left out. */
static void put_reading(struct wire_out *o, const struct meter_reading *r)
{
    if (r->memory_bytes) wire_put_int(o, "memory_bytes", r->memory_bytes);
    if (r->power_mw) wire_put_int(o, "power_mw", r->power_mw);
    if (r->clock_mhz) wire_put_int(o, "clock_mhz", r->clock_mhz);
    if (r->others >= 0) wire_put_int(o, "others", r->others);
}

/* Once when they come. */
static void notice_others(struct link *l, int others)
{
    if (others > 0 && l->others <= 0)
        log_warn("link", "%d other processes compute on the device: both are slower for it",
                 others);
    l->others = others;
}

/* Tokens expected of the jobs held that have not begun. */
static int64_t queued_tokens(const struct link *l, int n_running)
{
    int64_t n = (int64_t)l->held.n_running;

    return n > n_running ? l->held.tokens * (n - n_running) / n : 0;
}

static int64_t unbegun(const struct link *l, const struct runner_stats *s)
{
    const int64_t n = (int64_t)l->held.n_running - s->begun;

    return n > 0 ? n : 0;
}

static void say_heartbeat(struct link *l, int64_t now_ms)
{
    struct meter_reading r;
    struct runner_stats s;
    const struct held *x;
    struct wire_out o;
    size_t at = 0;

    runner_stats(l->runner, &s);
    meter_read(&l->meter, now_ms, &r);
    l->heartbeat_ms = now_ms;
    l->was_busy = s.busy;
    notice_others(l, r.others);
    wire_begin(&o,
               15 + (r.memory_bytes > 0) + (r.power_mw > 0) + (r.clock_mhz > 0) + (r.others >= 0));
    wire_put_str(&o, "state", s.busy ? "busy" : "idle");
    wire_put_int(&o, "steps", s.engine.steps);
    wire_put_int(&o, "beats", s.beats);
    wire_put_int(&o, "step_ms", s.engine.step_ns / 1000000);
    wire_put_int(&o, "rows", s.rows);
    wire_put_int(&o, "prompt_tokens", s.engine.prefill_tokens);
    wire_put_int(&o, "output_tokens", s.engine.decode_tokens);
    wire_put_int(&o, "cached_tokens", s.cached_tokens);
    wire_put_int(&o, "unbegun", unbegun(l, &s));
    wire_put_int(&o, "queued_tokens", queued_tokens(l, s.engine.n_running));
    wire_put_int(&o, "running", s.engine.n_running);
    wire_put_int(&o, "waiting", s.engine.n_waiting);
    wire_put_int(&o, "kv_blocks", s.engine.kv_blocks);
    wire_put_int(&o, "kv_free", s.engine.kv_blocks_free);
    put_reading(&o, &r);
    wire_put_array(&o, "held", held_count(&l->held));
    while ((x = held_next(&l->held, &at)))
        wire_add_int(&o, x->job_id);
    send_out(l, WIRE_HEARTBEAT, &o);
}

static void say_profile(struct link *l)
{
    const struct link_profile *p = &l->profile;
    const struct perf *k = &p->perf;
    struct wire_out o;

    if (!l->o->profile) return;
    wire_begin(&o, 14);
    wire_put_str(&o, "source", p->source);
    wire_put_float(&o, "k0", k->k0);
    wire_put_float(&o, "kw", k->kw);
    wire_put_float(&o, "k1", k->k1);
    wire_put_float(&o, "k2", k->k2);
    wire_put_float(&o, "k3", k->k3);
    wire_put_float(&o, "k4", k->k4);
    wire_put_int(&o, "kv_tokens", l->o->hello.kv_tokens);
    wire_put_float(&o, "mape", p->mape);
    wire_put_float(&o, "held_out_mape", p->held_out_mape);
    wire_put_int(&o, "samples", p->samples);
    wire_put_int(&o, "shared", p->shared);
    wire_put_int(&o, "drift", p->drifted);
    wire_put_float(&o, "start_mape", p->start_mape);
    send_out(l, WIRE_PROFILE, &o);
}

static void want(struct link *l, int64_t rows, int64_t tokens, int64_t now_ms)
{
    struct wire_out o;

    wire_begin(&o, 3);
    wire_put_int(&o, "rows", rows);
    wire_put_int(&o, "tokens", tokens);
    wire_put_int(&o, "held", (int64_t)l->held.n_running);
    if (!send_out(l, WIRE_WANT, &o)) return;
    l->wanted_rows = rows;
    l->wanted_tokens = tokens;
    l->wanted_ms = now_ms;
}

/* What may be held beside what is; how much of it comes, and when, is the broker's to say. */
static void say_want(struct link *l, int64_t now_ms)
{
    const struct link_hello *h = &l->o->hello;
    const int64_t most_rows = ROWS_EACH * (int64_t)h->max_num_seqs;
    const int64_t most_tokens = KV_EACH * (int64_t)h->kv_tokens;
    const int64_t rows = most_rows - (int64_t)l->held.n_running;
    const int64_t tokens = most_tokens - l->held.tokens;
    const int64_t more_rows = rows - l->wanted_rows, more_tokens = tokens - l->wanted_tokens;

    if (!l->welcome || l->draining || rows <= 0 || tokens <= 0) return;
    if (l->held.n_forgotten) return; /* a job of the same id could not be held beside it */
    if (more_rows * MATERIAL < most_rows && more_tokens * MATERIAL < most_tokens &&
        (l->held.n_running || (more_rows <= 0 && more_tokens <= 0)) &&
        now_ms - l->wanted_ms < ASK_AGAIN_MS)
        return;
    want(l, rows, tokens, now_ms);
}

/* Those without an ack for so long go out once more. */
static void say_again(struct link *l, int64_t now_ms, int64_t after_ms)
{
    l->resend_ms = now_ms;
    held_again(&l->held, now_ms, after_ms);
}

/* Sends a message of about WIRE_GROUP_BYTES; true when there is more to send. */
static bool say_results(struct link *l, int64_t now_ms)
{
    size_t n = 0, bytes = 0;
    struct result *r, *end;
    struct wire_out o;

    if (!l->welcome || !l->held.unsent) return false;
    for (end = l->held.unsent; end && bytes < WIRE_GROUP_BYTES;
         end = (struct result *)end->mail.next) {
        bytes += end->packed.len;
        n++;
    }
    wire_begin(&o, 3);
    wire_put_str(&o, "db_uuid", l->db_uuid);
    wire_put_int(&o, "epoch", l->epoch);
    wire_put_array(&o, "results", n);
    for (r = l->held.unsent; r != end; r = (struct result *)r->mail.next)
        wire_add_part(&o, r->packed.data, r->packed.len);
    if (!send_out(l, WIRE_RESULTS, &o)) return false;
    held_sent(&l->held, end, now_ms);
    return end;
}

/* --- what is held ----------------------------------------------------------------------------- */

static void hold(struct link *l, const msgpack_object_array *a)
{
    struct wire_text body = wire_at_str(a, 4);
    const int64_t tokens = (int64_t)body.len / EST_BYTES + EST_ANSWER;
    struct job *j = job_open(wire_at_int(a, 0, 0), wire_at_int(a, 1, 0), (int)wire_at_int(a, 3, 0),
                             body.at, body.len);

    l->wanted_tokens -= tokens;
    if (!j || j->job_id <= 0 || held_add(&l->held, j, tokens)) {
        job_close(&j); /* not named in the heartbeat, so the lease runs out */
        return;
    }
    j->attempt = wire_at_int(a, 2, 0);
    j->leased_ns = clock_mono_ns();
    runner_put(l->runner, j);
}

static void take_results(struct link *l)
{
    struct result *r;

    while ((r = runner_take(l->runner)))
        held_result(&l->held, r);
}

/* The broker serves another database than before: what runs for the last one is ended. */
static void end_job(void *arg, int64_t job_id)
{
    runner_cancel(arg, job_id, "other_database");
}

/* --- what is heard ---------------------------------------------------------------------------- */

static void hear_welcome(struct link *l, const msgpack_object *m, int64_t now_ms)
{
    char uuid[40];

    wire_copy(m, "db_uuid", uuid, sizeof uuid);
    if (l->db_uuid[0] && strcmp(uuid, l->db_uuid)) held_forget(&l->held, end_job, l->runner);
    memcpy(l->db_uuid, uuid, sizeof uuid);
    l->epoch = wire_int(m, "epoch", 0);
    l->heartbeat_every_ms = wire_int(m, "heartbeat_ms", 1000);
    if (l->heartbeat_every_ms < 10) l->heartbeat_every_ms = 10;
    l->welcome = true;
    l->wanted_rows = l->wanted_tokens = 0; /* whoever it is knows of no want */
    log_info("link", "welcome instance=%lld epoch=%lld", (long long)wire_int(m, "instance", 0),
             (long long)l->epoch);
    /* What was on its way when the link broke may be lost: send it again. */
    say_again(l, now_ms, 0);
    say_heartbeat(l, now_ms);
    say_profile(l);
}

static void hear_lease(struct link *l, const msgpack_object *m)
{
    const msgpack_object_array *jobs = wire_array(m, "jobs");
    struct wire_out o;

    wire_begin(&o, 1);
    wire_put_array(&o, "jobs", jobs ? jobs->size : 0);
    for (uint32_t k = 0; jobs && k < jobs->size; k++) {
        const msgpack_object_array *a = wire_at_array(jobs, k);

        wire_add_int(&o, a ? wire_at_int(a, 0, 0) : 0);
        if (a && !l->draining) hold(l, a);
        l->wanted_rows--;
    }
    send_out(l, WIRE_LEASE_ACK, &o);
}

static void hear_ack(struct link *l, const msgpack_object *m)
{
    const msgpack_object_array *jobs = wire_array(m, "jobs");

    for (uint32_t k = 0; jobs && k < jobs->size; k++)
        if (held_settle(&l->held, wire_at_int(jobs, k, 0)) && l->o->box)
            atomic_fetch_add(&l->o->box->finished, 1);
}

/* What still runs of these, or has not begun, comes back as a put-back; what has ended keeps its
 * result. */
static void hear_cancel(struct link *l, const msgpack_object *m)
{
    const msgpack_object_array *jobs = wire_array(m, "jobs");
    const bool unstarted = wire_int(m, "unstarted", 0);
    char why[24];

    wire_copy(m, "why", why, sizeof why);
    if (!why[0]) snprintf(why, sizeof why, "cancelled");
    for (uint32_t k = 0; jobs && k < jobs->size; k++) {
        int64_t job_id = wire_at_int(jobs, k, 0);

        if (!held_runs(&l->held, job_id)) continue;
        if (unstarted)
            runner_take_back(l->runner, job_id, why);
        else
            runner_cancel(l->runner, job_id, why);
    }
}

static void hear_refused(struct link *l, const msgpack_object *m, int64_t now_ms)
{
    struct wire_text why = wire_str(m, "message");

    if (l->refused_ms && now_ms - l->refused_ms < TELL_EVERY_MS) return;
    l->refused_ms = now_ms;
    log_warn("link", "the broker refused: %.*s", (int)why.len, why.at);
}

static void take_messages(struct link *l, int64_t now_ms)
{
    for (;;) {
        struct wire_msg m;
        struct errmsg e;
        int rc = wire_recv(l->socket, false, &m, &e);

        if (rc == ERR_EMPTY) return;
        if (rc)
            log_warn("link", "refused: %s", e.text);
        else if (m.head.type == WIRE_WELCOME)
            hear_welcome(l, &m.map, now_ms);
        else if (m.head.type == WIRE_LEASE && !fault_here("lease"))
            hear_lease(l, &m.map);
        else if (m.head.type == WIRE_RESULTS_ACK)
            hear_ack(l, &m.map);
        else if (m.head.type == WIRE_CANCEL)
            hear_cancel(l, &m.map);
        else if (m.head.type == WIRE_REHELLO && l->welcome)
            say_hello(l, now_ms);
        else if (m.head.type == WIRE_REFUSED)
            hear_refused(l, &m.map, now_ms);
        wire_msg_fini(&m);
    }
}

void link_hello_as(struct link_hello *h, const char *name)
{
    unsigned char r[16];

    randombytes_buf(r, sizeof r);
    sodium_bin2hex(h->uuid, sizeof h->uuid, r, sizeof r);
    if (gethostname(h->host, sizeof h->host)) snprintf(h->host, sizeof h->host, "unknown");
    h->host[sizeof h->host - 1] = '\0';
    if (name)
        snprintf(h->name, sizeof h->name, "%s", name);
    else
        snprintf(h->name, sizeof h->name, "%.40s-%d", h->host, (int)getpid());
}

/* --- start and end ---------------------------------------------------------------------------- */

static int open_socket(struct link *l, struct errmsg *e)
{
    int linger = 500, most_queued = 16, immediate = 1, rc;
    int64_t most = WIRE_MAX_BYTES;
    void *zmq = l->o->zmq ? l->o->zmq : (l->own_zmq = zmq_ctx_new());

    l->socket = zmq ? zmq_socket(zmq, ZMQ_DEALER) : NULL;
    if (!l->socket) return err_set(e, ERR_NOMEM, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
    zmq_setsockopt(l->socket, ZMQ_LINGER, &linger, sizeof linger);
    /* While no broker is there nothing is queued for it: it is all said again to the next one. */
    zmq_setsockopt(l->socket, ZMQ_IMMEDIATE, &immediate, sizeof immediate);
    zmq_setsockopt(l->socket, ZMQ_SNDHWM, &most_queued, sizeof most_queued);
    zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    if ((rc = key_use(l->o->key, l->o->address, l->socket, e))) return rc;
    if (zmq_connect(l->socket, l->o->address))
        return err_set(e, ERR_IO, "%s: %s", l->o->address, zmq_strerror(zmq_errno()));
    return ERR_OK;
}

static void begin_drain(struct link *l, int64_t now_ms)
{
    if (l->draining) return;
    log_info("link", "draining: %zu jobs held", l->held.jobs.n);
    if (l->welcome) want(l, 0, 0, now_ms);
    l->draining = true;
    l->farewell_ms = now_ms + FAREWELL_MS;
    say_again(l, now_ms, 0); /* there is no time to wait for acks that may be lost */
    runner_drain(l->runner);
}

/* A key that is not taken is answered with silence. */
static void tell_alone(struct link *l, int64_t now_ms)
{
    if (l->welcome) l->alone_ms = now_ms;
    if (now_ms - l->alone_ms < ALONE_MS) return;
    log_warn("link", "no broker welcomes us at %s%s%s; still trying", l->o->address,
             l->o->key ? ", or it does not take the key in " : "", l->o->key ? l->o->key : "");
    l->alone_ms = now_ms;
}

/* Everything that is due now; true when the link may end. */
static bool tend(struct link *l, int64_t now_ms)
{
    struct runner_stats s;

    take_results(l);
    runner_stats(l->runner, &s);
    if (s.failed) begin_drain(l, now_ms);
    if (!l->welcome && (l->hello_due || now_ms - l->hello_ms >= HELLO_EVERY_MS))
        say_hello(l, now_ms);
    tell_alone(l, now_ms);
    /* At once when the work is done: the last counters are wanted now, not at the next beat. */
    if (l->welcome &&
        (now_ms - l->heartbeat_ms >= l->heartbeat_every_ms || (l->was_busy && !s.busy)))
        say_heartbeat(l, now_ms);
    if (now_ms - l->resend_ms >= RESEND_MS) say_again(l, now_ms, RESEND_MS);
    while (say_results(l, now_ms))
        ;
    say_want(l, now_ms);
    if (l->welcome && l->o->profile &&
        refit_look(&l->refit, &l->profile, l->runner, l->o->hello.max_num_seqs, now_ms))
        say_profile(l);
    return l->draining && (!l->held.jobs.n || now_ms >= l->farewell_ms);
}

static void say_bye(struct link *l, int64_t now_ms)
{
    struct wire_out o;

    if (!l->welcome) return;
    say_heartbeat(l, now_ms);
    wire_begin(&o, 0);
    send_out(l, WIRE_BYE, &o);
}

static void close_link(struct link *l)
{
    held_fini(&l->held);
    if (l->socket) zmq_close(l->socket);
    if (l->own_zmq) zmq_ctx_term(l->own_zmq);
}

/* How long nothing is due that a descriptor would not tell of. */
static long wait_ms(const struct link *l, int64_t now_ms)
{
    int64_t due = l->heartbeat_ms + l->heartbeat_every_ms - now_ms;

    /* What could not be sent, or how the last job left the engine, is looked at again soon. */
    if (!l->welcome || l->draining || l->held.unsent || (l->was_busy && !l->held.n_running))
        return SOON_MS;
    return due < 0 ? 0 : due > 1000 ? 1000 : (long)due;
}

int link_run(const struct link_opts *o, struct runner *r, struct errmsg *e)
{
    struct link l = {.o = o, .runner = r, .heartbeat_every_ms = 1000};
    int rc = open_socket(&l, e);
    struct runner_stats s;
    bool done = false;

    if (rc) goto out;
    meter_init(&l.meter, "", o->place);
    if (o->profile) l.profile = *o->profile;
    l.refit = (struct refit){o->refit_every_ms, clock_mono_ms()};
    l.alone_ms = clock_mono_ms();
    say_hello(&l, l.alone_ms);
    while (!done) {
        /* A hello goes out at the moment that somebody is there. */
        const short events = l.hello_due ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN;
        zmq_pollitem_t items[3] = {{l.socket, 0, events, 0},
                                   {NULL, runner_fd(r), ZMQ_POLLIN, 0},
                                   {NULL, o->stop_fd, ZMQ_POLLIN, 0}};
        int64_t now_ms = clock_mono_ms();

        if (zmq_poll(items, o->stop_fd >= 0 && !l.draining ? 3 : 2, wait_ms(&l, now_ms)) < 0 &&
            zmq_errno() != EINTR) {
            rc = err_set(e, ERR_IO, "poll: %s", zmq_strerror(zmq_errno()));
            goto out;
        }
        now_ms = clock_mono_ms();
        if (items[2].revents) begin_drain(&l, now_ms);
        take_messages(&l, now_ms);
        done = tend(&l, now_ms);
    }
    if (l.held.jobs.n)
        rc = err_set(e, ERR_TIMEOUT,
                     "%zu results were not taken by the broker in time; it grants them again",
                     l.held.jobs.n);
    runner_stats(r, &s);
    if (s.failed) rc = err_set(e, s.rc, "%s", runner_error(r));
    say_bye(&l, clock_mono_ms());
out:
    close_link(&l);
    return rc;
}
