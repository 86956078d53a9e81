/* profile.h - an instance's model, measured: a short grid of real steps, and the fit to them.
 *
 * The grid (grid.h) is gone through several times, so that a moment's disturbance does not fall on
 * one point alone; a point's time is the median of its steps.  It ends when medians hold still, or
 * the time is up.  Sequences are of made-up ids, deep contexts are placed and not computed
 * (engine_place).
 *
 * The formula is fitted to the points that are not held out; its error on those that are is
 * held_out_mape.  What is kept is then fitted to all of them, and its error on them is mape.
 *
 * The memory model stands beside it: what schema/perf.h says from the shape of the model and the
 * memory there is, and what the engine took.
 *
 * Units    ms, bytes, tokens, percent; seconds where it is said.
 * Threads  the engine's.
 * Errors   ERR_TIMEOUT: fewer points than constants in the time; ERR_INTERRUPTED: stop_fd became
 *          readable; what engine_step says.
 *
 * PR1  the engine is left as it was: no sequence, no outcome, all blocks free, nothing more in the
 *      prefix cache.
 * PR2  what a step held is what the engine says, not what was asked for.
 */
#ifndef WORKER_PROFILE_H
#define WORKER_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "schema/perf_fit.h"
#include "worker/engine.h"
#include "worker/estimate.h"
#include "worker/grid.h"

struct profile {
    struct perf perf;
    double mape, held_out_mape; /* the second below 0: too few points to hold any out */
    int samples;                /* points of the grid that were measured */
    int held_out;               /* of them */
    int steps;                  /* of all passes */
    bool shared;                /* others computed on the device meanwhile */
    double seconds;             /* that it took */
    struct estimate_memory memory;
    struct perf_sample points[GRID_MAX]; /* [samples], those held out last */
};

struct profile_opts {
    const struct engine_opts *engine; /* as the engine was opened with */
    double seconds;                   /* at most, about */
    int stop_fd;                      /* readable: leave; -1: never */
};

int profile_measure(struct profile *out, struct engine *en, const struct profile_opts *o,
                    struct errmsg *e) MUSTCHECK;

/* Measured beside others, and an error that says so: worth measuring again. */
#define PROFILE_DOUBTFUL 15.0 /* percent, of what was held out */
bool profile_is_doubtful(const struct profile *p);

/* The knee: tokens in a step below which one more is free; 0: none was found. */
double profile_knee(const struct perf *k);

#endif
