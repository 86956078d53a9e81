/* glu_cpu.c - the gated unit of the feed-forward layer, 16 floats at a time. */
#include "kernels/glu.h"
#include "kernels/simd.h"

#include "base/err.h"
#include "kernels/curves.h"
#include "kernels/pool.h"

#define RUN 4096 /* elements in a piece of work: a few microseconds */

struct job {
    float *y;
    const float *gate, *up;
    size_t n;
    enum glu g;
};

/* y = g / (1 + exp(-2 sqrt(2/pi) (g + 0.044715 g^3))) * u */
SIMD_INLINE void gelu_tanh(vec *y, const vec *g, const vec *u)
{
    vec minus = *g * (*g * *g * -0.0713548162726f - 1.59576912161f), e;

    vec_exp(&e, &minus);
    *y = *g / (1.0f + e) * *u;
}

/* y = g/2 * c * u with c = erfc(|g| / sqrt(2)) where g is negative, else 2 - c */
SIMD_INLINE void gelu(vec *y, const vec *g, const vec *u)
{
    const vec_bits negative = (vec_bits)(*g < 0.0f);
    vec size = (vec)((vec_bits)*g & 0x7FFFFFFFu) * 0.707106781187f, c, rest;

    vec_erfc(&c, &size);
    rest = 2.0f - c;
    vec_pick(&c, &negative, &c, &rest);
    *y = *g * 0.5f * c * *u;
}

SIMD_INLINE void silu(vec *y, const vec *g, const vec *u)
{
    vec minus = -*g, e;

    vec_exp(&e, &minus);
    *y = *g / (1.0f + e) * *u;
}

SIMD_INLINE void gate_vec(vec *y, const vec *g, const vec *u, const enum glu kind)
{
    if (kind == GLU_SILU)
        silu(y, g, u);
    else if (kind == GLU_GELU_TANH)
        gelu_tanh(y, g, u);
    else
        gelu(y, g, u);
}

SIMD_INLINE void gate_elements(const struct job *j, size_t start, size_t end, const enum glu kind)
{
    size_t k = start;
    vec g, u, y;

    for (; k + SIMD_LANES <= end; k += SIMD_LANES) {
        vec_load(&g, j->gate + k);
        vec_load(&u, j->up + k);
        gate_vec(&y, &g, &u, kind);
        vec_store(j->y + k, &y);
    }
    if (k < end) {
        vec_load_part(&g, j->gate + k, (int)(end - k));
        vec_load_part(&u, j->up + k, (int)(end - k));
        gate_vec(&y, &g, &u, kind);
        vec_store_part(j->y + k, &y, (int)(end - k));
    }
}

SIMD_INLINE void gate_run_body(const struct job *j, int i)
{
    const size_t start = (size_t)i * RUN, end = j->n - start < RUN ? j->n : start + RUN;

    switch (j->g) {
    case GLU_SILU: gate_elements(j, start, end, GLU_SILU); break;
    case GLU_GELU_TANH: gate_elements(j, start, end, GLU_GELU_TANH); break;
    case GLU_GELU: gate_elements(j, start, end, GLU_GELU); break;
    }
}

SIMD_CLONES(gate_run, (void *arg, int i), (arg, i))

int glu_cpu(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
            struct stream *s)
{
    struct job j = {y, gate, up, 0, g};

    if (T < 0 || F <= 0 || step < F) return ERR_ARG;
    if (step != F) return ERR_UNSUPPORTED;
    j.n = (size_t)T * (size_t)F;
    pool_run(s, (int)((j.n + RUN - 1) / RUN), SIMD_PICK(gate_run), &j);
    return ERR_OK;
}
