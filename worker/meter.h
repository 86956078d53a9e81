/* meter.h - what the machine tells of this process and its processors.
 *
 * Memory is the process's resident set.  Power is of all processor packages, from their energy
 * counters (RAPL), over the time between two readings; where the kernel hides them it is not known.
 * The clock is the mean of the processors'.  Of an instance on devices that tell (kernels/nvml.h)
 * it is their memory and power together, and the mean of their clocks.
 *
 * Units    memory_bytes, power_mw, clock_mhz; 0 is not known.
 * Clock    now_ms passed in, monotonic.
 * Threads  a meter belongs to one thread.
 * Cost     a few small reads below /proc and /sys; nothing stays open.
 */
#ifndef WORKER_METER_H
#define WORKER_METER_H

#include <stddef.h>
#include <stdint.h>

#include "worker/place.h"

#define METER_PACKAGES 8
#define METER_CLOCK_MS 5000

struct meter {
    const struct place *place; /* borrowed; NULL: the host */
    const char *root;          /* borrowed; "" is the machine's own, a directory in tests */
    int64_t clock_ms,
        clock_mhz; /* looked at every METER_CLOCK_MS: /proc/cpuinfo is no cheap file */
    int64_t read_ms;
    int64_t energy_uj[METER_PACKAGES]; /* as of read_ms; -1: none */
};

struct meter_reading {
    int64_t memory_bytes, power_mw, clock_mhz;
    int others; /* processes on the devices beside this one; -1: not known */
};

/* Memory that programs here may still take, caches given up: what the machine tells, or the limit
 * of this process's cgroup (version 2) or one above it where that is less.  0: not known. */
int64_t meter_available_bytes(const char *root);

/* What the processors call themselves, and how many are online; "" where it is not told. */
void meter_cpu_name(const char *root, char *out, size_t cap);

/* What this machine's processors did since some moment; they count what the hypervisor took as
 * others'. */
struct meter_load {
    const char *root;
    int64_t busy, all, own; /* ticks */
};
void meter_load_begin(struct meter_load *l, const char *root);
/* The share of the processors that others than this process had since then; under 0: not known. */
double meter_load_others(const struct meter_load *l);

void meter_init(struct meter *m, const char *root, const struct place *place);
void meter_read(struct meter *m, int64_t now_ms, struct meter_reading *out);

#endif
