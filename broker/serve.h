/* serve.h - the server's state, shared by the files that answer messages; nobody else includes it.
 *
 * server.c        the loop, the timer, the socket
 * serve_client.c  batch, rows, control, ping
 * serve_worker.c  hello, want, results, heartbeat, bye
 * serve_plan.c    node, plan
 * serve_ended.c   leases that end otherwise: lost, expired, stopped, crashed
 * grant.c         what the scheduler is told, and what is granted beside it
 * decide.c        what it has decided becomes leases
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
#include "broker/schedule.h"
#include "broker/server.h"
#include "broker/writer.h"

/* A name as the scheduler has it. */
struct model_name {
    struct model_name *next;
    int32_t number;
    char name[256];
};

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
    int64_t news;      /* grows when the database may hold ready rows that the window does not */
    int64_t looked_at; /* the news of the last look at the batches */
    bool has_suspects; /* perhaps */
    struct schedule *schedule;
    struct model_name *models;            /* owned */
    int64_t backlog_rows, backlog_tokens; /* as the scheduler was told */
    bool out_of_step;                     /* it could not be told of something: it begins anew */
    bool wants_rows;                      /* it asks for more of them in its pool */
    bool blocked;       /* nothing is granted (B3, B5), and everybody's wants are withdrawn */
    bool granted;       /* something, since the last look */
    bool has_parcels;   /* that are to be sent */
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
/* A lease of the job has ended without a result: when nobody else runs it, it is to be read again.
 */
void ended_return(struct server *s, int64_t job_id, int64_t batch_id);
/* Tells the workers to stop what they run of batches that may not run now, and of one job (0:
 * none); it comes back as put-backs. */
void ended_stop(struct server *s, int64_t job_id, const char *why);
void ended_say_stop(struct server *s, const struct instance *i, const int64_t *jobs, size_t n,
                    const char *why, bool unstarted);
void ended_crashed(struct server *s, struct wire_msg *m);
void ended_written(struct server *s, struct op *op);

struct ready_world grant_world(struct server *s); /* for ready_open */
int grant_open(struct server *s, struct errmsg *e);
void grant_close(struct server *s);
/* The scheduler hears of it, and what it decides is done. */
void grant_event(struct server *s, const struct schedule_event *ev);
void grant_joined(struct server *s, struct instance *i);
void grant_profiled(struct server *s, struct instance *i, const struct perf *p);
void grant_left(struct server *s, struct instance *i);
void grant_wanted(struct server *s, struct instance *i, const msgpack_object *m); /* a want */
void grant_nothing(struct server *s, struct instance *i); /* until it is asked for anew */
void grant_beat(struct server *s, const struct instance *i,
                int64_t unbegun); /* under 0: not told */
void grant_done(struct server *s, int64_t instance_id, int64_t job_id, const msgpack_object *m);
/* The instance has it no more; ready: it is in the pool again, else it is not known any more. */
void grant_back(struct server *s, int64_t instance_id, int64_t job_id, bool ready);
/* A lease that its holder has since before this broker began. */
void grant_held(struct server *s, const struct lease *l);
void grant_tick(struct server *s);
/* Reads ahead, lets wants be known, sends what was granted; true when there is more to do. */
bool grant_next(struct server *s);

/* The job, taken over, is leased to the instance, tokens of what it wants; false: somebody has it.
 */
bool decide_lease(struct server *s, struct instance *i, struct ready_job *j, bool copy,
                  int64_t tokens);
void decide_apply(struct server *s); /* what the last event led to */
void decide_send(struct server *s);
void decide_unsend(struct server *s, struct instance *i); /* it is gone */

#endif
