/* linear_run.h - a run of blocks of a quantised weight by tokens: the inner part of a product.
 *
 *   y[t][n] of 32 rows += their blocks [0, n_blocks) by those of token t
 *
 * y is at the first token and row, N from a token to the next; bias at that row, added after a
 * row's last run, or NULL.
 *
 * Threads  any.
 */
#ifndef KERNELS_LINEAR_RUN_H
#define KERNELS_LINEAR_RUN_H

#include <stdbool.h>

#include "kernels/linear_piece.h"
#include "kernels/panel.h"
#include "kernels/quant.h"

#define PANELS 2 /* at a time: x is loaded once for both */

/* A run of blocks of some tokens by some panels. */
struct run {
    const struct panel *panel;
    const struct quant_x *x; /* the first token's first block; tokens are x_bytes apart */
    size_t x_bytes;
    int n_blocks;
    bool first, last; /* of the row */
};

/* What differs between dtypes: a constant, so that each gets a loop of its own. */
struct kind {
    int shift;   /* offset = 1 << shift, none if 0 */
    bool halves; /* a scale for each 16 numbers */
    bool min;
};

static inline const struct quant_x *run_token(const struct run *r, int t)
{
    return (const struct quant_x *)(const void *)((const char *)r->x + (size_t)t * r->x_bytes);
}

/* With SIMD_VNNI only. */
void run_vnni(float *y, size_t N, int n_valid, const float *bias, const struct run *r, int T,
              enum dtype d);
void one_q8_0_vnni(const struct piece *p); /* one token by Q8_0 rows */

#endif
