/* forward.c - the model's layers, run over a ragged step. */
#include "worker/forward.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "kernels/element.h"
#include "model/weights.h"

struct layer {
    struct weight q, k, v, o, gate, up, down;
    float *norm1, *norm2; /* [D] */
};

struct forward {
    const struct model_config *c;
    const struct ops *ops;
    int D, Q, KV, F, V; /* Q = H*HD, KV = HK*HD */
    int max_tokens, max_rows;
    struct weight embed, head;
    float *norm; /* [D] */
    struct layer *layers;
    _Atomic int64_t beats;
    size_t weight_bytes;

    struct arena work;
    float *inv_freq;      /* [HD/2] */
    float *x, *y;         /* [T][D] the residual; a norm of it, or what is added to it */
    float *q, *k, *v, *o; /* [T][Q], [T][KV], [T][KV], [T][Q] */
    float *gate, *up;     /* [T][F] */
    float *last;          /* [max_rows][D] */
    float *logits;        /* [FORWARD_LOGITS][V] */
};

/* What a tensor's rows and columns are; NONE: a vector. */
enum extent { NONE, D_, Q_, KV_, F_, V_ };

struct part {
    const char *name;
    size_t at; /* of its struct weight or float *, in struct layer or struct forward */
    enum extent rows, cols;
};

#define L(field) offsetof(struct layer, field)
static const struct part LAYER_PARTS[] = {
    {"input_layernorm.weight", L(norm1), D_, NONE},
    {"self_attn.q_proj.weight", L(q), Q_, D_},
    {"self_attn.k_proj.weight", L(k), KV_, D_},
    {"self_attn.v_proj.weight", L(v), KV_, D_},
    {"self_attn.o_proj.weight", L(o), D_, Q_},
    {"post_attention_layernorm.weight", L(norm2), D_, NONE},
    {"mlp.gate_proj.weight", L(gate), F_, D_},
    {"mlp.up_proj.weight", L(up), F_, D_},
    {"mlp.down_proj.weight", L(down), D_, F_},
};
#undef L
#define N_LAYER_PARTS (sizeof LAYER_PARTS / sizeof LAYER_PARTS[0])

static const struct part MODEL_PARTS[] = {
    {"model.embed_tokens.weight", offsetof(struct forward, embed), V_, D_},
    {"model.norm.weight", offsetof(struct forward, norm), D_, NONE},
    {"lm_head.weight", offsetof(struct forward, head), V_, D_}, /* last: not there when tied */
};
#define N_MODEL_PARTS (sizeof MODEL_PARTS / sizeof MODEL_PARTS[0])

/* Tables that old files carry and that follow from config.json. */
static const char IGNORED[] = "self_attn.rotary_emb.inv_freq";

static int extent_of(const struct forward *f, enum extent x)
{
    const int n[] = {[NONE] = 1, [D_] = f->D, [Q_] = f->Q, [KV_] = f->KV, [F_] = f->F, [V_] = f->V};

    return n[x];
}

static void shape_text(char *out, size_t size, const struct tensor *t)
{
    int at = snprintf(out, size, "[");

    for (int i = 0; i < t->n_dims && at > 0 && (size_t)at < size; i++)
        at += snprintf(out + at, size - (size_t)at, i ? ", %lld" : "%lld", (long long)t->shape[i]);
    if (at > 0 && (size_t)at < size) snprintf(out + at, size - (size_t)at, "]");
}

/* Vectors are small and read often: floats, whatever the file has. */
static int widen(float **out, const struct tensor *t, struct errmsg *e)
{
    const size_t n = (size_t)t->shape[0];

    *out = malloc(n * sizeof **out);
    if (!*out) return err_set(e, ERR_NOMEM, "no memory for tensor '%s'", t->name);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = element(t->data, t->dtype, i);
    return ERR_OK;
}

static int take(struct forward *f, void *base, const struct part *p, const char *name,
                const struct weights *w, struct errmsg *e)
{
    const int rows = extent_of(f, p->rows), cols = extent_of(f, p->cols);
    const struct tensor *t = weights_find(w, name);
    char want[48], found[128];

    if (p->cols == NONE)
        snprintf(want, sizeof want, "[%d]", rows);
    else
        snprintf(want, sizeof want, "[%d, %d]", rows, cols);
    if (!t) return err_set(e, ERR_FORMAT, "tensor '%s' %s is missing", name, want);
    if (t->n_dims != (p->cols == NONE ? 1 : 2) || t->shape[0] != rows ||
        (p->cols != NONE && t->shape[1] != cols)) {
        shape_text(found, sizeof found, t);
        return err_set(e, ERR_FORMAT, "tensor '%s' is %s, and config.json makes it %s", name, found,
                       want);
    }
    f->weight_bytes += t->bytes;
    if (p->cols == NONE) return widen((float **)((char *)base + p->at), t, e);
    *(struct weight *)((char *)base + p->at) = (struct weight){t->data, t->dtype, rows, cols, 0};
    return ERR_OK;
}

