/* crash.c - tells the broker of a crash. */
#include "worker/crash.h"

#include <zmq.h>

#include "base/clock.h"
#include "schema/key.h"
#include "schema/wire.h"

static int say(void *socket, const struct box_slot *s, int signal, const char *why, int others,
               struct errmsg *e)
{
    const int n = s->n;
    struct wire_out o;
    int rc;

    wire_begin(&o, 5);
    wire_put_str(&o, "uuid", s->uuid);
    wire_put_str(&o, "why", why);
    wire_put_int(&o, "signal", signal);
    wire_put_int(&o, "others", others);
    wire_put_array(&o, "jobs", (size_t)n);
    for (int i = 0; i < n; i++) {
        wire_add_array(&o, 2);
        wire_add_int(&o, s->rows[i].job_id);
        wire_add_int(&o, s->rows[i].generation);
    }
    rc = wire_send(socket, NULL, 0, WIRE_CRASHED, 1, &o);
    wire_fini(&o);
    return rc ? err_set(e, rc, "cannot send") : ERR_OK;
}

static int hear(void *socket, const char *address, int64_t until_ms, struct errmsg *e)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    struct wire_msg m;
    int rc;

    while ((rc = wire_recv(socket, false, &m, e)) == ERR_EMPTY) {
        int64_t left = until_ms - clock_mono_ms();

        if (left <= 0) return err_set(e, ERR_TIMEOUT, "no broker answers at %s", address);
        (void)zmq_poll(&item, 1, (long)left);
    }
    if (!rc && m.head.type != WIRE_CRASHED_OK)
        rc = err_set(e, ERR_FORMAT, "%s answered with %s", address, wire_type_name(m.head.type));
    wire_msg_fini(&m);
    return rc;
}

int crash_report(const char *address, const char *key, const struct box_slot *slot, int signal,
                 const char *why, int others, int64_t timeout_ms, struct errmsg *e)
{
    const int linger = 0;
    void *zmq = zmq_ctx_new(), *socket = zmq ? zmq_socket(zmq, ZMQ_DEALER) : NULL;
    int rc = ERR_OK;

    if (!socket) {
        rc = err_set(e, ERR_NOMEM, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
        goto out;
    }
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if ((rc = key_use(key, address, socket, e))) goto out;
    if (zmq_connect(socket, address)) {
        rc = err_set(e, ERR_IO, "%s: %s", address, zmq_strerror(zmq_errno()));
        goto out;
    }
    if ((rc = say(socket, slot, signal, why, others, e))) goto out;
    rc = hear(socket, address, clock_mono_ms() + timeout_ms, e);
out:
    if (socket) zmq_close(socket);
    if (zmq) zmq_ctx_term(zmq);
    return rc;
}
