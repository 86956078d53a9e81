/* rank.c - one TP rank: its share of the layers, run over a ragged step. */
#include "worker/rank.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "worker/graphs.h"
#include "worker/upload.h"

/* Tokens that go through the feed-forward at a time: its width is several times the model's, and so
 * many tokens read its weights often enough to hide what they cost. */
#define FEED_TOKENS       512
#define ASYNC_FEED_TOKENS 8192 /* a wide device is not filled by less, and has the memory */

struct rank {
    struct rank_opts o;
    const struct model_config *c;
    const struct ops *ops;
    struct layers l;
    int Q, KV; /* H*HD and HK*HD of this rank */
    _Atomic int64_t beats;
    int error, error_layer; /* what this rank itself met */
    bool left;              /* the group has an error: all ranks leave the step */

    size_t weight_bytes, work_bytes;
    const float *inv_freq[2]; /* on the device */
    void *x, *y;              /* [T][D] the residual; a norm of it, or what is added to it */
    void *q, *k, *v; /* [T] rows of q_step, kv_step and kv_step numbers: one row of all three
                        where the table is wide */
    void *a;         /* [T][Q] what attention gives */
    void *gate, *up; /* [feed_tokens] rows of f_step numbers, where q, k, v and a were */
    void *act;       /* [feed_tokens][F], where gate is if the table is not wide */
    int q_step, kv_step, f_step, feed_tokens;
    void *last;    /* [max_rows][D] */
    float *part;   /* [max_logits][V of this rank] */
    float *logits; /* [max_logits][V of all], rank 0 only */

    struct graphs graphs;
    struct ragged on;    /* the step, as begin gave it */
    const struct kv *kv; /* its memory */
};

