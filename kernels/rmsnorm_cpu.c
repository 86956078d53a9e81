/* rmsnorm_cpu.c - scales each row by the inverse of its root mean square, 16 floats at a time. */
#include "kernels/rmsnorm.h"
#include "kernels/simd.h"

#include <math.h>

#include "base/err.h"
#include "kernels/add.h"
#include "kernels/pool.h"

#define RUN 8192 /* numbers in a piece of work: a few microseconds */

struct job {
    float *y;
    const float *x;
    const float *w;
    int T, D;
    int n_rows; /* in a piece of work */
    float eps;
};

SIMD_INLINE void norm_row(float *y, const float *x, const float *w, int D, float eps)
{
    const int whole = D - D % SIMD_LANES, rest = D % SIMD_LANES;
    vec ss = {0}, v, g;
    float scale;

    for (int d = 0; d < whole; d += SIMD_LANES) {
        vec_load(&v, x + d);
        ss += v * v;
    }
    if (rest) {
        vec_load_part(&v, x + whole, rest);
        ss += v * v;
    }
    scale = 1.0f / sqrtf(vec_sum(&ss) / (float)D + eps);
    for (int d = 0; d < whole; d += SIMD_LANES) {
        vec_load(&v, x + d);
        vec_load(&g, w + d);
        v = v * scale * g;
        vec_store(y + d, &v);
    }
    if (rest) {
        vec_load_part(&v, x + whole, rest);
        vec_load_part(&g, w + whole, rest);
        v = v * scale * g;
        vec_store_part(y + whole, &v, rest);
    }
}

SIMD_INLINE void norm_rows_body(const struct job *j, int i)
{
    const int start = i * j->n_rows, end = j->T - start < j->n_rows ? j->T : start + j->n_rows;

    for (int t = start; t < end; t++) {
        const size_t at = (size_t)t * (size_t)j->D;

        norm_row(j->y + at, j->x + at, j->w, j->D, j->eps);
    }
}

SIMD_CLONES(norm_rows, (void *arg, int i), (arg, i))

int rmsnorm_cpu(void *y, const void *x, const float *w, int T, int D, float eps, struct stream *s)
{
    struct job j = {y, x, w, T, D, D > 0 && D < RUN ? RUN / D : 1, eps};

    if (T < 0 || D <= 0) return ERR_ARG;
    pool_run(s, (T + j.n_rows - 1) / j.n_rows, SIMD_PICK(norm_rows), &j);
    return ERR_OK;
}

int add_rmsnorm_cpu(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                    struct stream *s)
{
    const int rc = add_cpu(x, a, T, D, s);

    return rc ? rc : rmsnorm_cpu(y, x, w, T, D, eps, s);
}
