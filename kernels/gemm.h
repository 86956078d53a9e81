/* gemm.h - one matrix product by a library: the border that cuBLASLt stands behind.
 *
 *   y[t][n] = sum_k x[t][k] * w[n][k]                 scaled: times x_scales[t] * w_scales[n]
 *
 *   x  [T][K]    w  [N][K]    y  [T][N]               rows are *_step numbers apart
 *
 * x and w are of one dtype, `in`, and y of `out`:
 *   f32           f32, in full float: no narrower products
 *   f16, bf16     f32, or as in
 *   fp8           f32, f16 or bf16
 *   int8          int32, whatever out says
 * Sums are of 32 bits (fp8 on sm_89 and sm_90: as the card's matrix units add).
 *
 * gemm_blaslt.cu is this for a device, emu/gemm_emu.cpp for the emulation: plain loops, and three
 * algorithms that differ in the order of their sums.
 *
 * Threads    the stream's.
 * Ownership  open makes it and takes a workspace of the stream's memory, close frees it.
 * Errors     open: ERR_CUDA, kept in the stream.  run: ERR_UNSUPPORTED where the library does not
 *            take the algorithm for these extents, nothing is done then.
 *
 * GE1  find, fits and run neither allocate nor wait; find and fits leave the stream alone.
 * GE2  an algorithm that was found with one_order adds up each y in one order, which does not
 *      depend on T: no part of K is summed apart.  cuBLASLt does not promise that one tile at one
 *      place is computed as at another; it rests on its kernels, whose blocks know only their own
 *      tile, and the suite asks for it on each device.
 */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kernels/stream.h"

#define GEMM_TEXT 64

struct gemm;

/* All that an algorithm may depend on but T.  Compared byte by byte: begin from zeros. */
struct gemm_shape {
    int N, K;
    enum dtype in, out;
    int w_step, x_step, y_step; /* numbers */
    int align;                  /* bytes that all pointers and rows are multiples of: 1 to 16 */
    int scaled;                 /* by the library, while it writes y: fp8 */
    int one_order;
};

struct gemm_algo {
    uint64_t data[8]; /* the library's own; may be kept by somebody else, for fits to look at */
};

struct gemm_operands {
    const void *x, *w;
    const float *x_scales, *w_scales; /* [T], [N], where scaled */
    void *y;
};

int gemm_open(struct gemm **out, struct stream *s);
void gemm_close(struct gemm **g);

/* The library and its version, on one line. */
void gemm_library(char out[GEMM_TEXT]);

/* At most `max` algorithms, the likeliest to be fast first; how many there are.  0: the library
 * does not compute it. */
int gemm_find(struct gemm *g, const struct gemm_shape *shape, int T, struct gemm_algo *out,
              int max);
bool gemm_fits(struct gemm *g, const struct gemm_shape *shape, int T, const struct gemm_algo *algo);
int gemm_run(struct gemm *g, const struct gemm_shape *shape, int T, const struct gemm_algo *algo,
             const struct gemm_operands *a);

#endif
