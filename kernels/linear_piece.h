/* linear_piece.h - a piece of a matrix product on the CPU: some rows of a weight, some tokens.
 *
 * x comes in the form that the weight's dtype asks for (linear.h): floats, bf16, or struct
 * quant_x.  A row of bf16 is filled up with zeros to whole vecs of 32.
 *
 * Threads  any; pieces of one product do not overlap.
 */
#ifndef KERNELS_LINEAR_PIECE_H
#define KERNELS_LINEAR_PIECE_H

#include <stddef.h>

#include "kernels/ops.h"

struct piece {
    float *y; /* [T][N], of the whole product */
    const struct weight *w;
    const float *bias; /* [N] or NULL */
    const void *x;     /* [T] rows */
    size_t x_bytes;    /* from a row to the next */
    int n0, n1;        /* rows of w */
    int t0, t1;        /* tokens */
};

void linear_float(const struct piece *p); /* float weights, at any level */
void linear_wide(const struct piece *p);  /* float weights, with AVX-512 */
void linear_quant(const struct piece *p);

#endif
