/* scores_cpu.c - passes over the logits of one row, 16 floats at a time. */
#include "kernels/scores.h"
#include "kernels/simd.h"

#include <math.h>

struct pass {
    const float *x;
    int n;
    float top, scale;
    float *w;
    float out; /* the largest; the sum */
};

/* w = exp((x - top) * scale), or 0 */
SIMD_INLINE void weigh(vec *w, const vec *x, float top, float scale)
{
    const vec d = (*x - top) * scale;
    const vec_bits in = (vec_bits)(d >= -87.0f);

    vec_exp(w, &d);
    *w = (vec)((vec_bits)*w & in);
}

SIMD_INLINE void larger(vec *m, const vec *x)
{
    const vec_bits is = (vec_bits)(*x > *m);

    *m = (vec)(((vec_bits)*x & is) | ((vec_bits)*m & ~is));
}

SIMD_INLINE void run_max_body(struct pass *p)
{
    float m[SIMD_LANES];
    vec a, b, x;
    int i = 0;

    vec_set(&a, -INFINITY);
    vec_set(&b, -INFINITY);
    for (; i + 2 * SIMD_LANES <= p->n; i += 2 * SIMD_LANES) {
        vec_load(&x, p->x + i);
        larger(&a, &x);
        vec_load(&x, p->x + i + SIMD_LANES);
        larger(&b, &x);
    }
    larger(&a, &b);
    vec_store(m, &a);
    for (; i < p->n; i++)
        if (p->x[i] > m[0]) m[0] = p->x[i];
    for (i = 1; i < SIMD_LANES; i++)
        if (m[i] > m[0]) m[0] = m[i];
    p->out = m[0];
}

SIMD_INLINE void run_sum_body(struct pass *p)
{
    vec sum = {0}, x, w;
    int i = 0;

    for (; i + SIMD_LANES <= p->n; i += SIMD_LANES) {
        vec_load(&x, p->x + i);
        weigh(&w, &x, p->top, p->scale);
        sum += w;
    }
    if (i < p->n) {
        vec_set(&x, -INFINITY);
        memcpy(&x, p->x + i, (size_t)(p->n - i) * sizeof *p->x);
        weigh(&w, &x, p->top, p->scale);
        sum += w;
    }
    p->out = vec_sum(&sum);
}

SIMD_INLINE void run_weights_body(struct pass *p)
{
    vec x, w;
    int i = 0;

    for (; i + SIMD_LANES <= p->n; i += SIMD_LANES) {
        vec_load(&x, p->x + i);
        weigh(&w, &x, p->top, p->scale);
        vec_store(p->w + i, &w);
    }
    if (i == p->n) return;
    vec_load_part(&x, p->x + i, p->n - i);
    weigh(&w, &x, p->top, p->scale);
    vec_store_part(p->w + i, &w, p->n - i);
}

SIMD_CLONES(run_max, (struct pass * p), (p))
SIMD_CLONES(run_sum, (struct pass * p), (p))
SIMD_CLONES(run_weights, (struct pass * p), (p))

static int run_of(int V, int at)
{
    return V - at < SCORES_RUN ? V - at : SCORES_RUN;
}

int32_t scores_best(const float *x, int V)
{
    void (*const run)(struct pass *) = SIMD_PICK(run_max);
    float best = -INFINITY;
    int at = 0;

    for (int i = 0; i < V; i += SCORES_RUN) {
        struct pass p = {.x = x + i, .n = run_of(V, i)};

        run(&p);
        if (p.out > best) {
            best = p.out;
            at = i;
        }
    }
    for (int i = at; i < V; i++)
        if (x[i] >= best) return i;
    return 0; /* all are NaN */
}

double scores_sum(const float *x, int V, float top, float scale)
{
    void (*const run)(struct pass *) = SIMD_PICK(run_sum);
    double sum = 0;

    for (int i = 0; i < V; i += SCORES_RUN) {
        struct pass p = {.x = x + i, .n = run_of(V, i), .top = top, .scale = scale};

        run(&p);
        sum += (double)p.out;
    }
    return sum;
}

void scores_weights(float *w, const float *x, int n, float top, float scale)
{
    struct pass p = {.x = x, .n = n, .top = top, .scale = scale, .w = w};

    SIMD_PICK(run_weights)(&p);
}

int scores_above(int32_t *ids, const float *x, int n, int32_t from, float floor)
{
    void (*const run)(struct pass *) = SIMD_PICK(run_max);
    enum { LOOK = 128 }; /* few runs hold anything */
    int found = 0;

    for (int at = 0; at < n; at += LOOK) {
        struct pass p = {.x = x + at, .n = n - at < LOOK ? n - at : LOOK};

        run(&p);
        if (!(p.out >= floor)) continue;
        for (int i = 0; i < p.n; i++)
            if (p.x[i] >= floor) ids[found++] = from + at + i;
    }
    return found;
}