static size_t padded(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Numbers of width `act` from `base` on. */
static void *at_number(const struct rank *k, const void *base, size_t n)
{
    return (char *)(uintptr_t)base + n * dtype_bytes(k->ops->act);
}

/* Row t of numbers [T][width]. */
static void *at_row(const struct rank *k, const void *base, int t, int width)
{
    return at_number(k, base, (size_t)t * (size_t)width);
}

static void set_steps(struct rank *k)
{
    const bool wide = k->ops->wide;
    const int most = k->o.device->async ? ASYNC_FEED_TOKENS : FEED_TOKENS;

    k->q_step = wide ? k->Q + 2 * k->KV : k->Q;
    k->kv_step = wide ? k->q_step : k->KV;
    k->f_step = wide ? 2 * k->l.F : k->l.F;
    k->feed_tokens = k->o.max_tokens < most ? k->o.max_tokens : most;
}

/* Attention is done when the feed-forward begins, so they share their room. */
static int take_work(struct rank *k, struct errmsg *e)
{
    const size_t T = (size_t)k->o.max_tokens, D = (size_t)k->l.D, R = (size_t)k->o.max_logits;
    const size_t q = padded(T * (size_t)k->Q), kv = padded(T * (size_t)k->KV);
    const size_t x = padded(T * D), f = padded((size_t)k->feed_tokens * (size_t)k->l.F);
    const size_t last = padded((size_t)k->o.max_rows * D), part = padded(R * (size_t)k->l.V);
    const size_t all = k->o.n > 1 && k->o.index == 0 ? padded(R * (size_t)k->c->vocab_size) : 0;
    const size_t shared = larger(2 * (q + kv), (k->ops->wide ? 3 : 2) * f);
    const size_t act = dtype_bytes(k->ops->act);
    const size_t bytes = (2 * x + shared + last) * act + (part + all) * sizeof(float);

    k->work_bytes = bytes;
    k->x = k->o.device->take(k->o.stream, bytes, e);
    if (!k->x)
        return err_set(e, ERR_NOMEM, "no memory for activations: %zu bytes for %d tokens a step",
                       bytes, k->o.max_tokens);
    k->y = at_number(k, k->x, x);
    k->a = k->gate = at_number(k, k->y, x);
    k->q = at_number(k, k->a, q);
    k->k = at_number(k, k->q, k->ops->wide ? (size_t)k->Q : q);
    k->v = at_number(k, k->k, k->ops->wide ? (size_t)k->KV : kv);
    k->up = at_number(k, k->gate, k->ops->wide ? (size_t)k->l.F : f);
    k->act = k->ops->wide ? at_number(k, k->gate, 2 * f) : k->gate;
    k->last = at_number(k, k->gate, shared);
    k->part = at_number(k, k->last, last);
    k->logits = all ? k->part + part : k->part;
    return ERR_OK;
}

/* The longest row that a product reads. */
static int max_width(const struct rank *k)
{
    const int w = k->l.D > k->Q ? k->l.D : k->Q;

    return w > k->l.F ? w : k->l.F;
}

static int prepare(struct rank *k, struct errmsg *e)
{
    const struct step_limits limits = {.max_tokens = k->o.max_tokens,
                                       .max_seqs = k->o.max_rows,
                                       .max_blocks = k->o.max_blocks,
                                       .max_width = max_width(k),
                                       .attn_width = k->Q};
    const int rc = k->ops->prepare(k->o.stream, &limits);

    struct device_facts f = {.free_bytes = 0};

    if (!rc) return ERR_OK;
    if (k->o.device->facts(k->o.on, &f, e)) f.free_bytes = 0;
    return err_set(e, rc,
                   "%s:%d has no room for the scratch of %d tokens and %d sequences a step: %lld "
                   "bytes of %lld are free",
                   k->o.device->name, k->o.on, k->o.max_tokens, k->o.max_rows,
                   (long long)f.free_bytes, (long long)f.memory_bytes);
}

static int put_rotary(struct rank *k, struct errmsg *e)
{
    const size_t n = CONFIG_MAX_HD / 2, bytes = 2 * n * sizeof(float);
    float *at = k->o.device->take(k->o.stream, bytes, e);

    if (!at) return ERR_NOMEM;
    for (int i = 0; i < 2; i++, at += n) {
        const int rc = k->o.device->put(k->o.stream, at, k->o.rotary->inv_freq[i], n * sizeof *at);

        if (rc) return err_set(e, rc, "%s: cannot write to the device", k->ops->name);
        k->inv_freq[i] = at;
    }
    return ERR_OK;
}

static int put_layers(struct rank *k, struct errmsg *e)
{
    const struct upload_opts u = {.device = k->o.device,
                                  .ops = k->ops,
                                  .stream = k->o.stream,
                                  .matrix = k->o.matrix,
                                  .room = k->x,
                                  .room_bytes = k->work_bytes};

    return k->ops->convert ? upload_layers(&k->l, &u, &k->weight_bytes, e) : ERR_OK;
}

static void qkv_products(const struct rank *k, const struct layer *l, struct product p[3])
{
    p[0] = (struct product){k->q, &l->q, l->q_bias, k->q_step, false};
    p[1] = (struct product){k->k, &l->k, l->k_bias, k->kv_step, false};
    p[2] = (struct product){k->v, &l->v, l->v_bias, k->kv_step, false};
}

static void up_products(const struct rank *k, const struct layer *l, struct product p[2])
{
    p[0] = (struct product){k->gate, &l->gate, l->gate_bias, k->f_step, false};
    p[1] = (struct product){k->up, &l->up, l->up_bias, k->f_step, false};
}

static int tune_layer(struct rank *k, const struct layer *l)
{
    const struct product o = {.y = k->y, .w = &l->o, .bias = l->o_bias};
    const struct product down = {.y = k->y, .w = &l->down, .bias = l->down_bias};
    const struct ops *t = k->ops;
    struct stream *s = k->o.stream;
    struct product p[3];
    int rc;

    qkv_products(k, l, p);
    rc = t->tune(p, 3, s);
    if (!rc) rc = t->tune(&o, 1, s);
    up_products(k, l, p);
    if (!rc) rc = t->tune(p, 2, s);
    return rc ? rc : t->tune(&down, 1, s);
}

/* Products of all layers have the same shapes. */
static bool multiplies_alike(const struct layer *a, const struct layer *b)
{
    return a->q.dtype == b->q.dtype && a->k.dtype == b->k.dtype && a->v.dtype == b->v.dtype &&
           a->o.dtype == b->o.dtype && a->gate.dtype == b->gate.dtype &&
           a->up.dtype == b->up.dtype && a->down.dtype == b->down.dtype;
}

/* Each kind of layer once, and the head. */
static int tune(struct rank *k, struct errmsg *e)
{
    const struct product head = {.y = k->part, .w = &k->l.head, .logits = true};
    int rc = ERR_OK;

    if (!k->ops->tune) return rc;
    for (int l = 0; l < k->l.n && !rc; l++) {
        int before = 0;

        while (before < l && !multiplies_alike(&k->l.at[before], &k->l.at[l]))
            before++;
        if (before == l) rc = tune_layer(k, &k->l.at[l]);
    }
    if (!rc) rc = k->ops->tune(&head, 1, k->o.stream);
    if (!rc) return k->o.device->wait(k->o.stream, e);
    if (!k->o.device->wait(k->o.stream, e))
        err_set(e, rc, "%s: products cannot be chosen: %s", k->ops->name, err_name(rc));
    return rc;
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
    k->graphs.device = o->device;
    k->graphs.index = o->on;
    k->Q = k->l.H * k->l.HD;
    k->KV = k->l.HK * k->l.HD;
    set_steps(k);
    if ((rc = prepare(k, e))) goto out;
    if ((rc = take_work(k, e))) goto out;
    if ((rc = put_rotary(k, e))) goto out;
    if ((rc = put_layers(k, e))) goto out;
    if ((rc = tune(k, e))) goto out;
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
    graphs_close(&k->graphs);
    layers_fini(&k->l);
    free(k);
    *kp = NULL;
}

size_t rank_weight_bytes(const struct rank *k)
{
    return k->weight_bytes;
}

size_t rank_work_bytes(const struct rank *k)
{
    return k->work_bytes;
}

int64_t rank_graph_bytes(const struct rank *k)
{
    return k->graphs.bytes;
}

int rank_kv_heads(const struct rank *k)
{
    return k->l.HK;
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

/* y of all ranks added up, normed where the family does, and x += y; then y = x normed by next,
 * where there is one.  All ranks come here. */
static int add_residual(struct rank *k, void *x, const float *post, const float *next, int T,
                        int layer, int rc, struct stream *s)
{
    const struct ops *o = k->ops;
    const int D = k->l.D;

    note(k, rc, layer);
    if (k->o.coll) rc = k->o.coll_ops->sum(k->o.coll, k->y, (size_t)T * (size_t)D, rc, s);
    k->left = rc != 0;
    if (!rc && post) rc = o->rmsnorm(k->y, k->y, post, T, D, k->c->rms_eps, s);
    if (rc) return rc;
    return next ? o->add_rmsnorm(k->y, x, k->y, next, T, D, k->c->rms_eps, s)
                : o->add(x, k->y, T, D, s);
}

/* y = o_proj(attention(y)); x += post1(y); y = norm2(x), but for the last layer */
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
                                    .q_step = k->q_step,
                                    .kv_step = k->kv_step,
                                    .q_norm = l->q_norm,
                                    .k_norm = l->k_norm,
                                    .eps = k->c->rms_eps,
                                    .inv_freq = k->inv_freq[local],
                                    .n_rot = k->c->n_rot,
                                    .scale = k->o.rotary->scale[local],
                                    .adjacent = k->c->rope_adjacent};
    const struct attn_shape attn = {.H = n->H,
                                    .HK = n->HK,
                                    .HD = n->HD,
                                    .q_step = k->q_step,
                                    .scale = k->c->attn_scale,
                                    .softcap = k->c->attn_softcap,
                                    .window = local ? k->c->window : 0};
    const struct product out = {.y = k->y, .w = &l->o, .bias = l->o_bias};
    const struct ops *o = k->ops;
    struct product qkv[3];

    qkv_products(k, l, qkv);
    if (!rc) rc = o->linear(qkv, 3, k->y, r->T, s);
    if (!rc) rc = o->rope_kv(k->q, k->k, k->v, mem, r, &rope, s);
    if (!rc) rc = o->attn(k->a, k->q, mem, r, &attn, s);
    if (!rc) rc = o->linear(&out, 1, k->a, r->T, s);
    return add_residual(k, k->x, l->post1, layer < n->n - 1 ? l->norm2 : NULL, r->T, layer, rc, s);
}

