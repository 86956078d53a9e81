/* crash.h - tells the broker of a crash (Q8).
 *
 * Threads  one call, with a socket of its own, closed when it returns.
 */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

#include <stdint.h>

#include "base/err.h"
#include "worker/blackbox.h"

/* The rows of the last step of an instance that has crashed by a signal, or whose device has failed
 * (signal 0).  others: rows in the last steps of the instances that shared its process.  Waits for
 * the answer; ERR_TIMEOUT when none comes.  key: NULL, or a member's key file. */
int crash_report(const char *address, const char *key, const struct box_slot *slot, int signal,
                 const char *why, int others, int64_t timeout_ms, struct errmsg *e) MUSTCHECK;

#endif