/* Is it a tensor that one of the tables names, or one that may be left out? */
static bool is_known(const struct forward *f, const char *name)
{
    int layer = -1, rest = 0;

    for (size_t i = 0; i < N_MODEL_PARTS; i++)
        if (!strcmp(name, MODEL_PARTS[i].name)) return true;
    if (sscanf(name, "model.layers.%d.%n", &layer, &rest) != 1 || rest == 0) return false;
    if (layer < 0 || layer >= f->c->n_layers) return false;
    for (size_t i = 0; i < N_LAYER_PARTS; i++)
        if (!strcmp(name + rest, LAYER_PARTS[i].name)) return true;
    return !strcmp(name + rest, IGNORED);
}

static int take_all(struct forward *f, const struct weights *w, struct errmsg *e)
{
    const size_t n_model = N_MODEL_PARTS - (f->c->tied ? 1 : 0);
    char name[128];
    int rc = ERR_OK;

    for (size_t i = 0; i < n_model && !rc; i++)
        rc = take(f, f, &MODEL_PARTS[i], MODEL_PARTS[i].name, w, e);
    for (int l = 0; l < f->c->n_layers && !rc; l++)
        for (size_t i = 0; i < N_LAYER_PARTS && !rc; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s", l, LAYER_PARTS[i].name);
            rc = take(f, &f->layers[l], &LAYER_PARTS[i], name, w, e);
        }
    for (int i = 0; i < weights_count(w) && !rc; i++)
        if (!is_known(f, weights_at(w, i)->name))
            rc = err_set(e, ERR_UNSUPPORTED, "tensor '%s' has no place in %s of %d layers",
                         weights_at(w, i)->name, f->c->arch, f->c->n_layers);
    if (!rc && f->c->tied) f->head = f->embed;
    return rc;
}

static float *floats(struct forward *f, int rows, int cols)
{
    return arena_take(&f->work, (size_t)rows * (size_t)cols * sizeof(float));
}

static int take_work(struct forward *f, struct errmsg *e)
{
    const size_t T = (size_t)f->max_tokens, half = (size_t)f->c->head_dim / 2;
    const size_t per_token =
        2 * (size_t)f->D + 2 * (size_t)f->Q + 2 * (size_t)f->KV + 2 * (size_t)f->F;
    const size_t rows = (size_t)f->max_rows * (size_t)f->D + FORWARD_LOGITS * (size_t)f->V;
    const size_t bytes = (T * per_token + rows + half) * sizeof(float) + 16 * 64;

    if (arena_init(&f->work, bytes))
        return err_set(e, ERR_NOMEM, "no memory for activations: %zu bytes for %d tokens a step",
                       bytes, f->max_tokens);
    f->inv_freq = floats(f, 1, (int)half);
    f->x = floats(f, f->max_tokens, f->D);
    f->y = floats(f, f->max_tokens, f->D);
    f->q = floats(f, f->max_tokens, f->Q);
    f->o = floats(f, f->max_tokens, f->Q);
    f->k = floats(f, f->max_tokens, f->KV);
    f->v = floats(f, f->max_tokens, f->KV);
    f->gate = floats(f, f->max_tokens, f->F);
    f->up = floats(f, f->max_tokens, f->F);
    f->last = floats(f, f->max_rows, f->D);
    f->logits = floats(f, FORWARD_LOGITS, f->V);
    assert(f->logits);
    for (size_t i = 0; i < half; i++)
        f->inv_freq[i] =
            (float)pow((double)f->c->rope.theta, -2.0 * (double)i / (double)f->c->head_dim);
    return ERR_OK;
}

int forward_open(struct forward **out, const struct model *m, const struct ops *ops, int max_tokens,
                 int max_rows, struct errmsg *e)
{
    const struct model_config *c = &m->config;
    struct forward *f = calloc(1, sizeof *f);
    int rc = err_set(e, ERR_NOMEM, "no memory for the table of %d layers", c->n_layers);

    *out = NULL;
    if (!f) goto out;
    f->c = c;
    f->ops = ops;
    f->D = c->hidden_size;
    f->Q = c->n_heads * c->head_dim;
    f->KV = c->n_kv_heads * c->head_dim;
    f->F = c->intermediate_size;
    f->V = c->vocab_size;
    f->max_tokens = max_tokens;
    f->max_rows = max_rows;
    f->layers = calloc((size_t)c->n_layers, sizeof *f->layers);
    if (!f->layers) goto out;
    rc = take_all(f, m->weights, e);
    if (rc) goto out;
    rc = take_work(f, e);
    if (rc) goto out;
    *out = f;
    f = NULL;
out:
    forward_close(&f);
    return rc;
}

