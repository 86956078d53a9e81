/* pool.h - the CPU's struct stream: a fixed set of threads that share one piece of work at a time.
 *
 * The caller's thread works too, so a pool of 1 has no threads of its own.  Idle threads sleep. How
 * the work is cut never changes a result: each index is computed by one thread, in the same way
 * whichever thread it is.
 *
 * Threads  pool_run from one thread at a time.
 */
#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H

#include <stddef.h>

#include "base/err.h"
#include "kernels/stream.h"

int pool_open(struct stream **out, int n_threads, struct errmsg *e) MUSTCHECK;
void pool_close(struct stream **s);

/* Calls work(arg, i) for each i in [0, n), in any order, and returns when all are done.  s may be
 * NULL: one thread.  As many as there are threads run at the same time, so that TP ranks may wait
 * for one another. */
void pool_run(struct stream *s, int n, void (*work)(void *arg, int i), void *arg);
int pool_threads(const struct stream *s);

/* Memory for the op that is at work, at least n_bytes of it; what an earlier call gave is gone. */
int pool_reserve(struct stream *s, size_t n_bytes) MUSTCHECK;
/* It, at a border of 64 bytes, and its size; NULL and 0 without a pool. */
void *pool_scratch(struct stream *s, size_t *n_bytes);

/* Memory that lives as long as the pool, at a border of a page, zeros; a page comes when it is
 * first written.  NULL when there is none. */
void *pool_keep(struct stream *s, size_t n_bytes);

#endif
