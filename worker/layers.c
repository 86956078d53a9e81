/* layers.c - a model's tensors, each in its place, and the share of them that a TP rank has. */
#include "worker/layers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/element.h"
#include "model/weights.h"

/* What a tensor's rows and columns are; NONE: a vector. */
enum extent { NONE, D_, Q_, KV_, QKV_, F_, F2_, V_, HD_ };

/* Which files have the tensor. */
enum when {
    ALWAYS,
    SPLIT_QKV,
    FUSED_QKV,
    BIAS_QKV_,
    BIAS_O,
    QK_NORM,
    SPLIT_UP,
    FUSED_UP,
    BIAS_UP,
    PLAIN,
    POST,
    UNTIED
};

struct part {
    const char *name;
    enum when when;
    size_t at; /* of its struct weight or float *, in struct layer or struct layers */
    enum extent rows, cols;
};

/* A fused tensor is first put where its first part belongs. */
#define L(field) offsetof(struct layer, field)
static const struct part LAYER_PARTS[] = {
    {"input_layernorm.weight", ALWAYS, L(norm1), D_, NONE},
    {"self_attn.q_proj.weight", SPLIT_QKV, L(q), Q_, D_},
    {"self_attn.k_proj.weight", SPLIT_QKV, L(k), KV_, D_},
    {"self_attn.v_proj.weight", SPLIT_QKV, L(v), KV_, D_},
    {"self_attn.qkv_proj.weight", FUSED_QKV, L(q), QKV_, D_},
    {"self_attn.q_proj.bias", BIAS_QKV_, L(q_bias), Q_, NONE},
    {"self_attn.k_proj.bias", BIAS_QKV_, L(k_bias), KV_, NONE},
    {"self_attn.v_proj.bias", BIAS_QKV_, L(v_bias), KV_, NONE},
    {"self_attn.q_norm.weight", QK_NORM, L(q_norm), HD_, NONE},
    {"self_attn.k_norm.weight", QK_NORM, L(k_norm), HD_, NONE},
    {"self_attn.o_proj.weight", ALWAYS, L(o), D_, Q_},
    {"self_attn.o_proj.bias", BIAS_O, L(o_bias), D_, NONE},
    {"post_attention_layernorm.weight", PLAIN, L(norm2), D_, NONE},
    {"post_attention_layernorm.weight", POST, L(post1), D_, NONE},
    {"pre_feedforward_layernorm.weight", POST, L(norm2), D_, NONE},
    {"post_feedforward_layernorm.weight", POST, L(post2), D_, NONE},
    {"mlp.gate_proj.weight", SPLIT_UP, L(gate), F_, D_},
    {"mlp.up_proj.weight", SPLIT_UP, L(up), F_, D_},
    {"mlp.gate_up_proj.weight", FUSED_UP, L(gate), F2_, D_},
    {"mlp.down_proj.weight", ALWAYS, L(down), D_, F_},
    {"mlp.gate_proj.bias", BIAS_UP, L(gate_bias), F_, NONE},
    {"mlp.up_proj.bias", BIAS_UP, L(up_bias), F_, NONE},
    {"mlp.down_proj.bias", BIAS_UP, L(down_bias), D_, NONE},
};
#undef L
#define N_LAYER_PARTS (sizeof LAYER_PARTS / sizeof LAYER_PARTS[0])

static const struct part MODEL_PARTS[] = {
    {"model.embed_tokens.weight", ALWAYS, offsetof(struct layers, embed), V_, D_},
    {"model.norm.weight", ALWAYS, offsetof(struct layers, norm), D_, NONE},
    {"lm_head.weight", UNTIED, offsetof(struct layers, head), V_, D_},
};
#define N_MODEL_PARTS (sizeof MODEL_PARTS / sizeof MODEL_PARTS[0])

/* Tables that old files carry and that follow from config.json. */
static const char IGNORED[] = "self_attn.rotary_emb.inv_freq";

struct loader {
    const struct model_config *c;
    const struct weights *w;
    struct layers *out;
    struct errmsg *e;
};

