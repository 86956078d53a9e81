/* part.cuh - a part of a device: some of its multiprocessors, and a stream that runs on no others.
 *
 * The device is split once, into the smallest groups that it allows (8 multiprocessors on sm_90); a
 * part is as many of them as it takes, and the rest of the split where nothing else is left.  Parts
 * of one device have no multiprocessor in common, while they live in one process.  Memory is the
 * device's, and seen by all parts.
 *
 * Threads    any; what is taken of a device is the process's, under a lock.
 * Errors     ERR_UNSUPPORTED where the driver has no green contexts; ERR_FULL, with the numbers,
 *            where other parts have too many of the multiprocessors.
 * Source     CUDA Driver API 13.0, green contexts.
 */
#ifndef KERNELS_PART_CUH
#define KERNELS_PART_CUH

#include "kernels/cuda.cuh"

extern "C" {
#include "base/err.h"
}

struct part;

/* n multiprocessors or more: *got. */
int part_open(struct part **out, int device, int n, cudaStream_t *stream, int *got,
              struct errmsg *e);
/* The stream goes too. */
void part_close(struct part **p);

#endif
