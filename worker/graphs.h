/* graphs.h - the steps of a rank that come again in the same shape, recorded and replayed.
 *
 * A step in which every sequence has one token is filled up to a bucket of sequences, and is the
 * same work for every step of its bucket but for what begin brings.  It is launched op by op the
 * first time, so that all that is loaded late is there, recorded the second time, and replayed from
 * then on.
 *
 * Threads    the rank's.
 * Ownership  graphs_close forgets the graphs; before the stream is closed.
 * Errors     what the device or the work returns; ERR_UNSUPPORTED where the device does not record
 *            it: the caller does the work op by op, and nothing is recorded any more.
 */
#ifndef WORKER_GRAPHS_H
#define WORKER_GRAPHS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/device.h"

#define GRAPHS_MAX 64

struct graphs {
    const struct device *device;
    int index;     /* of the device */
    int64_t bytes; /* that its free memory went down by while steps were recorded */
    struct graph *at[GRAPHS_MAX];
    bool ran[GRAPHS_MAX];
    bool off; /* the device has refused */
};

/* The least bucket for n sequences, at most max (which is one); 0: none, too many. */
int graphs_bucket(int n, int max);

/* work(arg), of a step of this bucket. */
int graphs_run(struct graphs *g, int bucket, struct stream *s, int (*work)(void *arg), void *arg);
void graphs_close(struct graphs *g);

#endif
