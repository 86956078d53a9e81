/* async_device.h - the reference's ops as a device that works later, in memory of its own.
 *
 * What CUDA does with the engine, on every machine and to be looked into: work waits in the
 * stream's queue until somebody waits for it; memory holds no numbers before it is written and
 * cannot be touched by the host; an op that is given a pointer of the host's ends the test;
 * recorded work is kept and run again.  It computes in f32, wide, on ASYNC_DEVICES devices of
 * ASYNC_MEMORY bytes.
 *
 * Threads  as device.h says; the counts are of all streams, and read when none is at work.
 */
#ifndef TESTS_ASYNC_DEVICE_H
#define TESTS_ASYNC_DEVICE_H

#include <stdatomic.h>

#include "kernels/coll.h"
#include "kernels/device.h"

#define ASYNC_DEVICES 4
#define ASYNC_MEMORY  ((int64_t)256 << 20)

const struct device *async_device(void);
const struct coll_ops *async_coll(void); /* of its streams */

struct async_counts {
    atomic_int ops;     /* done, also those of graphs */
    atomic_int fail_at; /* this op fails, counted from 1 on; 0: none */
    atomic_int recorded, replayed, chosen, tuned, fetched;
    atomic_int refuses; /* 1: no op can be recorded */
};
extern struct async_counts async_counts;

#endif
