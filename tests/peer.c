/* peer.c - one end of a conversation with a broker, made by hand. */
#include "tests/peer.h"

#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "schema/key.h"
#include "tests/test.h"

#define LIMIT_MS 20000

void peer_open(struct peer *p, const char *address, const char *uuid)
{
    peer_open_key(p, address, uuid, NULL);
}

void peer_open_key(struct peer *p, const char *address, const char *uuid, const char *key)
{
    struct errmsg e;
    int none = 0;

    memset(p, 0, sizeof *p);
    snprintf(p->uuid, sizeof p->uuid, "%s", uuid);
    snprintf(p->model, sizeof p->model, "m");
    p->kv_tokens = 1000;
    p->max_num_seqs = 1;
    p->zmq = zmq_ctx_new();
    p->socket = zmq_socket(p->zmq, ZMQ_DEALER);
    zmq_setsockopt(p->socket, ZMQ_LINGER, &none, sizeof none);
    ck_assert_msg(!key_use(key, address, p->socket, &e), "%s", e.text);
    ck_assert_int_eq(zmq_connect(p->socket, address), 0);
}

void peer_close(struct peer *p)
{
    wire_msg_fini(&p->m);
    zmq_close(p->socket);
    zmq_ctx_term(p->zmq);
    memset(p, 0, sizeof *p);
}

void peer_send(struct peer *p, enum wire_type type, struct wire_out *o)
{
    ck_assert_int_eq(wire_send(p->socket, NULL, 0, type, 1, o), ERR_OK);
    wire_fini(o);
}

bool peer_hears(struct peer *p, enum wire_type type, int limit_ms)
{
    int64_t until = clock_mono_ms() + limit_ms, left;
    zmq_pollitem_t item = {p->socket, 0, ZMQ_POLLIN, 0};
    struct errmsg e;

    while ((left = until - clock_mono_ms()) > 0) {
        if (zmq_poll(&item, 1, (long)left) <= 0) continue;
        wire_msg_fini(&p->m);
        ck_assert_msg(!wire_recv(p->socket, false, &p->m, &e), "%s", e.text);
        if (p->m.head.type == type) return true;
    }
    return false;
}

const msgpack_object *peer_hear(struct peer *p, enum wire_type type)
{
    ck_assert_msg(peer_hears(p, type, LIMIT_MS), "no %s came, the last was %s",
                  wire_type_name(type), wire_type_name(p->m.head.type));
    return &p->m.map;
}

void peer_hello(struct peer *p, const int64_t *held, int n)
{
    struct wire_out o;

    wire_begin(&o, 10);
    wire_put_int(&o, "max_num_seqs", p->max_num_seqs);
    wire_put_int(&o, "prefix_caching", p->prefix_caching);
    wire_put_int(&o, "unstarted", p->takes_back);
    wire_put_str(&o, "uuid", p->uuid);
    wire_put_str(&o, "name", p->uuid);
    wire_put_str(&o, "model", p->model);
    wire_put_int(&o, "kv_tokens", p->kv_tokens);
    wire_put_int(&o, "max_model_len", 1 << 30);
    wire_put_str(&o, "db_uuid", p->db_uuid);
    wire_put_array(&o, "held", (size_t)n);
    for (int i = 0; i < n; i++) {
        wire_add_array(&o, 2);
        wire_add_int(&o, held[i]);
        wire_add_int(&o, 0);
    }
    peer_send(p, WIRE_HELLO, &o);
}

void peer_welcomed(struct peer *p)
{
    wire_copy(&p->m.map, "db_uuid", p->db_uuid, sizeof p->db_uuid);
    p->instance = wire_int(&p->m.map, "instance", 0);
    p->epoch = wire_int(&p->m.map, "epoch", 0);
}

void peer_join(struct peer *p, const int64_t *held, int n)
{
    peer_hello(p, held, n);
    peer_hear(p, WIRE_WELCOME);
    peer_welcomed(p);
}

void peer_want(struct peer *p, int64_t rows, int64_t tokens)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_int(&o, "rows", rows);
    wire_put_int(&o, "tokens", tokens);
    peer_send(p, WIRE_WANT, &o);
}