static bool has_part(const struct model_config *c, enum when when)
{
    const bool has[] = {
        [ALWAYS] = true,
        [SPLIT_QKV] = !c->fused_qkv,
        [FUSED_QKV] = c->fused_qkv,
        [BIAS_QKV_] = c->q_bias,
        [BIAS_O] = c->o_bias,
        [QK_NORM] = c->qk_norm,
        [SPLIT_UP] = !c->fused_gate_up,
        [FUSED_UP] = c->fused_gate_up,
        [BIAS_UP] = c->mlp_bias,
        [PLAIN] = !c->post_norms,
        [POST] = c->post_norms,
        [UNTIED] = !c->tied,
    };

    return has[when];
}

/* All of them fit an int: config.json's numbers are limited. */
static int64_t extent_of(const struct layers *l, enum extent x)
{
    const int64_t q = (int64_t)l->H * l->HD, kv = (int64_t)l->HK * l->HD;
    const int64_t n[] = {[NONE] = 1,
                         [D_] = l->D,
                         [Q_] = q,
                         [KV_] = kv,
                         [QKV_] = q + 2 * kv,
                         [F_] = l->F,
                         [F2_] = 2 * (int64_t)l->F,
                         [V_] = l->V,
                         [HD_] = l->HD};

    return n[x];
}

static void shape_text(char *out, size_t size, const struct tensor *t)
{
    int at = snprintf(out, size, "[");

    for (int i = 0; i < t->n_dims && at > 0 && (size_t)at < size; i++)
        at += snprintf(out + at, size - (size_t)at, i ? ", %lld" : "%lld", (long long)t->shape[i]);
    if (at > 0 && (size_t)at < size) snprintf(out + at, size - (size_t)at, "]");
}

/* The tensor, or what is wrong with it. */
static int find_part(const struct loader *ld, const struct part *p, const char *name,
                     const struct tensor **out)
{
    const int64_t rows = extent_of(ld->out, p->rows), cols = extent_of(ld->out, p->cols);
    const struct tensor *t = weights_find(ld->w, name);
    char want[64], found[128];

    if (p->cols == NONE)
        snprintf(want, sizeof want, "[%lld]", (long long)rows);
    else
        snprintf(want, sizeof want, "[%lld, %lld]", (long long)rows, (long long)cols);
    if (!t) return err_set(ld->e, ERR_FORMAT, "tensor '%s' %s is missing", name, want);
    if (t->n_dims != (p->cols == NONE ? 1 : 2) || t->shape[0] != rows ||
        (p->cols != NONE && t->shape[1] != cols)) {
        shape_text(found, sizeof found, t);
        return err_set(ld->e, ERR_FORMAT, "tensor '%s' is %s, and config.json makes it %s", name,
                       found, want);
    }
    if (p->cols == NONE && !dtype_is_float(t->dtype))
        return err_set(ld->e, ERR_UNSUPPORTED,
                       "tensor '%s' is %s; known for a vector: f32, f16, "
                       "bf16",
                       name, dtype_name(t->dtype));
    *out = t;
    return ERR_OK;
}

/* Vectors are floats here, whatever the file has. */
static const float *widen(struct loader *ld, const struct part *p, const struct tensor *t)
{
    const size_t n = (size_t)t->shape[0];
    const bool norm = strstr(p->name, "norm.weight") != NULL;
    const float plus = norm && ld->c->norm_plus_one ? 1 : 0;
    float *v = arena_take(&ld->out->vectors, n * sizeof *v);

    for (size_t i = 0; v && i < n; i++)
        v[i] = element(t->data, t->dtype, i) + plus;
    return v;
}

static int put_part(struct loader *ld, void *base, const struct part *p, const char *name)
{
    void *at = (char *)base + p->at;
    const struct tensor *t = NULL;
    int rc = find_part(ld, p, name, &t);

    if (rc) return rc;
    ld->out->bytes += t->bytes;
    if (p->cols == NONE) {
        *(const float **)at = widen(ld, p, t);
        return *(const float **)at ? ERR_OK
                                   : err_set(ld->e, ERR_NOMEM, "no memory for tensor '%s'", name);
    }
    *(struct weight *)at =
        (struct weight){t->data, t->dtype, (int)t->shape[0], (int)t->shape[1], 0, NULL};
    return ERR_OK;
}

/* Rows [first, first + n) of w. */
static struct weight rows_of(const struct weight *w, int first, int n)
{
    struct weight r = *w;

