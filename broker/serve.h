/* serve.h - the server's state, shared by the files that answer messages; nobody else includes it.
 *
 * server.c        the loop, the timer, the socket
 * serve_client.c  batch, rows, retry, ping
 * serve_worker.c  hello, want, results, heartbeat, bye
 * grant.c         ready rows to hungry instances
 *
 * A message that writes becomes an op for the writer; when the op comes back, the file that made it
 * answers.
 */
#ifndef BROKER_SERVE_H
#define BROKER_SERVE_H

#include "base/idmap.h"
#include "broker/instance.h"
#include "broker/lease.h"
#include "broker/listener.h"
#include "broker/ready.h"
#include "broker/server.h"
#include "broker/writer.h"

struct server {
    const struct broker_opts *o;
    struct listener listener;
    void *socket; /* the listener's */
    struct writer *writer;
    struct lease_table *leases;
    struct ready *ready;
    struct instance_table instances;
    struct idmap withheld; /* job id -> uuid: leases of the run before, from the hint (Q3) */
    int64_t withheld_until_ms;
    int64_t news;    /* grows when the database may hold ready rows that the window does not */
    int64_t backlog; /* of the last look; falls with each grant */
    int64_t refused, refused_told_ms;
    int64_t tick_ms, hint_ms, due_ms;
    size_t hinted; /* leases in the last hint */
    bool in_trouble;
    struct errmsg trouble; /* the last one */
};

/* Sends and frees o; a peer that is gone is no error. */
void serve_send(struct server *s, const struct wire_msg *to, enum wire_type type,
                struct wire_out *o);
void serve_refuse(struct server *s, const struct wire_msg *to, const char *code, const char *why);
/* A line in the table `event`, and in the log. */
void serve_event(struct server *s, const char *level, const char *unit, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A new op that owns the message (m is cleared), or NULL after refusing it. */
struct op *serve_op(struct server *s, enum op_kind kind, struct wire_msg *m);

/* Each handles one message; it may keep m's contents (then m is cleared). */
void client_message(struct server *s, struct wire_msg *m);
void worker_message(struct server *s, struct wire_msg *m, int64_t now_ms);
/* Each answers for an op that is now on disk. */
void client_written(struct server *s, struct op *op);
void worker_written(struct server *s, struct op *op, int64_t now_ms);

void worker_lost(struct server *s, struct instance *i, const char *why);
void grant_all(struct server *s, int64_t now_ms);

#endif
