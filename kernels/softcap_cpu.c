/* softcap_cpu.c - bounds numbers smoothly, 16 floats at a time. */
#include "kernels/simd.h"
#include "kernels/softcap.h"

#include "base/err.h"
#include "kernels/curves.h"
#include "kernels/pool.h"

#define RUN 8192 /* numbers in a piece of work: a few microseconds */

struct job {
    float *x;
    size_t n;
    float cap;
};

SIMD_INLINE void bound(vec *v, float cap)
{
    *v = *v / cap;
    vec_tanh(v, v);
    *v = *v * cap;
}

SIMD_INLINE void cap_run_body(const struct job *j, int i)
{
    const size_t start = (size_t)i * RUN, end = j->n - start < RUN ? j->n : start + RUN;
    size_t k = start;
    vec v;

    for (; k + SIMD_LANES <= end; k += SIMD_LANES) {
        vec_load(&v, j->x + k);
        bound(&v, j->cap);
        vec_store(j->x + k, &v);
    }
    if (k < end) {
        vec_load_part(&v, j->x + k, (int)(end - k));
        bound(&v, j->cap);
        vec_store_part(j->x + k, &v, (int)(end - k));
    }
}

SIMD_CLONES(cap_run, (void *arg, int i), (arg, i))

int softcap_cpu(float *x, int T, int D, float cap, struct stream *s)
{
    struct job j = {x, 0, cap};

    if (T < 0 || D <= 0 || !(cap > 0)) return ERR_ARG;
    j.n = (size_t)T * (size_t)D;
    pool_run(s, (int)((j.n + RUN - 1) / RUN), SIMD_PICK(cap_run), &j);
    return ERR_OK;
}
