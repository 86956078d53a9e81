/* load.c - instances that answer at once. */
#include "bench/load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "bench/report.h"
#include "schema/wire.h"

#define MAX_INSTANCES 64
#define MAX_MESSAGES  65536 /* of one instance, sent and not yet acked; a power of two */
#define HEARTBEAT_NS  1000000000
#define STUCK_NS      30000000000 /* nothing came for so long: the benchmark is broken */

struct owed { /* a lease without an answer */
    int64_t job_id, generation;
};

struct instance {
    void *socket;
    char uuid[40], db_uuid[40];
    int64_t epoch;
    bool welcome, asked;
    struct owed *owed; /* [hold] */
    int n_owed, n_unacked;
    uint64_t n_sent; /* results messages; the number is their request id */
    int64_t sent_ns[MAX_MESSAGES];
};

struct crowd {
    const struct load *o;
    void *zmq;
    struct instance *at; /* [o->instances] */
    char text[LOAD_TEXT_BYTES];
    int64_t first_ns, last_ns, heartbeat_ns, n_answered, n_acked;
    int64_t n_twice; /* answers of rows that another one had answered first */
    double *ack_ms;  /* [o->rows] */
};

static void *connect_to(void *zmq, const char *address)
{
    void *socket = zmq_socket(zmq, ZMQ_DEALER);
    int linger = 200, every_ms = 1, none = 0;

    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &every_ms, sizeof every_ms);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
    if (zmq_connect(socket, address)) report_fail("%s: %s", address, zmq_strerror(zmq_errno()));
    return socket;
}

static void send_out(void *socket, enum wire_type type, uint64_t id, struct wire_out *o)
{
    if (wire_send(socket, NULL, 0, type, id, o)) report_fail("cannot send");
    wire_fini(o);
}

static void say_hello(void *socket, const char *uuid, int hold)
{
    struct wire_out o;

    wire_begin(&o, 7);
    wire_put_str(&o, "uuid", uuid);
    wire_put_str(&o, "name", uuid);
    wire_put_str(&o, "device", "none");
    wire_put_str(&o, "model", "none");
    wire_put_int(&o, "kv_tokens", 1 << 30);
    wire_put_int(&o, "max_model_len", 1 << 30);
    wire_put_int(&o, "max_num_seqs", hold);
    send_out(socket, WIRE_HELLO, 1, &o);
}

/* As fast as it is: the rows of a lease take next to nothing. */
static void say_profile(void *socket)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_str(&o, "source", "file");
    wire_put_float(&o, "k0", 0.001);
    send_out(socket, WIRE_PROFILE, 1, &o);
}

static void say_want(void *socket, int64_t rows)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_int(&o, "rows", rows);
    wire_put_int(&o, "tokens", (int64_t)1 << 40);
    send_out(socket, WIRE_WANT, 1, &o);
}

static void say_heartbeat(const struct instance *i, const struct crowd *c)
{
    struct wire_out o;

    wire_begin(&o, 5);
    wire_put_str(&o, "state", "busy");
    wire_put_int(&o, "steps", c->n_answered);
    wire_put_int(&o, "rows", c->n_answered);
    wire_put_int(&o, "running", i->n_owed);
    wire_put_array(&o, "held", (size_t)i->n_owed);
    for (int k = 0; k < i->n_owed; k++)
        wire_add_int(&o, i->owed[k].job_id);
    send_out(i->socket, WIRE_HEARTBEAT, 1, &o);
}

static void add_answer(struct wire_out *o, const struct owed *t, const struct crowd *c)
{
    wire_add_map(o, 10);
    wire_put_int(o, "job", t->job_id);
    wire_put_int(o, "generation", t->generation);
    wire_put_int(o, "kind", WIRE_DONE);
    wire_put_int(o, "prompt_tokens", 100);
    wire_put_int(o, "output_tokens", 50);
    wire_put_int(o, "prefill_ms", 1);
    wire_put_int(o, "decode_ms", 1);
    wire_put_str(o, "finish_reason", "stop");
    wire_add_str(o, "text", 4);
    wire_add_str(o, c->text, sizeof c->text);
    wire_put_str(o, "choices", "[]");
}

/* The newest n leases are answered in one message. */
static void say_results(struct crowd *c, struct instance *i, int n)
{
    struct wire_out o;
    uint64_t id = ++i->n_sent;

    wire_begin(&o, 3);
    wire_put_str(&o, "db_uuid", i->db_uuid);
    wire_put_int(&o, "epoch", i->epoch);
    wire_put_array(&o, "results", (size_t)n);
    for (int k = 0; k < n; k++)
        add_answer(&o, &i->owed[--i->n_owed], c);
    i->sent_ns[id % MAX_MESSAGES] = clock_mono_ns();
    i->n_unacked += n;
    c->n_answered += n;
    send_out(i->socket, WIRE_RESULTS, id, &o);
}

