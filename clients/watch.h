/* watch.h - follows a batch until it is finished, and shows how far it is.
 *
 * Reads the queue file; on a terminal one line that is redrawn, elsewhere a plain line every few
 * seconds.
 */
#ifndef CLIENTS_WATCH_H
#define CLIENTS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct watch_counts {
    int64_t jobs, ready, done, failed, cancelled, paused;
    int64_t tokens; /* of prompts and answers, of the done rows */
};

/* Returns when no row of the batch is left to do, or still_there says no (may be NULL), or a signal
 * came (ERR_INTERRUPTED).  ERR_EMPTY: there is no such batch. */
int watch_batch(const char *db, const char *batch, int signals,
                bool (*still_there)(void *arg, const struct watch_counts *now), void *arg,
                struct watch_counts *out, struct errmsg *e) MUSTCHECK;

/* Exit code for what a batch came to. */
int watch_exit(const struct watch_counts *c);

#endif
