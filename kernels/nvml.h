/* nvml.h - what NVIDIA's management library tells of a device now.
 *
 * The library comes with the driver and is opened at run time; it knows devices by their PCI
 * address, whatever CUDA_VISIBLE_DEVICES makes of their numbers.
 *
 * Units      bytes, milliwatts, MHz; 0 is not known.
 * Ownership  nvml_open/nvml_close.
 * Threads    any; an open struct nvml does not change.
 * Errors     ERR_UNSUPPORTED with one line where the library is not here or lacks a function;
 *            ERR_IO with its own text where it refuses.
 * Source     NVML API reference, release 580 (functions, structs, numbers).
 */
#ifndef KERNELS_NVML_H
#define KERNELS_NVML_H

#include "base/err.h"
#include "kernels/device.h"

#define NVML_LIBRARY "libnvidia-ml.so.1"

struct nvml;

/* path: NVML_LIBRARY, or a file. */
int nvml_open(struct nvml **out, const char *path, struct errmsg *e) MUSTCHECK;
void nvml_close(struct nvml **n);

/* bus: PCI address.  What the device does not tell stays 0, or -1 for others: processes on it but
 * this one.  Where process ids are not ours (a container's), one of them is taken for this one. */
int nvml_read(const struct nvml *n, const char *bus, struct device_reading *out, struct errmsg *e);

/* "580.65.06"; "" where it does not tell. */
void nvml_driver(const struct nvml *n, char *out, size_t size);

#endif
