/* sim.h - a simulated instance: continuous batching that computes nothing.
 *
 * It holds sequences and KV tokens as an engine does, its steps last as long as the instance model
 * says (schema/perf.h) for what is in them, and its answers are made-up words.  The time is passed
 * in, so that a test need not wait.
 *
 * Units    tokens; ns of the clock that was given.
 * Threads  as of backend.h.
 *
 * SI1  an answer and its length are a function of the job's id and body, and of the file.
 * SI2  KV tokens in use never exceed kv_tokens; the oldest sequence always advances.
 */
#ifndef WORKER_SIM_H
#define WORKER_SIM_H

#include "worker/backend.h"
#include "worker/simfile.h"

struct sim_clock {
    int64_t (*now_ns)(void *arg);
    void (*wait_until)(void *arg, int64_t ns);
    void *arg;
};

/* f is borrowed.  clock NULL: the monotonic one; box NULL: steps are not noted. */
int sim_open(struct backend *out, const struct simfile *f, const struct job_rules *rules,
             const struct sim_clock *clock, struct box_slot *box, struct errmsg *e) MUSTCHECK;

#endif
