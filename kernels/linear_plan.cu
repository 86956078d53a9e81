/* linear_plan.cu - which products are one, how it is computed, and which algorithm was chosen. */
#include "kernels/linear_cuda.cuh"

/* Does q go on where p ends: its weight in memory, its y in the row? */
static bool goes_on(const struct product *p, const struct product *q, enum dtype act)
{
    const struct weight *a = p->w, *b = q->w;
    const size_t N = (size_t)a->N, bytes = p->logits ? sizeof(float) : dtype_bytes(act);

    return a->dtype == b->dtype && weight_row_bytes(a) == weight_row_bytes(b) &&
           (const char *)a->data + N * weight_row_bytes(a) == b->data &&
           (!dtype_is_scaled(a->dtype) || a->scales + N == b->scales) && p->y_step &&
           p->y_step == q->y_step && p->logits == q->logits && (char *)p->y + N * bytes == q->y;
}

void linear_group_init(struct linear_group *g, const struct product *p, int n, enum dtype act)
{
    g->p = p;
    g->w = *p->w;
    g->w.row_bytes = weight_row_bytes(p->w);
    for (g->n = 1; g->n < n && goes_on(&p[g->n - 1], &p[g->n], act); g->n++)
        g->w.N += p[g->n].w->N;
    if (!dtype_is_scaled(g->w.dtype)) g->w.scales = NULL;
}

/* The largest power of two, 16 at most, that all are multiples of. */
static int common_align(const void *x, size_t x_row, const void *w, size_t w_row, const void *y,
                        size_t y_row)
{
    const uintptr_t all =
        (uintptr_t)x | x_row | (uintptr_t)w | w_row | (uintptr_t)y | y_row | (uintptr_t)16;

    return (int)(all & (~all + 1));
}

/* The choices of a shape, made when they are first asked for. */
static struct linear_choices *choices_of(const struct gemm_shape *shape, struct stream *s)
{
    struct linear_state *st = s->linear;
    struct linear_choices *c = st->of;
    struct gemm_algo algo;

    for (; c < st->of + st->n; c++)
        if (!memcmp(&c->shape, shape, sizeof *shape)) return c;
    if (st->n == LINEAR_SHAPES) return NULL;
    st->n++;
    memset(c, 0, sizeof *c);
    c->shape = *shape;
    c->refused = gemm_find(st->gemm, shape, LINEAR_MIDDLE, &algo, 1) == 0;
    return c;
}

/* What the library writes, and where: `scaled` if it is to scale fp8 itself. */
static void outputs(struct linear_plan *plan, const struct linear_group *g, bool scaled,
                    enum dtype act)
{
    const enum dtype d = g->w.dtype, want = g->p->logits ? DTYPE_F32 : act;
    const bool direct =
        want == DTYPE_F32 || d == want || (d == DTYPE_FP8 && scaled); /* of 4 bytes, or as asked */

    plan->summed = !direct;
    plan->finish = plan->summed || (dtype_is_scaled(d) && !scaled);
    plan->shape.scaled = scaled;
    plan->shape.out = direct && d != DTYPE_INT8 ? want : DTYPE_F32;
}

static int shape_init(struct linear_plan *plan, const struct linear_group *g, const void *x,
                      bool scaled, struct stream *s)
{
    const enum dtype d = g->w.dtype;
    const size_t bytes = dtype_bytes(d), per_y = g->p->logits ? sizeof(float) : dtype_bytes(s->act);
    struct gemm_shape *a = &plan->shape;
    const int step = g->p->y_step ? g->p->y_step : g->w.N;

    memset(plan, 0, sizeof *plan);
    if (g->w.row_bytes % bytes) return ERR_ARG;
    outputs(plan, g, scaled, s->act);
    plan->staged = d != s->act;
    a->N = g->w.N;
    a->K = g->w.K;
    a->in = d;
    a->w_step = (int)(g->w.row_bytes / bytes);
    a->x_step = plan->staged ? (g->w.K + 15) / 16 * 16 : g->w.K;
    a->y_step = plan->summed ? g->w.N : step;
    a->align = common_align(plan->staged ? s->linear->x : x, (size_t)a->x_step * bytes, g->w.data,
                            g->w.row_bytes, plan->summed ? s->linear->sums : g->p->y,
                            (size_t)a->y_step * (plan->summed ? sizeof(float) : per_y));
    a->one_order = s->batch_invariant;
    return ERR_OK;
}

/* x as a f16 weight would round it may be too large for one; bf16 below sm_80 and fp8 below sm_89
 * are not in the matrix units. */
static bool computes(enum dtype d, const struct stream *s)
{
    if (d == DTYPE_F16) return s->act == DTYPE_F16;
    if (d == DTYPE_BF16) return s->arch >= 80;
    return d != DTYPE_FP8 || s->arch >= 89;
}

int linear_plan_init(struct linear_plan *plan, const struct linear_group *g, const void *x,
                     struct stream *s)
{
    const bool fp8 = g->w.dtype == DTYPE_FP8;
    int rc;

    if (!computes(g->w.dtype, s)) return ERR_UNSUPPORTED;
    if ((rc = shape_init(plan, g, x, fp8, s))) return rc;
    plan->choices = choices_of(&plan->shape, s);
    if (fp8 && plan->choices && plan->choices->refused) { /* it may take it without the scales */
        if ((rc = shape_init(plan, g, x, false, s))) return rc;
        plan->choices = choices_of(&plan->shape, s);
    }
    return plan->choices ? ERR_OK : ERR_FULL;
}

bool linear_fits_all(const struct linear_choices *c, const struct gemm_algo *algo, struct stream *s)
{
    for (int b = 0; b <= tune_bucket(s->limits.max_tokens); b++)
        if (!gemm_fits(s->linear->gemm, &c->shape, tune_tokens(b), algo)) return false;
    return true;
}

void linear_settle(struct linear_choices *c, const struct tune_choice *way)
{
    for (int b = 0; b < TUNE_BUCKETS; b++)
        c->by_bucket[b] = *way;
}

/* The library's first, or by rows. */
static void choose(struct linear_choices *c, int T, struct tune_choice *way, struct stream *s)
{
    struct gemm_algo found[TUNE_CANDIDATES];
    const int n = c->refused ? 0 : gemm_find(s->linear->gemm, &c->shape, T, found, TUNE_CANDIDATES);

    way->way = TUNE_ROWS;
    for (int i = 0; i < n; i++) {
        if (c->shape.one_order && !linear_fits_all(c, &found[i], s)) continue;
        way->way = TUNE_LIBRARY;
        memcpy(way->algo, found[i].data, sizeof way->algo);
        return;
    }
}

const struct tune_choice *linear_choice(struct linear_choices *c, int T, struct stream *s)
{
    const int bucket = tune_bucket(T);
    struct tune_choice way = {TUNE_NONE, {0}};

    if (c->by_bucket[bucket].way != TUNE_NONE) return &c->by_bucket[bucket];
    choose(c, c->shape.one_order ? LINEAR_MIDDLE : tune_tokens(bucket), &way, s);
    if (c->shape.one_order)
        linear_settle(c, &way);
    else
        c->by_bucket[bucket] = way;
    return &c->by_bucket[bucket];
}
