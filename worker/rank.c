/* rank.c - one TP rank: its share of the layers, run over a ragged step. */
#include "worker/rank.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Tokens that go through the feed-forward at a time: its width is several times the model's, and so
 * many tokens read its weights often enough to hide what they cost. */
#define FEED_TOKENS 512

struct rank {
    struct rank_opts o;
    const struct model_config *c;
    const struct ops *ops;
    struct layers l;
    int Q, KV; /* H*HD and HK*HD of this rank */
    _Atomic int64_t beats;
    int error, error_layer; /* what this rank itself met */
    bool left;              /* the group has an error: all ranks leave the step */

    struct arena work;
    float *x, *y;         /* [T][D] the residual; a norm of it, or what is added to it */
    float *q, *k, *v, *a; /* [T][Q], [T][KV], [T][KV], [T][Q]; a: what attention gives */
    float *gate, *up;     /* [FEED_TOKENS][F], where q, k, v and a were */
    float *last;          /* [max_rows][D] */
    float *part;          /* [max_logits][V of this rank] */
    float *logits;        /* [max_logits][V of all], rank 0 only */
};

static size_t padded(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Attention is done when the feed-forward begins, so they share their room. */
static int take_work(struct rank *k, struct errmsg *e)
{
    const size_t T = (size_t)k->o.max_tokens, D = (size_t)k->l.D, R = (size_t)k->o.max_logits;
    const size_t q = padded(T * (size_t)k->Q), kv = padded(T * (size_t)k->KV);
    const size_t x = padded(T * D), f = padded(smaller(T, FEED_TOKENS) * (size_t)k->l.F);
    const size_t last = padded((size_t)k->o.max_rows * D), part = padded(R * (size_t)k->l.V);
    const size_t all = k->o.n > 1 && k->o.index == 0 ? padded(R * (size_t)k->c->vocab_size) : 0;
    const size_t n = 2 * x + larger(2 * (q + kv), 2 * f) + last + part + all;

    if (arena_init(&k->work, n * sizeof(float)))
        return err_set(e, ERR_NOMEM, "no memory for activations: %zu bytes for %d tokens a step",
                       n * sizeof(float), k->o.max_tokens);
    k->x = arena_take(&k->work, n * sizeof(float));
    assert(k->x);
    k->y = k->x + x;
    k->q = k->gate = k->y + x;
    k->a = k->q + q;
    k->k = k->a + q;
    k->v = k->k + kv;
    k->up = k->gate + f;
    k->last = k->gate + larger(2 * (q + kv), 2 * f);
    k->part = k->last + last;
    k->logits = all ? k->part + part : k->part;
    return ERR_OK;
}

int rank_open(struct rank **out, const struct rank_opts *o, struct errmsg *e)
{
    struct rank *k = calloc(1, sizeof *k);
    int rc = k ? layers_share(&k->l, o->layers, o->index, o->n, e)
               : err_set(e, ERR_NOMEM, "no memory for rank %d of %d", o->index, o->n);

    *out = NULL;
    if (rc) goto out;
    k->o = *o;
    k->c = o->config;
    k->ops = o->ops;
    k->Q = k->l.H * k->l.HD;
    k->KV = k->l.HK * k->l.HD;
    rc = take_work(k, e);
    if (rc) goto out;
    *out = k;
    k = NULL;
out:
    rank_close(&k);
    return rc;
}

void rank_close(struct rank **kp)
{
    struct rank *k = *kp;

    if (!k) return;
    arena_fini(&k->work);
    layers_fini(&k->l);
    free(k);
    *kp = NULL;
}

size_t rank_work_bytes(const struct rank *k)
{
    return k->work.cap;
}

int rank_kv_heads(const struct rank *k)
{
    return k->l.HK;
}

int rank_max_width(const struct rank *k)
{
    const int w = k->l.D > k->Q ? k->l.D : k->Q;

    return w > k->l.F ? w : k->l.F;
}

int64_t rank_beats(const struct rank *k)
{
    return atomic_load_explicit(&k->beats, memory_order_relaxed);
}

int rank_error(const struct rank *k, int *layer)
{
    *layer = k->error_layer;
    return k->error;
}

float *rank_logits_at(struct rank *k)
{
    return k->logits;
}

static void note(struct rank *k, int rc, int layer)
{
    if (!rc || k->error) return;
    k->error = rc;
    k->error_layer = layer;
}

/* y of all ranks added up, normed where the family does, and x += y; all ranks come here. */
static int add_residual(struct rank *k, float *x, const float *norm, int T, int layer, int rc,
                        struct stream *s)
{
    const struct ops *o = k->ops;

    note(k, rc, layer);
    if (k->o.coll) rc = k->o.coll_ops->sum(k->o.coll, k->y, (size_t)T * (size_t)k->l.D, rc, s);
    k->left = rc != 0;
    if (!rc && norm) rc = o->rmsnorm(k->y, k->y, norm, T, k->l.D, k->c->rms_eps, s);
    if (!rc) rc = o->add(x, k->y, T, k->l.D, s);
    return rc;
}

/* q and k of each head are rows of their own. */
static int norm_heads(struct rank *k, const struct layer *l, int T, struct stream *s)
{
    const struct layers *n = &k->l;
    int rc;

    if (!l->q_norm) return ERR_OK;
    rc = k->ops->rmsnorm(k->q, k->q, l->q_norm, T * n->H, n->HD, k->c->rms_eps, s);
    return rc ? rc : k->ops->rmsnorm(k->k, k->k, l->k_norm, T * n->HK, n->HD, k->c->rms_eps, s);
}

/* x += post1(o_proj(attention(norm1(x)))) */
static int attend(struct rank *k, int layer, const struct ragged *r, const struct kv *kv, int rc,
                  struct stream *s)
{
    const struct layers *n = &k->l;
    const struct layer *l = &n->at[layer];
    const struct kv_layer *mem = kv_layer_at(kv, k->o.index * n->n + layer);
    const bool local = k->c->windowed[layer];
    const struct rope_shape rope = {.H = n->H,
                                    .HK = n->HK,
                                    .HD = n->HD,
                                    .inv_freq = k->o.rotary->inv_freq[local],
                                    .n_rot = k->c->n_rot,
                                    .scale = k->o.rotary->scale[local],
                                    .adjacent = k->c->rope_adjacent};
    const struct attn_shape attn = {.H = n->H,
                                    .HK = n->HK,
                                    .HD = n->HD,
                                    .scale = k->c->attn_scale,
                                    .softcap = k->c->attn_softcap,
                                    .window = local ? k->c->window : 0};
    const struct product qkv[] = {
        {k->q, &l->q, l->q_bias}, {k->k, &l->k, l->k_bias}, {k->v, &l->v, l->v_bias}};
    const struct product out = {k->y, &l->o, l->o_bias};
    const struct ops *o = k->ops;

    if (!rc) rc = o->rmsnorm(k->y, k->x, l->norm1, r->T, n->D, k->c->rms_eps, s);
    if (!rc) rc = o->linear(qkv, 3, k->y, r->T, s);
    if (!rc) rc = norm_heads(k, l, r->T, s);
    if (!rc) rc = o->rope_kv(k->q, k->k, k->v, mem, r, &rope, s);
    if (!rc) rc = o->attn(k->a, k->q, mem, r, &attn, s);
    if (!rc) rc = o->linear(&out, 1, k->a, r->T, s);
    return add_residual(k, k->x, l->post1, r->T, layer, rc, s);
}

/* y = down(act(gate(n)) * up(n)), n = norm2(x), of T tokens, FEED_TOKENS at most */
static int feed_part(struct rank *k, const struct layer *l, const float *x, float *y, int T,
                     struct stream *s)
{
    const struct product in[] = {{k->gate, &l->gate, l->gate_bias}, {k->up, &l->up, l->up_bias}};
    const struct product out = {y, &l->down, l->down_bias};
    const struct ops *o = k->ops;
    int rc = o->rmsnorm(y, x, l->norm2, T, k->l.D, k->c->rms_eps, s);

    if (!rc) rc = o->linear(in, 2, y, T, s);
    if (!rc) rc = o->glu(k->gate, k->gate, k->up, T, k->l.F, (enum glu)k->c->act, s);
    return rc ? rc : o->linear(&out, 1, k->gate, T, s);
}

/* x += post2(y) */
static int feed(struct rank *k, int layer, float *x, int T, int rc, struct stream *s)
{
    const struct layer *l = &k->l.at[layer];

    for (int t = 0; t < T && !rc; t += FEED_TOKENS) {
        const size_t at = (size_t)t * (size_t)k->l.D;

        rc = feed_part(k, l, x + at, k->y + at, T - t < FEED_TOKENS ? T - t : FEED_TOKENS, s);
    }
    return add_residual(k, x, l->post2, T, layer, rc, s);
}

/* An error of one rank travels with it to the next collective; from there all ranks leave. */
int rank_forward(struct rank *k, const struct ragged *r, const int32_t *rows, int n,
                 const struct kv *kv, struct stream *s)
{
    const int last = k->l.n - 1;
    int rc;

    assert(r->T <= k->o.max_tokens && n <= k->o.max_rows);
    k->error = k->error_layer = 0;
    k->left = false;
    rc = k->ops->embed(k->x, &k->l.embed, k->c->embed_scale, r, s);
    for (int l = 0; l <= last && !k->left; l++) {
        rc = attend(k, l, r, kv, rc, s);
        if (l < last && !k->left) rc = feed(k, l, k->x, r->T, rc, s);
        atomic_fetch_add_explicit(&k->beats, 1, memory_order_relaxed);
    }
    if (k->left) return rc;
    /* After the last attention nobody looks at the other tokens any more. */
    if (!rc && n) rc = k->ops->gather(k->last, k->x, rows, n, k->l.D, s);
    if (n) rc = feed(k, last, k->last, n, rc, s);
    if (!rc && n) rc = k->ops->rmsnorm(k->last, k->last, k->l.norm, n, k->l.D, k->c->rms_eps, s);
    if (!k->left) note(k, rc, last);
    return rc;
}

int rank_logits(struct rank *k, int first, int n, struct stream *s)
{
    const struct product head = {k->part, &k->l.head, NULL};
    int rc;

    assert(first >= 0 && n <= k->o.max_logits && first + n <= k->o.max_rows);
    k->error = 0;
    k->error_layer = k->l.n;
    rc = k->ops->linear(&head, 1, k->last + (size_t)first * (size_t)k->l.D, n, s);
    if (!rc && k->c->logit_softcap > 0)
        rc = k->ops->softcap(k->part, n, k->l.V, k->c->logit_softcap, s);
    note(k, rc, k->l.n);
    if (k->o.coll) rc = k->o.coll_ops->gather(k->o.coll, k->logits, k->part, n, k->l.V, rc, s);
    return rc;
}
