/* served.h - one instance of this process, from its model to its link with the broker.
 *
 * Threads    opened by one thread, run by another or the same.
 * Ownership  served_open/served_close; model, place, options and tuning are borrowed.
 */
#ifndef WORKER_SERVED_H
#define WORKER_SERVED_H

#include "model/model.h"
#include "worker/engine.h"
#include "worker/job.h"
#include "worker/link.h"
#include "worker/place.h"
#include "worker/profile.h"
#include "worker/runner.h"
#include "worker/worker.h"

#define SERVED_ENGINE "nightmill " NIGHTMILL_VERSION " " NIGHTMILL_COMMIT

struct served_opts {
    const struct worker_opts *worker;
    const struct place *place;
    const struct model *model;
    const struct tuning *tuning;
    int part;    /* of worker->n_parts, from 0 */
    int stop_fd; /* readable: drain and end */
};

struct served {
    struct served_opts o;
    struct link_opts link;
    struct link_profile profile;
    struct job_rules rules;
    struct box_slot *slot;
    struct runner *runner;
};

/* Measures such an instance, and keeps what it finds for the next start.  *hello: what it would say
 * of itself. */
int served_profile(struct profile *out, struct link_hello *hello, const struct served_opts *o,
                   struct errmsg *e) MUSTCHECK;

int served_open(struct served *out, const struct served_opts *o, struct errmsg *e) MUSTCHECK;
/* Until it is stopped or fails; a device that failed is reported to the broker. */
int served_run(struct served *v, struct errmsg *e) MUSTCHECK;
void served_close(struct served *v);

#endif
