/* limit.h - the most that one core of this machine does, as loops that do nothing else.
 *
 * Both run at the level of kernels/simd.h, so a figure is held to what its own instructions could
 * reach.  Time them in turns with what they are the limit of (bench/race.h).
 */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include <stddef.h>

#define LIMIT_FLOPS (2 * 16 * 16 * 4096) /* of one limit_fma */

/* Multiply-adds in registers, as many chains as keep the units full; arg is not read. */
void limit_fma(void *arg);

/* Reads n bytes in order: from the cache that holds them, or from memory. */
struct limit_read {
    const float *data;
    size_t n_bytes;
};
void limit_read(void *arg); /* a struct limit_read */

#endif
