/* nvidia_library.h - opens a library of NVIDIA's wherever this machine has it.
 *
 * First where the system looks; then in the folders of pip's nvidia packages
 * (PREFIX/lib/python3.x/site-packages/nvidia/PACKAGE/lib), PREFIX being $VIRTUAL_ENV,
 * $CONDA_PREFIX, the one of each python3 in the PATH, and ~/.local.  Nothing is run to find it.
 *
 * Threads    any.
 * Ownership  the handle is dlopen's; dlclose gives it back.
 * Errors     NULL, and why: what dlopen says of the system's.
 */
#ifndef KERNELS_NVIDIA_LIBRARY_H
#define KERNELS_NVIDIA_LIBRARY_H

#include <stddef.h>

/* name: "libnccl.so.2" */
void *nvidia_library_open(const char *name, char *why, size_t size);

#endif
