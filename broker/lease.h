/* lease.h - who may work on a job, and until when.
 *
 * A lease lives in memory only: it spares double work, it does not decide who wins (queue.h, Q1).
 * The fencing token is (db_uuid, job, generation).
 *
 * Units    *_ms on CLOCK_MONOTONIC.
 * Clock    never read here; now_ms is passed in.
 * Threads  the server's.
 *
 * L1  a job has at most one lease, and beside it at most one copy, of another holder; when the
 * lease ends the copy is the lease. L2  a lease whose deadline has passed is not live, even before
 * lease_reap sees it. L3  a lease is renewed only when its holder names it. L4  a lease whose
 * result is on its way to the disk (settling) does not expire: it ends with the commit.
 */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct lease {
    int64_t job_id, batch_id, generation;
    int64_t holder; /* instance id */
    int64_t deadline_ms;
    int64_t body_bytes;
    int64_t est_tokens; /* what was expected of it when it was granted */
    int64_t leased_ms;  /* unix: when it began; 0: not known (taken back after a restart) */
    bool settling;
    bool copy;    /* beside the job's lease */
    bool stopped; /* its holder was told to give it back */
    bool alone;   /* a suspect: its holder gets nothing beside it (Q8) */
};

struct lease_table;

int lease_table_open(struct lease_table **out) MUSTCHECK;
void lease_table_close(struct lease_table **lt);

/* ERR_EXISTS when the job is leased already. */
int lease_grant(struct lease_table *lt, const struct lease *l) MUSTCHECK;
/* Beside the job's lease.  ERR_STALE when it has none; ERR_EXISTS when it has a copy, or the lease
 * is this holder's. */
int lease_copy(struct lease_table *lt, const struct lease *l) MUSTCHECK;
/* Borrowed, or NULL: the job's lease; what this holder has of the job; the other one of the two. */
struct lease *lease_find(const struct lease_table *lt, int64_t job_id);
struct lease *lease_of(const struct lease_table *lt, int64_t job_id, int64_t holder);
struct lease *lease_beside(const struct lease_table *lt, const struct lease *l);
bool lease_is_live(const struct lease_table *lt, int64_t job_id, int64_t holder, int64_t now_ms);
/* ERR_STALE when the holder has no live lease on it. */
int lease_renew(struct lease_table *lt, int64_t job_id, int64_t holder, int64_t now_ms,
                int64_t ttl_ms);
/* Its result is on its way to the disk (L4). */
void lease_settle(struct lease_table *lt, struct lease *l);
void lease_end(struct lease_table *lt, int64_t job_id, int64_t holder);

/* Ends every lease that expired before now_ms, or that a holder has (holder 0: any; now_ms
 * INT64_MAX: all of the holder's), except those settling; on_end (may be NULL) sees each as it
 * goes. Returns how many. */
size_t lease_reap(struct lease_table *lt, int64_t holder, int64_t now_ms,
                  void (*on_end)(void *arg, const struct lease *l), void *arg);
/* Time in which nobody could be heard: every deadline moves by as much. */
void lease_shift(struct lease_table *lt, int64_t by_ms);
size_t lease_count(const struct lease_table *lt); /* jobs */
size_t lease_count_batch(const struct lease_table *lt, int64_t batch_id);
int64_t lease_tokens(const struct lease_table *lt, int64_t holder,
                     size_t *rows);                                /* outstanding, by estimate */
bool lease_is_alone(const struct lease_table *lt, int64_t holder); /* has it a suspect? */

/* Every lease and every copy once; start with *at = 0. */
struct lease *lease_next(const struct lease_table *lt, size_t *at);

#endif
