/* async_ops.c - the reference's ops, put in the order of an asynchronous stream. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/add.h"
#include "kernels/attn.h"
#include "kernels/element.h"
#include "kernels/embed.h"
#include "kernels/gather.h"
#include "kernels/glu.h"
#include "kernels/linear.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope_kv.h"
#include "kernels/scaled.h"
#include "kernels/softcap.h"
#include "tests/async_stream.h"

static int run_begin(const struct work *w, struct stream *s)
{
    const int32_t *from = w->bytes;
    const struct ragged *r = &w->r;
    const size_t T = (size_t)r->T, S = (size_t)r->S, B = S * (size_t)r->max_blocks;

    memcpy((int32_t *)(uintptr_t)s->on.ids, from, T * 4), from += T;
    memcpy((int32_t *)(uintptr_t)s->on.pos, from, T * 4), from += T;
    memcpy((int32_t *)(uintptr_t)s->on.seq, from, T * 4), from += T;
    memcpy((int32_t *)(uintptr_t)s->on.start, from, (S + 1) * 4), from += S + 1;
    memcpy((int32_t *)(uintptr_t)s->on.blocks, from, B * 4), from += B;
    memcpy((int32_t *)(uintptr_t)s->on.rows, from, (size_t)r->n_rows * 4);
    return ERR_OK;
}

static int async_begin(struct ragged *on, const struct ragged *r, struct stream *s)
{
    const size_t T = (size_t)r->T, S = (size_t)r->S, B = S * (size_t)r->max_blocks;
    const size_t n = 3 * T + S + 1 + B + (size_t)r->n_rows;
    int32_t *all = malloc(n * sizeof *all), *at = all;

    assert(!s->recording && r->T <= s->limits.max_tokens && r->S <= s->limits.max_seqs);
    assert(r->max_blocks <= s->limits.max_blocks && r->n_rows <= s->limits.max_seqs);
    memcpy(at, r->ids, T * 4), at += T;
    memcpy(at, r->pos, T * 4), at += T;
    memcpy(at, r->seq, T * 4), at += T;
    memcpy(at, r->start, (S + 1) * 4), at += S + 1;
    memcpy(at, r->blocks, B * 4), at += B;
    memcpy(at, r->rows, (size_t)r->n_rows * 4);
    *on = s->on;
    on->T = r->T, on->S = r->S, on->n_rows = r->n_rows, on->max_blocks = r->max_blocks;
    return later(s, (struct work){.name = "begin", .run = run_begin, .r = *r, .bytes = all});
}

static int run_embed(const struct work *w, struct stream *s)
{
    (void)s;
    return embed_ref(w->y, &w->from, w->eps, &w->r, NULL);
}

static int async_embed(void *x, const struct weight *w, float scale, const struct ragged *r,
                       struct stream *s)
{
    check_here(s, "embed", x), check_here(s, "embed", w->data), check_here(s, "embed", r->ids);
    return later(s, (struct work){.name = "embed",
                                  .run = run_embed,
                                  .y = x,
                                  .from = *w,
                                  .eps = scale,
                                  .r = *r,
                                  .T = r->T});
}

static int run_rmsnorm(const struct work *w, struct stream *s)
{
    (void)s;
    return w->a ? add_rmsnorm_ref(w->y, w->x, w->a, w->w, w->T, w->D, w->eps, NULL)
                : rmsnorm_ref(w->y, w->x, w->w, w->T, w->D, w->eps, NULL);
}

static int async_add_rmsnorm(void *y, void *x, const void *a, const float *w, int T, int D,
                             float eps, struct stream *s)
{
    check_here(s, "rmsnorm", y), check_here(s, "rmsnorm", x), check_here(s, "rmsnorm", w);
    check_here(s, "rmsnorm", a);
    return later(s, (struct work){.name = "rmsnorm",
                                  .run = run_rmsnorm,
                                  .y = y,
                                  .x = x,
                                  .a = (void *)(uintptr_t)a,
                                  .w = w,
                                  .T = T,
                                  .D = D,
                                  .eps = eps});
}

static int async_rmsnorm(void *y, const void *x, const float *w, int T, int D, float eps,
                         struct stream *s)
{
    return async_add_rmsnorm(y, (void *)(uintptr_t)x, NULL, w, T, D, eps, s);
}

static int run_linear(const struct work *w, struct stream *s)
{
    (void)s;
    return linear_ref(w->p, w->n, w->x, w->T, NULL);
}

static struct work products(const struct product *p, int n, const void *x, int T,
                            const struct stream *s)
{
    struct work w = {.name = "linear", .run = run_linear, .n = n, .T = T};

    assert(n <= 3);
    check_here(s, "linear", x);
    w.x = (void *)(uintptr_t)x;
    for (int i = 0; i < n; i++) {
        check_here(s, "linear", p[i].y), check_here(s, "linear", p[i].w->data);
        check_here(s, "linear", p[i].bias), check_here(s, "linear", p[i].w->scales);
        w.p[i] = p[i];
        w.weights[i] = *p[i].w;
    }
    return w;
}

static int async_linear(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    return later(s, products(p, n, x, T, s));
}

static int async_tune(const struct product *p, int n, struct stream *s)
{
    products(p, n, NULL, 1, s);
    async_counts.tuned++;
    return ERR_OK;
}

static int run_convert(const struct work *w, struct stream *s)
{
    const struct weight *to = &w->weights[0], *from = &w->from;
    float *row = malloc((size_t)to->K * sizeof *row);

    (void)s;
    for (int n = 0; n < to->N; n++) {
        char *out = (char *)(uintptr_t)weight_row(to, n);
        float scale;

        for (size_t k = 0; k < (size_t)to->K; k++)
            row[k] = element(weight_row(from, n), from->dtype, k);
        scale = scaled_by(row, (size_t)to->K, to->dtype);
        if (to->scales) ((float *)(uintptr_t)to->scales)[n] = scale;
        for (size_t k = 0; k < (size_t)to->K; k++)
            if (to->dtype == DTYPE_F32)
                ((float *)(void *)out)[k] = row[k];
            else if (dtype_is_scaled(to->dtype))
                ((uint8_t *)out)[k] = scaled_put(row[k], scale, to->dtype);
            else
                ((uint16_t *)(void *)out)[k] =
                    to->dtype == DTYPE_F16 ? f32_to_f16(row[k]) : f32_to_bf16(row[k]);
    }
    free(row);
    return ERR_OK;
}

static int async_convert(const struct weight *to, const struct weight *from, struct stream *s)
{
    check_here(s, "convert", to->data), check_here(s, "convert", from->data);
    check_here(s, "convert", to->scales);
    assert(to->N == from->N && to->K == from->K);
    return later(
        s, (struct work){
               .name = "convert", .run = run_convert, .weights = {*to}, .from = *from, .T = to->N});
}

static int run_rope_kv(const struct work *w, struct stream *s)
{
    (void)s;
    return rope_kv_ref(w->y, w->x, w->a, &w->kv, &w->r, &w->rope, NULL);
}

static void check_kv(const struct stream *s, const char *op, const struct kv_layer *kv,
                     const struct ragged *r)
{
    check_here(s, op, kv->k), check_here(s, op, kv->v);
    check_here(s, op, kv->k_scales), check_here(s, op, kv->v_scales);
    check_here(s, op, r->pos), check_here(s, op, r->seq);
    check_here(s, op, r->start), check_here(s, op, r->blocks);
}

static int async_rope_kv(void *q, void *k, const void *v, const struct kv_layer *kv,
                         const struct ragged *r, const struct rope_shape *a, struct stream *s)
{
    check_here(s, "rope_kv", q), check_here(s, "rope_kv", k), check_here(s, "rope_kv", v);
    check_kv(s, "rope_kv", kv, r);
    check_here(s, "rope_kv", a->inv_freq);
    check_here(s, "rope_kv", a->q_norm), check_here(s, "rope_kv", a->k_norm);
    return later(s, (struct work){.name = "rope_kv",
                                  .run = run_rope_kv,
                                  .y = q,
                                  .x = k,
                                  .a = (void *)(uintptr_t)v,
                                  .kv = *kv,
                                  .r = *r,
                                  .rope = *a,
                                  .T = r->T});
}

static int run_attn(const struct work *w, struct stream *s)
{
    (void)s;
    return attn_ref(w->y, w->x, &w->kv, &w->r, &w->attn, NULL);
}

static int async_attn(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                      const struct attn_shape *a, struct stream *s)
{
    check_here(s, "attn", o), check_here(s, "attn", q);
    check_kv(s, "attn", kv, r);
    return later(s, (struct work){.name = "attn",
                                  .run = run_attn,
                                  .y = o,
                                  .x = (void *)(uintptr_t)q,
                                  .kv = *kv,
                                  .r = *r,
                                  .attn = *a,
                                  .T = r->T});
}

static int run_glu(const struct work *w, struct stream *s)
{
    (void)s;
    return glu_ref(w->y, w->x, w->a, w->T, w->D, w->n, w->glu, NULL);
}

static int async_glu(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
                     struct stream *s)
{
    check_here(s, "glu", y), check_here(s, "glu", gate), check_here(s, "glu", up);
    return later(s, (struct work){.name = "glu",
                                  .run = run_glu,
                                  .y = y,
                                  .x = (void *)(uintptr_t)gate,
                                  .a = (void *)(uintptr_t)up,
                                  .T = T,
                                  .D = F,
                                  .n = step,
                                  .glu = g});
}

static int run_add(const struct work *w, struct stream *s)
{
    (void)s;
    return add_ref(w->y, w->x, w->T, w->D, NULL);
}

static int async_add(void *x, const void *y, int T, int D, struct stream *s)
{
    check_here(s, "add", x), check_here(s, "add", y);
    return later(
        s, (struct work){
               .name = "add", .run = run_add, .y = x, .x = (void *)(uintptr_t)y, .T = T, .D = D});
}

static int run_softcap(const struct work *w, struct stream *s)
{
    (void)s;
    return softcap_ref(w->y, w->T, w->D, w->eps, NULL);
}

static int async_softcap(float *x, int T, int D, float cap, struct stream *s)
{
    check_here(s, "softcap", x);
    return later(s, (struct work){
                        .name = "softcap", .run = run_softcap, .y = x, .T = T, .D = D, .eps = cap});
}

static int run_gather(const struct work *w, struct stream *s)
{
    (void)s;
    return gather_ref(w->y, w->x, &w->r, w->D, NULL);
}

static int async_gather(void *y, const void *x, const struct ragged *r, int D, struct stream *s)
{
    check_here(s, "gather", y), check_here(s, "gather", x), check_here(s, "gather", r->rows);
    return later(s, (struct work){.name = "gather",
                                  .run = run_gather,
                                  .y = y,
                                  .x = (void *)(uintptr_t)x,
                                  .r = *r,
                                  .D = D,
                                  .T = r->n_rows});
}

static int run_choose(const struct work *w, struct stream *s)
{
    (void)s;
    return choose_ref(w->y, w->x, w->bytes, w->n, w->D, NULL);
}

/* Wishes and edits are read when it is done: they must still be there. */
static int async_choose(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
                        struct stream *s)
{
    check_here(s, "choose", logits);
    assert(!s->recording);
    async_counts.chosen += n;
    return later(s, (struct work){.name = "choose",
                                  .run = run_choose,
                                  .y = out,
                                  .x = logits,
                                  .bytes = copy_of(wishes, (size_t)n * sizeof *wishes),
                                  .n = n,
                                  .D = V,
                                  .T = n});
}

