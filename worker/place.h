/* place.h - where an instance computes: a device, and which ones of its kind.
 *
 *   cpu, ref           the host
 *   cuda               the first CUDA device; with TP as many as there are ranks
 *   cuda:N[,M...]      these, a rank on each
 *
 * Errors   ERR_ARG for a name that is not known, or devices and ranks that do not match;
 *          ERR_UNSUPPORTED where plug-in, driver or card are not here, or the card is too old.
 */
#ifndef WORKER_PLACE_H
#define WORKER_PLACE_H

#include "kernels/device.h"
#include "worker/engine.h"

#define PLACE_LEAST_ARCH 75 /* the oldest CUDA device that code is made for: sm_75 */

struct place {
    const struct device *device;
    const struct coll_ops *coll;     /* of several ranks; NULL: threads of this process */
    int devices[ENGINE_MAX_DEVICES]; /* [n_devices] */
    int n_devices;
    int tp;
};

/* tp 0: as many ranks as devices are named. */
int place_find(struct place *out, const char *name, int tp, struct errmsg *e) MUSTCHECK;

/* Does the name ask for CUDA? */
bool place_is_cuda(const char *name);

#endif
