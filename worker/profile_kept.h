/* profile_kept.h - a profile that was measured, kept on this node's disk for the next start.
 *
 * It is found again for the same model, engine, dtypes, ranks, threads, limits of a step, and
 * device or part of one; memory is not among these, as the step time does not depend on it.
 *
 * Threads  none of its own.
 * Errors   none: what is not found, or cannot be believed, is measured again.
 *
 * PK1  what is found was kept for this very key, and is a model of perf.h: finite numbers of at
 *      least 0, not all of them 0.
 */
#ifndef WORKER_PROFILE_KEPT_H
#define WORKER_PROFILE_KEPT_H

#include <stdbool.h>

#include "worker/profile.h"

/* engine: version and commit.  Of *out only perf, errors, counts, shared and seconds are set. */
bool profile_find(struct profile *out, const struct engine *en, const struct engine_opts *o,
                  const char *engine);
void profile_keep(const struct profile *p, const struct engine *en, const struct engine_opts *o,
                  const char *engine);

#endif