static int async_prepare(struct stream *s, const struct step_limits *l)
{
    const size_t T = (size_t)l->max_tokens, S = (size_t)l->max_seqs;
    const size_t B = S * (size_t)l->max_blocks;
    struct errmsg e;
    int32_t *at = async_device()->take(s, (3 * T + 2 * S + 1 + B) * sizeof *at, &e);

    if (!at) return ERR_FULL;
    s->limits = *l;
    s->on.ids = at, s->on.pos = at + T, s->on.seq = at + 2 * T, at += 3 * T;
    s->on.rows = at, s->on.start = at + S, s->on.blocks = at + 2 * S + 1;
    return ERR_OK;
}

const struct ops *async_ops(enum dtype act)
{
    static const struct ops OPS = {
        .name = "async",
        .act = DTYPE_F32,
        .wide = true,
        .prepare = async_prepare,
        .tune = async_tune,
        .convert = async_convert,
        .begin = async_begin,
        .embed = async_embed,
        .rmsnorm = async_rmsnorm,
        .add_rmsnorm = async_add_rmsnorm,
        .linear = async_linear,
        .rope_kv = async_rope_kv,
        .attn = async_attn,
        .glu = async_glu,
        .add = async_add,
        .softcap = async_softcap,
        .gather = async_gather,
        .choose = async_choose,
    };

    return act == DTYPE_F32 ? &OPS : NULL;
}
