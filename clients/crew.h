/* crew.h - the workers of a node: child processes, kept as the plan says.
 *
 * Each instance of the plan has one worker.  When the plan changes, workers that it still names go
 * on, the others are asked to drain (SIGTERM: what is unfinished goes back to the broker), and new
 * ones start once all of those have ended, since they may be on the same devices.  A worker that
 * ends by itself is started again after a pause that doubles from CREW_WAIT_MS to CREW_WAIT_MAX_MS;
 * one that says that it was misused (status 2) when the plan changes.
 *
 * Units      milliseconds, monotonic, passed in.
 * Threads    one.
 * Ownership  caller's storage: zero, with spec and start set.
 *
 * CW1  never do two workers hold one device: a new one waits for the end of those that go.
 */
#ifndef CLIENTS_CREW_H
#define CLIENTS_CREW_H

#include "broker/nodes.h"
#include "clients/child.h"

#define CREW_MOST        PLAN_DEVICES
#define CREW_WAIT_MS     1000
#define CREW_WAIT_MAX_MS 60000
#define CREW_STEADY_MS   60000 /* of work, after which its ends are forgotten */
#define CREW_DRAIN_MS    30000 /* for a worker to drain; then it is killed */

struct crew_worker {
    struct node_instance as; /* of the plan; node: this node's name */
    pid_t pid;               /* 0: none */
    bool leaving, misused;
    int ends;           /* one after the other */
    int64_t started_ms; /* the last time */
    int64_t due_ms;     /* not started before; while it leaves: killed then */
};

struct crew {
    struct child_spec spec; /* of all; name and device are each worker's own */
    int (*start)(pid_t *pid, const struct child_spec *s, struct errmsg *e); /* child_start */
    struct crew_worker at[2 * CREW_MOST];                                   /* [n] */
    int n;
};

/* What it shall run from now on; at most CREW_MOST. */
void crew_plan(struct crew *c, const struct node_instance *want, int n, int64_t now_ms);
/* Looks who has ended, and starts whom it may; returns how many are alive. */
int crew_tend(struct crew *c, int64_t now_ms);

/* How a worker is told what the plan says of it. */
void crew_flags(const struct node_instance *i, const struct engine_flags *node,
                struct engine_flags *out);

#endif
