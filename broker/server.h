/* server.h - the broker's loop: one ROUTER socket, the leases, and the writer's thread behind it.
 *
 * Threads  broker_run runs in one thread and owns the socket and all state but the database's
 * writing connection.
 *
 * B1  what was acked is on disk (Q2).
 * B2  a message that is malformed, or from nobody we know, changes nothing: it is refused and
 *     counted.
 * B3  while the writer is in trouble (a full disk) no lease is granted.
 * B4  what a key's role does not allow changes nothing, and a revoked key has none: its worker is
 *     gone, and its jobs are ready again.
 * B5  while the disk is far behind with results no lease is granted: what is not written is
 * bounded.
 */
#ifndef BROKER_SERVER_H
#define BROKER_SERVER_H

#include <stdint.h>

#include "base/err.h"
#include "broker/dbfile.h"
#include "broker/schedule.h"

struct broker_opts {
    const char *db;
    const char *bind; /* NULL: only the address that follows from db */
    const char *keys; /* a directory; NULL: DB.keys when it is there */
    struct dbfile_opts file;
    int64_t lease_ms;     /* a lease's length between renewals */
    int64_t lost_ms;      /* a worker not heard of for this long is gone */
    int64_t stall_ms;     /* one that says it is busy and makes no step for this long has stalled */
    int64_t heartbeat_ms; /* what workers are asked to keep */
    struct schedule_opts schedule;
    int stop_fd; /* readable: end in order; -1: never */
    /* Called once the socket is bound and work can come in; may be NULL. */
    void (*on_ready)(void *arg, const char *address);
    void *ready_arg;
};

/* Serves until stop_fd is readable.  ERR_EXISTS: another broker has the database. */
int broker_run(const struct broker_opts *o, struct errmsg *e) MUSTCHECK;

#endif
