/* instance.h - the instances that have said hello, as the server knows them now.
 *
 * Units    *_ms on CLOCK_MONOTONIC.
 * Threads  the server's.
 * Cost     one is found by id or address at once, whatever their number.
 *
 * I1  an instance is known by its worker's uuid; the routing id of its link may change and is only
 *     an address.
 * I2  an instance not heard of for longer than the limit is gone: its leases go back, no attempt
 *     used (Q7).
 */
#ifndef BROKER_INSTANCE_H
#define BROKER_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/idmap.h"
#include "broker/queue.h"
#include "schema/wire.h"

struct instance {
    struct instance_row row;
    int64_t instance_id;
    char peer[64];
    size_t peer_len;
    int64_t pid;          /* of its process on its host; instances that share one end together */
    char user[WIRE_USER]; /* the key it said hello with */
    int64_t heard_ms,
        moved_ms; /* last message; last time its step counter moved or it was idle or loading */
    int64_t metric_ms;
    int64_t beats;         /* of the last heartbeat */
    int64_t no_suspect_at; /* the server's news when there was no suspect for it */
    const char *hint_uuid; /* its copy in the hint that is being made */
    bool stalled;          /* busy, and its step counter stands still */
    bool drifted;          /* its steps are not as its profile says */
    bool counted;          /* has sent its counters since it joined */
    int64_t max_batched_tokens;
    bool prefix_caching;
    bool takes_back;                /* it can tell what it has begun (wire.h: unstarted) */
    struct perf perf;               /* its model; zeros: not known yet */
    int64_t want_rows, want_tokens; /* what it can take beside what was granted */
    bool want_stands;               /* until it is used up or said anew; else one lease ends it */
    int64_t asked_rows,
        asked_tokens; /* of them, what the scheduler knows of; rows -1: nothing yet */
    struct ready_job *parcel, *parcel_tail; /* owned: granted, and not sent yet */
    struct metric_row last;                 /* counters as of the last metric row, absolute */
    struct metric_row now;                  /* counters as of the last heartbeat, absolute */
    struct metric_row written;              /* the last row; its instance_id 0: none yet */
};

struct instance_table {
    struct instance **at; /* owned */
    size_t n, cap;
    struct idmap by_id, by_peer; /* by_peer: by the hash of the address, the latest of it */
};

/* A new instance, or the known one of that uuid with its row and address brought up to date.  NULL:
 * out of memory. */
struct instance *instance_join(struct instance_table *t, const struct instance_row *row,
                               int64_t instance_id, const char *peer, size_t peer_len,
                               int64_t now_ms);
struct instance *instance_of_peer(const struct instance_table *t, const char *peer,
                                  size_t peer_len);
struct instance *instance_of_id(const struct instance_table *t, int64_t instance_id);
void instance_leave(struct instance_table *t, struct instance *i);
void instance_table_fini(struct instance_table *t);

/* Tokens: the longest sequence that a known instance of this model ("": any) can hold; 0: none is
 * known. */
int64_t instance_largest(const struct instance_table *t, const char *model);
int64_t instance_limit(const struct instance *i); /* the same of one */

#endif
