/* glu_cpu.c - the gated unit of the feed-forward layer, 16 floats at a time. */
#include "kernels/glu.h"
#include "kernels/simd.h"

#include "base/err.h"
#include "kernels/pool.h"

#define RUN 4096 /* elements in a piece of work: a few microseconds */

struct job {
    float *y;
    const float *gate, *up;
    size_t n;
};

SIMD_INLINE void gate_vec(vec *y, const vec *g, const vec *u)
{
    vec minus = -*g, e;

    vec_exp(&e, &minus);
    *y = *g / (1.0f + e) * *u;
}

SIMD_INLINE void gate_run_body(const struct job *j, int i)
{
    const size_t start = (size_t)i * RUN, end = j->n - start < RUN ? j->n : start + RUN;
    size_t k = start;
    vec g, u, y;

    for (; k + SIMD_LANES <= end; k += SIMD_LANES) {
        vec_load(&g, j->gate + k);
        vec_load(&u, j->up + k);
        gate_vec(&y, &g, &u);
        vec_store(j->y + k, &y);
    }
    if (k < end) {
        vec_load_part(&g, j->gate + k, (int)(end - k));
        vec_load_part(&u, j->up + k, (int)(end - k));
        gate_vec(&y, &g, &u);
        vec_store_part(j->y + k, &y, (int)(end - k));
    }
}

SIMD_CLONES(gate_run, (void *arg, int i), (arg, i))

int glu_cpu(void *y, const void *gate, const void *up, int T, int F, enum glu g, struct stream *s)
{
    struct job j = {y, gate, up, 0};

    if (T < 0 || F <= 0) return ERR_ARG;
    if (g != GLU_SILU) return glu_ref(y, gate, up, T, F, g, s);
    j.n = (size_t)T * (size_t)F;
    pool_run(s, (int)((j.n + RUN - 1) / RUN), SIMD_PICK(gate_run), &j);
    return ERR_OK;
}
