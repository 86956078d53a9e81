/* estimate.h - what an opened engine ought to do and take, by the shape of its model and what is
 * typical of its device; beside it what it took.
 *
 * A device's peaks are not asked for but guessed: of processors by their number, clock and vector
 * width, of CUDA cards by their multiprocessors and architecture.  Expect a factor of two.
 *
 * Threads  the engine's.
 * Source   multiply-adds of a multiprocessor and clock: NVIDIA's white papers of Turing, Ampere,
 *          Ada, Hopper and Blackwell; bytes per second of one: the memory of the usual cards of
 *          that architecture over their multiprocessors.
 */
#ifndef WORKER_ESTIMATE_H
#define WORKER_ESTIMATE_H

#include "schema/roofline.h"
#include "worker/engine.h"

struct estimate_memory {
    double weight_bytes, kv_token_bytes;                            /* by the shape of the model */
    int64_t kv_tokens;                                              /* by schema/perf.h */
    double real_weight_bytes, real_work_bytes, real_kv_token_bytes; /* taken */
    int64_t real_kv_tokens;
};

/* The shape of a model as it is stored. */
struct model_shape estimate_shape_of(const struct model_config *c, enum dtype stored,
                                     enum dtype kv_dtype);
/* The same as these options compute it. */
struct model_shape estimate_shape(const struct engine_opts *o, enum dtype kv_dtype);

void estimate_memory(struct estimate_memory *out, const struct engine *en,
                     const struct engine_opts *o);

/* So many threads of this machine. */
struct device_speed estimate_host(int threads);

/* The roofline of it, where nothing was measured. */
void estimate_perf(struct perf *out, const struct engine *en, const struct engine_opts *o);

#endif
