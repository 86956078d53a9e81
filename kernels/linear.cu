/* linear.cu - matrix products: by the library, by rows, or of quantised weights.
 *
 * A group goes through at most three steps: x into the weight's dtype (quantize_rows), the product
 * into y or into sums, and what makes sums into y (scale_out).  The choice of an algorithm is in
 * linear_plan.cu, the measuring in linear_measure.cu.
 */
#include "kernels/linear_cuda.cuh"

extern "C" {
#include "kernels/linear_rows.h"
#include "kernels/quantize_rows.h"
#include "kernels/scale_out.h"
}

#include <stdlib.h>

#define ROOM_MOST  ((size_t)64 << 20) /* of x, and of sums */
#define ROOM_LEAST ((size_t)1 << 20)

static size_t room(size_t bytes)
{
    return bytes > ROOM_MOST ? ROOM_MOST : bytes < ROOM_LEAST ? ROOM_LEAST : bytes;
}

int linear_open(struct stream *s)
{
    const size_t T = (size_t)s->limits.max_tokens, K = (size_t)s->limits.max_width + 15;
    struct linear_state *st;
    int rc;

    if (s->linear) return ERR_OK;
    if (!(st = (struct linear_state *)calloc(1, sizeof *st))) return ERR_NOMEM;
    s->linear = st;
    if ((rc = gemm_open(&st->gemm, s))) return rc;
    st->x_bytes = room(T * K * (s->act == DTYPE_F32 ? 2 : 1));
    st->sums_bytes = room(T * K * 16);
    st->x = (char *)stream_take(s, st->x_bytes, "linear");
    st->sums = (char *)stream_take(s, st->sums_bytes, "linear");
    st->x_scales = (float *)stream_take(s, T * sizeof *st->x_scales, "linear");
    return st->x && st->sums && st->x_scales ? ERR_OK : s->rc;
}

void linear_close(struct stream *s)
{
    if (!s->linear) return;
    gemm_close(&s->linear->gemm);
    free(s->linear);
    s->linear = NULL;
}

int linear_run(const struct gemm_shape *shape, const struct tune_choice *way, int T,
               const struct gemm_operands *a, struct stream *s)
{
    struct gemm_algo algo;

    if (way->way != TUNE_LIBRARY) return linear_rows(shape, T, a, s);
    memcpy(algo.data, way->algo, sizeof algo.data);
    return gemm_run(s->linear->gemm, shape, T, &algo, a);
}

static size_t y_bytes(const struct product *p, enum dtype act)
{
    return p->logits ? sizeof(float) : dtype_bytes(act);
}

/* What is left to do for some products of a group after their sums: those whose biases stand one
 * behind the other at once. */
static int finish(const struct linear_group *g, const struct linear_plan *plan, int t0, int T,
                  struct stream *s)
{
    const struct linear_state *st = s->linear;
    int rc = ERR_OK;

    for (int i = 0, from = 0; i < g->n && !rc;) {
        const struct product *p = &g->p[i];
        const enum dtype out = p->logits ? DTYPE_F32 : s->act;
        char *y = (char *)p->y + (size_t)t0 * (size_t)product_y_step(p) * y_bytes(p, s->act);
        int N = p->w->N, last = i;

        for (; last + 1 < g->n; N += g->p[++last].w->N)
            if (g->p[last + 1].bias != (p->bias ? p->bias + N : NULL)) break;
        const struct scale_out a = {
            y,
            plan->summed ? (const void *)(st->sums + (size_t)from * sizeof(float)) : y,
            plan->finish && dtype_is_scaled(g->w.dtype) ? st->x_scales : NULL,
            g->w.scales ? g->w.scales + from : NULL,
            p->bias,
            out,
            plan->summed ? DTYPE_F32 : out,
            plan->shape.in == DTYPE_INT8,
            N,
            plan->summed ? g->w.N : product_y_step(p),
            product_y_step(p)};

        if (plan->finish || p->bias) rc = scale_out(&a, T, s);
        from += N;
        i = last + 1;
    }
    return rc;
}

/* Tokens t0 .. t0 + T of a group; there is room for them. */
static int some_tokens(const struct linear_group *g, struct linear_plan *plan, const void *x,
                       int t0, int T, struct stream *s)
{
    struct linear_state *st = s->linear;
    const size_t row = (size_t)g->w.K * dtype_bytes(s->act);
    const void *from = (const char *)x + (size_t)t0 * row;
    char *y = (char *)g->p->y + (size_t)t0 * (size_t)product_y_step(g->p) * y_bytes(g->p, s->act);
    const struct gemm_operands a = {plan->staged ? st->x : from, g->w.data, st->x_scales,
                                    g->w.scales, plan->summed ? st->sums : y};
    const struct tune_choice rows = {TUNE_ROWS, {0}};
    int rc = ERR_OK;

    if (plan->staged)
        rc = quantize_rows(st->x, plan->shape.x_step, st->x_scales, g->w.dtype, from, T, g->w.K, s);
    if (!rc) rc = linear_run(&plan->shape, linear_choice(plan->choices, T, s), T, &a, s);
    if (rc == ERR_UNSUPPORTED && !s->batch_invariant)
        rc = linear_run(&plan->shape, &rows, T, &a, s);
    return rc ? rc : finish(g, plan, t0, T, s);
}

/* Tokens that there is room for. */
static int tokens_at_once(const struct linear_group *g, const struct linear_plan *plan, int T,
                          const struct linear_state *st)
{
    const size_t x = (size_t)plan->shape.x_step * dtype_bytes(g->w.dtype);
    const size_t sums = (size_t)g->w.N * sizeof(float);
    size_t most = (size_t)T;

    if (plan->staged && st->x_bytes / x < most) most = st->x_bytes / x;
    if (plan->summed && st->sums_bytes / sums < most) most = st->sums_bytes / sums;
    return (int)most;
}

static int one_group(const struct linear_group *g, const void *x, int T, struct stream *s)
{
    struct linear_plan plan;
    int rc = linear_plan_init(&plan, g, x, s), at_once;

    if (rc) return rc;
    at_once = tokens_at_once(g, &plan, T, s->linear);
    if (at_once < 1) return ERR_ARG;
    for (int t = 0; t < T && !rc; t += at_once)
        rc = some_tokens(g, &plan, x, t, T - t < at_once ? T - t : at_once, s);
    return rc;
}

extern "C" int linear_cuda(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    int rc = linear_check(p, n, T), same;

    if (rc || T == 0) return rc;
    if (T > s->limits.max_tokens) return ERR_ARG;
    for (int i = 0; i < n && !rc; i += same) {
        struct linear_group g;
        const bool quantised = !dtype_is_float(p[i].w->dtype) && !dtype_is_scaled(p[i].w->dtype);

        for (same = 1; quantised && i + same < n && p[i + same].w->dtype == p[i].w->dtype;)
            same++;
        if (quantised) {
            rc = linear_quant_cuda(p + i, same, x, T, s);
            continue;
        }
        linear_group_init(&g, p + i, n - i, s->act);
        same = g.n;
        rc = one_group(&g, x, T, s);
    }
    return rc;
}