    r.data = (const char *)w->data + (size_t)first * weight_row_bytes(w);
    r.N = n;
    return r;
}

static void split_fused(const struct loader *ld, struct layer *l)
{
    const int q = ld->out->H * ld->out->HD, kv = ld->out->HK * ld->out->HD, F = ld->out->F;

    if (ld->c->fused_qkv) {
        l->v = rows_of(&l->q, q + kv, kv);
        l->k = rows_of(&l->q, q, kv);
        l->q = rows_of(&l->q, 0, q);
    }
    if (ld->c->fused_gate_up) {
        l->up = rows_of(&l->gate, F, F);
        l->gate = rows_of(&l->gate, 0, F);
    }
}

static int put_all(struct loader *ld)
{
    char name[128];
    int rc = ERR_OK;

    for (size_t i = 0; i < N_MODEL_PARTS && !rc; i++)
        if (has_part(ld->c, MODEL_PARTS[i].when))
            rc = put_part(ld, ld->out, &MODEL_PARTS[i], MODEL_PARTS[i].name);
    for (int l = 0; l < ld->out->n && !rc; l++) {
        for (size_t i = 0; i < N_LAYER_PARTS && !rc; i++) {
            if (!has_part(ld->c, LAYER_PARTS[i].when)) continue;
            snprintf(name, sizeof name, "model.layers.%d.%s", l, LAYER_PARTS[i].name);
            rc = put_part(ld, &ld->out->at[l], &LAYER_PARTS[i], name);
        }
        if (!rc) split_fused(ld, &ld->out->at[l]);
    }
    if (!rc && ld->c->tied) ld->out->head = ld->out->embed;
    return rc;
}

/* Is it a tensor that has its place, or one that may be left out? */
static bool is_known(const struct loader *ld, const char *name)
{
    int layer = -1, rest = 0;

    /* Tied, a file may still hold the head: it is the embedding once more. */
    for (size_t i = 0; i < N_MODEL_PARTS; i++)
        if (!strcmp(name, MODEL_PARTS[i].name)) return true;
    if (sscanf(name, "model.layers.%d.%n", &layer, &rest) != 1 || rest == 0) return false;
    if (layer < 0 || layer >= ld->out->n) return false;
    for (size_t i = 0; i < N_LAYER_PARTS; i++)
        if (has_part(ld->c, LAYER_PARTS[i].when) && !strcmp(name + rest, LAYER_PARTS[i].name))
            return true;
    return !strcmp(name + rest, IGNORED);
}

static int check_names(const struct loader *ld)
{
    for (int i = 0; i < weights_count(ld->w); i++)
        if (!is_known(ld, weights_at(ld->w, i)->name))
            return err_set(ld->e, ERR_UNSUPPORTED, "tensor '%s' has no place in %s of %d layers",
                           weights_at(ld->w, i)->name, ld->c->arch, ld->out->n);
    return ERR_OK;
}

/* Room for every vector: what the file has, widened, each on a line of its own. */
static size_t vector_bytes(const struct weights *w)
{
    size_t bytes = 64;

    for (int i = 0; i < weights_count(w); i++)
        if (weights_at(w, i)->n_dims == 1)
            bytes += ((size_t)weights_at(w, i)->shape[0] * sizeof(float) + 63) & ~(size_t)63;
    return bytes;
}

int layers_open(struct layers *out, const struct model *m, struct errmsg *e)
{
    const struct model_config *c = &m->config;
    struct loader ld = {c, m->weights, out, e};
    int rc;

    *out = (struct layers){.n = c->n_layers,
                           .D = c->hidden_size,
                           .H = c->n_heads,
                           .HK = c->n_kv_heads,
                           .HD = c->head_dim,
                           .F = c->intermediate_size,
                           .V = c->vocab_size};
    out->at = calloc((size_t)out->n, sizeof *out->at);
    rc = out->at ? arena_init(&out->vectors, vector_bytes(m->weights)) : ERR_NOMEM;
    if (rc) err_set(e, rc, "no memory for the table of %d layers", out->n);
    if (!rc) rc = put_all(&ld);
    if (!rc) rc = check_names(&ld);
    if (rc) layers_fini(out);
    return rc;
}

void layers_fini(struct layers *l)
{
    arena_fini(&l->vectors);
    free(l->at);
    memset(l, 0, sizeof *l);
}

