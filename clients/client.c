/* client.c - a command's line to the broker. */
#include "clients/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/clock.h"
#include "schema/key.h"

struct client {
    void *zmq, *socket;
    int wake_fd; /* -1: none */
    char address[256];
    uint64_t next_id;
};

int client_open(struct client **out, const char *address, const char *key, struct errmsg *e)
{
    struct client *c = calloc(1, sizeof *c);
    int linger = 0, none = 0, rc = ERR_NOMEM;
    int64_t most = WIRE_MAX_BYTES;

    *out = NULL;
    if (!c) {
        err_set(e, rc, "out of memory");
        goto out;
    }
    c->wake_fd = -1;
    snprintf(c->address, sizeof c->address, "%s", address);
    c->zmq = zmq_ctx_new();
    c->socket = c->zmq ? zmq_socket(c->zmq, ZMQ_DEALER) : NULL;
    if (!c->socket) {
        err_set(e, rc, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
        goto out;
    }
    zmq_setsockopt(c->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(c->socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(c->socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    if ((rc = key_use(key, address, c->socket, e))) goto out;
    if (zmq_connect(c->socket, address)) {
        rc = err_set(e, ERR_ARG, "%s: %s", address, zmq_strerror(zmq_errno()));
        goto out;
    }
    *out = c;
    c = NULL;
    rc = ERR_OK;
out:
    client_close(&c);
    return rc;
}

void client_wake(struct client *c, int fd)
{
    c->wake_fd = fd;
}

void client_close(struct client **c)
{
    if (!*c) return;
    if ((*c)->socket) zmq_close((*c)->socket);
    if ((*c)->zmq) zmq_ctx_term((*c)->zmq);
    free(*c);
    *c = NULL;
}

int client_ask(struct client *c, enum wire_type type, struct wire_out *o, struct errmsg *e)
{
    int rc = wire_send(c->socket, NULL, 0, type, ++c->next_id, o);

    wire_fini(o);
    return rc ? err_set(e, rc, "%s: cannot send", c->address) : ERR_OK;
}

int client_hear(struct client *c, enum wire_type type, struct wire_msg *reply, int64_t timeout_ms,
                struct errmsg *e)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    struct wire_text why;
    int rc;

    while ((rc = wire_recv(c->socket, false, reply, e)) == ERR_EMPTY) {
        zmq_pollitem_t items[2] = {{c->socket, 0, ZMQ_POLLIN, 0},
                                   {NULL, c->wake_fd, ZMQ_POLLIN, 0}};
        int64_t left = until - clock_mono_ms();

        if (left <= 0) return err_set(e, ERR_TIMEOUT, "no broker answers at %s", c->address);
        if (zmq_poll(items, c->wake_fd >= 0 ? 2 : 1, (long)left) < 0 || items[1].revents)
            return err_set(e, ERR_INTERRUPTED,
                           "interrupted; the same command goes on where it stopped");
    }
    if (!rc && reply->head.type == type) return ERR_OK;
    if (!rc) {
        why = wire_str(&reply->map, "message");
        if (reply->head.type == WIRE_REFUSED)
            rc = err_set(e, ERR_ARG, "%.*s", (int)why.len, why.at);
        else
            rc = err_set(e, ERR_FORMAT, "%s answered with %s", c->address,
                         wire_type_name(reply->head.type));
    }
    wire_msg_fini(reply);
    return rc;
}

int client_ping(struct client *c, struct wire_msg *pong, int64_t timeout_ms, struct errmsg *e)
{
    struct wire_out o;
    int rc;

    wire_begin(&o, 0);
    rc = client_ask(c, WIRE_PING, &o, e);
    return rc ? rc : client_hear(c, WIRE_PONG, pong, timeout_ms, e);
}
