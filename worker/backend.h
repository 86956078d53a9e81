/* backend.h - what a runner drives, a step at a time: the engine, or a simulated instance.
 *
 * Threads    the runner's, all of it.
 * Ownership  self belongs to whoever holds the backend; close frees it.
 * Errors     step: ERR_EMPTY when there is nothing to do; any other is the end of the instance.
 *
 * BE1  each job for which start gave NULL comes out of take as the owner of exactly as many
 * outcomes as it wants answers.
 */
#ifndef WORKER_BACKEND_H
#define WORKER_BACKEND_H

#include <stdbool.h>

#include "base/err.h"
#include "worker/blackbox.h"
#include "worker/engine.h"
#include "worker/job.h"

struct backend {
    void *self;
    struct result *(*start)(void *self, struct job *j); /* NULL: it runs */
    void (*abort)(void *self, const struct job *j);     /* ends it at once, FINISH_ABORT */
    int (*step)(void *self, struct errmsg *e);
    bool (*take)(void *self, struct outcome *out);
    void (*stats)(const void *self, struct engine_stats *out);
    int64_t (*beats)(
        const void *self); /* grows within a step, from any thread; NULL: it does not */
    int64_t (*begun)(const void *self); /* jobs that have been in a step, ever; each says so too */
    void (*close)(void *self);
};

/* Takes the engine over, also when it fails.  box may be NULL. */
int backend_of_engine(struct backend *out, struct engine **en, const struct job_rules *rules,
                      struct box_slot *box, struct errmsg *e) MUSTCHECK;

#endif
