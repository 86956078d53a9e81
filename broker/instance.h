/* instance.h - the instances that have said hello, as the server knows them now.
 *
 * Units    *_ms on CLOCK_MONOTONIC.
 * Threads  the server's.
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
    int64_t beats;                  /* of the last heartbeat */
    int64_t dry_at;                 /* the server's news when the database had nothing for it */
    int64_t no_suspect_at;          /* likewise, of suspects */
    const char *hint_uuid;          /* its copy in the hint that is being made */
    bool stalled;                   /* busy, and its step counter stands still */
    bool drifted;                   /* its steps are not as its profile says */
    bool counted;                   /* has sent its counters since it joined */
    int64_t want_rows, want_tokens; /* 0: it has enough */
    double rows_per_s;              /* measured over what it finished; 0: not known yet */
    int64_t rows_done, rate_ms;     /* since rate_ms, for the next measurement */
    struct metric_row last;         /* counters as of the last metric row, absolute */
    struct metric_row now;          /* counters as of the last heartbeat, absolute */
    struct metric_row written;      /* the last row; its instance_id 0: none yet */
};

struct instance_table {
    struct instance **at; /* owned */
    size_t n, cap;
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

/* n more rows are finished; keeps rows_per_s. */
void instance_finished(struct instance *i, int64_t n, int64_t now_ms);
double instance_total_rate(const struct instance_table *t);
/* Tokens: the longest sequence that a known instance of this model ("": any) can hold; 0: none is
 * known. */
int64_t instance_largest(const struct instance_table *t, const char *model);
int64_t instance_limit(const struct instance *i); /* the same of one */

#endif