static void ask_for_more(const struct crowd *c, struct instance *i)
{
    int room = c->o->hold - i->n_owed - (c->o->until_ack ? i->n_unacked : 0);
    int enough = c->o->per_message < c->o->hold / 2 ? c->o->per_message : c->o->hold / 2;

    if (!i->welcome || i->asked || room < 1 || room < enough) return;
    say_want(i->socket, room < c->o->per_message ? room : c->o->per_message);
    i->asked = true;
}

/* --- what is heard ---------------------------------------------------------------------------- */

static void hear_lease(struct crowd *c, struct instance *i, const msgpack_object *map)
{
    const msgpack_object_array *jobs = wire_array(map, "jobs");

    i->asked = false;
    if (!c->first_ns) c->first_ns = clock_mono_ns();
    for (uint32_t k = 0; jobs && k < jobs->size; k++) {
        const msgpack_object_array *a = wire_at_array(jobs, k);

        if (!a || i->n_owed == c->o->hold) report_fail("a lease that was not asked for");
        i->owed[i->n_owed++] = (struct owed){wire_at_int(a, 0, 0), wire_at_int(a, 1, 0)};
    }
}

static void hear_ack(struct crowd *c, struct instance *i, const struct wire_msg *m)
{
    const msgpack_object_array *jobs = wire_array(&m->map, "jobs");
    double ms;

    c->last_ns = clock_mono_ns();
    ms = (double)(c->last_ns - i->sent_ns[m->head.request_id % MAX_MESSAGES]) * 1e-6;
    for (uint32_t k = 0; jobs && m->head.request_id && k < jobs->size; k++, c->n_acked++)
        if (c->n_acked < c->o->rows) c->ack_ms[c->n_acked] = ms;
    if (jobs && m->head.request_id) i->n_unacked -= (int)jobs->size;
}

/* Another one has answered the job: it is put back, if it was not answered here too. */
static void stop_job(struct crowd *c, struct instance *i, int64_t job_id)
{
    struct wire_out o;
    int k = 0;

    while (k < i->n_owed && i->owed[k].job_id != job_id)
        k++;
    if (k == i->n_owed) {
        c->n_twice++;
        return;
    }
    wire_begin(&o, 2);
    wire_put_str(&o, "db_uuid", i->db_uuid);
    wire_put_array(&o, "results", 1);
    wire_add_map(&o, 4);
    wire_put_int(&o, "job", job_id);
    wire_put_int(&o, "generation", i->owed[k].generation);
    wire_put_int(&o, "kind", WIRE_PUT_BACK);
    wire_put_str(&o, "code", "done_elsewhere");
    send_out(i->socket, WIRE_RESULTS, 0, &o);
    memmove(&i->owed[k], &i->owed[k + 1], (size_t)(--i->n_owed - k) * sizeof i->owed[0]);
}

static void hear_cancel(struct crowd *c, struct instance *i, const msgpack_object *map)
{
    const msgpack_object_array *jobs = wire_array(map, "jobs");

    for (uint32_t k = 0; jobs && k < jobs->size; k++)
        stop_job(c, i, wire_at_int(jobs, k, 0));
}