void peer_stand(struct peer *p, int64_t rows, int64_t tokens, int64_t held)
{
    struct wire_out o;

    wire_begin(&o, 3);
    wire_put_int(&o, "rows", rows);
    wire_put_int(&o, "tokens", tokens);
    wire_put_int(&o, "held", held);
    peer_send(p, WIRE_WANT, &o);
}

int peer_lease(struct peer *p, int64_t rows)
{
    peer_want(p, rows, 1 << 30);
    return peer_leased(p);
}

int peer_leased(struct peer *p)
{
    const msgpack_object_array *jobs;

    ck_assert_ptr_nonnull(jobs = wire_array(peer_hear(p, WIRE_LEASE), "jobs"));
    ck_assert_uint_le(jobs->size, PEER_JOBS);
    p->n_jobs = (int)jobs->size;
    for (uint32_t i = 0; i < jobs->size; i++) {
        const msgpack_object_array *a = wire_at_array(jobs, i);

        ck_assert(a && a->size == 5);
        p->job[i] = wire_at_int(a, 0, 0);
        p->generation[i] = wire_at_int(a, 1, -1);
        p->attempt[i] = wire_at_int(a, 2, 0);
    }
    return p->n_jobs;
}

int peer_cancelled(struct peer *p, char why[24])
{
    const msgpack_object *map = peer_hear(p, WIRE_CANCEL);
    const msgpack_object_array *jobs = wire_array(map, "jobs");

    ck_assert_ptr_nonnull(jobs);
    ck_assert_uint_le(jobs->size, PEER_JOBS);
    for (uint32_t i = 0; i < jobs->size; i++)
        p->job[i] = wire_at_int(jobs, i, 0);
    if (why) wire_copy(map, "why", why, 24);
    return (int)jobs->size;
}

void peer_heartbeat(struct peer *p, const int64_t *held, int n, int64_t steps)
{
    peer_beat(p, held, n, steps, 0);
}

void peer_beat(struct peer *p, const int64_t *held, int n, int64_t steps, int64_t unbegun)
{
    struct wire_out o;

    wire_begin(&o, 5);
    wire_put_int(&o, "unbegun", unbegun);
    wire_put_str(&o, "state", "busy");
    wire_put_int(&o, "steps", steps);
    wire_put_int(&o, "rows", steps);
    wire_put_array(&o, "held", (size_t)n);
    for (int i = 0; i < n; i++)
        wire_add_int(&o, held[i]);
    peer_send(p, WIRE_HEARTBEAT, &o);
}

void peer_bye(struct peer *p)
{
    struct wire_out o;

    wire_begin(&o, 0);
    peer_send(p, WIRE_BYE, &o);
}

/* Opens a message of one result with the keys that all kinds have; n more follow. */
static void begin_result(struct peer *p, struct wire_out *o, int64_t job, int64_t generation,
                         enum wire_kind kind, size_t n)
{
    wire_begin(o, 3);
    wire_put_str(o, "db_uuid", p->db_uuid);
    wire_put_int(o, "epoch", p->epoch);
    wire_put_array(o, "results", 1);
    wire_add_map(o, 3 + n);
    wire_put_int(o, "job", job);
    wire_put_int(o, "generation", generation);
    wire_put_int(o, "kind", kind);
}

void peer_answer(struct peer *p, int64_t job, int64_t generation, const char *text)
{
    struct wire_out o;

    begin_result(p, &o, job, generation, WIRE_DONE, 5);
    wire_put_int(&o, "prompt_tokens", 10);
    wire_put_int(&o, "output_tokens", 3);
    wire_put_str(&o, "finish_reason", "stop");
    wire_put_str(&o, "text", text);
    wire_put_str(&o, "choices", "[]");
    peer_send(p, WIRE_RESULTS, &o);
}

void peer_error(struct peer *p, int64_t job, int64_t generation, bool final)
{
    struct wire_out o;

    begin_result(p, &o, job, generation, WIRE_ERROR, 3);
    wire_put_int(&o, "final", final);
    wire_put_str(&o, "code", "bad");
    wire_put_str(&o, "message", "it broke");
    peer_send(p, WIRE_RESULTS, &o);
}

