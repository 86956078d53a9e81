/* schedule.h - how many rows an instance is given now.
 *
 * An instance that asks is topped up to HORIZON_S seconds of the work it has been seen to finish;
 * one that has finished nothing yet gets a batch to begin with.  Near the end the backlog is
 * divided by speed, so that the last rows are not all with the slowest.
 *
 * Threads  none: a pure function.
 */
#ifndef BROKER_SCHEDULE_H
#define BROKER_SCHEDULE_H

#include <stdint.h>

struct schedule_ask {
    double rows_per_s;       /* this instance's; 0: not known yet */
    double total_rows_per_s; /* of all known instances */
    int64_t n_instances;
    int64_t backlog; /* ready rows that nobody holds */
    int64_t held;    /* rows this instance holds */
    int64_t want;    /* rows it says it can take */
    int64_t step;    /* rows it runs at once */
};

/* Rows to grant: 0..want. */
int64_t schedule_rows(const struct schedule_ask *a);

#endif