/* Columns [first, first + n) of w: whole blocks. */
static struct weight cols_of(const struct weight *w, int first, int n)
{
    struct weight c = *w;

    c.row_bytes = weight_row_bytes(w);
    c.data = (const char *)w->data + dtype_row_bytes(w->dtype, (size_t)first);
    c.K = n;
    return c;
}

/* Where a rank's share of the whole begins. */
struct cut {
    int rank, q, kv, f;
};

static void cut_layer(struct layer *out, const struct layer *l, const struct layers *s,
                      const struct cut *at)
{
    const int Q = s->H * s->HD, KV = s->HK * s->HD;

    *out = *l;
    out->q = rows_of(&l->q, at->q, Q);
    out->k = rows_of(&l->k, at->kv, KV);
    out->v = rows_of(&l->v, at->kv, KV);
    out->o = cols_of(&l->o, at->q, Q);
    out->gate = rows_of(&l->gate, at->f, s->F);
    out->up = rows_of(&l->up, at->f, s->F);
    out->down = cols_of(&l->down, at->f, s->F);
    if (l->q_bias) out->q_bias = l->q_bias + at->q;
    if (l->k_bias) out->k_bias = l->k_bias + at->kv;
    if (l->v_bias) out->v_bias = l->v_bias + at->kv;
    if (l->gate_bias) out->gate_bias = l->gate_bias + at->f;
    if (l->up_bias) out->up_bias = l->up_bias + at->f;
    if (at->rank) out->o_bias = out->down_bias = NULL;
}

static int check_share(const struct layers *w, int tp, struct errmsg *e)
{
    const struct {
        int n;
        const char *what;
    } PARTS[] = {{w->H, "attention heads"}, {w->F, "feed-forward columns"}};

    for (size_t i = 0; i < 2; i++)
        if (PARTS[i].n % tp)
            return err_set(e, ERR_ARG, "tensor-parallel-size %d does not divide %d %s", tp,
                           PARTS[i].n, PARTS[i].what);
    if (w->HK % tp && tp % w->HK)
        return err_set(e, ERR_ARG,
                       "tensor-parallel-size %d and %d KV heads: neither divides the "
                       "other",
                       tp, w->HK);
    if (w->V < tp)
        return err_set(e, ERR_ARG, "tensor-parallel-size %d is over the vocabulary of %d", tp,
                       w->V);
    for (int l = 0; l < w->n; l++) {
        const struct weight *cols[] = {&w->at[l].o, &w->at[l].down};

        for (size_t i = 0; i < 2; i++)
            if (cols[i]->K / tp % dtype_block(cols[i]->dtype))
                return err_set(e, ERR_ARG,
                               "tensor-parallel-size %d gives a rank %d %s, no whole "
                               "blocks of %d (%s)",
                               tp, cols[i]->K / tp, i ? "feed-forward columns" : "columns of heads",
                               dtype_block(cols[i]->dtype), dtype_name(cols[i]->dtype));
    }
    return ERR_OK;
}

int layers_share(struct layers *out, const struct layers *whole, int rank, int tp, struct errmsg *e)
{
    const int v = (int)((int64_t)whole->V * rank / tp);
    struct cut at = {.rank = rank};
    int rc = check_share(whole, tp, e);

    memset(out, 0, sizeof *out);
    if (rc) return rc;
    *out = *whole;
    out->bytes = 0;
    memset(&out->vectors, 0, sizeof out->vectors);
    out->H = whole->H / tp;
    out->HK = whole->HK % tp ? 1 : whole->HK / tp;
    out->F = whole->F / tp;
    out->V = (int)((int64_t)whole->V * (rank + 1) / tp) - v;
    out->head = rows_of(&whole->head, v, out->V);
    at.q = rank * out->H * out->HD;
    at.kv = (int)((int64_t)rank * whole->HK / tp) * out->HD;
    at.f = rank * out->F;
    out->at = calloc((size_t)out->n, sizeof *out->at);
    if (!out->at) return err_set(e, ERR_NOMEM, "no memory for the table of %d layers", out->n);
    for (int l = 0; l < out->n; l++)
        cut_layer(&out->at[l], &whole->at[l], out, &at);
    return ERR_OK;
}
