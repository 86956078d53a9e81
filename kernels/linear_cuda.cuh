/* linear_cuda.cuh - what the files of the CUDA linear share: the choices made, and a product of
 * one or more that lie side by side.
 *
 * A group is a run of a call's products that one product computes: their weights stand one behind
 * the other in memory, their y side by side in one row.
 *
 * linear_open takes all memory that a call needs: the library's workspace; room for x in the
 * weight's dtype and its scales; room for sums that are not yet y.  A call that needs more goes on
 * with as many tokens at a time as there is room for.
 */
#ifndef KERNELS_LINEAR_CUDA_CUH
#define KERNELS_LINEAR_CUDA_CUH

#include "kernels/cuda_stream.cuh"

extern "C" {
#include "kernels/gemm.h"
#include "kernels/linear.h"
#include "kernels/linear_tune.h"
}

#define LINEAR_SHAPES 64 /* that a stream has choices for */
#define LINEAR_MIDDLE 64 /* the T at which one algorithm is chosen for all (batch_invariant) */

struct linear_choices {
    struct gemm_shape shape;
    bool refused; /* the library does not compute it */
    struct tune_choice by_bucket[TUNE_BUCKETS];
};

struct linear_state {
    struct gemm *gemm;
    int n;
    struct linear_choices of[LINEAR_SHAPES];
    char *x;         /* [tokens][x_step] of a weight's dtype */
    float *x_scales; /* [max_tokens] */
    char *sums;      /* [tokens][N], 4 bytes each */
    size_t x_bytes, sums_bytes;
};

struct linear_group {
    const struct product *p;
    int n;           /* products */
    struct weight w; /* of all */
};

/* The run at p[0]; always float or scaled dtypes. */
void linear_group_init(struct linear_group *g, const struct product *p, int n, enum dtype act);

/* How a group is computed. */
struct linear_plan {
    struct gemm_shape shape;
    bool staged; /* x goes through the state's room */
    bool summed; /* y comes from the state's sums */
    bool finish; /* scale_out makes y, from sums or in place, besides a bias */
    struct linear_choices *choices;
};

/* ERR_UNSUPPORTED for what this device does not compute, ERR_FULL for more than LINEAR_SHAPES. */
int linear_plan_init(struct linear_plan *plan, const struct linear_group *g, const void *x,
                     struct stream *s);

/* The way for T, chosen without measuring where none is there yet. */
const struct tune_choice *linear_choice(struct linear_choices *c, int T, struct stream *s);
/* Does it fit every T that a step may have? */
bool linear_fits_all(const struct linear_choices *c, const struct gemm_algo *algo,
                     struct stream *s);
/* One way for all T. */
void linear_settle(struct linear_choices *c, const struct tune_choice *way);
/* ERR_UNSUPPORTED: it is not for these extents, and nothing is done. */
int linear_run(const struct gemm_shape *shape, const struct tune_choice *way, int T,
               const struct gemm_operands *a, struct stream *s);

#endif