/* y = down(act(gate(y)) * up(y)), of T tokens from t on, feed_tokens at most */
static int feed_part(struct rank *k, const struct layer *l, int t, int T, struct stream *s)
{
    const int F = k->l.F;
    void *y = at_row(k, k->y, t, k->l.D);
    const struct product out = {.y = y, .w = &l->down, .bias = l->down_bias};
    const struct ops *o = k->ops;
    struct product in[2];
    int rc;

    up_products(k, l, in);
    rc = o->linear(in, 2, y, T, s);

    if (!rc) rc = o->glu(k->act, k->gate, k->up, T, F, k->f_step, (enum glu)k->c->act, s);
    return rc ? rc : o->linear(&out, 1, k->act, T, s);
}

/* y = feed-forward(y); x += post2(y); y = x normed by next, where there is one */
static int feed(struct rank *k, int layer, void *x, const float *next, int T, int rc,
                struct stream *s)
{
    const struct layer *l = &k->l.at[layer];

    for (int t = 0; t < T && !rc; t += k->feed_tokens)
        rc = feed_part(k, l, t, T - t < k->feed_tokens ? T - t : k->feed_tokens, s);
    return add_residual(k, x, l->post2, next, T, layer, rc, s);
}

/* After the last attention nobody looks at the other tokens any more: the last feed-forward and the
 * last norm are of those whose logits are wanted. */
