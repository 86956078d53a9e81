/* add_cpu.c - the residual sum, 16 floats at a time. */
#include "kernels/add.h"
#include "kernels/simd.h"

#include "base/err.h"
#include "kernels/pool.h"

#define RUN 16384 /* elements in a piece of work: a few microseconds */

struct job {
    float *x;
    const float *y;
    size_t n;
};

SIMD_INLINE void add_run_body(const struct job *j, int i)
{
    const size_t start = (size_t)i * RUN, end = j->n - start < RUN ? j->n : start + RUN;
    size_t k = start;
    vec a, b;

    for (; k + SIMD_LANES <= end; k += SIMD_LANES) {
        vec_load(&a, j->x + k);
        vec_load(&b, j->y + k);
        a = a + b;
        vec_store(j->x + k, &a);
    }
    for (; k < end; k++)
        j->x[k] += j->y[k];
}

SIMD_CLONES(add_run, (void *arg, int i), (arg, i))

int add_cpu(void *x, const void *y, int T, int D, struct stream *s)
{
    struct job j = {x, y, 0};

    if (T < 0 || D <= 0) return ERR_ARG;
    j.n = (size_t)T * (size_t)D;
    pool_run(s, (int)((j.n + RUN - 1) / RUN), SIMD_PICK(add_run), &j);
    return ERR_OK;
}
