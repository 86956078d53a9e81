/* linear_quant.cuh - what the kernels of quantised products share: x in blocks of bytes.
 *
 * x becomes int8 as quant_x does it (quant.h), once for all products of a call, in three arrays:
 * q, and for each 32 of them the scale and the sum times the scale.
 */
#ifndef KERNELS_LINEAR_QUANT_CUH
#define KERNELS_LINEAR_QUANT_CUH

#include "kernels/cuda_stream.cuh"

#define QUANT_ROWS_MOST 8 /* tokens up to which rows of w are read by a warp each */

struct quant_args {
    const int8_t *q;     /* [T][K] */
    const float *scales; /* [T][K/32] */
    const float *sums;   /* [T][K/32] */
    const uint8_t *w;    /* [N] rows */
    size_t row_bytes;
    void *y;
    const float *bias; /* [N] or NULL */
    int T, N, K, y_step;
};

/* y in act, or float where logits.  d: of w. */
int quant_by_rows(const struct quant_args *a, enum dtype d, bool logits, struct stream *s);
int quant_by_tiles(const struct quant_args *a, enum dtype d, bool logits, struct stream *s);

/* The statement with Q the quantised dtype d. */
#define BY_QUANT(d, Q, ...)                                                                        \
    do {                                                                                           \
        if ((d) == DTYPE_Q8_0) {                                                                   \
            constexpr enum dtype Q = DTYPE_Q8_0;                                                   \
            __VA_ARGS__;                                                                           \
        } else if ((d) == DTYPE_Q4_0) {                                                            \
            constexpr enum dtype Q = DTYPE_Q4_0;                                                   \
            __VA_ARGS__;                                                                           \
        } else if ((d) == DTYPE_Q4_K) {                                                            \
            constexpr enum dtype Q = DTYPE_Q4_K;                                                   \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            constexpr enum dtype Q = DTYPE_Q6_K;                                                   \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

#endif