static int finish_rows(struct rank *k, const struct ragged *r, int rc, struct stream *s)
{
    const int last = k->l.n - 1, n = r->n_rows, D = k->l.D;
    const struct layer *l = &k->l.at[last];
    const struct ops *o = k->ops;

    if (!n) return rc;
    if (!rc) rc = o->gather(k->last, k->x, r, D, s);
    if (!rc) rc = o->rmsnorm(k->y, k->last, l->norm2, n, D, k->c->rms_eps, s);
    rc = feed(k, last, k->last, NULL, n, rc, s);
    return rc ? rc : o->rmsnorm(k->last, k->last, k->l.norm, n, D, k->c->rms_eps, s);
}

/* An error of one rank travels with it to the next collective; from there all ranks leave. */
static int run_layers(void *arg)
{
    struct rank *k = arg;
    const struct layers *n = &k->l;
    const struct ragged *r = &k->on;
    struct stream *s = k->o.stream;
    const int last = n->n - 1;
    int rc = k->error;

    if (!rc) rc = k->ops->embed(k->x, &n->embed, k->c->embed_scale, r, s);
    if (!rc) rc = k->ops->rmsnorm(k->y, k->x, n->at[0].norm1, r->T, n->D, k->c->rms_eps, s);
    for (int l = 0; l <= last && !k->left; l++) {
        rc = attend(k, l, r, k->kv, rc, s);
        if (l < last && !k->left) rc = feed(k, l, k->x, n->at[l + 1].norm1, r->T, rc, s);
        atomic_fetch_add_explicit(&k->beats, 1, memory_order_relaxed);
    }
    if (k->left) return rc;
    rc = finish_rows(k, r, rc, s);
    if (!k->left) note(k, rc, last);
    return rc;
}

static void begin(struct rank *k, const struct ragged *r, const struct kv *kv)
{
    assert(r->T <= k->o.max_tokens && r->n_rows <= k->o.max_rows);
    k->error = k->error_layer = 0;
    k->left = false;
    k->kv = kv;
    note(k, k->ops->begin(&k->on, r, k->o.stream), 0);
}

int rank_forward(struct rank *k, const struct ragged *r, const struct kv *kv)
{
    begin(k, r, kv);
    return run_layers(k);
}

int rank_again(struct rank *k, const struct ragged *r, const struct kv *kv)
{
    const int64_t beats = rank_beats(k);
    int rc, began;

    begin(k, r, kv);
    began = k->error;
    rc = graphs_run(&k->graphs, r->T, k->o.stream, run_layers, k);
    if (rc == ERR_UNSUPPORTED) {
        /* What a rank alone met while it was noted is forgotten; a group has heard of it. */
        if (!k->o.coll) k->error = began, k->left = false;
        rc = run_layers(k);
    }
    note(k, rc, 0);
    atomic_store_explicit(&k->beats, beats + k->l.n, memory_order_relaxed); /* replayed ones too */
    return rc;
}

int rank_logits(struct rank *k, int first, int n)
{
    struct stream *s = k->o.stream;
    const struct product head = {.y = k->part, .w = &k->l.head, .logits = true};
    int rc;

    assert(first >= 0 && n <= k->o.max_logits && first + n <= k->o.max_rows);
    k->error = 0;
    k->error_layer = k->l.n;
    rc = k->ops->linear(&head, 1, at_row(k, k->last, first, k->l.D), n, s);
    if (!rc && k->c->logit_softcap > 0)
        rc = k->ops->softcap(k->part, n, k->l.V, k->c->logit_softcap, s);
    note(k, rc, k->l.n);
    if (k->o.coll) rc = k->o.coll_ops->gather(k->o.coll, k->logits, k->part, n, k->l.V, rc, s);
    return rc;
}
