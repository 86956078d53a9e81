/* fit.h - what an engine's options come to on its device: dtypes, and KV blocks that fit.
 *
 * Units    bytes and blocks of all ranks together, where it is not said otherwise.
 * Errors   ERR_ARG, ERR_UNSUPPORTED for what the device does not compute, ERR_FULL where nothing is
 *          left for KV; with the names and numbers.
 */
#ifndef WORKER_FIT_H
#define WORKER_FIT_H

#include "worker/engine.h"
#include "worker/kv.h"

#define FIT_UTILIZATION 0.92
#define FIT_SPARE       64 /* a 64th of a device's memory stays free, for what is recorded later */

/* What was free on each of the devices before the engine took anything. */
struct fit_room {
    int64_t free_bytes[ENGINE_MAX_DEVICES];
};

/* The options that have limits. */
int fit_check(const struct engine_opts *o, struct errmsg *e) MUSTCHECK;

/* The table of ops, by o->act; auto: what most of the weights of the layers are stored in, if the
 * device computes in it, else f16, where that holds every number of the weights, or f32.  An f16
 * that was asked for and does not hold them is ERR_UNSUPPORTED, with the tensor and the numbers. */
int fit_ops(const struct ops **out, const struct engine_opts *o, struct errmsg *e) MUSTCHECK;

/* What the layers' float matrices become where the device gets them. */
int fit_matrix(enum dtype *out, const struct engine_opts *o, const struct ops *ops,
               struct errmsg *e) MUSTCHECK;

/* What KV is stored in, by o->kv_dtype; auto: on an asynchronous device what its table computes in,
 * since its matrix units take both alike; on the host f32 for weights in f32, else f16. */
enum dtype fit_kv_dtype(const struct engine_opts *o, const struct ops *ops);

void fit_look(struct fit_room *out, const struct engine_opts *o);

/* KV blocks of this shape: at most `most`, as many as o->kv_bytes hold, or as there is memory on
 * each rank's device: the utilization of all of it, less what the engine has taken since `before`,
 * and no more than is free. */
int fit_kv_blocks(int *out, const struct engine_opts *o, const struct fit_room *before,
                  const struct kv_shape *shape, size_t most, struct errmsg *e) MUSTCHECK;

/* Bytes that are free on the device of rank 0; 0: not known. */
int64_t fit_free_bytes(const struct engine_opts *o);

#endif
