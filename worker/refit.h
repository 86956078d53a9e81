/* refit.h - when an instance's model, refitted to the steps that it serves, is worth telling again.
 *
 * Clock    now_ms passed in, monotonic.
 * Threads  the link's.
 *
 * RF1  nothing is told more often than every REFIT_EVERY_MS, nor what has not changed: some step
 *      lasts REFIT_CHANGE other than was told last, or the instance has drifted or come back.
 */
#ifndef WORKER_REFIT_H
#define WORKER_REFIT_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/perf.h"

#define REFIT_EVERY_MS 30000
#define REFIT_CHANGE   0.05

struct runner;

/* The instance model, as it is told. */
struct link_profile {
    const char *source; /* measured; roofline; mixed: a roofline that live steps mended; file */
    struct perf perf;
    double mape;          /* percent, of the steps it was fitted to; under 0: not known */
    double held_out_mape; /* of steps that the fit did not see; under 0: not known */
    int samples;          /* kinds of steps that it was fitted to; 0: not known */
    bool shared;          /* others computed on the device while it was measured */
    bool drifted;         /* live steps have left what was measured */
    double start_mape;    /* of live steps against what was measured; under 0: not known */
};

struct refit {
    int64_t every_ms; /* 0: REFIT_EVERY_MS */
    int64_t looked_ms;
};

/* Brings *p, which was told last, up to date; true when it is worth telling again.  A profile of a
 * file stays as it is. */
bool refit_look(struct refit *f, struct link_profile *p, struct runner *r, int max_num_seqs,
                int64_t now_ms);

/* Does some usual step last otherwise by more than REFIT_CHANGE? */
bool refit_differs(const struct perf *a, const struct perf *b, int max_num_seqs);

#endif
