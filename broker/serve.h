/* serve.h - the server's state, shared by the files that answer messages; nobody else includes it.
 *
 * server.c        the loop, the timer, the socket
 * serve_client.c  batch, rows, control, ping
 * serve_worker.c  hello, want, results, heartbeat, bye
 * serve_plan.c    node, plan
 * serve_ended.c   leases that end otherwise: lost, expired, stopped, crashed
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
#include "broker/nodes.h"
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
    struct nodes nodes;
    struct idmap withheld; /* job id -> uuid: leases of the run before, from the hint (Q3) */
    int64_t withheld_until_ms;
    int64_t news;       /* grows when the database may hold ready rows that the window does not */
    int64_t looked_at;  /* the news of the last look at the batches */
    bool has_suspects;  /* perhaps */
    size_t grant_from;  /* the instance whose turn it is */
    size_t most_leases; /* since memory was last given back to the system */
    size_t unwritten;   /* results on their way to the disk */
    int64_t expiring;   /* the batch whose rest is being failed; 0: none */
    int64_t refused, refused_told_ms;
    int64_t tick_ms, hint_ms, due_ms;
    int64_t thin_at_ms; /* when old metrics and events are thinned next */
    size_t hinted;      /* leases in the last hint */
    bool in_trouble;
    bool ending;           /* workers keep what they hold for the next broker (Q3) */
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
void plan_message(struct server *s, struct wire_msg *m, int64_t now_ms);
/* Each answers for an op that is now on disk. */
void client_written(struct server *s, struct op *op);
void worker_written(struct server *s, struct op *op, int64_t now_ms);
void plan_message_written(struct server *s, struct op *op);

/* Nodes and plan when the server starts, at each tick, and when it ends. */
int plan_begin(struct server *s, struct errmsg *e) MUSTCHECK;
void plan_tick(struct server *s, int64_t now_ms);
void plan_end(struct server *s);

/* Its leases are over, and so is what we know of it. */
void worker_lost(struct server *s, struct instance *i, const char *why);

/* Ends leases without a result, no attempt used (Q7): of a holder (0: of all) those that expired
 * before now_ms (INT64_MAX: all).  Each is noted as an attempt with this code, unless it is NULL.
 * Returns how many. */
size_t ended_reap(struct server *s, int64_t holder, int64_t now_ms, const char *code);
/* Tells the workers to stop what they run of batches that may not run now, and of one job (0:
 * none); it comes back as put-backs. */
void ended_stop(struct server *s, int64_t job_id, const char *why);
void ended_say_stop(struct server *s, const struct instance *i, const int64_t *jobs, size_t n,
                    const char *why);
void ended_crashed(struct server *s, struct wire_msg *m);
void ended_written(struct server *s, struct op *op);

bool grant_is_known(void *arg, int64_t job_id); /* for ready_open: does somebody have it? */
/* One parcel to the next instance that wants work; true when there may be more to grant. */
bool grant_next(struct server *s, int64_t now_ms);

#endif