void forward_close(struct forward **fp)
{
    struct forward *f = *fp;

    if (!f) return;
    arena_fini(&f->work);
    for (int l = 0; f->layers && l < f->c->n_layers; l++) {
        free(f->layers[l].norm1);
        free(f->layers[l].norm2);
    }
    free(f->norm);
    free(f->layers);
    free(f);
    *fp = NULL;
}

size_t forward_weight_bytes(const struct forward *f)
{
    return f->weight_bytes;
}

size_t forward_work_bytes(const struct forward *f)
{
    return f->work.cap;
}

/* x += o_proj(attention(norm1(x))) */
static int attend(struct forward *f, const struct layer *l, const struct ragged *r,
                  const struct kv_layer *kv, struct stream *s)
{
    const struct model_config *c = f->c;
    const struct rope_shape rope = {
        c->n_heads, c->n_kv_heads, c->head_dim, f->inv_freq, c->head_dim, 1, false};
    const struct attn_shape attn = {
        c->n_heads, c->n_kv_heads, c->head_dim, 1.0f / sqrtf((float)c->head_dim), 0, 0};
    const struct ops *o = f->ops;
    const struct product qkv[] = {{f->q, &l->q, NULL}, {f->k, &l->k, NULL}, {f->v, &l->v, NULL}};
    const struct product out = {f->y, &l->o, NULL};
    int rc = o->rmsnorm(f->y, f->x, l->norm1, r->T, f->D, c->rms_eps, s);

    if (!rc) rc = o->linear(qkv, 3, f->y, r->T, s);
    if (!rc) rc = o->rope_kv(f->q, f->k, f->v, kv, r, &rope, s);
    if (!rc) rc = o->attn(f->o, f->q, kv, r, &attn, s);
    if (!rc) rc = o->linear(&out, 1, f->o, r->T, s);
    if (!rc) rc = o->add(f->x, f->y, r->T, f->D, s);
    return rc;
}

/* x += down(silu(gate(n)) * up(n)), n = norm2(x) */
static int feed(struct forward *f, const struct layer *l, float *x, int T, struct stream *s)
{
    const struct ops *o = f->ops;
    const struct product in[] = {{f->gate, &l->gate, NULL}, {f->up, &l->up, NULL}};
    const struct product out = {f->y, &l->down, NULL};
    int rc = o->rmsnorm(f->y, x, l->norm2, T, f->D, f->c->rms_eps, s);

    if (!rc) rc = o->linear(in, 2, f->y, T, s);
    if (!rc) rc = o->glu(f->gate, f->gate, f->up, T, f->F, GLU_SILU, s);
    if (!rc) rc = o->linear(&out, 1, f->gate, T, s);
    if (!rc) rc = o->add(x, f->y, T, f->D, s);
    return rc;
}

int64_t forward_beats(const struct forward *f)
{
    return atomic_load_explicit(&f->beats, memory_order_relaxed);
}

int model_forward(struct forward *f, const struct ragged *r, const int32_t *rows, int n,
                  const struct kv *kv, struct stream *s, struct errmsg *e)
{
    const int n_layers = f->c->n_layers;
    int l, rc;

    assert(r->T <= f->max_tokens && n <= f->max_rows);
    rc = f->ops->embed(f->x, &f->embed, 1, r, s);
    if (rc) return err_set(e, rc, "the %s embedding refuses a token", f->ops->name);
    for (l = 0; l < n_layers && !rc; l++) {
        rc = attend(f, &f->layers[l], r, kv_layer_at(kv, l), s);
        if (!rc && l < n_layers - 1) rc = feed(f, &f->layers[l], f->x, r->T, s);
        atomic_fetch_add_explicit(&f->beats, 1, memory_order_relaxed);
    }
    /* After the last attention nobody looks at the other tokens any more. */
    if (!rc && n) rc = f->ops->gather(f->last, f->x, rows, n, f->D, s);
    if (!rc && n) rc = feed(f, &f->layers[n_layers - 1], f->last, n, s);
    if (!rc && n) rc = f->ops->rmsnorm(f->last, f->last, f->norm, n, f->D, f->c->rms_eps, s);
    return rc ? err_set(e, rc, "%s: layer %d of %d failed: %s", f->ops->name, l, n_layers,
                        err_name(rc))
              : ERR_OK;
}

int forward_logits(struct forward *f, int first, int n, float **logits, struct stream *s,
                   struct errmsg *e)
{
    const struct product head = {f->logits, &f->head, NULL};
    int rc;

    assert(first >= 0 && n <= FORWARD_LOGITS && first + n <= f->max_rows);
    *logits = f->logits;
    rc = f->ops->linear(&head, 1, f->last + (size_t)first * (size_t)f->D, n, s);
    return rc ? err_set(e, rc, "%s: the head failed: %s", f->ops->name, err_name(rc)) : ERR_OK;
}
