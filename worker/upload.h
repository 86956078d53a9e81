/* upload.h - a TP rank's share of the layers, brought to its device.
 *
 * What one call of linear multiplies with lies one behind the other: q, k and v; gate and up; their
 * scales and biases likewise.  Columns that are a part of wider rows are packed.  Float matrices of
 * the layers become `matrix`, embedding and head what the table computes in; quantised ones stay as
 * they are.  A head that is rows of the embedding stays so.
 *
 * Rows go in pieces through a room on the device when they change on the way.
 *
 * Threads    the engine's, while it opens.
 * Ownership  the memory is the stream's; the share points to it afterwards, and no longer to the
 *            model.  The room may be used for something else when upload_layers has returned.
 * Errors     what the device says: ERR_FULL with the numbers, ERR_CUDA; ERR_NOMEM; ERR_FULL where
 *            the room is too small for a row.
 */
#ifndef WORKER_UPLOAD_H
#define WORKER_UPLOAD_H

#include "kernels/device.h"
#include "worker/layers.h"

struct upload_opts {
    const struct device *device;
    const struct ops *ops; /* which has convert */
    struct stream *stream;
    enum dtype matrix; /* f32, f16, bf16, fp8 or int8 */
    void *room;        /* on the device */
    size_t room_bytes;
};

/* share's weights and vectors; *bytes: what they take on the device. */
int upload_layers(struct layers *share, const struct upload_opts *o, size_t *bytes,
                  struct errmsg *e) MUSTCHECK;

#endif
