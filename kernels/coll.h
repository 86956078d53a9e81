/* coll.h - what the ranks of a tensor-parallel group do together.
 *
 * A group has n ranks; each calls the same collectives in the same order, with the same shapes but
 * where it is said otherwise, from a thread of its own.
 *
 *   sum     x[i] = x_0[i] + x_1[i] + ... + x_(n-1)[i], in place, the same on every rank
 *   gather  y[t] = x_0[t] x_1[t] ... x_(n-1)[t], on rank 0 only;  x_r [T][N_r], y [T][sum of N_r]
 *
 * A rank that has failed brings its error (rc) to the next collective instead of its numbers: all
 * ranks then return the error of the first rank that has one, and none waits for ever.
 *
 * coll_threads has its ranks in one process: memory is shared, and a barrier parts what is written
 * from what is read.
 *
 * nccl has a device for each rank, and works in the order of its stream, also in a graph.  Before
 * a collective is given to the streams the ranks agree, on the host, that none has failed.  Once
 * one has, also in work that a wait finds out about, the group is given up: what still waits on a
 * device for another rank is let go, and every later collective returns that error.
 *
 * Shapes     sum's numbers are of the ops table's act dtype, gather's are logits: float.
 * Ownership  open makes all n ranks, close frees them; x and y are the caller's.
 * Threads    each rank from one thread at a time.
 *
 * CO1  a sum is added up in the order of the ranks, so that it is the same bits every time.
 *      Of nccl the library has the order; it keeps to it for the same devices, count and dtype.
 * CO2  after an error of one rank every rank returns it from the same collective.
 *
 * Bound   memory: sum reads n*count elements and writes as many; a rank does a share of 1/n.
 */
#ifndef KERNELS_COLL_H
#define KERNELS_COLL_H

#include <stddef.h>

#include "base/dtype.h"
#include "base/err.h"
#include "kernels/stream.h"

struct coll; /* one rank's place in a group */

struct coll_ops {
    const char *name; /* "threads", "nccl" */
    /* ranks [n], the streams that each works in, and what sum adds up; gather's are float */
    int (*open)(struct coll **ranks, struct stream *const *streams, int n, enum dtype act,
                struct errmsg *e);
    void (*close)(struct coll **ranks, int n);
    int (*sum)(struct coll *c, void *x, size_t count, int rc, struct stream *s);
    int (*gather)(struct coll *c, void *y, const void *x, int T, int N, int rc, struct stream *s);
};

const struct coll_ops *coll_threads(void);

#endif
