/* fleet.h - simulated instances, many in one process.
 *
 * Threads  two for each instance, a link's and a runner's; they share one ZeroMQ context.
 */
#ifndef WORKER_FLEET_H
#define WORKER_FLEET_H

#include "worker/worker.h"

#define FLEET_DEVICE "sim:" /* what such a device begins with; the file follows */

/* Serves until stop_fd is readable; the error is that of the first instance that failed. */
int fleet_run(const struct worker_opts *o, struct errmsg *e) MUSTCHECK;

#endif
