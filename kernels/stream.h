/* stream.h - where an op's work is done: on the CPU a pool of threads, on CUDA a stream.
 *
 * Ops take it last and pass it on; only the device's own files look inside.
 */
#ifndef KERNELS_STREAM_H
#define KERNELS_STREAM_H

struct stream;

#endif