void peer_put_back(struct peer *p, int64_t job, int64_t generation, int64_t need_tokens)
{
    struct wire_out o;

    begin_result(p, &o, job, generation, WIRE_PUT_BACK, 2);
    wire_put_str(&o, "code", "does_not_fit");
    wire_put_int(&o, "need_tokens", need_tokens);
    peer_send(p, WIRE_RESULTS, &o);
}

void peer_stopped(struct peer *p, int64_t job, int64_t generation, const char *why)
{
    struct wire_out o;

    begin_result(p, &o, job, generation, WIRE_PUT_BACK, 1);
    wire_put_str(&o, "code", why);
    peer_send(p, WIRE_RESULTS, &o);
}

void peer_crashed(struct peer *p, const char *uuid, const int64_t *jobs, int n, int signal)
{
    struct wire_out o;

    wire_begin(&o, 4);
    wire_put_str(&o, "uuid", uuid);
    wire_put_str(&o, "why", "signal 11");
    wire_put_int(&o, "signal", signal);
    wire_put_array(&o, "jobs", (size_t)n);
    for (int i = 0; i < n; i++) {
        wire_add_array(&o, 2);
        wire_add_int(&o, jobs[i]);
        wire_add_int(&o, 0);
    }
    peer_send(p, WIRE_CRASHED, &o);
    ck_assert_int_eq(wire_int(peer_hear(p, WIRE_CRASHED_OK), "suspects", -1), n);
}

void peer_acked(struct peer *p, int64_t job)
{
    const msgpack_object_array *jobs = wire_array(peer_hear(p, WIRE_RESULTS_ACK), "jobs");

    ck_assert_ptr_nonnull(jobs);
    ck_assert_uint_eq(jobs->size, 1);
    ck_assert_int_eq(wire_at_int(jobs, 0, 0), job);
}

int64_t peer_control(struct peer *p, const char *verb, const char *batch, const char *job,
                     const char *code)
{
    struct wire_out o;

    wire_begin(&o, 4);
    wire_put_str(&o, "verb", verb);
    wire_put_str(&o, "batch", batch);
    wire_put_str(&o, "job", job);
    wire_put_str(&o, "code", code);
    peer_send(p, WIRE_CONTROL, &o);
    return wire_int(peer_hear(p, WIRE_CONTROL_OK), "rows", -1);
}

int64_t peer_batch(struct peer *p, const char *name, const char *model, int64_t max_attempts)
{
    const msgpack_object *map;
    struct wire_out o;

    wire_begin(&o, 3);
    wire_put_str(&o, "name", name);
    wire_put_str(&o, "model", model);
    wire_put_int(&o, "max_attempts", max_attempts);
    peer_send(p, WIRE_BATCH, &o);
    map = peer_hear(p, WIRE_BATCH_OK);
    return wire_int(map, "batch", 0);
}

void peer_rows(struct peer *p, int64_t batch, const char *prefix, int n, size_t len)
{
    char *body = malloc(len);
    struct wire_out o;

    ck_assert_ptr_nonnull(body);
    memset(body, 'x', len);
    wire_begin(&o, 2);
    wire_put_int(&o, "batch", batch);
    wire_put_array(&o, "rows", (size_t)n);
    for (int i = 0; i < n; i++) {
        char id[64];

        snprintf(id, sizeof id, "%s%d", prefix, i);
        wire_add_array(&o, 7);
        wire_add_str(&o, id, strlen(id));
        wire_add_int(&o, i + 1);
        wire_add_int(&o, 0);
        wire_add_bin(&o, body, len);
        for (int k = 0; k < 3; k++)
            wire_add_str(&o, "", 0);
    }
    peer_send(p, WIRE_ROWS, &o);
    free(body);
    ck_assert_int_eq(wire_int(peer_hear(p, WIRE_ROWS_OK), "added", 0), n);
}

int64_t peer_ping(struct peer *p, const char *key)
{
    struct wire_out o;

    wire_begin(&o, 0);
    peer_send(p, WIRE_PING, &o);
    return wire_int(peer_hear(p, WIRE_PONG), key, -1);
}
