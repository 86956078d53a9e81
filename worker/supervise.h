/* supervise.h - the process above a worker: sees how it ends, says so, and starts it again.
 *
 * The worker runs in a child, so that what ends it cannot end the one who tells.  A signal of Q8
 * (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) is reported to the broker with the rows of the last
 * step; any other end costs its rows nothing, and frees them at once.  The two end together: the
 * child is killed when this process is, and asked to drain when this process is asked to end.
 *
 * Threads  called in a process that has no other thread: it forks.
 *
 * SV1  a worker that ends again and again before it finishes a row is given up after MAX_ENDS, or
 * MAX_ALONE when it had one row alone each time: a worker that is broken fails a few rows, not all.
 */
#ifndef WORKER_SUPERVISE_H
#define WORKER_SUPERVISE_H

#include "base/err.h"
#include "worker/blackbox.h"
#include "worker/worker.h"

/* The child's: runs the worker; returns its exit status. */
typedef int (*supervise_fn)(void *arg, struct blackbox *box);

/* Until the worker ends in order, is asked to end (o->stop_fd), or is given up; *status: as it
 * returned, or 128 + the signal that ended it last.  o: where the broker is. */
int supervise(const struct worker_opts *o, supervise_fn run, void *arg, int *status,
              struct errmsg *e) MUSTCHECK;

#endif
