/* profile_memory.h - the memory model of an opened engine beside what it took.
 *
 * Threads  the engine's.
 */
#ifndef WORKER_PROFILE_MEMORY_H
#define WORKER_PROFILE_MEMORY_H

#include "schema/roofline.h"
#include "worker/profile.h"

/* The shape of the model as these options compute it. */
struct model_shape profile_shape(const struct engine_opts *o, enum dtype kv_dtype);

void profile_memory_check(struct profile_memory *out, const struct engine *en,
                          const struct engine_opts *o);

#endif
