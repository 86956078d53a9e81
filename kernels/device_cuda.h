/* device_cuda.h - the CUDA device and its tables of ops; what the plug-in's table is made of. */
#ifndef KERNELS_DEVICE_CUDA_H
#define KERNELS_DEVICE_CUDA_H

#include "kernels/device.h"

const struct device *device_cuda(void);

/* f32, f16 and bf16; NULL for another. */
const struct ops *ops_cuda(enum dtype act);

#endif