static bool hear_one(struct crowd *c, struct instance *i)
{
    struct wire_msg m;
    struct errmsg e;
    int rc = wire_recv(i->socket, false, &m, &e);

    if (rc == ERR_EMPTY) return false;
    if (rc) report_fail("%s", e.text);
    switch (m.head.type) {
    case WIRE_WELCOME:
        wire_copy(&m.map, "db_uuid", i->db_uuid, sizeof i->db_uuid);
        i->epoch = wire_int(&m.map, "epoch", 0);
        i->welcome = true;
        say_profile(i->socket);
        break;
    case WIRE_LEASE: hear_lease(c, i, &m.map); break;
    case WIRE_RESULTS_ACK: hear_ack(c, i, &m); break;
    case WIRE_CANCEL: hear_cancel(c, i, &m.map); break;
    default: report_fail("the broker sent %s", wire_type_name(m.head.type));
    }
    wire_msg_fini(&m);
    return true;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void answer(struct crowd *c, struct instance *i, int64_t now_ns)
{
    int64_t due = c->o->rows + c->n_twice - c->n_answered, now_due;

    if (c->o->per_s > 0 && c->first_ns) {
        now_due = (int64_t)((double)(now_ns - c->first_ns) * 1e-9 * c->o->per_s) - c->n_answered;
        /* A millisecond's rows go together, as a step's would. */
        if (now_due < due) due = now_due * 1000 < c->o->per_s ? 0 : now_due;
    }
    while (i->n_owed && due > 0) {
        int n = i->n_owed < c->o->per_message ? i->n_owed : c->o->per_message;

        if (n > due) n = (int)due;
        say_results(c, i, n);
        due -= n;
    }
}

static void beat(struct crowd *c, int64_t now_ns)
{
    if (now_ns - c->heartbeat_ns < HEARTBEAT_NS) return;
    c->heartbeat_ns = now_ns;
    for (int k = 0; k < c->o->instances; k++)
        if (c->at[k].welcome) say_heartbeat(&c->at[k], c);
}

static void serve(struct crowd *c)
{
    zmq_pollitem_t items[MAX_INSTANCES];
    const int n = c->o->instances;

    for (int k = 0; k < n; k++)
        items[k] = (zmq_pollitem_t){c->at[k].socket, 0, ZMQ_POLLIN, 0};
    c->last_ns = clock_mono_ns();
    while (c->n_acked < c->o->rows + c->n_twice) {
        int64_t now_ns;

        if (zmq_poll(items, n, c->o->per_s > 0 ? 1 : 100) < 0) report_fail("poll");
        now_ns = clock_mono_ns();
        for (int k = 0; k < n; k++) {
            struct instance *i = &c->at[k];

            while (items[k].revents && hear_one(c, i))
                ;
            answer(c, i, now_ns);
            ask_for_more(c, i);
        }
        beat(c, now_ns);
        if (now_ns - c->last_ns > STUCK_NS)
            report_fail("stuck: %lld of %lld rows acked", (long long)c->n_acked,
                        (long long)c->o->rows);
    }
}

static void open_all(struct crowd *c)
{
    c->zmq = zmq_ctx_new();
    c->at = calloc((size_t)c->o->instances, sizeof *c->at);
    c->ack_ms = calloc((size_t)c->o->rows, sizeof *c->ack_ms);
    if (!c->zmq || !c->at || !c->ack_ms) report_fail("out of memory");
    memset(c->text, 't', sizeof c->text);
    for (int k = 0; k < c->o->instances; k++) {
        struct instance *i = &c->at[k];

        i->owed = calloc((size_t)c->o->hold, sizeof *i->owed);
        if (!i->owed) report_fail("out of memory");
        snprintf(i->uuid, sizeof i->uuid, "load-%d-%d", (int)getpid(), k);
        i->socket = connect_to(c->zmq, c->o->address);
        say_hello(i->socket, i->uuid, c->o->hold);
    }
}

static void close_all(struct crowd *c)
{
    for (int k = 0; k < c->o->instances; k++) {
        struct wire_out o;

        wire_begin(&o, 0);
        send_out(c->at[k].socket, WIRE_BYE, 1, &o);
        zmq_close(c->at[k].socket);
    }
    zmq_ctx_term(c->zmq);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void work(const struct load *l, struct load_times *t)
{
    struct crowd c = {.o = l};

    open_all(&c);
    serve(&c);
    close_all(&c);
    c.n_acked = l->rows; /* without those that were answered twice */
    qsort(c.ack_ms, (size_t)c.n_acked, sizeof *c.ack_ms, by_size);
    *t = (struct load_times){.seconds = (double)(c.last_ns - c.first_ns) * 1e-9,
                             .p50_ms = c.ack_ms[c.n_acked / 2],
                             .p99_ms = c.ack_ms[c.n_acked * 99 / 100],
                             .max_ms = c.ack_ms[c.n_acked - 1],
                             .n_acked = c.n_acked};
    for (int k = 0; k < l->instances; k++)
        t->n_messages += (int64_t)c.at[k].n_sent;
}

void load_run(const struct load *l, struct load_times *t)
{
    struct load_times *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    if (shared == MAP_FAILED || l->instances > MAX_INSTANCES || l->rows < 1)
        report_fail("no load of %d instances", l->instances);
    pid = fork();
    if (pid < 0) report_fail("fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work(l, shared);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status) report_fail("the load ended with %d", status);
    *t = *shared;
    munmap(shared, sizeof *shared);
}

/* Waits for one message of this type, passing over others. */
static void wait_for(void *socket, enum wire_type type)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    enum wire_type got = 0;
    struct wire_msg m;
    struct errmsg e;

    while (got != type) {
        if (zmq_poll(&item, 1, STUCK_NS / 1000000) <= 0)
            report_fail("no %s came", wire_type_name(type));
        if (wire_recv(socket, false, &m, &e)) report_fail("%s", e.text);
        got = (enum wire_type)m.head.type;
        wire_msg_fini(&m);
    }
}

void load_first(const char *address, double *pong_s, double *lease_s)
{
    const int64_t start_ns = clock_mono_ns();
    void *zmq = zmq_ctx_new(), *socket = connect_to(zmq, address);
    struct wire_out o;

    wire_begin(&o, 0);
    send_out(socket, WIRE_PING, 1, &o);
    wait_for(socket, WIRE_PONG);
    *pong_s = (double)(clock_mono_ns() - start_ns) * 1e-9;
    if (!lease_s) goto out;
    say_hello(socket, "load-first", 1);
    wait_for(socket, WIRE_WELCOME);
    say_want(socket, 1);
    wait_for(socket, WIRE_LEASE);
    *lease_s = (double)(clock_mono_ns() - start_ns) * 1e-9;
    wire_begin(&o, 0);
    send_out(socket, WIRE_BYE, 1, &o);
out:
    zmq_close(socket);
    zmq_ctx_term(zmq);
}
