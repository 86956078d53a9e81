/* gpu_gap.h - a device that notes how long it has nothing to do between two steps.
 *
 * From where wait, or get, returned to where the next step's begin did: its first work is in the
 * stream then.  Of steps that are replayed, so of decoding alone.
 *
 * Threads  one engine at a time, with one rank.
 */
#ifndef BENCH_GPU_GAP_H
#define BENCH_GPU_GAP_H

#include "kernels/device.h"

/* The same device, watched. */
const struct device *gpu_gap_watch(const struct device *d);

void gpu_gap_clear(void);
double gpu_gap_seconds(void); /* since it was cleared, of all steps */
int gpu_gap_steps(void);

#endif
