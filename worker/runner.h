/* runner.h - an instance's thread: jobs in, results out.
 *
 * Threads    runner_open to runner_close from the link's thread; the backend (the engine, or
 *            a simulated one) belongs to the runner's own thread, the mailboxes are the border.
 * Ownership  a job put in belongs to the runner; a result taken out to the taker.
 *
 * The model   steps may be weighed against an instance model as they come (schema/perf_fit.h), in
 *             the runner's thread; runner_model may be asked by any.
 *
 * R1  each job put in comes out as exactly one result (J1), also when the runner drains or its
 * backend fails.
 */
#ifndef WORKER_RUNNER_H
#define WORKER_RUNNER_H

#include <stdbool.h>

#include "base/mailbox.h"
#include "worker/backend.h"

struct runner;

/* What live steps say of the instance model. */
struct runner_model {
    struct perf perf;  /* refitted */
    double mape;       /* of live steps against it, percent */
    double start_mape; /* against the one that runner_learn began with */
    bool drifted;
};

struct runner_stats {
    struct engine_stats engine;
    int64_t rows;
    int64_t beats;         /* grows while it makes headway, also within a long step */
    int64_t cached_tokens; /* of the prompts of those rows, read from shared KV */
    int64_t begun;         /* jobs that have been in a step and are not out yet */
    bool busy;
    bool failed; /* the engine ended with an error: runner_error says which */
    int rc;      /* that error */
};

/* Takes the backend over, also when it fails. */
int runner_open(struct runner **out, const struct backend *b, struct errmsg *e) MUSTCHECK;
void runner_close(struct runner **r); /* drains first */

/* From now on each step counts for the model, which begins as start. */
int runner_learn(struct runner *r, const struct perf *start, struct errmsg *e) MUSTCHECK;
/* false: it does not learn, or has seen too few steps. */
bool runner_model(struct runner *r, struct runner_model *out);

void runner_put(struct runner *r, struct job *j);
struct result *runner_take(struct runner *r); /* NULL: none is ready */
int runner_fd(const struct runner *r);        /* readable while runner_take may give one */

/* A job that waits or runs comes out as a put-back with this code, within one step; one that has
 * ended is left as it is. */
void runner_cancel(struct runner *r, int64_t job_id, const char *why);
/* The same, but one that has been in a step goes on. */
void runner_take_back(struct runner *r, int64_t job_id, const char *why);

/* Everything unfinished comes out as a put-back; nothing new is begun. */
void runner_drain(struct runner *r);
void runner_stats(struct runner *r, struct runner_stats *out);
const char *runner_error(struct runner *r);

#endif
