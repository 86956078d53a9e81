/* blackbox.h - what a worker was doing when it ended: memory shared with the process above it.
 *
 * The worker writes the rows of each step before it computes; the process above reads them when the
 * worker is gone.
 *
 * Threads    a slot is written by one instance's thread.  The reader looks when the writer has
 * ended. Ownership  a slot belongs to its box.
 *
 * BB1  at any moment a slot holds the rows of the step under way, or none: the count is written
 * last when they come, and first when they go.
 */
#ifndef WORKER_BLACKBOX_H
#define WORKER_BLACKBOX_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

#define BLACKBOX_SLOTS 256  /* instances of a process; more are not recorded */
#define BLACKBOX_ROWS  1024 /* of a step; more are not recorded */

struct box_slot {
    char uuid[40]; /* of the instance */
    _Atomic int32_t n;
    struct {
        int64_t job_id, generation;
    } rows[BLACKBOX_ROWS];
};

struct blackbox {
    _Atomic int32_t n_slots;
    _Atomic int64_t finished; /* rows that all of them finished and the broker took */
    struct box_slot slots[BLACKBOX_SLOTS];
};

/* Memory that a child of this process shares. */
int blackbox_open(struct blackbox **out, struct errmsg *e) MUSTCHECK;
void blackbox_close(struct blackbox **b);

/* A slot for an instance; NULL when there is no box, or no slot left: what follows then does
 * nothing. */
struct box_slot *blackbox_slot(struct blackbox *b, const char *uuid);

/* Between box_end and box_begin: row i of the next step. */
void box_row(struct box_slot *s, int i, int64_t job_id, int64_t generation);
void box_begin(struct box_slot *s, int n); /* the step with the n rows that were told begins */
void box_end(struct box_slot *s);

#endif
