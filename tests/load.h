/* load.h - a mixed load on a queue: groups of everything that a night writes, and what was acked.
 *
 * A group is drawn from the seed: rows of all sizes, answers, errors, retries, delayed rows that
 * are due, instances, metrics, events, hints; between groups the log is checkpointed in any of
 * SQLite's ways.  What the rows say is told by a sum over all of them; load_check compares it with
 * the sum at the last ack.
 */
#ifndef TESTS_LOAD_H
#define TESTS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/queue.h"

#define LOAD_HISTORY 512

struct load {
    char path[512];
    struct queue *queue;
    bool sync_off;                  /* synchronous=OFF: what must be lost */
    bool keep_log;                  /* no checkpoints */
    uint64_t random;                /* the seed, and then the state */
    int64_t epoch;                  /* acked */
    uint64_t acked;                 /* the sum after the last group that was acked */
    uint64_t doubt;                 /* and of the one that was under way, or the same */
    int n_acked;                    /* groups */
    uint64_t history[LOAD_HISTORY]; /* sums after each ack, of the last LOAD_HISTORY */
    struct errmsg err;
};

uint64_t load_draw(struct load *l, uint64_t n); /* below n */

/* Opens the queue, and notes the file as acked when it is the first time. */
int load_open(struct load *l);
void load_close(struct load *l);
/* One group; 0: acked. */
int load_group(struct load *l);

/* One life of a queue, of twelve groups, and of what the broker reads beside it, while one thing
 * fails: each step of the queue is tried again once, and must work then.  The test fails where it
 * does not; n is named. */
void load_live(struct load *l, int n);

/* The sum of the rows in the file; 0 where they cannot be read. */
uint64_t load_sum(const char *path);

/* Is the file whole, are the counters those of the rows, and is what was acked there?  NULL, or
 * what is wrong, in static storage.  Then the file as it is counts as acked. */
const char *load_check(struct load *l);

#endif
