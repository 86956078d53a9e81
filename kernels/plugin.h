/* plugin.h - the CUDA code, opened at run time: one program serves a laptop and an H200.
 *
 * libnightmill-cuda.so exports PLUGIN_SYMBOL, a function that gives the table below.  It is looked
 * for at $NIGHTMILL_CUDA, then beside the program and in lib/ beside it.  libnightmill-emu.so is
 * the same sources built for the host (kernels/emu): slow, for tests.  What it needs of CUDA's
 * libraries is looked for as nvidia_library.h says.
 *
 * Threads    any; it is opened once and stays.
 * Errors     NULL, and one line that says what is missing: the file, a library that it needs, or
 *            the version that it has and should have.
 */
#ifndef KERNELS_PLUGIN_H
#define KERNELS_PLUGIN_H

#include "kernels/coll.h"
#include "kernels/device.h"

#define PLUGIN_VERSION 1 /* of the structs in device.h, ops.h, choose.h, coll.h and here */
#define PLUGIN_SYMBOL  "nightmill_plugin"
#define PLUGIN_ENV     "NIGHTMILL_CUDA"

struct plugin {
    int version;
    bool emulated;
    const char *built_for; /* "sm_80 sm_90a ptx" */
    const struct device *device;
    const struct coll_ops *(*nccl)(struct errmsg *e); /* NULL: NCCL is not here, e says why */
};

typedef const struct plugin *plugin_fn(void);

const struct plugin *plugin_open(struct errmsg *e);

#endif
